public import Stanzas

/// A secret of the whole cluster, made when the volume is made. Table `secret`.
public struct SecretRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// What a secret is for. Numbers are on disk.
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// Makes the answers for accounts that do not exist look like those for accounts that do.
        case fakeCredentials = 1
        /// Dialback keys (XEP-0185).
        case dialback = 2
        /// Ids of resumable streams (XEP-0198 §5).
        case streamIDs = 3
        /// FAST tokens (XEP-0484).
        case fast = 4
        /// TLS session tickets.
        case tlsTickets = 5
    }

    /// Bytes of a new secret.
    public static let length = 32

    public var kind: Kind
    /// µs since 1970, UTC.
    public var created: Int64
    public var bytes: [UInt8]

    public init(kind: Kind, created: Int64, bytes: [UInt8]) {
        self.kind = kind
        self.created = created
        self.bytes = bytes
    }

    /// A new secret from the system's random source.
    public static func random(_ kind: Kind, created: Int64) -> SecretRecord {
        var generator = SystemRandomNumberGenerator()
        return SecretRecord(kind: kind, created: created, bytes: (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// The secret of this volume; nil when its volume was made before the kind existed.
    public static func load(_ kind: Kind, from snapshot: any Snapshot) throws(StoreFailure) -> SecretRecord? {
        let key = Keys.secret(kind)
        guard let value = try snapshot.get(key) else { return nil }
        let record = try decode(value, key: key)
        guard record.kind == kind else { throw .damaged(key: key.hex, reason: "it is another secret's record") }
        return record
    }

    public func write(into writer: inout ByteWriter) {
        writer.uint8(kind.rawValue)
        writer.int64(created)
        writer.bytes(bytes)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        guard let kind = Kind(rawValue: try reader.uint8()) else { throw FieldError() }
        self.kind = kind
        created = try reader.int64()
        bytes = try reader.bytes()
    }
}

extension SecretRecord: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the secret.
    public var description: String { "SecretRecord(\(kind))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["kind": kind]) }
}

/// The identity as it stands in the volume. Table `meta`.
struct IdentityRecord: Record, Equatable {
    static let version: UInt8 = 1
    var identity: VolumeIdentity

    init(_ identity: VolumeIdentity) { self.identity = identity }

    func write(into writer: inout ByteWriter) {
        writer.bytes(identity.volumeID)
        writer.uint16(identity.partitions)
        writer.uint64(identity.hashKey.k0)
        writer.uint64(identity.hashKey.k1)
        writer.uint32(identity.featureLevel)
        writer.int64(identity.created)
        writer.string(identity.unicodeVersion)
    }

    init(from reader: inout ByteReader, version: UInt8) throws {
        let volumeID = try reader.bytes()
        let partitions = try reader.uint16()
        guard volumeID.count == 16, partitions > 0, partitions < Keys.volumeWide else { throw FieldError() }
        identity = VolumeIdentity(
            volumeID: volumeID, partitions: partitions, hashKey: SipKey(try reader.uint64(), try reader.uint64()),
            featureLevel: try reader.uint32(), created: try reader.int64(), unicodeVersion: try reader.string())
    }
}

/// How often a process became keeper of the volume. Table `meta`.
struct EpochRecord: Record, Equatable {
    static let version: UInt8 = 1
    var epoch: UInt64

    init(_ epoch: UInt64) { self.epoch = epoch }

    func write(into writer: inout ByteWriter) { writer.uint64(epoch) }
    init(from reader: inout ByteReader, version: UInt8) throws { epoch = try reader.uint64() }
}

/// What a probe commit writes to see whether the store takes writes again. Table `meta`.
struct ProbeRecord: Record, Equatable {
    static let version: UInt8 = 1
    /// Monotonic nanoseconds of the probe.
    var moment: UInt64

    init(_ moment: UInt64) { self.moment = moment }

    func write(into writer: inout ByteWriter) { writer.uint64(moment) }
    init(from reader: inout ByteReader, version: UInt8) throws { moment = try reader.uint64() }
}

/// The rows that a volume has from its first moment, and those that only the store itself writes.
public enum VolumeRows {
    /// What makes an empty environment a volume: its identity, its secrets and epoch 0.
    public static func initial(_ identity: VolumeIdentity) -> Effects {
        var effects = Effects()
        effects.put(Keys.meta(.identity), IdentityRecord(identity).encode())
        effects.put(Keys.meta(.epoch), EpochRecord(0).encode())
        for kind in SecretRecord.Kind.allCases {
            effects.put(Keys.secret(kind), SecretRecord.random(kind, created: identity.created).encode())
        }
        return effects
    }

    /// The identity of the volume; nil when it was never made.
    public static func identity(in snapshot: any Snapshot) throws(StoreFailure) -> VolumeIdentity? {
        let key = Keys.meta(.identity)
        guard let value = try snapshot.get(key) else { return nil }
        return try IdentityRecord.decode(value, key: key).identity
    }

    /// How often a process became keeper; 0 before the first.
    public static func epoch(in snapshot: any Snapshot) throws(StoreFailure) -> UInt64 {
        let key = Keys.meta(.epoch)
        guard let value = try snapshot.get(key) else { throw .format("the volume has no epoch") }
        return try EpochRecord.decode(value, key: key).epoch
    }

    /// Sets the epoch.
    public static func epoch(_ epoch: UInt64) -> Effects {
        var effects = Effects()
        effects.put(Keys.meta(.epoch), EpochRecord(epoch).encode())
        return effects
    }

    /// A write whose only meaning is whether it succeeds.
    public static func probe(moment: UInt64) -> Effects {
        var effects = Effects()
        effects.put(Keys.meta(.probe), ProbeRecord(moment).encode())
        return effects
    }
}
