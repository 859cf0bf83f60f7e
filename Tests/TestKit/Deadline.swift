import Glibc

extension Duration {
    /// How long a test waits for what must happen: long enough for a machine that stands still now and then, since it is reached only
    /// when something is broken. How fast something is, no test of this kind tells.
    public static let patient = Duration.seconds(60)
}

/// A moment on the clock that nobody sets. Everything that waits for another process waits until one of these.
public struct Deadline: Sendable {
    private let nanoseconds: UInt64

    /// So long from now.
    public init(in patience: Duration) {
        let parts = patience.components
        nanoseconds = Self.now &+ UInt64(max(0, parts.seconds)) &* 1_000_000_000 &+ UInt64(max(0, parts.attoseconds / 1_000_000_000))
    }

    public var isOver: Bool { Self.now >= nanoseconds }

    /// Milliseconds that are left, rounded up; 0 when none are: what `poll` takes.
    public var milliseconds: Int32 {
        let now = Self.now
        return now >= nanoseconds ? 0 : Int32(clamping: (nanoseconds - now + 999_999) / 1_000_000)
    }

    /// Monotonic nanoseconds.
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

/// What a process, a socket or a client did that the test did not want.
public struct ProcessFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }

    static func system(_ what: String) -> ProcessFailure { ProcessFailure("\(what): \(String(cString: strerror(errno)))") }
}
