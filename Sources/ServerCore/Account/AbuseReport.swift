public import Stanzas

/// A report of spam or abuse (XEP-0377), as the reporter's host keeps it for its administrator: an item of the kind `report`, whose name
/// is the report's id.
public struct AbuseReport: Sendable, Equatable {
    /// What the reporter says about it.
    public struct Text: Sendable, Equatable {
        /// `xml:lang`; empty when not given.
        public var language: String
        public var text: String
        public init(language: String, text: String) {
            self.language = language
            self.text = text
        }
    }

    /// A message that is reported, by its id in an archive (XEP-0359).
    public struct MessageID: Sendable, Equatable {
        public var by: String
        public var id: String
        public init(by: String, id: String) {
            self.by = by
            self.id = id
        }
    }

    /// Wall clock µs.
    public var stamp: Int64
    /// Bare JID.
    public var reporter: String
    /// The address that was blocked.
    public var reported: String
    /// `urn:xmpp:reporting:spam` or another (§4).
    public var reason: String
    public var texts: [Text]
    public var messages: [MessageID]
    /// The reporter allows it to be sent on to the reported one's server (§5). This server sends it nowhere.
    public var mayTellOrigin: Bool
    /// The reporter allows it to be sent on to third parties (§5).
    public var mayTellOthers: Bool

    public init(
        stamp: Int64, reporter: String, reported: String, reason: String, texts: [Text] = [], messages: [MessageID] = [],
        mayTellOrigin: Bool = false, mayTellOthers: Bool = false
    ) {
        self.stamp = stamp
        self.reporter = reporter
        self.reported = reported
        self.reason = reason
        self.texts = texts
        self.messages = messages
        self.mayTellOrigin = mayTellOrigin
        self.mayTellOthers = mayTellOthers
    }

    private static let version: UInt8 = 1

    /// What an item holds.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.version)
        writer.uint64(UInt64(bitPattern: stamp))
        writer.string(reporter)
        writer.string(reported)
        writer.string(reason)
        writer.count(texts.count)
        for text in texts {
            writer.string(text.language)
            writer.string(text.text)
        }
        writer.count(messages.count)
        for message in messages {
            writer.string(message.by)
            writer.string(message.id)
        }
        writer.uint8((mayTellOrigin ? 1 : 0) | (mayTellOthers ? 2 : 0))
        return writer.bytes
    }

    /// - Throws: `CodecError` when the bytes are no report.
    public init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        guard try reader.uint8() == Self.version else { throw .malformed }
        self.init(
            stamp: Int64(bitPattern: try reader.uint64()), reporter: try reader.string(), reported: try reader.string(),
            reason: try reader.string())
        for _ in 0..<(try reader.count()) { texts.append(Text(language: try reader.string(), text: try reader.string())) }
        for _ in 0..<(try reader.count()) { messages.append(MessageID(by: try reader.string(), id: try reader.string())) }
        let flags = try reader.uint8()
        mayTellOrigin = flags & 1 != 0
        mayTellOthers = flags & 2 != 0
    }
}

/// What is asked of a host about its reports, and what it answers: the arguments and values of calls (`AccountCommand.call`).
public enum ReportCalls {
    /// Keeps reports; the argument is `[Entry]`.
    public static let add = "report.add"
    /// Lists reports, oldest first; the argument is a `Cursor`, the value a `Page`.
    public static let list = "report.list"
    /// One report; the argument is its id, the value the report.
    public static let show = "report.show"
    /// Deletes reports; the argument is their ids. Done: how many there were.
    public static let delete = "report.delete"

    /// A report with its id.
    public struct Entry: Sendable, Equatable {
        public var id: String
        public var report: AbuseReport
        public init(id: String, report: AbuseReport) {
            self.id = id
            self.report = report
        }
    }

    /// Where a page begins: behind this report.
    public struct Cursor: Sendable, Equatable {
        public var stamp: Int64
        public var id: String
        public init(stamp: Int64 = .min, id: String = "") {
            self.stamp = stamp
            self.id = id
        }
    }

    /// Some reports without their texts and messages, and whether there are more.
    public struct Page: Sendable, Equatable {
        public var entries: [Entry] = []
        public var hasMore = false
        public init() {}
    }

    public static func encode(_ entries: [Entry]) -> [UInt8] {
        var writer = ByteWriter()
        write(entries, into: &writer)
        return writer.bytes
    }

    public static func entries(_ bytes: [UInt8]) throws(CodecError) -> [Entry] {
        var reader = ByteReader(bytes)
        return try entries(from: &reader)
    }

    public static func encode(_ cursor: Cursor) -> [UInt8] {
        var writer = ByteWriter()
        writer.uint64(UInt64(bitPattern: cursor.stamp))
        writer.string(cursor.id)
        return writer.bytes
    }

    public static func cursor(_ bytes: [UInt8]) throws(CodecError) -> Cursor {
        var reader = ByteReader(bytes)
        return Cursor(stamp: Int64(bitPattern: try reader.uint64()), id: try reader.string())
    }

    public static func encode(_ page: Page) -> [UInt8] {
        var writer = ByteWriter()
        write(page.entries, into: &writer)
        writer.uint8(page.hasMore ? 1 : 0)
        return writer.bytes
    }

    public static func page(_ bytes: [UInt8]) throws(CodecError) -> Page {
        var reader = ByteReader(bytes)
        var page = Page()
        page.entries = try entries(from: &reader)
        page.hasMore = try reader.uint8() != 0
        return page
    }

    public static func encode(ids: [String]) -> [UInt8] {
        var writer = ByteWriter()
        writer.count(ids.count)
        for id in ids { writer.string(id) }
        return writer.bytes
    }

    public static func ids(_ bytes: [UInt8]) throws(CodecError) -> [String] {
        var reader = ByteReader(bytes)
        var ids: [String] = []
        for _ in 0..<(try reader.count()) { ids.append(try reader.string()) }
        return ids
    }

    private static func write(_ entries: [Entry], into writer: inout ByteWriter) {
        writer.count(entries.count)
        for entry in entries {
            writer.string(entry.id)
            writer.bytes(entry.report.encode())
        }
    }

    private static func entries(from reader: inout ByteReader) throws(CodecError) -> [Entry] {
        var entries: [Entry] = []
        for _ in 0..<(try reader.count()) { entries.append(Entry(id: try reader.string(), report: try AbuseReport(try reader.bytes()))) }
        return entries
    }
}
