import Stanzas

/// A part of an account on its way back out of a backup: small enough for a letter to its home.
public enum AccountPiece: Sendable, Equatable {
    /// A small named value.
    public struct Item: Sendable, Equatable {
        public var kind: ItemKind
        public var name: String
        public var value: [UInt8]
        public init(kind: ItemKind, name: String, value: [UInt8]) {
            self.kind = kind
            self.name = name
            self.value = value
        }
    }

    /// What the ids of archived messages are made with; only for an account that was just made.
    case archiveKey(UInt64)
    /// Contacts. `wins`: also over those that are there.
    case contacts([RosterItemRecord], wins: Bool)
    case requests([PendingInRecord])
    case items([Item], wins: Bool)
    /// Messages under their old numbers. The home takes those it is to owe as they are.
    case messages([MessageRecord])

    /// Kinds of items that come back. Not among them is what a client holds the other half of, and may have changed since.
    public static let restoredItems: [ItemKind] = [.blocked, .archivePreferences, .vcard]

    public func encode() -> [UInt8] {
        var writer = ByteWriter([])
        switch self {
        case .archiveKey(let key):
            writer.uint8(1)
            writer.uint64(key)
        case .contacts(let contacts, let wins):
            writer.uint8(2)
            writer.flag(wins)
            Self.write(contacts, into: &writer)
        case .requests(let requests):
            writer.uint8(3)
            Self.write(requests, into: &writer)
        case .items(let items, let wins):
            writer.uint8(4)
            writer.flag(wins)
            writer.count(items.count)
            for item in items {
                writer.uint8(item.kind.rawValue)
                writer.string(item.name)
                writer.bytes(item.value)
            }
        case .messages(let messages):
            writer.uint8(5)
            Self.write(messages, into: &writer)
        }
        return writer.bytes
    }

    public init(_ bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        switch try reader.uint8() {
        case 1: self = .archiveKey(try reader.uint64())
        case 2:
            let wins = try reader.flag()
            self = .contacts(try Self.records(from: &reader), wins: wins)
        case 3: self = .requests(try Self.records(from: &reader))
        case 4:
            let wins = try reader.flag()
            var items: [Item] = []
            for _ in 0..<(try reader.count()) {
                guard let kind = ItemKind(rawValue: try reader.uint8()) else { throw FieldError() }
                items.append(Item(kind: kind, name: try reader.string(), value: try reader.bytes()))
            }
            self = .items(items, wins: wins)
        case 5: self = .messages(try Self.records(from: &reader))
        default: throw FieldError()
        }
        guard reader.isAtEnd else { throw FieldError() }
    }

    private static func write(_ records: [some Record], into writer: inout ByteWriter) {
        writer.count(records.count)
        for record in records { record.write(into: &writer) }
    }

    private static func records<R: Record>(from reader: inout ByteReader) throws -> [R] {
        var records: [R] = []
        for _ in 0..<(try reader.count()) { records.append(try R(from: &reader, version: R.version)) }
        return records
    }
}

/// One account in a backup, read piece by piece.
public struct AccountExtract: Sendable {
    /// What may be asked for.
    public enum Part: String, CaseIterable, Sendable { case credentials, roster, items, messages }

    /// Bytes of a piece, about.
    private static let pieceBytes = 131_072

    public let account: AccountRecord
    private let rows: AccountRows

    /// The account of this name in a backup; nil when it has none.
    public init?(_ jid: String, in snapshot: any Snapshot, identity: VolumeIdentity) throws(StoreFailure) {
        guard let record = try AccountRecord.find(jid, in: snapshot, identity: identity) else { return nil }
        account = record
        rows = AccountRows(partition: identity.partition(of: jid), number: record.number, identity: identity)
    }

