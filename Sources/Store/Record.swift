public import Stanzas

/// A value of the store: `version u8 | CRC-32C u32 | fields`. The checksum covers the version and the fields.
public protocol Record: Sendable {
    /// The version that this program writes. It reads every version up to this one.
    static var version: UInt8 { get }

    /// Appends the fields, as the current version has them.
    func write(into writer: inout ByteWriter)

    /// Reads the fields of `version`. Throws on anything that `write` does not write.
    init(from reader: inout ByteReader, version: UInt8) throws

    /// Whether a row of this key can hold the record: what stands in both must agree.
    func fits(_ key: UnsafeRawBufferPointer) -> Bool
}

extension Record {
    public func fits(_ key: UnsafeRawBufferPointer) -> Bool { true }
}

/// A field has a value that no writer writes.
struct FieldError: Error {}

/// The frame of every value.
enum Envelope {
    static let headBytes = 5

    /// Checks version and checksum; returns the version.
    static func check(_ value: UnsafeRawBufferPointer, newest: UInt8, key: () -> String) throws(StoreFailure) -> UInt8 {
        guard value.count >= headBytes else { throw .damaged(key: key(), reason: "shorter than a record's head") }
        let version = value[0]
        let stored = UInt32(bigEndian: value.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        let computed = checksum(version: value, fields: UnsafeRawBufferPointer(rebasing: value[headBytes...]))
        guard stored == computed else { throw .damaged(key: key(), reason: "checksum mismatch") }
        guard version > 0, version <= newest else {
            throw .format("row \(key()) has record version \(version); this program knows up to \(newest)")
        }
        return version
    }

    static func checksum(version value: UnsafeRawBufferPointer, fields: UnsafeRawBufferPointer) -> UInt32 {
        CRC32C.checksum(fields, continuing: CRC32C.checksum(UnsafeRawBufferPointer(rebasing: value[0..<1])))
    }
}

extension Record {
    /// The value to put.
    public func encode() -> [UInt8] { encode(reserving: 64) }

    /// The value to put; `fields` is a guess at the size of its fields in bytes.
    func encode(reserving fields: Int) -> [UInt8] { Self.sealed(reserving: fields) { write(into: &$0) } }

    /// A value whose fields `write` writes.
    static func sealed(reserving fields: Int, _ write: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes.reserveCapacity(Envelope.headBytes + fields)
        writer.uint8(Self.version)
        writer.uint32(0)
        write(&writer)
        var bytes: [UInt8] = []
        swap(&bytes, &writer.bytes)
        bytes.withUnsafeMutableBytes { raw in
            let value = UnsafeRawBufferPointer(raw)
            let sum = Envelope.checksum(version: value, fields: UnsafeRawBufferPointer(rebasing: value[Envelope.headBytes...]))
            raw.storeBytes(of: sum.bigEndian, toByteOffset: 1, as: UInt32.self)
        }
        return bytes
    }

    /// The record of a value.
    ///
    /// - Throws: `.damaged` naming the row, or `.format` when a newer program wrote it.
    public static func decode(_ value: [UInt8], key: Key) throws(StoreFailure) -> Self {
        let result: Result<Self, StoreFailure> = key.bytes.withUnsafeBytes { raw in
            do throws(StoreFailure) { return .success(try decode(value, rawKey: raw)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The record of a value that a scan shows.
    public static func decode(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(StoreFailure) -> Self {
        try decode([UInt8](value), rawKey: key)
    }

    private static func decode(_ value: [UInt8], rawKey: UnsafeRawBufferPointer) throws(StoreFailure) -> Self {
        let checked: Result<UInt8, StoreFailure> = value.withUnsafeBytes { raw in
            do throws(StoreFailure) {
                return .success(try Envelope.check(raw, newest: version) { Key.hex(rawKey) })
            } catch { return .failure(error) }
        }
        let found = try checked.get()
        var reader = ByteReader(value, in: Envelope.headBytes..<value.count)
        guard let record = try? Self(from: &reader, version: found), reader.isAtEnd else {
            throw .damaged(key: Key.hex(rawKey), reason: "its fields are not those of a \(Self.self)")
        }
        guard record.fits(rawKey) else { throw .damaged(key: Key.hex(rawKey), reason: "it is the record of another row") }
        return record
    }
}

// Fields that several records have.
extension ByteWriter {
    mutating func flag(_ value: Bool) { uint8(value ? 1 : 0) }
    mutating func int64(_ value: Int64) { uint64(UInt64(bitPattern: value)) }
    mutating func optional(_ value: String?) {
        flag(value != nil)
        if let value { string(value) }
    }
    mutating func optional(_ value: Int64?) {
        flag(value != nil)
        if let value { int64(value) }
    }
    mutating func strings(_ values: [String]) {
        count(values.count)
        for value in values { string(value) }
    }
    /// Ascending numbers as differences: a run of neighbours takes a few bytes each.
    mutating func ascending(_ values: [UInt64]) {
        count(values.count)
        var last: UInt64 = 0
        for value in values {
            varint(value &- last)
            last = value
        }
    }
}

extension ByteReader {
    mutating func flag() throws -> Bool {
        switch try uint8() {
        case 0: false
        case 1: true
        default: throw FieldError()
        }
    }
    mutating func int64() throws -> Int64 { Int64(bitPattern: try uint64()) }
    mutating func optionalString() throws -> String? { try flag() ? try string() : nil }
    mutating func optionalInt64() throws -> Int64? { try flag() ? try int64() : nil }
    mutating func strings() throws -> [String] {
        let count = try bounded()
        var values: [String] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try string()) }
        return values
    }
    mutating func ascending() throws -> [UInt64] {
        let count = try bounded()
        var values: [UInt64] = []
        values.reserveCapacity(count)
        var last: UInt64 = 0
        for index in 0..<count {
            let (value, overflow) = last.addingReportingOverflow(try varint())
            guard !overflow, index == 0 || value > last else { throw FieldError() }
            values.append(value)
            last = value
        }
        return values
    }
    /// A number of things that take a byte each at least: never more than there are bytes.
    private mutating func bounded() throws -> Int {
        let count = try count()
        guard count <= remaining else { throw FieldError() }
        return count
    }
}
