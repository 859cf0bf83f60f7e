import Glibc

/// A thread of the system, for work that must neither wait for an event loop nor make one wait.
public struct OSThread: Sendable {
    private let handle: pthread_t

    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Starts `body` on a new thread. `name` shows in the system's tools; 15 bytes are kept.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(BusError) {
        let context = Unmanaged.passRetained(Body(name, body)).toOpaque()
        var handle = pthread_t()
        let result = pthread_create(&handle, nil, runThread, context)
        guard result == 0 else {
            Unmanaged<Body>.fromOpaque(context).release()
            throw .system("pthread_create", errno: result)
        }
        self.handle = handle
    }

    fileprivate static func run(_ context: UnsafeMutableRawPointer) {
        let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
        // The way that needs no variadic call and no GNU extension.
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        if file >= 0 {
            let name = Array(body.name.utf8.prefix(15))
            _ = write(file, name, name.count)
            close(file)
        }
        body.run()
    }

    /// Waits for its end. Once only, and never on the thread itself.
    public func join() { pthread_join(handle, nil) }
}

private func runThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { OSThread.run(context) }
    return nil
}

/// A pair of sockets that ends a `poll` from another thread.
public struct Waker: Sendable {
    /// The end to poll.
    public let reader: Int32
    private let writer: Int32

    /// - Throws: `BusError` when no socket can be made.
    public init() throws(BusError) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .system("socketpair", errno: errno) }
        reader = ends[0]
        writer = ends[1]
    }

    /// A full buffer wakes as well.
    public func wake() {
        var byte: UInt8 = 1
        _ = write(writer, &byte, 1)
    }

    /// Takes what `wake` wrote.
    public func drain() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(reader, &bytes, bytes.count) > 0 {}
    }

    /// Gives both ends back. Once, when nobody uses it any more.
    public func close() {
        _ = Glibc.close(reader)
        _ = Glibc.close(writer)
    }
}

/// The machine's monotonic clock, in nanoseconds.
func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
