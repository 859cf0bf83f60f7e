/// What is fixed in a volume when it is made, and says where every row lies.
public struct VolumeIdentity: Sendable, Equatable {
    /// Partitions of a new volume.
    public static let defaultPartitions: UInt16 = 64
    /// The store format that this version writes. A node refuses a volume of a higher level.
    public static let currentFeatureLevel: UInt32 = 1

    /// 16 random bytes: tells volumes apart.
    public let volumeID: [UInt8]
    /// Number of partitions, at least 1, below `Keys.volumeWide`.
    public let partitions: UInt16
    /// Key of the hashes below: random, so that nobody can aim at a partition.
    public let hashKey: SipKey
    public let featureLevel: UInt32
    /// µs since 1970, UTC.
    public let created: Int64
    /// The Unicode version by which stored JIDs were prepared.
    public let unicodeVersion: String

    public init(volumeID: [UInt8], partitions: UInt16, hashKey: SipKey, featureLevel: UInt32, created: Int64, unicodeVersion: String) {
        self.volumeID = volumeID
        self.partitions = min(max(1, partitions), Keys.volumeWide - 1)
        self.hashKey = hashKey
        self.featureLevel = featureLevel
        self.created = created
        self.unicodeVersion = unicodeVersion
    }

    /// The identity of a new volume.
    public static func random(created: Int64, unicodeVersion: String) -> VolumeIdentity {
        var generator = SystemRandomNumberGenerator()
        return VolumeIdentity(
            volumeID: (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }, partitions: defaultPartitions,
            hashKey: SipKey(generator.next(), generator.next()), featureLevel: currentFeatureLevel, created: created,
            unicodeVersion: unicodeVersion)
    }

    /// The volume's name in hexadecimal.
    public var name: String { Key.hex(volumeID) }
}

extension VolumeIdentity {
    /// The partition of a prepared bare JID.
    public func partition(of bareJID: String) -> UInt16 {
        UInt16(truncatingIfNeeded: SipHash.hash64(bareJID, key: hashKey) % UInt64(partitions))
    }

    /// The same of its bytes.
    public func partition(of bareJID: UnsafeRawBufferPointer) -> UInt16 {
        UInt16(truncatingIfNeeded: SipHash.hash64(bareJID, key: hashKey) % UInt64(partitions))
    }

    /// The keyed 128-bit hash under which a string from outside enters a key. The string itself stands in the record and is
    /// compared on read.
    public func hash128(_ string: String) -> (UInt64, UInt64) { SipHash.hash128(string, key: hashKey) }

    /// The same of parts with a line feed between them.
    public func hash128(joining parts: UnsafeRawBufferPointer...) -> (UInt64, UInt64) {
        withUnsafeTemporaryAllocation(byteCount: parts.reduce(parts.count) { $0 + $1.count }, alignment: 8) { line in
            var end = 0
            for part in parts {
                UnsafeMutableRawBufferPointer(rebasing: line[end...]).copyMemory(from: part)
                end += part.count
                line[end] = UInt8(ascii: "\n")
                end += 1
            }
            return SipHash.hash128(UnsafeRawBufferPointer(rebasing: line[..<(end - 1)]), key: hashKey)
        }
    }

    /// What rows are known by whose other end has this bare JID: never 0.
    public func peer(_ bareJID: UnsafeRawBufferPointer) -> UInt64 { max(1, SipHash.hash128(bareJID, key: hashKey).0) }
}
