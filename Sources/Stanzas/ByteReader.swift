/// Why bytes are not what a codec wrote.
public enum CodecError: Error, Equatable, Sendable {
    /// A field reaches beyond the end.
    case truncated
    /// A field has a value that no writer writes.
    case malformed
    /// Written by a format this program does not know.
    case unknownVersion
}

/// Reads what `ByteWriter` wrote. Every read is bounds-checked; nothing traps, whatever the bytes.
public struct ByteReader: Sendable {
    private let source: [UInt8]
    private let end: Int
    /// Offset of the next byte in the array given.
    public private(set) var position: Int

    public init(_ bytes: [UInt8]) {
        source = bytes
        position = 0
        end = bytes.count
    }

    /// Reads only the bytes in `range`, clamped to the array.
    public init(_ bytes: [UInt8], in range: Range<Int>) {
        let range = range.clamped(to: 0..<bytes.count)
        source = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// Bytes not yet read.
    public var remaining: Int { end - position }
    public var isAtEnd: Bool { position == end }

    public mutating func uint8() throws(CodecError) -> UInt8 {
        guard position < end else { throw .truncated }
        defer { position += 1 }
        return source[position]
    }

    public mutating func uint16() throws(CodecError) -> UInt16 { UInt16(truncatingIfNeeded: try fixed(2)) }
    public mutating func uint32() throws(CodecError) -> UInt32 { UInt32(truncatingIfNeeded: try fixed(4)) }
    public mutating func uint64() throws(CodecError) -> UInt64 { try fixed(8) }

    /// LEB128, at most 64 bits, in its shortest form only: equal values have equal bytes.
    public mutating func varint() throws(CodecError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try uint8()
            let bits = UInt64(byte & 0x7F)
            if shift == 63, bits > 1 { throw .malformed }
            value |= bits << shift
            if byte < 0x80 {
                if byte == 0, shift > 0 { throw .malformed }
                return value
            }
            shift += 7
            if shift > 63 { throw .malformed }
        }
    }

    /// A size or an offset.
    public mutating func count() throws(CodecError) -> Int {
        guard let value = Int(exactly: try varint()) else { throw .malformed }
        return value
    }

    /// Bytes behind their length.
    public mutating func bytes() throws(CodecError) -> [UInt8] { Array(source[try range()]) }

    /// UTF-8 behind its length; anything else is malformed.
    public mutating func string() throws(CodecError) -> String {
        let range = try range()
        guard let string = String(validating: source[range], as: UTF8.self) else { throw .malformed }
        return string
    }

    /// The next `length` bytes.
    public mutating func take(_ length: Int) throws(CodecError) -> [UInt8] { Array(source[try advance(length)]) }

    /// Steps over `length` bytes.
    public mutating func skip(_ length: Int) throws(CodecError) { _ = try advance(length) }

    private mutating func range() throws(CodecError) -> Range<Int> { try advance(try count()) }

    private mutating func advance(_ length: Int) throws(CodecError) -> Range<Int> {
        guard length >= 0, length <= remaining else { throw .truncated }
        defer { position += length }
        return position..<position + length
    }

    private mutating func fixed(_ width: Int) throws(CodecError) -> UInt64 {
        var value: UInt64 = 0
        for byte in source[try advance(width)] { value = value << 8 | UInt64(byte) }
        return value
    }
}
