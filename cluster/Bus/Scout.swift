import Glibc
import Synchronization

/// Looks at the run directory, on a thread of its own: what it does may wait for a disk, and no loop does.
///
/// It says which names live, at once when the directory changes and every half second besides; and of a node whose link was lost it
/// says when its lock is free, which the kernel does milliseconds after the end of the process.
final class Scout: Sendable {
    enum Report: Sendable {
        /// Names with a socket whose lock is held.
        case living([String])
        /// The lock of a suspect is free, or another incarnation holds it.
        case dead(name: String, incarnation: UInt64)
    }

    private struct State {
        var suspects: [String: UInt64] = [:]
        var stops = false
        var thread: OSThread?
    }

    private let directory: RunDirectory
    private let me: String
    private let waker: Waker
    private let state = Mutex(State())
    /// Between two looks at the directory; and between two at the lock of a suspect.
    private static let (scanInterval, suspectInterval): (UInt64, UInt64) = (500_000_000, 5_000_000)

    init(directory: RunDirectory, me: String) throws(BusError) {
        self.directory = directory
        self.me = me
        waker = try Waker()
    }

    func start(report: @escaping @Sendable (Report) -> Void) throws(BusError) {
        let thread = try OSThread(name: "bus-scout") { self.run(report) }
        state.withLock { $0.thread = thread }
    }

    /// The link to it was lost.
    func suspect(_ name: String, incarnation: UInt64) {
        state.withLock { $0.suspects[name] = incarnation }
        waker.wake()
    }

    /// It is linked again, or known to be dead.
    func clear(_ name: String) { state.withLock { _ = $0.suspects.removeValue(forKey: name) } }

    /// Ends the thread, if it was started. Once only.
    func stop() {
        let thread = state.withLock {
            $0.stops = true
            return $0.thread
        }
        waker.wake()
        thread?.join()
        waker.close()
    }

    private func run(_ report: @Sendable (Report) -> Void) {
        let watch = inotify_init1(Int32(truncatingIfNeeded: IN_CLOEXEC) | Int32(truncatingIfNeeded: IN_NONBLOCK))
        if watch >= 0 { inotify_add_watch(watch, directory.path, UInt32(truncatingIfNeeded: IN_CREATE | IN_MOVED_TO)) }
        defer { if watch >= 0 { close(watch) } }
        var nextScan: UInt64 = 0
        while true {
            let (stops, suspects) = state.withLock { ($0.stops, $0.suspects) }
            if stops { return }
            for (name, incarnation) in suspects where isDead(name, incarnation) {
                clear(name)
                report(.dead(name: name, incarnation: incarnation))
                // Who bears the name now is to be met at once.
                nextScan = 0
            }
            let now = monotonicNow()
            if now >= nextScan {
                nextScan = now + Self.scanInterval
                report(.living(directory.names().filter { $0 != me && directory.holder(of: $0) != .nobody }))
            }
            let pause = suspects.isEmpty ? nextScan - now : min(Self.suspectInterval, nextScan - now)
            if wait(watch, nanoseconds: pause) { nextScan = 0 }
        }
    }

    private func isDead(_ name: String, _ incarnation: UInt64) -> Bool {
        switch directory.holder(of: name) {
        case .nobody: true
        case .living(let other): other.map { $0 != incarnation } ?? false
        }
    }

    /// True when the directory changed.
    private func wait(_ watch: Int32, nanoseconds: UInt64) -> Bool {
        var files = [pollfd(fd: waker.reader, events: Int16(POLLIN), revents: 0), pollfd(fd: watch, events: Int16(POLLIN), revents: 0)]
        // Rounded up: a pause of less than a millisecond would be none.
        poll(&files, 2, Int32(clamping: (nanoseconds + 999_999) / 1_000_000))
        if files[0].revents != 0 { waker.drain() }
        guard files[1].revents & Int16(POLLIN) != 0 else { return false }
        var events = [UInt8](repeating: 0, count: 4096)
        while read(watch, &events, events.count) > 0 {}
        return true
    }
}
