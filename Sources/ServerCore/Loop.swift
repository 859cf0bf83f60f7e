import Glibc
import Synchronization

/// A point on the machine's monotonic clock, in nanoseconds. Timers and liveness use it; stamps never do.
public struct MonotonicTime: Hashable, Comparable, Sendable {
    public var nanoseconds: UInt64
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static func < (a: MonotonicTime, b: MonotonicTime) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Whole milliseconds from `earlier` to this point; 0 when `earlier` is later.
    public func milliseconds(since earlier: MonotonicTime) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000_000 : 0
    }

    /// Whole microseconds from `earlier` to this point; 0 when `earlier` is later.
    public func microseconds(since earlier: MonotonicTime) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000 : 0
    }

    public static func + (a: MonotonicTime, d: Duration) -> MonotonicTime {
        let parts = d.components
        guard parts.seconds >= 0 else { return a }
        let (ns, overflow) = UInt64(parts.seconds).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return MonotonicTime(nanoseconds: .max) }
        let (sum, over) = a.nanoseconds.addingReportingOverflow(ns &+ UInt64(max(0, parts.attoseconds) / 1_000_000_000))
        return MonotonicTime(nanoseconds: over ? .max : sum)
    }

    /// The machine's clock now.
    public static var now: MonotonicTime {
        var t = timespec()
        clock_gettime(CLOCK_MONOTONIC, &t)
        return MonotonicTime(nanoseconds: UInt64(t.tv_sec) &* 1_000_000_000 &+ UInt64(t.tv_nsec))
    }
}

/// One event loop of the process as the core sees it. Every object of a `Shard` is confined to its loop.
public protocol Loop: AnyObject, Sendable {
    /// 0-based number of the loop within its process.
    var index: Int { get }
    /// Monotonic time; a manual clock in tests.
    var now: MonotonicTime { get }
    /// Whether the caller runs on this loop.
    var inLoop: Bool { get }
    /// Runs `body` on the loop, after everything that was given to it before. Callable from any thread.
    func execute(_ body: @escaping @Sendable () -> Void)
    /// Runs `body` on the loop after `delay`, unless cancelled.
    func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> any LoopTimer
}

/// A pending `Loop.schedule`.
public protocol LoopTimer: Sendable {
    func cancel()
}

/// The wall clock of stamps: microseconds since 1970, UTC. Tests move it; a running cluster moves it only under `[debug] manual_clock`.
public final class WallClock: Sendable {
    private let fixed: Bool
    private let offset: Atomic<Int64>

    /// A clock that follows the machine.
    public init() {
        fixed = false
        offset = Atomic(0)
    }

    /// A clock that stands at `microseconds` until `advance` is called.
    public init(standingAt microseconds: Int64) {
        fixed = true
        offset = Atomic(microseconds)
    }

    /// Microseconds since 1970, UTC.
    public var now: Int64 {
        let moved = offset.load(ordering: .relaxed)
        if fixed { return moved }
        var t = timespec()
        clock_gettime(CLOCK_REALTIME, &t)
        return Int64(t.tv_sec) &* 1_000_000 &+ Int64(t.tv_nsec) / 1_000 &+ moved
    }

    /// Moves the clock forward by `seconds`.
    public func advance(seconds: Int64) {
        offset.wrappingAdd(seconds &* 1_000_000, ordering: .relaxed)
    }
}
