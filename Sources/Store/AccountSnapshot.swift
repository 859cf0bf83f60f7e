/// Everything of one account that its home keeps in memory, as it stood in one snapshot.
public struct AccountSnapshot: Sendable {
    /// What a repeat of a message is known by.
    public struct Recent: Sendable, Equatable {
        public var originHash: UInt64
        public var session: UInt64
        public var inSeq: UInt32
        /// µs since 1970, UTC.
        public var stamp: Int64
        public init(originHash: UInt64, session: UInt64, inSeq: UInt32, stamp: Int64) {
            self.originHash = originHash
            self.session = session
            self.inSeq = inSeq
            self.stamp = stamp
        }
    }

    /// Message records whose origins are remembered.
    public static let recentMessages = 256

    public var account: AccountRecord
    public var roster: [RosterItemRecord] = []
    public var pendingIn: [PendingInRecord] = []
    /// Owed messages, ascending.
    public var owed: [OwedMessage] = []
    /// Acknowledged messages whose rows wait for their removal, ascending.
    public var spent: [UInt64] = []
    /// The highest sequence the account ever gave, as far as the store knows.
    public var lastMessage: UInt64 = 0
    /// The last messages, oldest first.
    public var recent: [Recent] = []
    public var sessions: [SessionRow] = []
    /// The items of the kinds that stay in memory, by kind and name.
    public var items: [ItemKind: [String: [UInt8]]] = [:]
    /// Message and session rows that could not be read; the rest of the account is whole. Anything else damaged fails the load.
    public var damaged: [StoreFailure] = []

    /// Message records that may be looked at for repeated submissions.
    public static let repeatedMessages = 10_000

    /// Loads an account; nil when there is none of this name.
    ///
    /// - Parameter repeatsSince: µs since 1970: submissions kept since then may come again, so `recent` reaches back to them, up to
    ///   `repeatedMessages`.
    public static func load(
        jid: String, from snapshot: any Snapshot, identity: VolumeIdentity, repeatsSince: Int64 = .max
    ) throws(StoreFailure) -> AccountSnapshot? {
        guard let record = try AccountRecord.find(jid, in: snapshot, identity: identity) else { return nil }
        var loaded = AccountSnapshot(account: record)
        let partition = identity.partition(of: jid)
        let number = record.number
        try snapshot.each(.roster, partition, number) { (key, value) throws(StoreFailure) in
            loaded.roster.append(try RosterItemRecord.decode(value, key: key))
        }
        try snapshot.each(.pendingIn, partition, number) { (key, value) throws(StoreFailure) in
            loaded.pendingIn.append(try PendingInRecord.decode(value, key: key))
        }
        try snapshot.each(.sessionRow, partition, number) { (key, value) throws(StoreFailure) in
            do throws(StoreFailure) {
                loaded.sessions.append(try SessionRow.decode(value, key: key))
            } catch { loaded.damaged.append(error) }
        }
        try loaded.loadItems(partition, number, from: snapshot)
        let inboxKey = Keys.inbox(partition, number)
        let inbox = try snapshot.get(inboxKey).map { (value) throws(StoreFailure) in try InboxRecord.decode(value, key: inboxKey) }
        try loaded.loadMessages(partition, number, inbox: inbox ?? InboxRecord(ackedThrough: 0), repeatsSince: repeatsSince, from: snapshot)
        return loaded
    }

    private mutating func loadItems(_ partition: UInt16, _ number: UInt64, from snapshot: any Snapshot) throws(StoreFailure) {
        let prefix = Keys.prefix(partition, .item, account: number)
        try snapshot.scan(prefix: prefix, from: nil, through: nil, reverse: false) { (key, value) throws(StoreFailure) in
            // Kinds are in the order of their numbers: the first that is not for memory ends the scan.
            guard let number = Keys.itemKind(ofKey: key), number < 128 else { return false }
            guard let kind = ItemKind(rawValue: number) else { return true }
            let record = try ItemRecord.decode(value, key: key)
            items[kind, default: [:]][record.name] = record.value
            return true
        }
    }

    private mutating func loadMessages(
        _ partition: UInt16, _ number: UInt64, inbox: InboxRecord, repeatsSince: Int64, from snapshot: any Snapshot
    ) throws(StoreFailure) {
        owed = inbox.owed
        spent = inbox.spent
        lastMessage = max(account.sequenceFloor, inbox.ackedThrough)
        let prefix = Keys.prefix(partition, .message, account: number)
        if inbox.ackedThrough < .max {
            let first = Keys.message(partition, number, sequence: inbox.ackedThrough + 1)
            var above: [OwedMessage] = []
            var broken: [StoreFailure] = []
            try snapshot.scan(prefix: prefix, from: first, through: nil, reverse: false) { (key, value) throws(StoreFailure) in
                do throws(StoreFailure) {
                    let header = try MessageRecord.header(value, key: key)
                    if header.flags.contains(.owed) {
                        above.append(OwedMessage(header.sequence, bytes: value.count, isArchived: header.flags.contains(.archived)))
                    }
                } catch { broken.append(error) }
                return true
            }
            owed.append(contentsOf: above)
            damaged.append(contentsOf: broken)
        }
        var tail: [Recent] = []
        var highest: UInt64 = 0
        var rows = 0
        try snapshot.scan(prefix: prefix, from: nil, through: nil, reverse: true) { (key, value) throws(StoreFailure) in
            highest = max(highest, Keys.number(of: .message, in: key) ?? 0)
            // A damaged row is named by whoever reads the message itself.
            rows += 1
            if let header = try? MessageRecord.header(value, key: key) {
                guard tail.count < Self.recentMessages || header.stamp >= repeatsSince else { return false }
                tail.append(
                    Recent(originHash: header.originIDHash, session: header.originSession, inSeq: header.inSeq, stamp: header.stamp))
            }
            return rows < Self.repeatedMessages
        }
        lastMessage = max(lastMessage, highest)
        recent = tail.reversed()
    }
}

extension Snapshot {
    /// Every row of a table that belongs to an account.
    func each(
        _ table: Keys.Table, _ partition: UInt16, _ account: UInt64,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StoreFailure) -> Void
    ) throws(StoreFailure) {
        let prefix = Keys.prefix(partition, table, account: account)
        try scan(prefix: prefix, from: nil, through: nil, reverse: false) { (key, value) throws(StoreFailure) in
            try body(key, value)
            return true
        }
    }
}
