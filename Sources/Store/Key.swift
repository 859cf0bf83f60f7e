/// The name of one row: `partition u16 | table u8 | fixed fields`, big endian, so that byte order is the order of the fields.
///
/// Never empty and never above `Key.limit` bytes. No string from outside is part of a key.
public struct Key: Hashable, Comparable, Sendable {
    /// The longest key the store takes, in bytes.
    public static let limit = 511

    public let bytes: [UInt8]

    /// A key as it stands in a volume; nil when it is empty or longer than `limit`.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= Self.limit else { return nil }
        self.bytes = bytes
    }

    /// A key as a scan showed it; nil when it is empty or longer than `limit`.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty, bytes.count <= Self.limit else { return nil }
        self.bytes = [UInt8](bytes)
    }

    /// A key whose layout is fixed by `Keys`, where it can be neither empty nor too long.
    init(layout bytes: [UInt8]) { self.bytes = bytes }

    public static func < (a: Key, b: Key) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// The partition of the row; nil for a key too short to have one.
    public var partition: UInt16? { bytes.count < 2 ? nil : UInt16(bytes[0]) << 8 | UInt16(bytes[1]) }

    /// The key in hexadecimal, as messages to the operator name it.
    public var hex: String { Key.hex(bytes) }

    /// The key that `hex` names; nil when the text is not hexadecimal.
    public init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(byte)
        }
        self.init(bytes)
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
