/// Durations, each kept to within one part in 64, from a nanosecond to centuries, in a fixed amount of memory.
struct Histogram {
    private static let bits = 6
    private var counts = [UInt64](repeating: 0, count: (64 - bits + 1) << bits)
    private(set) var count: UInt64 = 0
    private(set) var highest: UInt64 = 0

    mutating func add(_ nanoseconds: UInt64) {
        counts[Self.slot(nanoseconds)] += 1
        count += 1
        highest = max(highest, nanoseconds)
    }

    /// Small numbers have a slot each; above them every power of two has 64.
    private static func slot(_ value: UInt64) -> Int {
        let exponent = 63 - (value | 1).leadingZeroBitCount
        guard exponent >= bits else { return Int(value) }
        let shift = exponent - bits
        return ((shift + 1) << bits) + Int(value >> UInt64(shift)) - (1 << bits)
    }

    /// The largest number that falls into a slot.
    private static func top(_ slot: Int) -> UInt64 {
        guard slot >= 1 << bits else { return UInt64(slot) }
        let shift = UInt64((slot >> bits) - 1)
        let mantissa = UInt64(slot & ((1 << bits) - 1)) + (1 << UInt64(bits))
        return (mantissa << shift) + ((1 << shift) - 1)
    }

    /// The duration that this share of all do not exceed, in nanoseconds; 0 when there are none.
    func percentile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(count) * share).rounded(.up)))
        var seen: UInt64 = 0
        for slot in counts.indices {
            seen += counts[slot]
            if seen >= wanted { return min(Self.top(slot), highest) }
        }
        return highest
    }
}
