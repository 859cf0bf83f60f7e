import Stanzas
public import Store

/// What stands beside a copy of the store and says what it is: a flat JSON object, a member a line, the last of which is a checksum over
/// the lines above it.
public struct Manifest: Sendable, Equatable {
    /// The form of the manifest that this program writes, and reads up to.
    public static let currentFormat: UInt64 = 1
    /// Names in the folder of a backup.
    public static let fileName = "manifest.json"
    public static let dataName = "data.mdb"

    /// 16 random bytes in hexadecimal.
    public var backup: String
    /// The volume that was copied, in hexadecimal.
    public var volume: String
    public var featureLevel: UInt32
    public var unicodeVersion: String
    /// The program that wrote it, and the node that kept the store.
    public var server: String
    public var node: String
    /// How often a process had become keeper, and the number of a commit of that keeper: everything up to it is in the copy.
    public var epoch: UInt64
    public var commit: UInt64
    /// µs since 1970, UTC: everything acknowledged before `started` is in the copy.
    public var started: Int64
    public var finished: Int64
    public var rows: UInt64
    public var accounts: UInt64
    /// Of the data file.
    public var bytes: UInt64
    /// Of the data file, in hexadecimal.
    public var sha256: String

    /// The file's bytes.
    public func encode() -> [UInt8] {
        var lines: [(String, FlatJSON.Value)] = [
            ("format", .integer(Self.currentFormat)), ("backup", .text(backup)), ("volume", .text(volume)),
            ("feature_level", .integer(UInt64(featureLevel))), ("unicode", .text(unicodeVersion)), ("server", .text(server)),
            ("node", .text(node)), ("epoch", .integer(epoch)), ("commit", .integer(commit)),
            ("started", .text(DateTime(microseconds: started).description)),
            ("finished", .text(DateTime(microseconds: finished).description)), ("rows", .integer(rows)),
            ("accounts", .integer(accounts)), ("bytes", .integer(bytes)), ("sha256", .text(sha256)),
        ]
        lines.append((Self.checkName, .text(Self.check(lines))))
        return Array(FlatJSON.text(lines).utf8)
    }

    /// Reads a manifest.
    ///
    /// - Throws: `.format` with one sentence when it is not one, is of a newer form, or was changed.
    public init(_ bytes: [UInt8]) throws(StoreFailure) {
        guard bytes.count <= 65_536, let members = FlatJSON.members(bytes) else {
            throw .format("the manifest is not a manifest of Martlet")
        }
        guard case .integer(let format)? = members.first?.value, members.first?.name == "format" else {
            throw .format("the manifest does not say its format")
        }
        guard format == Self.currentFormat else {
            throw .format("the manifest is of format \(format); this program knows \(Self.currentFormat)")
        }
        guard let check = members.last, check.name == Self.checkName, check.value == .text(Self.check(members.dropLast())) else {
            throw .format("the manifest was changed: its checksum does not match")
        }
        func missing(_ name: String) -> StoreFailure { .format("the manifest has no \(name)") }
        func text(_ name: String) throws(StoreFailure) -> String {
            guard case .text(let text)? = members.first(where: { $0.name == name })?.value else { throw missing(name) }
            return text
        }
        func integer(_ name: String) throws(StoreFailure) -> UInt64 {
            guard case .integer(let integer)? = members.first(where: { $0.name == name })?.value else { throw missing(name) }
            return integer
        }
        func moment(_ name: String) throws(StoreFailure) -> Int64 {
            guard let moment = DateTime(try text(name)) else { throw missing(name) }
            return moment.microseconds
        }
        backup = try text("backup")
        volume = try text("volume")
        featureLevel = UInt32(clamping: try integer("feature_level"))
        unicodeVersion = try text("unicode")
        server = try text("server")
        node = try text("node")
        epoch = try integer("epoch")
        commit = try integer("commit")
        started = try moment("started")
        finished = try moment("finished")
        rows = try integer("rows")
        accounts = try integer("accounts")
        self.bytes = try integer("bytes")
        sha256 = try text("sha256")
    }

    init(
        backup: String, identity: VolumeIdentity, server: String, node: String, epoch: UInt64, started: Int64, finished: Int64,
        report: CopyReport, rows: UInt64, accounts: UInt64
    ) {
        self.backup = backup
        volume = identity.name
        featureLevel = identity.featureLevel
        unicodeVersion = identity.unicodeVersion
        self.server = server
        self.node = node
        self.epoch = epoch
        commit = report.commit
        self.started = started
        self.finished = finished
        self.rows = rows
        self.accounts = accounts
        bytes = report.bytes
        sha256 = Hex.text(report.sha256)
    }

    private static let checkName = "check"

    private static func check(_ members: some Sequence<(name: String, value: FlatJSON.Value)>) -> String {
        let text = FlatJSON.text(members.map { ($0.name, $0.value) })
        let sum = Array(text.utf8).withUnsafeBytes { CRC32C.checksum($0) }
        return Hex.text(withUnsafeBytes(of: sum.bigEndian) { [UInt8]($0) })
    }
}

enum Hex {
    static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }
}
