import Synchronization

// Instruments of one thread. What is counted for every stanza is counted here: the thread that owns one adds with a plain load and
// store, no locked instruction and no cache line that two loops pull at. Whoever reads sums over the loops (`Registry.tally`,
// `Registry.distribution`).

/// A number that only grows, counted by one thread alone and read by any. Wraps at 2⁶⁴.
public final class LoopCounter: Sendable {
    private let count = Atomic<UInt64>(0)

    public init() {}

    /// Adds `amount` events. Only on the thread that owns the counter.
    @inline(__always)
    public func increment(by amount: UInt64 = 1) {
        count.store(count.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// The events counted so far.
    public var value: UInt64 { count.load(ordering: .relaxed) }
}

/// How often values of each size came, counted by one thread alone and read by any.
public final class LoopHistogram: Sendable {
    private let buckets = InlineArray<64, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
    private let total = Atomic<UInt64>(0)

    public init() {}

    /// Counts one value. Only on the thread that owns the histogram.
    @inline(__always)
    public func observe(_ value: UInt64) {
        let index = Distribution.bucket(of: value)
        buckets[index].store(buckets[index].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        total.store(total.load(ordering: .relaxed) &+ value, ordering: .relaxed)
    }

    /// One reading of all buckets. Taken bucket by bucket: what is counted meanwhile may or may not be in it.
    public var reading: Distribution {
        Distribution(
            counts: (0..<Distribution.bucketCount).map { buckets[$0].load(ordering: .relaxed) }, sum: total.load(ordering: .relaxed))
    }
}
