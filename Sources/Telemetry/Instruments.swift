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

/// How often values of each size came, counted by any number of threads.
public final class Histogram: Sendable {
    private let buckets = InlineArray<64, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
    private let total = Atomic<UInt64>(0)
    let unit: Distribution.Unit
    /// The exponents of the bounds that are shown; everything smaller is inside the first, everything larger in `+Inf`.
    let shown: ClosedRange<Int>

    init(unit: Distribution.Unit, shown: ClosedRange<Int>) {
        self.unit = unit
        self.shown = shown
    }

    /// Counts one value, in the unit given at registration.
    @inline(__always)
    public func observe(_ value: UInt64) {
        buckets[Distribution.bucket(of: value)].wrappingAdd(1, ordering: .relaxed)
        total.wrappingAdd(value, ordering: .relaxed)
    }

    /// The values counted so far.
    public var count: UInt64 { reading.count }

    /// The sum of the values observed, in the unit observed. Wraps at 2⁶⁴.
    public var sum: UInt64 { total.load(ordering: .relaxed) }

    /// The bound of the bucket in which the given share (0…1) of all values is reached, in the unit observed; `nil` when
    /// nothing was observed. It is the true quantile rounded up to a power of two.
    public func bound(of share: Double) -> UInt64? { reading.bound(of: share) }

    /// One reading of all buckets. Taken bucket by bucket: increments meanwhile may or may not be in it.
    public var reading: Distribution {
        Distribution(counts: (0..<Distribution.bucketCount).map { buckets[$0].load(ordering: .relaxed) }, sum: sum)
    }
}
