/// Base 64 as XMPP uses it: the alphabet and padding of RFC 4648 §4, nothing else: SASL data
/// (RFC 6120 §6.4.2, §6.5.5), and the binary values of SCRAM (RFC 5802 §5.1).
public enum Base64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// The text for `bytes`, padded.
    public static func encode(_ bytes: some Collection<UInt8>) -> String {
        bytes.withContiguousStorageIfAvailable(text) ?? Array(bytes).withUnsafeBufferPointer(text)
    }

    private static func text(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        let alphabet = UnsafeBufferPointer(start: alphabet.utf8Start, count: 64)
        return String(unsafeUninitializedCapacity: (bytes.count + 2) / 3 * 4) { out in
            var length = 0
            func put(_ character: UInt8) {
                out[length] = character
                length += 1
            }
            for start in stride(from: 0, to: bytes.count, by: 3) {
                let given = min(3, bytes.count - start)
                var bits = UInt32(bytes[start]) << 16
                if given > 1 { bits |= UInt32(bytes[start + 1]) << 8 }
                if given > 2 { bits |= UInt32(bytes[start + 2]) }
                put(alphabet[Int(bits >> 18)])
                put(alphabet[Int(bits >> 12 & 63)])
                put(given > 1 ? alphabet[Int(bits >> 6 & 63)] : UInt8(ascii: "="))
                put(given > 2 ? alphabet[Int(bits & 63)] : UInt8(ascii: "="))
            }
            return length
        }
    }

    /// The bytes of a text, or nil when it has white space or other foreign characters, lacks padding, or has bits where the padding
    /// says there are none: one value has one form.
    public static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        text.withContiguousStorageIfAvailable(bytes) ?? Array(text).withUnsafeBufferPointer(bytes)
    }

    private static func bytes(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var held = 0
        var padding = 0
        for character in text {
            if character == UInt8(ascii: "=") {
                padding += 1
                continue
            }
            guard padding == 0, let value = value(of: character) else { return nil }
            bits = bits << 6 | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        // Four bits are left of two characters, two of three: they must be zero and the padding must fill the group.
        let expected = held == 4 ? 2 : held == 2 ? 1 : 0
        guard held != 6, padding == expected, bits & ((1 << UInt32(held)) - 1) == 0 else { return nil }
        return out
    }

    private static func value(of character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
