internal import DequeModule
import Stanzas
import Telemetry

/// A loop of a node that leaves gives its sessions away: each goes to another node as a session without a socket, and then its socket is
/// cut, so that the client comes back and resumes there or anywhere (XEP-0198 §5). What cannot be resumed ends with `system-shutdown`.
///
/// The way is the one on which a client takes its session along (`AccountResumption`), only that no client asks: this loop asks another
/// for shelter, which asks the home, which moves the session through its gate as ever.
struct Drain {
    /// Sessions that were there when it began and are not asked to go yet.
    fileprivate var waiting: Deque<UInt64>
    /// When shelter was asked for, by session.
    fileprivate var asked: [UInt64: MonotonicTime] = [:]
    fileprivate let perStep: Int
    /// Counts the loops that were asked, so that they take turns.
    fileprivate var turn: Int
    fileprivate var done: (@Sendable () -> Void)?
    fileprivate var stepTimer: (any LoopTimer)?
    fileprivate var endTimer: (any LoopTimer)?
}

extension Shard {
    /// Between two steps in which sessions are let go.
    private static let drainStep = Duration.milliseconds(50)
    /// Shelter that was not given after so long is asked for again, elsewhere.
    private static let shelterPatience = Duration.seconds(1)
    /// What a session that was ended when the time was over has to hand back what it holds.
    private static let lastPatience = Duration.seconds(5)

    /// This node takes no more sessions: a client that comes is sent away, a session that comes is passed on.
    var isLeaving: Bool { drain != nil }

    /// Gives every session of this loop to other nodes, or ends it.
    ///
    /// - Parameters:
    ///   - patience: After this, sessions that are still here end with `system-shutdown`.
    ///   - perSecond: Sessions of this loop that are let go in a second, so that others are not stormed; more where `patience` asks for it.
    ///   - done: Called once when no session is left and what the accounts here know is written down, or a moment after `patience`.
    public func drain(patience: Duration, perSecond: Int = .max, done: @escaping @Sendable () -> Void) {
        drain?.stepTimer?.cancel()
        drain?.endTimer?.cancel()
        let earlier = drain?.done
        let begins = drain == nil
        let all = sessions.keys.sorted()
        // Two thirds of the time for the last to go, the rest for it to arrive.
        let seconds = max(1, patience.components.seconds * 2 / 3)
        let rate = max(perSecond, all.count / Int(clamping: seconds))
        let perStep = nextShelter == nil ? .max : max(1, rate / 20)
        // Loops begin at different places, so that one is not asked by all.
        drain = Drain(waiting: Deque(all), perStep: perStep, turn: Int(core.random.next() % 1_024)) {
            earlier?()
            done()
        }
        if begins {
            for (node, loops) in members where node != core.node { sayLeaving(true, to: node, loops: loops) }
            // Their sessions arrive all the same, and are passed on.
            for attempt in resuming.values { attempt.cut() }
        }
        for session in Array(componentSessions.values) { session.end(.shutdown) }
        drain?.endTimer = loop.schedule(after: patience) { self.enter { $0.drainTimeCame() } }
        drainStep()
    }

    /// Takes sessions again.
    public func undrain() {
        guard let drain else { return }
        drain.stepTimer?.cancel()
        drain.endTimer?.cancel()
        self.drain = nil
        for (node, loops) in members where node != core.node { sayLeaving(false, to: node, loops: loops) }
        drain.done?()
    }

    func sayLeaving(_ leaves: Bool, to node: UInt64, loops: UInt16) {
        for loop in 0..<loops { post(.leaves(node: core.node, leaves), to: ShardAddress(node: node, loop: loop)) }
    }

    // MARK: Letting go

    private func drainStep() {
        guard var state = drain else { return }
        var some: [UInt64] = []
        while some.count < state.perStep, let next = state.waiting.popFirst() { some.append(next) }
        // Where nobody answered, where the home changed meanwhile: again, and perhaps at another node.
        let before = loop.now
        for (id, at) in state.asked where at + Self.shelterPatience <= before {
            state.asked[id] = nil
            some.append(id)
        }
        drain = state
        for id in some { if let session = sessions[id] { giveAway(session) } }
        drained()
        scheduleDrainStep()
    }

    private func scheduleDrainStep() {
        guard let drain, drain.stepTimer == nil, !drain.waiting.isEmpty || !drain.asked.isEmpty else { return }
        self.drain?.stepTimer = loop.schedule(after: Self.drainStep) {
            self.enter { shard in
                shard.drain?.stepTimer = nil
                shard.drainStep()
            }
        }
    }

    /// A session has to leave this node.
    func giveAway(_ session: Session) {
        guard isLeaving, session.ended == nil else { return }
        guard session.isResumable, let id = session.management?.id, let shelter = nextShelter else { return session.end(.shutdown) }
        drain?.turn &+= 1
        drain?.asked[session.id] = loop.now
        // On its way with its client, it needs no shelter; if that comes to nothing, it is asked for again.
        if session.leaving == nil {
            let isExpected = session.connection != nil || session.isExpected
            post(.shelter(ShelterRequest(account: session.account, id: id, session: session.ref, isExpected: isExpected)), to: shelter)
        }
        scheduleDrainStep()
    }

    /// The loop of another node whose turn it is; nil when there is none that stays.
    private var nextShelter: ShardAddress? {
        let nodes = members.filter { $0.key != core.node && !leavingNodes.contains($0.key) }.sorted { $0.key < $1.key }
        guard !nodes.isEmpty else { return nil }
        let turn = drain?.turn ?? 0
        let (node, loops) = nodes[turn % nodes.count]
        return ShardAddress(node: node, loop: UInt16(truncatingIfNeeded: turn / nodes.count % Int(max(1, loops))))
    }

    private func drainTimeCame() {
        guard isLeaving else { return }
        drain?.waiting.removeAll()
        drain?.asked.removeAll()
        drain?.endTimer = loop.schedule(after: Self.lastPatience) { self.enter { $0.finishDrain() } }
        for session in Array(sessions.values) { session.end(.shutdown) }
        drained()
    }

    /// A session is gone from here. One that was asked for here may still arrive, and has to go on then.
    func drained() {
        if isLeaving, sessions.isEmpty, resuming.isEmpty, componentSessions.isEmpty { finishDrain() }
    }

    private func finishDrain() {
        guard let done = drain?.done else { return }
        drain?.done = nil
        drain?.endTimer?.cancel()
        drain?.asked.removeAll()
        // After the mail of this tick left, and what the accounts here know is written down.
        settle(done)
    }

    // MARK: Taking in

    /// Another node leaves and gives a session of its own away.
    func shelter(_ request: ShelterRequest) {
        nextSessionID += 1
        let attempt = Resumption(sheltering: request)
        attempt.session = SessionRef(shard: address, id: nextSessionID)
        resuming[nextSessionID] = attempt
        ask(for: attempt)
    }
}
