/// A key of SipHash.
public struct SipKey: Sendable, Equatable {
    public let k0: UInt64
    public let k1: UInt64
    public init(_ k0: UInt64, _ k1: UInt64) {
        self.k0 = k0
        self.k1 = k1
    }
}

/// SipHash-2-4 with 64 and 128 bits of output: short strings, and nobody without the key can find two of one hash.
public enum SipHash {
    public static func hash64(_ string: String, key: SipKey) -> UInt64 {
        var string = string
        return string.withUTF8 { hash64(UnsafeRawBufferPointer($0), key: key) }
    }

    public static func hash128(_ string: String, key: SipKey) -> (UInt64, UInt64) {
        var string = string
        return string.withUTF8 { hash128(UnsafeRawBufferPointer($0), key: key) }
    }

    public static func hash64(_ bytes: UnsafeRawBufferPointer, key: SipKey) -> UInt64 {
        var state = State(key)
        state.absorb(bytes)
        state.v2 ^= 0xFF
        for _ in 0..<4 { state.round() }
        return state.folded
    }

    public static func hash128(_ bytes: UnsafeRawBufferPointer, key: SipKey) -> (UInt64, UInt64) {
        var state = State(key)
        state.v1 ^= 0xEE
        state.absorb(bytes)
        state.v2 ^= 0xEE
        for _ in 0..<4 { state.round() }
        let first = state.folded
        state.v1 ^= 0xDD
        for _ in 0..<4 { state.round() }
        return (first, state.folded)
    }

    private struct State {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        init(_ key: SipKey) {
            v0 = key.k0 ^ 0x736f_6d65_7073_6575
            v1 = key.k1 ^ 0x646f_7261_6e64_6f6d
            v2 = key.k0 ^ 0x6c79_6765_6e65_7261
            v3 = key.k1 ^ 0x7465_6462_7974_6573
        }

        var folded: UInt64 { v0 ^ v1 ^ v2 ^ v3 }

        @inline(__always)
        mutating func round() {
            v0 &+= v1
            v1 = (v1 << 13 | v1 >> 51) ^ v0
            v0 = v0 << 32 | v0 >> 32
            v2 &+= v3
            v3 = (v3 << 16 | v3 >> 48) ^ v2
            v0 &+= v3
            v3 = (v3 << 21 | v3 >> 43) ^ v0
            v2 &+= v1
            v1 = (v1 << 17 | v1 >> 47) ^ v2
            v2 = v2 << 32 | v2 >> 32
        }

        @inline(__always)
        mutating func compress(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }

        mutating func absorb(_ bytes: UnsafeRawBufferPointer) {
            let whole = bytes.count & ~7
            var offset = 0
            while offset < whole {
                compress(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
                offset += 8
            }
            var last = UInt64(truncatingIfNeeded: bytes.count) << 56
            var shift: UInt64 = 0
            while offset < bytes.count {
                last |= UInt64(bytes[offset]) << shift
                shift += 8
                offset += 1
            }
            compress(last)
        }
    }
}
