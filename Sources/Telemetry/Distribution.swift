/// What a histogram held when it was read: how many values fell into each bucket, and their sum.
///
/// The buckets are the same everywhere: bucket `i` holds the values above 2^(i−1) and up to 2^i of the unit observed, so finding the
/// bucket is one count of leading zeros, and readings of several histograms can be added.
public struct Distribution: Sendable, Equatable {
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
    public static let bucketCount = 64

    /// By bucket.
    public private(set) var counts: [UInt64]
    /// Of the values, in the unit observed. Wraps at 2⁶⁴.
    public private(set) var sum: UInt64

    /// Nothing observed.
    public init() { self.init(counts: [UInt64](repeating: 0, count: Self.bucketCount), sum: 0) }

    /// - Parameter counts: by bucket; missing ones are empty, and more than there are buckets are left out.
    public init(counts: [UInt64], sum: UInt64) {
        self.counts = counts.prefix(Self.bucketCount) + [UInt64](repeating: 0, count: max(0, Self.bucketCount - counts.count))
        self.sum = sum
    }

    /// The values counted.
    public var count: UInt64 { counts.reduce(0, &+) }

    /// Adds what another one held.
    public static func += (a: inout Distribution, b: Distribution) {
        for index in a.counts.indices { a.counts[index] &+= b.counts[index] }
        a.sum &+= b.sum
    }

    /// What came after an earlier reading of the same histogram.
    public static func - (now: Distribution, before: Distribution) -> Distribution {
        Distribution(counts: zip(now.counts, before.counts).map { $0 &- $1 }, sum: now.sum &- before.sum)
    }

    /// The bound of the bucket in which the given share (0…1) of all values is reached, in the unit observed; `nil` when there is no
    /// value. It is the true quantile rounded up to a power of two.
    public func bound(of share: Double) -> UInt64? {
        let all = count
        guard all > 0 else { return nil }
        var wanted = Double(all) * min(max(share, 0), 1)
        for (exponent, count) in counts.enumerated() {
            wanted -= Double(count)
            if wanted <= 0, count > 0 { return 1 << UInt64(exponent) }
        }
        return 1 << 63
    }

    /// The least `i` with `value` ≤ 2^i; 63 for everything above 2⁶³.
    @inline(__always)
    static func bucket(of value: UInt64) -> Int {
        guard value > 1 else { return 0 }
        return min(64 &- (value &- 1).leadingZeroBitCount, bucketCount &- 1)
    }
}
