import Glibc

/// A thread for a client that blocks: the tasks of Swift must not.
public final class ProcessThread {
    private var handle = pthread_t()
    private var isJoined = false

    public init(_ body: @escaping @Sendable () -> Void) throws {
        let box = Unmanaged.passRetained(ThreadBody(body))
        let result = pthread_create(&handle, nil, runProcessThread, box.toOpaque())
        guard result == 0 else {
            box.release()
            throw ProcessFailure("no thread: \(String(cString: strerror(result)))")
        }
    }

    /// Waits for its end.
    public func join() {
        guard !isJoined else { return }
        isJoined = true
        pthread_join(handle, nil)
    }

    deinit { join() }
}

private final class ThreadBody {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runProcessThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
    return nil
}
