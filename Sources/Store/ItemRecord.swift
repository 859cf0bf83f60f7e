public import Stanzas

/// What kinds of small named values an account keeps beside roster and messages, one a feature. The numbers are on disk: none is given
/// anew. A kind below 128 is in memory as long as its account is, so its items must be few and small; one from 128 on is read when it
/// is asked for.
public enum ItemKind: UInt8, CaseIterable, Sendable {
    /// A blocked JID (XEP-0191); the name is the JID.
    case blocked = 1
    /// What the account wants archived (XEP-0313 §6, XEP-0441).
    case archivePreferences = 2
    /// A push service that is to be told (XEP-0357).
    case push = 3
    /// A device with a token to log in with (XEP-0484).
    case device = 4
    /// An invitation that was not used up (XEP-0401); the name is its token.
    case invitation = 5
    /// A report of abuse (XEP-0377), kept with the host it was sent to; bounded by `limits.reports`.
    case report = 6
    /// How large the account's private XML is (XEP-0049); one item without a name.
    case privateIndex = 16
    /// The account wants to be found in the directory of its host (XEP-0055); one item without a name.
    case listed = 17

    /// The vCard (XEP-0054); its name is empty.
    case vcard = 128
    /// Private XML (XEP-0049); the name is local name and namespace of the element.
    case privateXML = 129
    /// Who is listed in the directory of a host (XEP-0055), kept with the host; the name is the bare JID.
    case directory = 144

    /// Whether items of this kind are loaded with their account.
    public var isResident: Bool { rawValue < 128 }
}

/// A small named value of an account, or of a host itself (whose account is named by the domain alone). Table `item`.
public struct ItemRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// The name that the key holds the hash of.
    public var name: String
    /// In the form of the feature that keeps it.
    public var value: [UInt8]

    public init(name: String, value: [UInt8]) {
        self.name = name
        self.value = value
    }

    public func write(into writer: inout ByteWriter) {
        writer.string(name)
        writer.bytes(value)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        name = try reader.string()
        value = try reader.bytes()
    }
}

extension ItemRecord: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the value, which may be a secret.
    public var description: String { "ItemRecord(\(name), \(value.count) bytes)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["name": name]) }
}

/// Where one account's rows stand: what a read on another thread needs to know of it.
public struct AccountRows: Sendable {
    public let partition: UInt16
    /// The number of the account in the keys.
    public let number: UInt64
    public let identity: VolumeIdentity

    public init(partition: UInt16, number: UInt64, identity: VolumeIdentity) {
        self.partition = partition
        self.number = number
        self.identity = identity
    }

    public func key(_ kind: ItemKind, _ name: String) -> Key { Keys.item(partition, number, kind, identity.hash128(name)) }

    /// One item; nil when there is none of this name.
    public func item(_ kind: ItemKind, _ name: String, in snapshot: any Snapshot) throws(StoreFailure) -> [UInt8]? {
        let key = key(kind, name)
        guard let value = try snapshot.get(key) else { return nil }
        let record = try ItemRecord.decode(value, key: key)
        guard record.name == name else { throw .damaged(key: key.hex, reason: "it is the item of another name") }
        return record.value
    }

    /// Every item of a kind, up to `limit`, in no order that means something. One that cannot be read is left out.
    public func items(_ kind: ItemKind, limit: Int = .max, in snapshot: any Snapshot) throws(StoreFailure) -> [ItemRecord] {
        var items: [ItemRecord] = []
        guard limit > 0 else { return items }
        try snapshot.scan(prefix: Keys.prefix(partition, account: number, items: kind), from: nil, through: nil, reverse: false) {
            (key, value) throws(StoreFailure) in
            if let item = try? ItemRecord.decode(value, key: key) { items.append(item) }
            return items.count < limit
        }
        return items
    }

    /// Up to `limit` items of a kind behind the key where the page before ended, and where this one ends; nil: there are no more. One that
    /// cannot be read is left out.
    public func page(_ kind: ItemKind, after: Key?, limit: Int, in snapshot: any Snapshot) throws(StoreFailure) -> ([ItemRecord], Key?) {
        var items: [ItemRecord] = []
        var seen = 0
        var next: Key?
        try snapshot.scan(prefix: Keys.prefix(partition, account: number, items: kind), from: after, through: nil, reverse: false) {
            (raw, value) throws(StoreFailure) in
            guard let key = Key(raw), key != after else { return true }
            if let item = try? ItemRecord.decode(value, key: raw) { items.append(item) }
            seen += 1
            guard seen < limit else {
                next = key
                return false
            }
            return true
        }
        return (items, next)
    }
}
