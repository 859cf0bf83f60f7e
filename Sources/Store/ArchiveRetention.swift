/// How much of its archive an account keeps. Nil: as much as there is.
public struct ArchiveLimits: Sendable, Equatable {
    /// µs.
    public var age: Int64?
    public var messages: Int?
    /// Of rows in the store.
    public var bytes: Int?

    public init(age: Int64? = nil, messages: Int? = nil, bytes: Int? = nil) {
        self.age = age
        self.messages = messages
        self.bytes = bytes
    }

    public var isNothing: Bool { age == nil && messages == nil && bytes == nil }
}

/// A pass over the archives of all accounts of some partitions, in steps small enough to stand between other work: what is beyond the
/// limits goes, the oldest first and without holes (XEP-0313 §3.2), and never what is owed or younger than an hour.
///
/// A message that is still owed therefore also keeps what is younger: it is a matter of the limits of the inbox.
public struct RetentionPass: Sendable {
    /// Nothing that may still be submitted again after a takeover goes.
    static let youngest: Int64 = 3_600_000_000

    /// An account that is being looked at.
    private struct Current {
        var number: UInt64
        /// What is at or below it goes.
        var cut: UInt64
        var limits: ArchiveLimits
        /// Where the count goes on downwards; nil: it is done.
        var counting: UInt64?
        var messages = 0
        var bytes = 0
        /// Where the removal goes on upwards.
        var removing: UInt64 = 0
        var ackedThrough: UInt64 = 0
        var firstOwed = UInt64.max
    }

    private var partitions: ArraySlice<UInt16>
    /// The last account that was looked at.
    private var after: Key?
    private var current: Current?
    private let limits: [String: ArchiveLimits]
    private let now: Int64

    /// - Parameters:
    ///   - limits: by domain; accounts of other domains are passed over.
    ///   - now: µs since 1970, UTC.
    public init(partitions: [UInt16], limits: [String: ArchiveLimits], now: Int64) {
        self.partitions = partitions[...]
        self.limits = limits
        self.now = now
    }

    /// Whether every account was looked at.
    public var isDone: Bool { partitions.isEmpty }

    /// The deletes of the next step.
    ///
    /// - Parameters:
    ///   - rows: accounts and messages that are looked at, at most.
    ///   - limit: deletes at most.
    public mutating func step(rows: Int = 4_096, limit: Int = 500, in snapshot: any Snapshot) throws(StoreFailure) -> Effects {
        var effects = Effects()
        var left = rows
        while left > 0, effects.operations.count < limit, let partition = partitions.first {
            guard var account = current else {
                left -= 1
                if try !next(in: partition, snapshot) {
                    partitions.removeFirst()
                    after = nil
                }
                continue
            }
            if account.counting != nil {
                try count(&account, partition, &left, snapshot)
                current = account
            } else {
                let isDone = try remove(&account, partition, &left, limit, &effects, snapshot)
                current = isDone ? nil : account
            }
        }
        return effects
    }

    /// Goes to the next account of the partition; false: there is none.
    private mutating func next(in partition: UInt16, _ snapshot: any Snapshot) throws(StoreFailure) -> Bool {
        var found: (key: Key, record: AccountRecord?)?
        let last = after
        try snapshot.scan(prefix: Keys.prefix(partition, .account), from: last, through: nil, reverse: false) {
            (raw, value) throws(StoreFailure) in
            guard let key = Key(raw), key != last else { return true }
            found = (key, try? AccountRecord.decode(value, key: raw))
            return false
        }
        guard let found else { return false }
        after = found.key
        guard let record = found.record else { return true }
        let domain = record.jid.split(separator: "@", maxSplits: 1).last.map(String.init) ?? record.jid
        guard let limits = limits[domain], !limits.isNothing else { return true }
        let counts = limits.messages != nil || limits.bytes != nil
        let cut = limits.age.map { UInt64(max(0, now - $0)) } ?? 0
        var account = Current(number: record.number, cut: cut, limits: limits, counting: counts ? .max : nil)
        let inboxKey = Keys.inbox(partition, record.number)
        if let value = try snapshot.get(inboxKey) {
            // Who cannot tell what is owed removes nothing.
            guard let inbox = try? InboxRecord.decode(value, key: inboxKey) else { return true }
            account.ackedThrough = inbox.ackedThrough
            account.firstOwed = inbox.owed.first?.sequence ?? .max
        }
        current = account
        return true
    }

    /// Counts from the newest down to the first that is too much.
    private func count(
        _ account: inout Current, _ partition: UInt16, _ left: inout Int, _ snapshot: any Snapshot
    ) throws(StoreFailure) {
        guard let position = account.counting else { return }
        account.counting = nil
        var counted = account
        var looks = left
        try snapshot.scan(
            prefix: Keys.prefix(partition, .message, account: account.number), from: nil,
            through: Keys.message(partition, account.number, sequence: position), reverse: true
        ) { (key, value) throws(StoreFailure) in
            guard let sequence = Keys.number(of: .message, in: key) else { return true }
            guard looks > 0 else {
                counted.counting = sequence
                return false
            }
            looks -= 1
            guard let flags = MessageRecord.glance(value)?.flags, flags.contains(.archived) else { return true }
            counted.messages += 1
            counted.bytes += value.count
            if counted.messages > counted.limits.messages ?? .max || counted.bytes > counted.limits.bytes ?? .max {
                counted.cut = max(counted.cut, sequence)
                return false
            }
            return sequence > counted.cut
        }
        left = looks
        account = counted
    }

    /// Removes from the oldest on. Returns whether the account is done.
    private func remove(
        _ account: inout Current, _ partition: UInt16, _ left: inout Int, _ limit: Int, _ effects: inout Effects, _ snapshot: any Snapshot
    ) throws(StoreFailure) -> Bool {
        let cut = min(account.cut, UInt64(max(0, now - Self.youngest)))
        guard account.removing <= cut else { return true }
        var looks = left
        var next: UInt64?
        let (ackedThrough, firstOwed) = (account.ackedThrough, account.firstOwed)
        var deletes = effects
        try snapshot.scan(
            prefix: Keys.prefix(partition, .message, account: account.number),
            from: Keys.message(partition, account.number, sequence: account.removing),
            through: Keys.message(partition, account.number, sequence: cut), reverse: false
        ) { (raw, value) throws(StoreFailure) in
            guard let sequence = Keys.number(of: .message, in: raw) else { return true }
            guard looks > 0, deletes.operations.count < limit else {
                next = sequence
                return false
            }
            looks -= 1
            // A row whose head is no head is named by whoever checks the store.
            guard let flags = MessageRecord.glance(value)?.flags else { return true }
            if sequence >= firstOwed || sequence > ackedThrough && flags.contains(.owed) { return false }
            if flags.contains(.archived), let key = Key(raw) { deletes.delete(key) }
            return true
        }
        effects = deletes
        left = looks
        if let next { account.removing = next }
        return next == nil
    }
}
