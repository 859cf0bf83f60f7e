import Stanzas

/// What must hold for a row of one table. `Verification` goes by this list: a new table is one line of it.
struct TableRule: Sendable {
    enum Owner: Sendable { case account, volume, partition }

    let table: Keys.Table
    /// Bytes of its keys.
    let keyBytes: Int
    /// Whose rows these are: an account's, whose number stands behind the table; the volume's; or a partition's.
    let owner: Owner
    /// Throws `.damaged` or `.format` when the value is not one; says what else is wrong with it.
    let check: @Sendable (inout RowCheck) throws(StoreFailure) -> Void

    static let all: [TableRule] = [
        TableRule(table: .account, keyBytes: 19, owner: .partition) { (row) throws(StoreFailure) in try row.account() },
        TableRule(table: .roster, keyBytes: 27, owner: .account) { (row) throws(StoreFailure) in try row.rosterItem() },
        TableRule(table: .pendingIn, keyBytes: 27, owner: .account) { (row) throws(StoreFailure) in try row.pendingIn() },
        TableRule(table: .message, keyBytes: 19, owner: .account) { (row) throws(StoreFailure) in try row.message() },
        TableRule(table: .inbox, keyBytes: 11, owner: .account) { (row) throws(StoreFailure) in try row.inbox() },
        TableRule(table: .sessionRow, keyBytes: 19, owner: .account) { (row) throws(StoreFailure) in try row.sessionRow() },
        TableRule(table: .tombstone, keyBytes: 11, owner: .partition) { (row) throws(StoreFailure) in
            _ = try TombstoneRecord.decode(row.value, key: row.raw)
        },
        TableRule(table: .item, keyBytes: 28, owner: .account) { (row) throws(StoreFailure) in try row.item() },
        TableRule(table: .secret, keyBytes: 4, owner: .volume) { (row) throws(StoreFailure) in try row.secret() },
        TableRule(table: .meta, keyBytes: 4, owner: .volume) { (row) throws(StoreFailure) in try row.meta() },
    ]

    private static let byTable: [Keys.Table: TableRule] = Dictionary(all.map { ($0.table, $0) }) { first, _ in first }

    static func of(_ table: Keys.Table) -> TableRule? { byTable[table] }
}

/// One row under examination. Valid only while its snapshot shows it.
struct RowCheck {
    let raw: UnsafeRawBufferPointer
    let value: UnsafeRawBufferPointer
    let identity: VolumeIdentity
    let snapshot: any Snapshot
    /// The account whose row this is.
    let owner: AccountRecord?
    /// Incarnations of the nodes that live; nil: nobody knows.
    let liveNodes: Set<UInt64>?
    private(set) var findings: [Finding] = []

    init(
        raw: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, identity: VolumeIdentity, snapshot: any Snapshot,
        owner: AccountRecord?, liveNodes: Set<UInt64>?
    ) {
        self.raw = raw
        self.value = value
        self.identity = identity
        self.snapshot = snapshot
        self.owner = owner
        self.liveNodes = liveNodes
    }

    private var partition: UInt16 { UInt16(raw[0]) << 8 | UInt16(raw[1]) }

    private mutating func note(_ kind: Finding.Kind, _ sentence: String) {
        findings.append(Finding(kind: kind, key: Key.hex(raw), sentence: sentence))
    }

