import Store

/// The ids of an account's archived messages (XEP-0313 §6.2, XEP-0359): the sequence of the record under a permutation that only the
/// account's key knows, as 16 hexadecimal digits. An id never changes, is never given twice, and tells neither time nor order.
public struct ArchiveIDs: Sendable {
    private let key: SipKey

    /// - Parameter key: `AccountRecord.archiveKey`.
    public init(key: UInt64) { self.key = SipKey(key, 0x6d61_7274_6c65_7473) }

    /// The id of a message.
    public func id(_ sequence: UInt64) -> String {
        var left = UInt32(truncatingIfNeeded: sequence >> 32)
        var right = UInt32(truncatingIfNeeded: sequence)
        for round in 0..<Self.rounds { (left, right) = (right, left ^ mix(right, round)) }
        return Self.text(UInt64(left) << 32 | UInt64(right))
    }

    /// The sequence that an id stands for; nil for what is no id at all. Whether there is such a message is another question.
    public func sequence(_ id: String) -> UInt64? {
        guard let number = Self.number(id) else { return nil }
        var left = UInt32(truncatingIfNeeded: number >> 32)
        var right = UInt32(truncatingIfNeeded: number)
        for round in (0..<Self.rounds).reversed() { (left, right) = (right ^ mix(left, round), left) }
        return UInt64(left) << 32 | UInt64(right)
    }

    private static let rounds: UInt64 = 4

    private func mix(_ half: UInt32, _ round: UInt64) -> UInt32 {
        let word = round << 32 | UInt64(half)
        return withUnsafeBytes(of: word.littleEndian) { UInt32(truncatingIfNeeded: SipHash.hash64($0, key: key)) }
    }

    private static func text(_ number: UInt64) -> String {
        String(unsafeUninitializedCapacity: 16) { buffer in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - index * 4)) & 15
                buffer[index] = digit < 10 ? 48 + digit : 87 + digit
            }
            return 16
        }
    }

    private static func number(_ text: String) -> UInt64? {
        guard text.utf8.count == 16 else { return nil }
        var number: UInt64 = 0
        for byte in text.utf8 {
            switch byte {
            case 48...57: number = number << 4 | UInt64(byte - 48)
            case 97...102: number = number << 4 | UInt64(byte - 87)
            default: return nil
            }
        }
        return number
    }
}
