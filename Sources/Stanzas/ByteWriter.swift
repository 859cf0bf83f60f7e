/// Appends binary fields: big-endian integers, LEB128 varints, length-prefixed bytes. What `ByteReader` reads.
public struct ByteWriter: Sendable {
    /// What has been written so far.
    public var bytes: [UInt8]

    public init(_ bytes: consuming [UInt8] = []) { self.bytes = bytes }

    public mutating func uint8(_ value: UInt8) { bytes.append(value) }
    public mutating func uint16(_ value: UInt16) { fixed(value) }
    public mutating func uint32(_ value: UInt32) { fixed(value) }
    public mutating func uint64(_ value: UInt64) { fixed(value) }

    /// Seven bits a byte, least significant first; 1 to 10 bytes.
    public mutating func varint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    /// A varint of a size or an offset; negative values cannot occur and count as 0.
    public mutating func count(_ value: Int) { varint(UInt64(max(value, 0))) }

    /// Bytes behind their length.
    public mutating func bytes(_ value: some Collection<UInt8>) {
        count(value.count)
        bytes.append(contentsOf: value)
    }

    /// UTF-8 behind its length.
    public mutating func string(_ value: String) {
        if value.utf8.withContiguousStorageIfAvailable({ bytes($0) }) == nil { bytes(value.utf8) }
    }

    private mutating func fixed(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
}