    /// Whether the 128 bits at `offset` are the keyed hash of a text.
    private func isHash(of text: String, at offset: Int) -> Bool {
        guard raw.count >= offset + 16 else { return false }
        let hash = identity.hash128(text)
        return UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) == hash.0
            && UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)) == hash.1
    }

    private mutating func requirePrepared(_ jid: String) {
        // The Unicode version may have changed since it was written: what is prepared anew must be the same.
        guard (try? JID(jid))?.description == jid else { return note(.conflict, "\(jid) is not a JID as RFC 7622 prepares it now") }
    }

    private static func stanza(_ bytes: [UInt8]) -> Stanza? {
        var reader = ByteReader(bytes)
        guard let stanza = try? Stanza.decode(&reader), reader.isAtEnd else { return nil }
        return stanza
    }

    mutating func account() throws(StoreFailure) {
        let record = try AccountRecord.decode(value, key: raw)
        requirePrepared(record.jid)
        if identity.partition(of: record.jid) != partition {
            note(
                .misplaced, "the account \(record.jid) is in partition \(partition) and belongs into \(identity.partition(of: record.jid))")
        }
        if !isHash(of: record.jid, at: 3) { note(.misplaced, "the account \(record.jid) is under the key of another name") }
        if try snapshot.get(Keys.tombstone(partition, record.number)) != nil {
            note(.conflict, "the account \(record.jid) is there and deleted too: its rows are about to be purged")
        }
    }

    mutating func rosterItem() throws(StoreFailure) {
        let record = try RosterItemRecord.decode(value, key: raw)
        requirePrepared(record.jid)
        if !isHash(of: record.jid, at: 11) { note(.misplaced, "the contact \(record.jid) is under the key of another name") }
        if let owner, record.version > owner.rosterVersion {
            note(.conflict, "the contact \(record.jid) of \(owner.jid) has version \(record.version) and the roster \(owner.rosterVersion)")
        }
    }

    mutating func pendingIn() throws(StoreFailure) {
        let record = try PendingInRecord.decode(value, key: raw)
        if !isHash(of: record.jid, at: 11) { note(.misplaced, "the request of \(record.jid) is under the key of another name") }
        if Self.stanza(record.stanza) == nil { note(.damaged, "the request of \(record.jid) is not a stanza") }
    }

    mutating func message() throws(StoreFailure) {
        let record = try MessageRecord.decode(value, key: raw)
        if let stanza = Self.stanza(record.stanza) {
            let ends = [stanza.from, stanza.to].compactMap { $0.map { max(1, identity.hash128($0.bare.description).0) } }
            if record.header.peer != 0, !ends.contains(record.header.peer) {
                note(.misplaced, "message \(record.sequence)\(ofOwner) is filed under neither of its ends")
            }
        } else {
            note(.damaged, "message \(record.sequence)\(ofOwner) is not a stanza")
        }
        if record.sequence == 0 { note(.conflict, "a message\(ofOwner) has number 0") }
    }

    mutating func inbox() throws(StoreFailure) {
        let record = try InboxRecord.decode(value, key: raw)
        guard let owner else { return }
        if let beyond = record.owed.last?.sequence, beyond > record.ackedThrough {
            note(.conflict, "the inbox of \(owner.jid) owes message \(beyond) beyond its mark \(record.ackedThrough)")
        }
        var missing = 0
        for message in record.owed where try snapshot.get(Keys.message(partition, owner.number, sequence: message.sequence)) == nil {
            missing += 1
        }
        if missing > 0 { note(.missing, "the inbox of \(owner.jid) owes \(missing) messages that are not there") }
    }

    mutating func sessionRow() throws(StoreFailure) {
        let record = try SessionRow.decode(value, key: raw)
        if let owner, record.account != owner.jid { note(.conflict, "a session of \(record.account) is among those of \(owner.jid)") }
        if let liveNodes, !liveNodes.contains(record.node) {
            note(.stale, "the session \(record.account)/\(record.resource) is one of node \(String(record.node, radix: 16)), which is gone")
        }
    }

    mutating func item() throws(StoreFailure) {
        let record = try ItemRecord.decode(value, key: raw)
        guard let number = Keys.itemKind(ofKey: raw), let kind = ItemKind(rawValue: number) else {
            return note(.unknown, "an item\(ofOwner) is of no known kind")
        }
        if !isHash(of: record.name, at: 12) { note(.misplaced, "an item (\(kind))\(ofOwner) is under the key of another name") }
    }

    mutating func secret() throws(StoreFailure) {
        let record = try SecretRecord.decode(value, key: raw)
        if record.kind.rawValue != raw[3] { note(.misplaced, "the secret \(record.kind) is under the key of another") }
        if record.bytes.count < SecretRecord.length { note(.damaged, "the secret \(record.kind) has only \(record.bytes.count) bytes") }
    }

    mutating func meta() throws(StoreFailure) {
        switch Keys.MetaField(rawValue: raw[3]) {
        case .identity: _ = try IdentityRecord.decode(value, key: raw)
        case .epoch: _ = try EpochRecord.decode(value, key: raw)
        case .probe: _ = try ProbeRecord.decode(value, key: raw)
        case nil: note(.unknown, "the volume has a field \(raw[3]) that is not known")
        }
    }

    private var ofOwner: String { owner.map { " of \($0.jid)" } ?? "" }
}
