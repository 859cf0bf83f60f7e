internal import Dispatch
public import Logging
public import ServerCore
internal import Synchronization
public import Telemetry

/// Asks every loop of the process, twice a second, to say that it turns: how long that takes is what every stanza waits too.
public final class LoopWatch: Sendable {
    /// After this time without an answer a loop is stalled.
    public static let patience = Duration.seconds(5)
    private static let interval = DispatchTimeInterval.milliseconds(500)

    private struct State {
        /// When each loop was asked what it has not answered yet.
        var asked: [MonotonicTime?]
        /// Those that were reported.
        var stalled: Set<Int> = []
        var isRunning = false
        /// When the loops were last asked: this thread may be the one that does not turn.
        var lastRound: MonotonicTime?
    }

    private let loops: [any Loop]
    private let lags: [LoopHistogram]
    private let state: Mutex<State>
    private let log: Logger
    private let queue = DispatchQueue(label: "loop-watch")

    /// - Throws: `RegistrationError` when a name is taken.
    public init(loops: [any Loop], registry: Registry, log: Logger) throws(RegistrationError) {
        self.loops = loops
        self.log = log
        lags = loops.map { _ in LoopHistogram() }
        state = Mutex(State(asked: loops.map { _ in nil }))
        for (index, lag) in lags.enumerated() {
            try registry.distribution(
                "martlet_loop_lag_seconds", help: "What a piece of work waits before an event loop begins it, tried twice a second.",
                labels: [("loop", "\(index)")], unit: .microseconds
            ) { lag.reading }
        }
    }

    /// By loop, in microseconds.
    public var lag: [Distribution] { lags.map(\.reading) }

    /// Begins to ask, on a thread of its own.
    public func start() {
        state.withLock { $0.isRunning = true }
        queue.async { [weak self] in self?.turn() }
    }

    public func stop() { state.withLock { $0.isRunning = false } }

    private func turn() {
        guard state.withLock({ $0.isRunning }) else { return }
        round()
        queue.asyncAfter(deadline: .now() + Self.interval) { [weak self] in self?.turn() }
    }

    func round() {
        let now = MonotonicTime.now
        for (index, loop) in loops.enumerated() {
            let isFree = state.withLock { state in
                state.lastRound = now
                guard state.asked[index] == nil else { return false }
                state.asked[index] = now
                return true
            }
            if isFree { loop.execute { self.answered(index, asked: now) } } else { complain(index, now) }
        }
    }

    private func answered(_ index: Int, asked: MonotonicTime) {
        let waited = MonotonicTime.now.microseconds(since: asked)
        lags[index].observe(waited)
        let wasStalled = state.withLock { state in
            state.asked[index] = nil
            return state.stalled.remove(index) != nil
        }
        if wasStalled {
            log.notice(
                "a loop answers again",
                metadata: ["event": "\(Event.loopAnswers)", "loop": "\(index)", "seconds": "\(waited / 1_000_000)"])
        }
    }

    private func complain(_ index: Int, _ now: MonotonicTime) {
        let isNew = state.withLock { state in
            guard let asked = state.asked[index], asked + Self.patience < now else { return false }
            return state.stalled.insert(index).inserted
        }
        if isNew {
            log.critical("a loop does not answer: its clients wait", metadata: ["event": "\(Event.loopStalled)", "loop": "\(index)"])
        }
    }

    /// The loops that have not answered for so long that something is wrong.
    public func stalled(within patience: Duration = LoopWatch.patience) -> [Int] {
        let now = MonotonicTime.now
        return state.withLock { state in
            state.asked.indices.filter { index in state.asked[index].map { $0 + patience < now } ?? false }
        }
    }

    /// Whether every loop turns, and the watch itself.
    public func health() -> Health {
        var problems = stalled().map { "loop \($0) has not answered for \(Self.patience.components.seconds) s" }
        let last = state.withLock { $0.lastRound }
        if let last, last + Self.patience < MonotonicTime.now { problems.append("the watch over the loops stands still") }
        return Health(problems)
    }
}
