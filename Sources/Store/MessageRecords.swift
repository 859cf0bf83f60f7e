public import Stanzas

/// A message kept for an account: owed to it, archived, or both. Table `message`.
public struct MessageRecord: Record, Equatable {
    public static let version: UInt8 = 1

    public struct Flags: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let archived = Flags(rawValue: 1)
        public static let owed = Flags(rawValue: 2)
        static let known: Flags = [.archived, .owed]
    }

    /// All of a message but its stanza.
    public struct Header: Sendable, Equatable {
        /// Its place in the account: commit order. At least 1.
        public var sequence: UInt64
        /// µs since 1970, UTC.
        public var stamp: Int64
        public var flags: Flags
        /// A number of the session that sent it; 0: it did not come from a session of this cluster.
        public var originSession: UInt64
        /// That session's number of the stanza.
        public var inSeq: UInt32
        /// A keyed hash of sender and origin-id (XEP-0359); 0 without one.
        public var originIDHash: UInt64
        /// A keyed hash of the bare JID at the other end (`AccountRows.peer`); 0: nobody ever asks for it by that.
        public var peer: UInt64

        public init(
            sequence: UInt64, stamp: Int64, flags: Flags, originSession: UInt64, inSeq: UInt32, originIDHash: UInt64, peer: UInt64 = 0
        ) {
            self.sequence = sequence
            self.stamp = stamp
            self.flags = flags
            self.originSession = originSession
            self.inSeq = inSeq
            self.originIDHash = originIDHash
            self.peer = peer
        }
    }

    public var header: Header
    /// The stanza in the stanza codec.
    public var stanza: [UInt8]

    public var sequence: UInt64 { header.sequence }
    public var stamp: Int64 { header.stamp }
    public var flags: Flags { header.flags }

    public init(
        sequence: UInt64, stamp: Int64, flags: Flags, originSession: UInt64, inSeq: UInt32, originIDHash: UInt64, peer: UInt64 = 0,
        stanza: [UInt8]
    ) {
        header = Header(
            sequence: sequence, stamp: stamp, flags: flags, originSession: originSession, inSeq: inSeq, originIDHash: originIDHash,
            peer: peer)
        self.stanza = stanza
    }

    /// The value to put.
    public func encode() -> [UInt8] { encode(reserving: Self.headerBytes + 5 + stanza.count) }

    /// The value to put, of a stanza that lies elsewhere.
    public static func encode(_ header: Header, stanza: UnsafeRawBufferPointer) -> [UInt8] {
        sealed(reserving: headerBytes + 5 + stanza.count) { writer in
            header.write(into: &writer)
            writer.bytes(stanza)
        }
    }

    public func write(into writer: inout ByteWriter) {
        header.write(into: &writer)
        writer.bytes(stanza)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        header = try Header(from: &reader)
        stanza = try reader.bytes()
    }

    public func fits(_ key: UnsafeRawBufferPointer) -> Bool { Keys.number(of: .message, in: key) == sequence }

    fileprivate static let headerBytes = 45
    private static let flagsOffset = Envelope.headBytes + 16
    private static let peerOffset = Envelope.headBytes + 37

    /// Flags and peer of a row, where they lie and unchecked: to pass over what nobody asked for. Nil when the row is too short.
    static func glance(_ value: UnsafeRawBufferPointer) -> (flags: Flags, peer: UInt64)? {
        guard value.count >= Envelope.headBytes + headerBytes else { return nil }
        return (
            Flags(rawValue: value[flagsOffset]), UInt64(bigEndian: value.loadUnaligned(fromByteOffset: peerOffset, as: UInt64.self))
        )
    }

    /// The stanza of a row whose checksum was verified, where it lies; nil when its length is not what it says.
    static func stanza(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var offset = Envelope.headBytes + headerBytes
        var length = 0
        var shift = 0
        while offset < value.count, shift < 32 {
            let byte = Int(value[offset])
            length |= (byte & 0x7F) << shift
            offset += 1
            shift += 7
            guard byte >= 0x80 else { return length == value.count - offset ? UnsafeRawBufferPointer(rebasing: value[offset...]) : nil }
        }
        return nil
    }

    /// The header alone, out of the store's memory: the checksum is verified, the stanza is not copied.
    static func header(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(StoreFailure) -> Header {
        _ = try Envelope.check(value, newest: version) { Key.hex(key) }
        guard let header = Header(value), header.sequence == Keys.number(of: .message, in: key) else {
            throw .damaged(key: Key.hex(key), reason: "its fields are not those of a MessageRecord")
        }
        return header
    }
}