    /// Contacts that were in the roster, or have a subscription, and unanswered requests.
    public func roster(wins: Bool, in snapshot: any Snapshot) throws(StoreFailure) -> [AccountPiece] {
        var contacts: [RosterItemRecord] = []
        var requests: [PendingInRecord] = []
        try snapshot.each(.roster, rows.partition, rows.number) { (key, value) throws(StoreFailure) in
            let record = try RosterItemRecord.decode(value, key: key)
            if !record.isRemoved { contacts.append(record) }
        }
        try snapshot.each(.pendingIn, rows.partition, rows.number) { (key, value) throws(StoreFailure) in
            requests.append(try PendingInRecord.decode(value, key: key))
        }
        var pieces: [AccountPiece] = []
        for start in stride(from: 0, to: contacts.count, by: 200) {
            pieces.append(.contacts(Array(contacts[start..<min(start + 200, contacts.count)]), wins: wins))
        }
        if !requests.isEmpty { pieces.append(.requests(requests)) }
        return pieces
    }

    /// Blocked addresses, preferences and the vCard; private XML when `privateToo`.
    public func items(wins: Bool, privateToo: Bool, in snapshot: any Snapshot) throws(StoreFailure) -> [AccountPiece] {
        var pieces: [AccountPiece] = []
        var batch: [AccountPiece.Item] = []
        var size = 0
        for kind in AccountPiece.restoredItems + (privateToo ? [.privateIndex, .privateXML] : []) {
            for item in try rows.items(kind, in: snapshot) {
                if size + item.value.count > Self.pieceBytes, !batch.isEmpty {
                    pieces.append(.items(batch, wins: wins))
                    (batch, size) = ([], 0)
                }
                batch.append(.init(kind: kind, name: item.name, value: item.value))
                size += item.value.count
            }
        }
        if !batch.isEmpty { pieces.append(.items(batch, wins: wins)) }
        return pieces
    }

    /// The next messages after a number that `wants` says are wanted, and where to go on; nil: these were the last.
    ///
    /// - Parameters:
    ///   - owedToo: whether what is owed, and not archived, is among them, and owed stays owed.
    ///   - home: the volume they are for: who is at the other end is filed there under its own key.
    public func messages(
        after: UInt64, owedToo: Bool, for home: VolumeIdentity, in snapshot: any Snapshot,
        wants: (UInt64) throws(StoreFailure) -> Bool
    ) throws(StoreFailure) -> (records: [MessageRecord], next: UInt64?) {
        var records: [MessageRecord] = []
        var size = 0
        var seen = 0
        var next: UInt64?
        guard after < .max else { return ([], nil) }
        let inboxKey = Keys.inbox(rows.partition, rows.number)
        let inbox = try snapshot.get(inboxKey).map { (value) throws(StoreFailure) in try InboxRecord.decode(value, key: inboxKey) }
        let owedBelow = Set((inbox?.owed ?? []).map(\.sequence))
        try snapshot.scan(
            prefix: Keys.prefix(rows.partition, .message, account: rows.number),
            from: Keys.message(rows.partition, rows.number, sequence: after + 1), through: nil, reverse: false
        ) { (key, value) throws(StoreFailure) in
            // What cannot be read is left where it is.
            guard var record = try? MessageRecord.decode(value, key: key) else { return true }
            seen += 1
            let isOwed =
                record.flags.contains(.owed)
                && (record.sequence > (inbox?.ackedThrough ?? 0) || owedBelow.contains(record.sequence))
            record.header.flags.remove(.owed)
            if isOwed, owedToo { record.header.flags.insert(.owed) }
            if !record.flags.isEmpty, try wants(record.sequence) {
                record.header.originSession = 0
                record.header.inSeq = 0
                if home.hashKey != rows.identity.hashKey { refile(&record, for: home) }
                records.append(record)
                size += record.stanza.count
            }
            guard size < Self.pieceBytes, seen < 2_000 else {
                next = record.sequence
                return false
            }
            return true
        }
        return (records, next)
    }

    private func refile(_ record: inout MessageRecord, for home: VolumeIdentity) {
        record.header.originIDHash = 0
        var reader = ByteReader(record.stanza)
        guard record.header.peer != 0, let stanza = try? Stanza.decode(&reader) else { return }
        let ends = [stanza.from, stanza.to].compactMap { $0?.bare.description }
        record.header.peer = ends.first { $0 != account.jid }.map { max(1, home.hash128($0).0) } ?? 0
    }
}
