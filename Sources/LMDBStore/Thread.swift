import Glibc
import Store

/// A thread of the store: it may wait for the disk, and takes no signals.
struct Thread: @unchecked Sendable {
    // @unchecked: a pthread_t is a plain name of a thread.
    private let handle: pthread_t

    /// Starts a thread. `name` shows in `ps -L`; 15 bytes at most.
    init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(StoreFailure) {
        let box = Unmanaged.passRetained(Body(name: name, run: body))
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // A fault of the thread's own must find its handler (`DataFile`): blocked, it ends the process without a word.
        for fault in [SIGBUS, SIGSEGV, SIGFPE, SIGABRT, SIGILL, SIGTRAP] { sigdelset(&all, fault) }
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var handle = pthread_t()
        let result = pthread_create(&handle, nil, runThread, box.toOpaque())
        guard result == 0 else {
            box.release()
            throw .io("no thread can be started: \(systemText(result))")
        }
        self.handle = handle
    }

    /// Makes the calling thread, and those that it starts, give way to all others of the machine. Never undone: for threads with one task.
    static func yieldToOthers() {
        // On Linux the priority is the thread's own, and 0 names the caller.
        _ = setpriority(Int32(PRIO_PROCESS.rawValue), 0, 15)
    }

    /// Waits for its end. Once, and never from the thread itself.
    func join() { pthread_join(handle, nil) }

    /// Lets it end unobserved.
    func detach() { pthread_detach(handle) }

    fileprivate final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
}

private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let body = Unmanaged<Thread.Body>.fromOpaque(argument).takeRetainedValue()
    nameThread(body.name)
    body.run()
    return nil
}

/// Names the calling thread as `pthread_setname_np` does, which is not in reach. A thread without its name works as well.
private func nameThread(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    let bytes = Array(name.utf8.prefix(15))
    _ = write(descriptor, bytes, bytes.count)
    close(descriptor)
}

/// The system's words for an error number.
func systemText(_ code: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0 else { return "error \(code)" }
        return String(cString: base)
    }
}