extension MessageRecord.Header {
    /// The fields as they lie in a row: what `init(from:)` reads, without a copy.
    fileprivate init?(_ value: UnsafeRawBufferPointer) {
        guard value.count >= Envelope.headBytes + MessageRecord.headerBytes else { return nil }
        func number<T: FixedWidthInteger>(_ offset: Int, as: T.Type) -> T {
            T(bigEndian: value.loadUnaligned(fromByteOffset: Envelope.headBytes + offset, as: T.self))
        }
        sequence = number(0, as: UInt64.self)
        stamp = number(8, as: Int64.self)
        flags = MessageRecord.Flags(rawValue: number(16, as: UInt8.self))
        originSession = number(17, as: UInt64.self)
        inSeq = number(25, as: UInt32.self)
        originIDHash = number(29, as: UInt64.self)
        peer = number(37, as: UInt64.self)
        guard MessageRecord.Flags.known.isSuperset(of: flags) else { return nil }
    }

    /// The fields in one piece: there is a row for every message that is kept.
    fileprivate func write(into writer: inout ByteWriter) {
        withUnsafeTemporaryAllocation(byteCount: MessageRecord.headerBytes, alignment: 1) { raw in
            func number(_ value: some FixedWidthInteger, _ offset: Int) {
                raw.storeBytes(of: value.bigEndian, toByteOffset: offset, as: type(of: value))
            }
            number(sequence, 0)
            number(stamp, 8)
            number(flags.rawValue, 16)
            number(originSession, 17)
            number(inSeq, 25)
            number(originIDHash, 29)
            number(peer, 37)
            writer.bytes.append(contentsOf: UnsafeRawBufferPointer(raw))
        }
    }

    fileprivate init(from reader: inout ByteReader) throws {
        sequence = try reader.uint64()
        stamp = try reader.int64()
        flags = MessageRecord.Flags(rawValue: try reader.uint8())
        originSession = try reader.uint64()
        inSeq = try reader.uint32()
        originIDHash = try reader.uint64()
        peer = try reader.uint64()
        guard MessageRecord.Flags.known.isSuperset(of: flags) else { throw FieldError() }
    }
}

/// A message that is owed, with what the account knows of it without reading its row.
public struct OwedMessage: Hashable, Sendable {
    public var sequence: UInt64
    /// The size of its row in bytes.
    public var bytes: Int
    /// Whether its row stays when it is acknowledged.
    public var isArchived: Bool

    public init(_ sequence: UInt64, bytes: Int = 0, isArchived: Bool = false) {
        self.sequence = sequence
        self.bytes = bytes
        self.isArchived = isArchived
    }
}

/// Which messages an account was acknowledged to have received: a mark and its exceptions. Table `inbox`.
public struct InboxRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// Every message up to this sequence is acknowledged, but for `owed`. Above it the flag in the message's record decides.
    public var ackedThrough: UInt64
    /// Messages up to the mark that are still owed, ascending.
    public var owed: [OwedMessage]
    /// Acknowledged messages whose rows are still there and wait for their removal, ascending.
    public var spent: [UInt64]

    public init(ackedThrough: UInt64, owed: [OwedMessage] = [], spent: [UInt64] = []) {
        self.ackedThrough = ackedThrough
        self.owed = Self.ordered(owed)
        self.spent = Self.ordered(spent)
    }

    /// The largest size of a row that is written or read: sizes are added up, and no sum of these overflows.
    private static let largest = 1 << 40

    /// Ascending without repeats, as the codec wants it.
    private static func ordered(_ numbers: [UInt64]) -> [UInt64] {
        if zip(numbers, numbers.dropFirst()).allSatisfy(<) { return numbers }
        return Set(numbers).sorted()
    }

    private static func ordered(_ owed: [OwedMessage]) -> [OwedMessage] {
        if zip(owed, owed.dropFirst()).allSatisfy({ $0.sequence < $1.sequence }) { return owed }
        var known: [UInt64: OwedMessage] = [:]
        for message in owed { known[message.sequence] = message }
        return known.values.sorted { $0.sequence < $1.sequence }
    }

    public func write(into writer: inout ByteWriter) {
        writer.uint64(ackedThrough)
        writer.ascending(owed.map(\.sequence))
        for message in owed { writer.count(max(0, min(message.bytes, Self.largest)) << 1 | (message.isArchived ? 1 : 0)) }
        writer.ascending(spent)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        ackedThrough = try reader.uint64()
        owed = try reader.ascending().map { OwedMessage($0) }
        for index in owed.indices {
            let sizeAndFlag = try reader.count()
            guard sizeAndFlag >> 1 <= Self.largest else { throw FieldError() }
            owed[index].bytes = sizeAndFlag >> 1
            owed[index].isArchived = sizeAndFlag & 1 != 0
        }
        spent = try reader.ascending()
    }
}
