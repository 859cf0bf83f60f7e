/// A walk over a whole store that looks at everything that must hold: row by row, and between the rows of an account.
///
/// In pages, each on a snapshot of its own: the live store is never held. What belongs together is read in one snapshot, so a store that
/// changes meanwhile gives no false finding.
public struct Verification: Sendable {
    private let identity: VolumeIdentity
    private let liveNodes: Set<UInt64>?
    private var after: Key?
    /// Of the partition that is being read: numbers of accounts and where their records lie.
    private var accounts: [UInt64: Key] = [:]
    private var partition: UInt16?
    private var orphans: [UInt64: (rows: Int, first: String)] = [:]

    /// Rows looked at so far.
    public private(set) var rows: UInt64 = 0
    /// Rows of each table so far.
    public private(set) var tables: [Keys.Table: UInt64] = [:]
    public private(set) var bytes: [Keys.Table: UInt64] = [:]
    public private(set) var isDone = false

    /// - Parameter liveNodes: incarnations of the nodes that live; nil for a store that nobody runs, whose sessions are not looked at.
    public init(identity: VolumeIdentity, liveNodes: Set<UInt64>? = nil) {
        self.identity = identity
        self.liveNodes = liveNodes
    }

    /// Looks at the next rows, until `limit` rows or `limitBytes` bytes are seen.
    public mutating func step(
        limit: Int = 2_000, limitBytes: Int = 4 << 20, in snapshot: any Snapshot
    ) throws(StoreFailure) -> [Finding] {
        guard !isDone else { return [] }
        var page = Page(snapshot: snapshot)
        var seen = 0
        var size = 0
        var last: Key?
        let from = after
        var walk = self
        try snapshot.scan(prefix: [], from: from, through: nil, reverse: false) { (raw, value) throws(StoreFailure) in
            guard let key = Key(raw) else {
                let start = UnsafeRawBufferPointer(rebasing: raw.prefix(32))
                page.findings.append(
                    Finding(kind: .unknown, key: Key.hex(start), sentence: "a key of \(raw.count) bytes is none of the store's"))
                return true
            }
            guard key != from else { return true }
            // Where pages are damaged the walk could go round for ever.
            if let before = last ?? from, key <= before { throw .damaged(key: Key.hex(raw), reason: "it stands out of order") }
            try walk.look(at: raw, value, &page)
            last = key
            seen += 1
            size += raw.count + value.count
            return seen < limit && size < limitBytes
        }
        self = walk
        rows += UInt64(seen)
        if let last { after = last }
        if seen < limit, size < limitBytes {
            page.findings += leavePartition()
            page.findings += try missing(in: snapshot)
            page.findings += try unreached(in: snapshot)
            isDone = true
        }
        return page.findings
    }

    /// Rows that no walk comes by any more: a damaged page shows less than it has, and nothing but their number tells.
    private func unreached(in snapshot: any Snapshot) throws(StoreFailure) -> [Finding] {
        guard let expected = snapshot.rows else { return [] }
        // In one snapshot: between the pages of the walk the store may have changed.
        var reached: UInt64 = 0
        try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { _, _ in
            reached += 1
            return true
        }
        guard reached != expected else { return [] }
        return [Finding(kind: .missing, key: "", sentence: "the store counts \(expected) rows, and \(reached) can be reached")]
    }

    /// Counts the next rows and looks at nothing in them, until `limit` rows are counted.
    public mutating func count(limit: Int = 20_000, in snapshot: any Snapshot) throws(StoreFailure) {
        guard !isDone else { return }
        var seen = 0
        var last: Key?
        let from = after
        var (tables, bytes) = (tables, bytes)
        try snapshot.scan(prefix: [], from: from, through: nil, reverse: false) { (raw, value) throws(StoreFailure) in
            guard let key = Key(raw), key != from else { return true }
            if raw.count >= 3, let table = Keys.Table(rawValue: raw[2]) {
                tables[table, default: 0] += 1
                bytes[table, default: 0] += UInt64(raw.count + value.count)
            }
            last = key
            seen += 1
            return seen < limit
        }
        (self.tables, self.bytes) = (tables, bytes)
        rows += UInt64(seen)
        if let last { after = last }
        isDone = seen < limit
    }

    /// What one snapshot told.
    private struct Page {
        let snapshot: any Snapshot
        var findings: [Finding] = []
        var owners: [UInt64: Owner] = [:]
        var isIndexFresh = false
    }

    private enum Owner {
        case living(AccountRecord)
        case deleted
        /// Its record cannot be read.
        case unreadable
        case none
    }

