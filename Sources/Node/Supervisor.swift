import Bus
import Glibc
import LMDBStore
import Logging
import ServerCore
import Settings
import Store
import Synchronization
import Telemetry

/// The service manager that started this process, and what it is told: that the node serves, how it fares, that it reloads or stops,
/// and as long as every event loop answers, that it need not be restarted (sd_notify(3), sd_watchdog_enabled(3)).
///
/// A thread of its own asks the loops, so that neither the disk nor a loop can keep it from telling the truth.
public final class Supervisor: Sendable {
    private struct Loop {
        /// It was asked and has not answered.
        var isAsked = false
        var owner: Placement.Owner?
    }

    private struct State {
        var loops: [Loop] = []
        var stops = false
        var ends = false
        var isReady = false
        var thread: OSThread?
    }

    /// How often loops are asked while the node does not serve yet, in milliseconds.
    private static let eager: UInt64 = 50
    /// The same afterwards, when the watchdog does not want it more often.
    private static let calm: UInt64 = 5_000

    private let socket: NotifySocket
    private let waker: Waker
    private let state = Mutex(State())
    /// Held while something is sent that must not come behind the word that the node stops. Loops never wait for it.
    private let voice = Mutex(())
    /// Nil when no watchdog waits; otherwise milliseconds between two signs of life, a quarter of its patience.
    private let watchdog: UInt64?

    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, and takes them out of the environment: they are not for children.
    /// Called once, before there are threads.
    ///
    /// - Returns: nil when nobody wants to be told.
    public static func fromEnvironment() -> Supervisor? {
        func take(_ name: String) -> String? {
            defer { unsetenv(name) }
            return getenv(name).map { String(cString: $0) }
        }
        let (name, patience, pid) = (take("NOTIFY_SOCKET"), take("WATCHDOG_USEC"), take("WATCHDOG_PID"))
        guard let name, let socket = NotifySocket(name), let waker = try? Waker() else { return nil }
        // A watchdog of another process is not ours to feed.
        let isOurs = pid == nil || pid == String(getpid())
        return Supervisor(socket, waker, isOurs ? patience.flatMap { UInt64($0) } : nil)
    }

    private init(_ socket: NotifySocket, _ waker: Waker, _ microseconds: UInt64?) {
        self.socket = socket
        self.waker = waker
        watchdog = microseconds.flatMap { $0 == 0 ? nil : max(1, $0 / 4_000) }
    }

    /// Begins to watch a node that has started: READY as soon as all its loops know a keeper that serves.
    public func watch(_ node: Node) throws {
        let log = Logger(label: LogArea.node.rawValue)
        state.withLock { $0.loops = Array(repeating: Loop(), count: node.shards.count) }
        let thread = try OSThread(name: "supervisor") { self.run(node, log) }
        state.withLock { $0.thread = thread }
    }

    /// Runs `body`, and says when it begins and ends.
    public func reload(_ body: () -> Void) {
        socket.send(["RELOADING=1", "MONOTONIC_USEC=\(Self.now)"])
        body()
        // A node that does not serve yet is not ready by having reloaded.
        voice.withLock { _ in if state.withLock({ $0.isReady && !$0.stops }) { socket.send(["READY=1"]) } }
    }

    /// Says that the node is about to stop, and how long that may take. No loop is asked afterwards.
    ///
    /// - Parameter comesBack: the same process begins anew: a service that stops is not waited for, one that reloads is.
    public func stopping(within patience: Duration, comesBack: Bool) {
        voice.withLock { _ in
            state.withLock { $0.stops = true }
            let what = comesBack ? ["RELOADING=1", "MONOTONIC_USEC=\(Self.now)", "STATUS=restarting"] : ["STOPPING=1", "STATUS=stopping"]
            socket.send(what + ["EXTEND_TIMEOUT_USEC=\(max(0, patience.components.seconds) &* 1_000_000)"])
        }
    }

    /// Says why the process ends without having served.
    public func failed(_ sentence: String) {
        // An assignment is a line.
        socket.send(["STATUS=" + sentence.split(whereSeparator: \.isNewline).joined(separator: " ")])
    }

    /// Ends the thread: the last thing of the process.
    public func end() {
        let thread = state.withLock { state in
            state.ends = true
            return state.thread
        }
        waker.wake()
        thread?.join()
    }

    /// The monotonic clock in microseconds, as the service manager reads it.
    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec) / 1_000
    }

    // MARK: The thread

    private func run(_ node: Node, _ log: Logger) {
        var isReady = false
        var wasSilent = false
        while !state.withLock({ $0.ends }) {
            ask(node)
            wait(isReady ? min(watchdog ?? Self.calm, Self.calm) : min(watchdog ?? Self.eager, Self.eager))
            let (loops, stops, ends) = state.withLock { ($0.loops, $0.stops, $0.ends) }
            if ends { return }
            if stops {
                // Stopping has a deadline of its own.
                if watchdog != nil { socket.send(["WATCHDOG=1"]) }
                continue
            }
            let silent = loops.indices.filter { loops[$0].isAsked }
            var news = [
                "STATUS=" + (silent.isEmpty || !isReady ? node.condition(loops[0].owner) : "event loops \(Self.list(silent)) do not answer")
            ]
            if !isReady, loops.allSatisfy({ $0.owner?.serves == true }) {
                isReady = true
                state.withLock { $0.isReady = true }
                news.append("READY=1")
            }
            if silent.isEmpty {
                if watchdog != nil { news.append("WATCHDOG=1") }
            } else if isReady, !wasSilent {
                log.error("event loops do not answer", metadata: ["loops": "\(Self.list(silent))"])
            }
            wasSilent = !silent.isEmpty
            voice.withLock { _ in if !state.withLock({ $0.stops }) { socket.send(news) } }
        }
    }

    private static func list(_ loops: [Int]) -> String { loops.map { "\($0)" }.joined(separator: " ") }

    /// Asks those loops that owe no answer.
    private func ask(_ node: Node) {
        state.withLock { state in
            guard !state.stops else { return }
            for (index, shard) in node.shards.enumerated() where !state.loops[index].isAsked {
                state.loops[index].isAsked = true
                shard.enter { shard in
                    let owner = shard.placement.owner
                    self.state.withLock { $0.loops[index] = Loop(isAsked: false, owner: owner) }
                }
            }
        }
    }

    /// Until the time is over, or the end has come.
    private func wait(_ milliseconds: UInt64) {
        var file = pollfd(fd: waker.reader, events: Int16(POLLIN), revents: 0)
        poll(&file, 1, Int32(clamping: milliseconds))
    }
}

extension Node {
    /// One line for people who ask the service manager.
    fileprivate func condition(_ owner: Placement.Owner?) -> String {
        guard let owner else { return "waits for a node that keeps the store" }
        guard owner.serves else { return "waits until the keeper of the store has heard of all sessions" }
        let role = owner.node == core.node ? "keeps the store" : "serves"
        var text = "\(role), epoch \(owner.epoch), \(core.metrics.sessions.value) sessions"
        if case .readOnly = volume.statistics.state { text += "; the store takes no writes" }
        return text
    }
}
