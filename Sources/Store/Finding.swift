/// Something in a store that is not as it must be.
public struct Finding: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        /// A row that does not match its checksum or its shape.
        case damaged
        /// A row that this program does not know.
        case unknown
        /// A row under the key, or in the partition, of another.
        case misplaced
        /// Rows of an account that is not there.
        case orphan
        /// Two rows for what may be there once.
        case duplicate
        /// A row that another one counts on is not there.
        case missing
        /// Two rows that contradict each other.
        case conflict
        /// What ended long ago and was not cleared away.
        case stale
    }

    public var kind: Kind
    /// The row, in hexadecimal; empty when one is missing.
    public var key: String
    /// What is wrong, without a full stop.
    public var sentence: String
    /// Rows it stands for.
    public var rows: Int
    /// The deleted account that these rows can be given to, so that the purge takes them: when that is certain to harm nobody.
    public var repair: OrphanRepair?

    public init(kind: Kind, key: String, sentence: String, rows: Int = 1, repair: OrphanRepair? = nil) {
        self.kind = kind
        self.key = key
        self.sentence = sentence
        self.rows = rows
        self.repair = repair
    }

    /// What the administrator should do.
    public var advice: String {
        switch kind {
        case .damaged, .missing: "restore what it belongs to out of a backup"
        case .unknown: "it was written by a newer version; go back to that one"
        case .misplaced, .duplicate, .conflict: "nobody can find it or trust it there; report it as a mistake of the server, with this line"
        case .orphan: repair == nil ? "it only takes space" : "it only takes space; store verify --repair removes it"
        case .stale: "it goes with the next change of keeper"
        }
    }
}

/// The mend of orphans: a tombstone in the name of nobody, which makes the rows those of a deleted account.
public struct OrphanRepair: Sendable, Hashable {
    public let partition: UInt16
    public let account: UInt64

    public init(partition: UInt16, account: UInt64) {
        self.partition = partition
        self.account = account
    }

    /// The tombstone; empty when the account is there after all, is deleted already, or has no rows. Numbers of accounts are never given
    /// anew and the rows of an account are written after it, so what is an orphan in one snapshot stays one.
    public func effects(now: Int64, in snapshot: any Snapshot) throws(StoreFailure) -> Effects {
        var effects = Effects()
        let tombstone = Keys.tombstone(partition, account)
        guard try snapshot.get(tombstone) == nil else { return effects }
        var isThere = false
        try snapshot.scan(prefix: Keys.prefix(partition, .account), from: nil, through: nil, reverse: false) {
            (key, value) throws(StoreFailure) in
            // A damaged record may be the one of this account: then nothing is certain.
            guard let record = try? AccountRecord.decode(value, key: key) else {
                isThere = true
                return false
            }
            isThere = record.number == account
            return !isThere
        }
        guard !isThere else { return effects }
        effects.put(tombstone, TombstoneRecord(jid: "", number: account, deleted: now).encode())
        return effects
    }

    /// Whether it is done, or nothing is left to do.
    public func isDone(in snapshot: any Snapshot) throws(StoreFailure) -> Bool {
        if try snapshot.get(Keys.tombstone(partition, account)) != nil { return true }
        for table in Keys.Table.ofAccounts {
            var isEmpty = true
            try snapshot.scan(prefix: Keys.prefix(partition, table, account: account), from: nil, through: nil, reverse: false) { _, _ in
                isEmpty = false
                return false
            }
            guard isEmpty else { return false }
        }
        return true
    }
}
