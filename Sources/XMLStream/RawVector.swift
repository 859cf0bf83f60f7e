#if canImport(Glibc)
    import Glibc
#endif

/// A growing array in raw memory for use inside C callbacks: no reference counting, no exclusivity checks. Freed by hand.
struct RawVector<T: BitwiseCopyable> {
    private(set) var base: UnsafeMutablePointer<T>
    private(set) var count = 0
    private(set) var capacity: Int

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
        base = .allocate(capacity: self.capacity)
    }

    var buffer: UnsafeBufferPointer<T> { UnsafeBufferPointer(start: base, count: count) }

    @inline(__always)
    mutating func append(_ value: T) {
        if count == capacity { grow(by: 1) }
        (base + count).initialize(to: value)
        count += 1
    }

    @inline(__always)
    mutating func append(_ source: UnsafePointer<T>, _ length: Int) {
        if length > capacity - count { grow(by: length) }
        (base + count).initialize(from: source, count: length)
        count += length
    }

    @inline(__always)
    mutating func removeLast() { count -= 1 }

    mutating func removeAll() { count = 0 }

    func free() { base.deallocate() }

    private mutating func grow(by extra: Int) {
        // Sizes are bounded by those of a stanza, far from overflow.
        let wanted = max(capacity * 2, count + extra)
        let larger = UnsafeMutablePointer<T>.allocate(capacity: wanted)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity = wanted
    }
}