    private mutating func look(at raw: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ page: inout Page) throws(StoreFailure) {
        guard raw.count >= 3, let table = Keys.Table(rawValue: raw[2]), let rule = TableRule.of(table) else {
            return page.findings.append(Finding(kind: .unknown, key: Key.hex(raw), sentence: "the row is of no known table"))
        }
        tables[table, default: 0] += 1
        bytes[table, default: 0] += UInt64(raw.count + value.count)
        let partition = UInt16(raw[0]) << 8 | UInt16(raw[1])
        guard raw.count == rule.keyBytes else {
            return page.findings.append(
                Finding(kind: .unknown, key: Key.hex(raw), sentence: "the row's key has \(raw.count) bytes and not \(rule.keyBytes)"))
        }
        guard (rule.owner == .volume) == (partition == Keys.volumeWide), partition == Keys.volumeWide || partition < identity.partitions
        else {
            return page.findings.append(
                Finding(kind: .misplaced, key: Key.hex(raw), sentence: "a row of table \(table) is in partition \(partition)"))
        }
        if partition != self.partition { try enter(partition, &page) }
        var owner: AccountRecord?
        if rule.owner == .account, let number = Keys.account(ofKey: raw) {
            switch try self.owner(number, partition, &page) {
            case .living(let record): owner = record
            // On its way out, or named by its own finding.
            case .deleted, .unreadable: break
            case .none:
                let known = orphans[number]
                orphans[number] = ((known?.rows ?? 0) + 1, known?.first ?? Key.hex(raw))
            }
        }
        var row = RowCheck(raw: raw, value: value, identity: identity, snapshot: page.snapshot, owner: owner, liveNodes: liveNodes)
        do throws(StoreFailure) {
            try rule.check(&row)
        } catch {
            switch error {
            case .damaged(let key, let reason): page.findings.append(Finding(kind: .damaged, key: key, sentence: reason))
            case .format(let reason): page.findings.append(Finding(kind: .unknown, key: Key.hex(raw), sentence: reason))
            default: throw error
            }
        }
        page.findings += row.findings
    }

    // MARK: Partitions and accounts

    private mutating func enter(_ partition: UInt16, _ page: inout Page) throws(StoreFailure) {
        page.findings += leavePartition()
        self.partition = partition
        page.owners = [:]
        page.isIndexFresh = false
        guard partition != Keys.volumeWide else { return }
        for (first, second, number) in try index(partition, &page) {
            page.findings.append(
                Finding(kind: .duplicate, key: second.hex, sentence: "it has the account number \(number) of row \(first.hex)"))
        }
    }

    private mutating func leavePartition() -> [Finding] {
        guard let partition else { return [] }
        let findings = orphans.sorted { $0.key < $1.key }.map { number, orphan in
            Finding(
                kind: .orphan, key: orphan.first, sentence: "\(orphan.rows) rows belong to account number \(number), which is not there",
                rows: orphan.rows, repair: OrphanRepair(partition: partition, account: number))
        }
        orphans = [:]
        accounts = [:]
        self.partition = nil
        return findings
    }

    /// Reads the numbers of all accounts of a partition; returns pairs that have the same.
    private mutating func index(_ partition: UInt16, _ page: inout Page) throws(StoreFailure) -> [(Key, Key, UInt64)] {
        var found: [UInt64: Key] = [:]
        var twice: [(Key, Key, UInt64)] = []
        var hasUnreadable = false
        try page.snapshot.scan(prefix: Keys.prefix(partition, .account), from: nil, through: nil, reverse: false) {
            (raw, value) throws(StoreFailure) in
            guard let key = Key(raw) else { return true }
            guard let record = try? AccountRecord.decode(value, key: raw) else {
                hasUnreadable = true
                return true
            }
            if let first = found[record.number] { twice.append((first, key, record.number)) } else { found[record.number] = key }
            return true
        }
        accounts = found
        self.hasUnreadable = hasUnreadable
        page.isIndexFresh = true
        return twice
    }

    /// Whether an account record of the partition cannot be read: then no row of the partition is certain to be an orphan.
    private var hasUnreadable = false

    private mutating func owner(_ number: UInt64, _ partition: UInt16, _ page: inout Page) throws(StoreFailure) -> Owner {
        if let owner = page.owners[number] { return owner }
        let owner = try find(number, partition, &page)
        page.owners[number] = owner
        return owner
    }

    private mutating func find(_ number: UInt64, _ partition: UInt16, _ page: inout Page) throws(StoreFailure) -> Owner {
        if let record = try record(number, in: page.snapshot) { return .living(record) }
        if try page.snapshot.get(Keys.tombstone(partition, number)) != nil { return .deleted }
        // It may have come since the index was made.
        if !page.isIndexFresh { _ = try index(partition, &page) }
        if let record = try record(number, in: page.snapshot) { return .living(record) }
        return hasUnreadable ? .unreadable : .none
    }

    private func record(_ number: UInt64, in snapshot: any Snapshot) throws(StoreFailure) -> AccountRecord? {
        guard let key = accounts[number], let value = try snapshot.get(key), let record = try? AccountRecord.decode(value, key: key),
            record.number == number
        else { return nil }
        return record
    }

    // MARK: What must be there

    private func missing(in snapshot: any Snapshot) throws(StoreFailure) -> [Finding] {
        var findings: [Finding] = []
        for field in [Keys.MetaField.identity, .epoch] where try snapshot.get(Keys.meta(field)) == nil {
            findings.append(Finding(kind: .missing, key: Keys.meta(field).hex, sentence: "the volume has no \(field)"))
        }
        for kind in SecretRecord.Kind.allCases where try snapshot.get(Keys.secret(kind)) == nil {
            findings.append(Finding(kind: .missing, key: Keys.secret(kind).hex, sentence: "the volume has no secret \(kind)"))
        }
        return findings
    }
}
