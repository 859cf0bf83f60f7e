/// The layout of every table on one page. Integers are big endian; every row of an account starts with its partition, so that
/// a partition can move as one range.
///
///     partition u16 | table u8 | …
///
/// | table | fields after the table byte | value |
/// |---|---|---|
/// | account    | hash128 of the bare JID                    | `AccountRecord` |
/// | roster     | account u64, hash128 of the contact's JID  | `RosterItemRecord` |
/// | pendingIn  | account u64, hash128 of the contact's JID  | `PendingInRecord` |
/// | message    | account u64, sequence u64                  | `MessageRecord` |
/// | inbox      | account u64                                | `InboxRecord` |
/// | sessionRow | account u64, session u64                   | `SessionRow` |
/// | tombstone  | account u64                                | `TombstoneRecord` |
/// | item       | account u64, kind u8, hash128 of the name  | `ItemRecord` |
/// | secret     | kind u8 (partition `volumeWide`)           | `SecretRecord` |
/// | meta       | field u8 (partition `volumeWide`)          | `IdentityRecord`, `EpochRecord`, `ProbeRecord` |
///
/// `account` is the number of the account: never reused, so nothing of a deleted account can come back in a new one.
public enum Keys {
    /// Numbers of the tables. They are on disk: a number is never given anew.
    public enum Table: UInt8, CaseIterable, Sendable {
        case account = 1
        case roster = 2
        case pendingIn = 3
        case message = 4
        case inbox = 5
        case sessionRow = 6
        case tombstone = 7
        case secret = 8
        case meta = 9
        case item = 10

        /// Tables whose rows belong to one account number and go with it.
        /// Whether an account and its sessions have a bounded number of its rows, of a bounded size.
        var isBounded: Bool {
            switch self {
            case .account, .inbox, .sessionRow, .tombstone, .secret, .meta: true
            case .roster, .pendingIn, .message, .item: false
            }
        }

        static let ofAccounts: [Table] = [.roster, .pendingIn, .message, .inbox, .sessionRow, .item]
    }

    /// The table that a key belongs to; nil when the key is of no known one.
    static func table(of key: Key) -> Table? { key.bytes.count > 2 ? Table(rawValue: key.bytes[2]) : nil }

    /// Fields of the `meta` table.
    enum MetaField: UInt8 {
        case identity = 1
        case epoch = 2
        case probe = 3
    }

    /// The partition of rows that belong to the volume as a whole; above every real partition.
    public static let volumeWide: UInt16 = 0xFFFF

    // MARK: Rows

    public static func account(_ partition: UInt16, _ jid: (UInt64, UInt64)) -> Key {
        Key(layout: head(partition, .account) + big(jid.0) + big(jid.1))
    }

    public static func rosterItem(_ partition: UInt16, _ account: UInt64, _ contact: (UInt64, UInt64)) -> Key {
        Key(layout: head(partition, .roster) + big(account) + big(contact.0) + big(contact.1))
    }

    public static func pendingIn(_ partition: UInt16, _ account: UInt64, _ contact: (UInt64, UInt64)) -> Key {
        Key(layout: head(partition, .pendingIn) + big(account) + big(contact.0) + big(contact.1))
    }

    public static func message(_ partition: UInt16, _ account: UInt64, sequence: UInt64) -> Key {
        // Made in one piece: there is one for every message that is kept.
        Key(
            layout: [UInt8](unsafeUninitializedCapacity: 19) { buffer, count in
                let raw = UnsafeMutableRawBufferPointer(buffer)
                raw.storeBytes(of: partition.bigEndian, toByteOffset: 0, as: UInt16.self)
                raw[2] = Table.message.rawValue
                raw.storeBytes(of: account.bigEndian, toByteOffset: 3, as: UInt64.self)
                raw.storeBytes(of: sequence.bigEndian, toByteOffset: 11, as: UInt64.self)
                count = 19
            })
    }

    public static func inbox(_ partition: UInt16, _ account: UInt64) -> Key {
        Key(layout: head(partition, .inbox) + big(account))
    }

    public static func sessionRow(_ partition: UInt16, _ account: UInt64, session: UInt64) -> Key {
        Key(layout: head(partition, .sessionRow) + big(account) + big(session))
    }

    public static func item(_ partition: UInt16, _ account: UInt64, _ kind: ItemKind, _ name: (UInt64, UInt64)) -> Key {
        Key(layout: head(partition, .item) + big(account) + [kind.rawValue] + big(name.0) + big(name.1))
    }

    public static func tombstone(_ partition: UInt16, _ account: UInt64) -> Key {
        Key(layout: head(partition, .tombstone) + big(account))
    }

    public static func secret(_ kind: SecretRecord.Kind) -> Key {
        Key(layout: head(volumeWide, .secret) + [kind.rawValue])
    }

    static func meta(_ field: MetaField) -> Key {
        Key(layout: head(volumeWide, .meta) + [field.rawValue])
    }

    // MARK: Prefixes

    /// All rows of a table in a partition.
    public static func prefix(_ partition: UInt16, _ table: Table) -> [UInt8] { head(partition, table) }

    /// All rows of a table that belong to an account.
    public static func prefix(_ partition: UInt16, _ table: Table, account: UInt64) -> [UInt8] { head(partition, table) + big(account) }

    /// All items of one kind that an account has.
    public static func prefix(_ partition: UInt16, account: UInt64, items kind: ItemKind) -> [UInt8] {
        head(partition, .item) + big(account) + [kind.rawValue]
    }

    /// The kind in the key of an item; nil when the key is not one.
    static func itemKind(ofKey key: UnsafeRawBufferPointer) -> UInt8? {
        guard key.count == 28, key[2] == Table.item.rawValue else { return nil }
        return key[11]
    }

    /// The u64 behind the account number in the key of a row of `table`: the sequence of a message, the number of a session. Nil
    /// when the key is not one of that table.
    static func number(of table: Table, in key: UnsafeRawBufferPointer) -> UInt64? {
        guard key.count == 19, key[2] == table.rawValue else { return nil }
        return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 11, as: UInt64.self))
    }

    /// The account number in the key of a row of an account, or of its tombstone; nil when the key is too short.
    static func account(ofKey key: UnsafeRawBufferPointer) -> UInt64? {
        guard key.count >= 11 else { return nil }
        return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 3, as: UInt64.self))
    }

    private static func head(_ partition: UInt16, _ table: Table) -> [UInt8] {
        [UInt8(truncatingIfNeeded: partition >> 8), UInt8(truncatingIfNeeded: partition), table.rawValue]
    }

    private static func big(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
    }
}
