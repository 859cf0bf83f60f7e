internal import CShims

/// CRC-32C (Castagnoli), eight bytes a step: by the processor's own instruction where it has one, else by tables. Detects every error of up to 32 consecutive bits, so every flipped byte.
public enum CRC32C {
    /// Eight tables of 256 entries: table n advances a byte by n further bytes.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
            tables[byte] = value
        }
        for table in 1..<8 {
            for byte in 0..<256 {
                let before = tables[(table - 1) * 256 + byte]
                tables[table * 256 + byte] = before >> 8 ^ tables[Int(before & 0xFF)]
            }
        }
        return tables
    }()

    private static let hasInstruction = martlet_has_crc32c() != 0

    /// The checksum of `bytes`, continuing `previous` (0 at the start).
    public static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        guard hasInstruction else { return byTables(bytes, continuing: previous) }
        guard let base = bytes.baseAddress else { return previous }
        return ~martlet_crc32c(~previous, base, bytes.count)
    }

    static func byTables(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        tables.withUnsafeBufferPointer { t in
            var crc = ~previous
            var offset = 0
            let whole = bytes.count & ~7
            while offset < whole {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) ^ UInt64(crc)
                // Every index is a byte plus a table's start: below 2,048 by construction.
                crc =
                    t[1792 &+ Int(truncatingIfNeeded: word & 0xFF)] ^ t[1536 &+ Int(truncatingIfNeeded: word >> 8 & 0xFF)]
                    ^ t[1280 &+ Int(truncatingIfNeeded: word >> 16 & 0xFF)] ^ t[1024 &+ Int(truncatingIfNeeded: word >> 24 & 0xFF)]
                    ^ t[768 &+ Int(truncatingIfNeeded: word >> 32 & 0xFF)] ^ t[512 &+ Int(truncatingIfNeeded: word >> 40 & 0xFF)]
                    ^ t[256 &+ Int(truncatingIfNeeded: word >> 48 & 0xFF)] ^ t[Int(truncatingIfNeeded: word >> 56)]
                offset &+= 8
            }
            while offset < bytes.count {
                crc = crc >> 8 ^ t[Int(truncatingIfNeeded: (crc ^ UInt32(bytes[offset])) & 0xFF)]
                offset &+= 1
            }
            return ~crc
        }
    }
}
