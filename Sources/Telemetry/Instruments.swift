import Synchronization

// The instruments a room holds and touches on its own threads. Each is a few relaxed atomics: an increment takes no lock
// and allocates nothing, and a reader sees each number whole, though two numbers read one after the other may be of
// different instants. Labels are fixed when the instrument is registered (`Registry`).

/// A number that only grows: events since the start of the process. Wraps at 2⁶⁴.
public final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    init() {}

    /// Adds `amount` events.
    @inline(__always)
    public func increment(by amount: UInt64 = 1) {
        count.wrappingAdd(amount, ordering: .relaxed)
    }

    /// The events counted so far.
    public var value: UInt64 { count.load(ordering: .relaxed) }
}

/// A number that goes up and down: sessions, bytes waiting.
public final class Gauge: Sendable {
    private let level = Atomic<Int64>(0)

    init() {}

    /// Replaces the value.
    @inline(__always)
    public func set(_ value: Int64) {
        level.store(value, ordering: .relaxed)
    }

    /// Adds `amount`, which may be negative. Wraps at the ends of `Int64`.
    @inline(__always)
    public func add(_ amount: Int64 = 1) {
        level.wrappingAdd(amount, ordering: .relaxed)
    }

    /// The value now.
    public var value: Int64 { level.load(ordering: .relaxed) }
}

/// How often values of each size came. The buckets are fixed: bucket `i` holds the values above 2^(i−1) and up to 2^i of
/// the unit observed, so finding the bucket is one count of leading zeros.
public final class Histogram: Sendable {
    /// What is observed, and how it is shown: Prometheus wants base units.
    public enum Unit: Sendable {
        /// Whole numbers shown as they are: stanzas, bytes, effects of a commit.
        case one
        /// Microseconds, shown in seconds.
        case microseconds

        /// What one observed unit is in the unit shown.
        var scale: Double {
            switch self {
            case .one: 1
            case .microseconds: 1e-6
            }
        }
    }

    /// Buckets up to 2⁶³; values above it are counted in the last one.
    static let bucketCount = 64
    private let buckets = InlineArray<64, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
    private let total = Atomic<UInt64>(0)
    let unit: Unit
    /// The exponents of the bounds that are shown; everything smaller is inside the first, everything larger in `+Inf`.
    let shown: ClosedRange<Int>

    init(unit: Unit, shown: ClosedRange<Int>) {
        self.unit = unit
        self.shown = shown
    }

    /// Counts one value, in the unit given at registration.
    @inline(__always)
    public func observe(_ value: UInt64) {
        buckets[Histogram.bucket(of: value)].wrappingAdd(1, ordering: .relaxed)
        total.wrappingAdd(value, ordering: .relaxed)
    }

    /// The least `i` with `value` ≤ 2^i; 63 for everything above 2⁶³.
    @inline(__always)
    static func bucket(of value: UInt64) -> Int {
        guard value > 1 else { return 0 }
        return min(64 &- (value &- 1).leadingZeroBitCount, bucketCount &- 1)
    }

    /// The values counted so far.
    public var count: UInt64 { snapshot().reduce(0, &+) }

    /// The sum of the values observed, in the unit observed. Wraps at 2⁶⁴.
    public var sum: UInt64 { total.load(ordering: .relaxed) }

    /// The bound of the bucket in which the given share (0…1) of all values is reached, in the unit observed; `nil` when
    /// nothing was observed. It is the true quantile rounded up to a power of two.
    public func bound(of share: Double) -> UInt64? {
        let counts = snapshot()
        let all = counts.reduce(0, &+)
        guard all > 0 else { return nil }
        var wanted = Double(all) * min(max(share, 0), 1)
        for (exponent, count) in counts.enumerated() {
            wanted -= Double(count)
            if wanted <= 0, count > 0 { return 1 << UInt64(exponent) }
        }
        return 1 << 63
    }

    /// One reading of all buckets. Taken bucket by bucket: increments meanwhile may or may not be in it.
    func snapshot() -> [UInt64] {
        (0..<Histogram.bucketCount).map { buckets[$0].load(ordering: .relaxed) }
    }
}
