// Reads that are not one account's load: look-ups, pages, whole tables. All run on reader threads.

extension AccountRecord {
    /// The record of a prepared bare JID; nil when there is no such account.
    public static func find(_ jid: String, in snapshot: any Snapshot, identity: VolumeIdentity) throws(StoreFailure) -> AccountRecord? {
        let key = Keys.account(identity.partition(of: jid), identity.hash128(jid))
        guard let value = try snapshot.get(key) else { return nil }
        let record = try decode(value, key: key)
        guard record.jid == jid else { throw .damaged(key: key.hex, reason: "it is the record of another JID") }
        return record
    }

    /// A page of accounts.
    public struct Page: Sendable {
        public var accounts: [AccountRecord] = []
        /// Rows that could not be read.
        public var damaged: [StoreFailure] = []
        /// Where the next page begins after; nil: this was the last.
        public var next: Key?
    }

    /// Up to `limit` accounts of a host (nil: of all), after a key of an earlier page, in an order that means nothing but stays.
    /// Looks at no more than `rows` rows, so a page may be short, or empty, and still have a next one.
    ///
    /// - Parameter hosts: whether the accounts of hosts themselves count too.
    public static func page(
        ofHost host: String?, hosts: Bool = false, after: Key?, limit: Int, rows: Int = 10_000, in snapshot: any Snapshot,
        identity: VolumeIdentity
    ) throws(StoreFailure) -> Page {
        var page = Page()
        var seen = 0
        let suffix = host.map { "@" + $0 }
        let first = after?.partition ?? 0
        guard first < identity.partitions, limit > 0 else { return page }
        for partition in first..<identity.partitions {
            var stopped: Key?
            try snapshot.scan(prefix: Keys.prefix(partition, .account), from: after, through: nil, reverse: false) {
                (raw, value) throws(StoreFailure) in
                guard let key = Key(raw), key != after else { return true }
                do throws(StoreFailure) {
                    let record = try decode(value, key: raw)
                    if suffix.map({ record.jid.hasSuffix($0) }) ?? (hosts || record.jid.contains("@")) { page.accounts.append(record) }
                } catch { page.damaged.append(error) }
                seen += 1
                if page.accounts.count >= limit || seen >= rows {
                    stopped = key
                    return false
                }
                return true
            }
            if let stopped {
                page.next = stopped
                return page
            }
        }
        return page
    }
}

extension AccountRecord {
    /// Rows in the tables of accounts of all partitions, those of hosts among them.
    public static func count(in snapshot: any Snapshot, identity: VolumeIdentity) throws(StoreFailure) -> UInt64 {
        var count: UInt64 = 0
        for partition in 0..<identity.partitions {
            try snapshot.scan(prefix: Keys.prefix(partition, .account), from: nil, through: nil, reverse: false) { _, _ in
                count += 1
                return true
            }
        }
        return count
    }
}

extension SessionRow {
    /// Every session row of a partition. A row that cannot be read is left out: its session counts as one that never was.
    public static func all(ofPartition partition: UInt16, in snapshot: any Snapshot) throws(StoreFailure) -> [SessionRow] {
        var rows: [SessionRow] = []
        try snapshot.scan(prefix: Keys.prefix(partition, .sessionRow), from: nil, through: nil, reverse: false) {
            (key, value) throws(StoreFailure) in
            if let row = try? decode(value, key: key) { rows.append(row) }
            return true
        }
        return rows
    }
}

extension MessageRecord {
    /// A page of messages of an account.
    public struct Page: Sendable {
        public var messages: [MessageRecord] = []
        /// Rows that could not be read.
        public var damaged: [StoreFailure] = []
        /// Whether there are more in the direction of reading.
        public var hasMore = false
    }

    /// Up to `limit` messages with sequences in `range`, with at least the given flags, ascending or descending; ends early
    /// when their stanzas reach `bytes`.
    public static func page(
        _ partition: UInt16, _ account: UInt64, in range: ClosedRange<UInt64>, with flags: Flags = [], limit: Int, bytes: Int = 524_288,
        reverse: Bool = false, from snapshot: any Snapshot
    ) throws(StoreFailure) -> Page {
        var page = Page()
        var size = 0
        try snapshot.scan(
            prefix: Keys.prefix(partition, .message, account: account), from: Keys.message(partition, account, sequence: range.lowerBound),
            through: Keys.message(partition, account, sequence: range.upperBound), reverse: reverse
        ) { (key, value) throws(StoreFailure) in
            do throws(StoreFailure) {
                if !flags.isEmpty, try !header(value, key: key).flags.isSuperset(of: flags) { return true }
                guard page.messages.count < limit, size < bytes else {
                    page.hasMore = true
                    return false
                }
                let record = try decode(value, key: key)
                size += record.stanza.count
                page.messages.append(record)
            } catch { page.damaged.append(error) }
            return true
        }
        return page
    }

    /// Up to `limit` of the owed messages that an inbox names, with sequences above `after`, ascending.
    public static func owed(
        _ partition: UInt16, _ account: UInt64, inbox: InboxRecord, after: UInt64, limit: Int, bytes: Int = 524_288,
        from snapshot: any Snapshot
    ) throws(StoreFailure) -> Page {
        var page = Page()
        var size = 0
        for sequence in inbox.owed.map(\.sequence) where sequence > after {
            guard page.messages.count < limit, size < bytes else {
                page.hasMore = true
                return page
            }
            let key = Keys.message(partition, account, sequence: sequence)
            guard let value = try snapshot.get(key) else { continue }
            do throws(StoreFailure) {
                let record = try decode(value, key: key)
                size += record.stanza.count
                page.messages.append(record)
            } catch { page.damaged.append(error) }
        }
        let first = max(after, inbox.ackedThrough)
        guard first < .max else { return page }
        let rest = try Self.page(
            partition, account, in: (first + 1)...UInt64.max, with: .owed, limit: max(0, limit - page.messages.count),
            bytes: max(0, bytes - size),
            from: snapshot)
        page.messages.append(contentsOf: rest.messages)
        page.damaged.append(contentsOf: rest.damaged)
        page.hasMore = rest.hasMore
        return page
    }
}

/// The purge of deleted accounts, in steps small enough to stand between other commits.
public enum Purge {
    /// The next step in a partition: deletes of up to `limit` rows that belong to deleted accounts, and of the tombstones of
    /// those that have no row left. Empty when nothing is to be done.
    public static func step(partition: UInt16, limit: Int, in snapshot: any Snapshot) throws(StoreFailure) -> Effects {
        var effects = Effects()
        try snapshot.scan(prefix: Keys.prefix(partition, .tombstone), from: nil, through: nil, reverse: false) {
            (raw, _) throws(StoreFailure) in
            // The number stands in the key: a damaged tombstone still purges its account.
            guard let tombstone = Key(raw), let number = Keys.account(ofKey: raw) else { return true }
            for table in Keys.Table.ofAccounts {
                try snapshot.scan(prefix: Keys.prefix(partition, table, account: number), from: nil, through: nil, reverse: false) {
                    (row, _) throws(StoreFailure) in
                    if let row = Key(row) { effects.delete(row) }
                    return effects.operations.count < limit
                }
                guard effects.operations.count < limit else { return false }
            }
            effects.delete(tombstone)
            return effects.operations.count < limit
        }
        return effects
    }
}
