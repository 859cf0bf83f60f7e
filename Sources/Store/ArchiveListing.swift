public import Stanzas

/// An archived message as a scan shows it, in the memory of the store: valid only where it was shown.
public struct ArchivedMessage {
    /// Its place in the account: commit order.
    public let sequence: UInt64
    /// µs since 1970, UTC.
    public let stamp: Int64
    public let stanza: EncodedStanza
    /// As `MessageRecord.Header`.
    public let originIDHash: UInt64
    /// The size of its row in bytes.
    public let bytes: Int
}

/// How a scan of an archive ended.
public struct ArchiveScan: Sendable {
    /// Where it goes on, in the direction it went; nil: everything was shown, or nobody wanted more.
    public var next: UInt64?
    /// Rows that could not be read.
    public var damaged: [StoreFailure] = []
}

extension AccountRows {
    /// What rows are known by whose other end is this bare JID: never 0.
    public func peer(_ bareJID: String) -> UInt64 {
        var bareJID = bareJID
        return bareJID.withUTF8 { identity.peer(UnsafeRawBufferPointer($0)) }
    }

    /// Shows archived messages with sequences in `range`, ascending or descending.
    ///
    /// Rows of other peers are passed over by eight bytes of their head; what is shown has its checksum verified.
    ///
    /// - Parameters:
    ///   - peer: only messages whose other end has this hash; nil: all.
    ///   - rows: rows that are looked at before the scan stops and says where it goes on.
    ///   - body: returns false to stop.
    public func scanArchive(
        _ range: ClosedRange<UInt64>, peer: UInt64?, reverse: Bool, rows: Int, in snapshot: any Snapshot,
        _ body: (ArchivedMessage) throws(StoreFailure) -> Bool
    ) throws(StoreFailure) -> ArchiveScan {
        var scan = ArchiveScan()
        var seen = 0
        try snapshot.scan(
            prefix: Keys.prefix(partition, .message, account: number), from: Keys.message(partition, number, sequence: range.lowerBound),
            through: Keys.message(partition, number, sequence: range.upperBound), reverse: reverse
        ) { (key, value) throws(StoreFailure) in
            guard let sequence = Keys.number(of: .message, in: key) else { return true }
            guard seen < rows else {
                scan.next = sequence
                return false
            }
            seen += 1
            guard let glance = MessageRecord.glance(value), glance.flags.contains(.archived), peer == nil || glance.peer == peer else {
                return true
            }
            do throws(StoreFailure) {
                return try body(try ArchivedMessage(value, key: key))
            } catch {
                guard case .damaged = error else { throw error }
                scan.damaged.append(error)
                return true
            }
        }
        return scan
    }

    /// Counts what `scanArchive` would show, by the heads of the rows alone; also says where to go on upwards, nil at the end.
    public func countArchive(
        _ range: ClosedRange<UInt64>, peer: UInt64?, rows: Int, in snapshot: any Snapshot
    ) throws(StoreFailure) -> (count: Int, next: UInt64?) {
        var count = 0
        var next: UInt64?
        var seen = 0
        try snapshot.scan(
            prefix: Keys.prefix(partition, .message, account: number), from: Keys.message(partition, number, sequence: range.lowerBound),
            through: Keys.message(partition, number, sequence: range.upperBound), reverse: false
        ) { (key, value) throws(StoreFailure) in
            guard seen < rows else {
                next = Keys.number(of: .message, in: key)
                return false
            }
            seen += 1
            if let glance = MessageRecord.glance(value), glance.flags.contains(.archived), peer == nil || glance.peer == peer { count += 1 }
            return true
        }
        return (count, next)
    }

    /// Whether the archive has a message of this sequence.
    public func isArchived(_ sequence: UInt64, in snapshot: any Snapshot) throws(StoreFailure) -> Bool {
        guard let value = try snapshot.get(Keys.message(partition, number, sequence: sequence)) else { return false }
        return value.withUnsafeBytes { MessageRecord.glance($0)?.flags.contains(.archived) ?? false }
    }

    /// How many messages the archive has and how many bytes their rows take, up to `rows` rows; `isAll` is false when there are more.
    public func archiveSize(rows: Int, in snapshot: any Snapshot) throws(StoreFailure) -> (messages: Int, bytes: Int, isAll: Bool) {
        var size = (messages: 0, bytes: 0, isAll: true)
        var seen = 0
        try snapshot.scan(prefix: Keys.prefix(partition, .message, account: number), from: nil, through: nil, reverse: false) {
            (_, value) throws(StoreFailure) in
            guard seen < rows else {
                size.isAll = false
                return false
            }
            seen += 1
            if MessageRecord.glance(value)?.flags.contains(.archived) == true {
                size.messages += 1
                size.bytes += value.count
            }
            return true
        }
        return size
    }

    /// Sequence and stamp of the first (or last) archived message; nil when there is none.
    public func archiveEnd(last: Bool, in snapshot: any Snapshot) throws(StoreFailure) -> (sequence: UInt64, stamp: Int64)? {
        var end: (sequence: UInt64, stamp: Int64)?
        _ = try scanArchive(0...UInt64.max, peer: nil, reverse: last, rows: .max, in: snapshot) { message in
            end = (message.sequence, message.stamp)
            return false
        }
        return end
    }
}

extension ArchivedMessage {
    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(StoreFailure) {
        let header = try MessageRecord.header(value, key: key)
        guard let raw = MessageRecord.stanza(value), let stanza = try? EncodedStanza(raw) else {
            throw .damaged(key: Key.hex(key), reason: "its stanza is not one")
        }
        self.init(sequence: header.sequence, stamp: header.stamp, stanza: stanza, originIDHash: header.originIDHash, bytes: value.count)
    }
}
