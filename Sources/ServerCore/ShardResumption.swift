public import Stanzas
internal import DequeModule
import Settings
import Telemetry

/// An attempt to resume a session that is under way (XEP-0198 §5).
public final class Resumption {
    let account: JID
    let previd: String
    let h: UInt32
    /// Nil when it is gone.
    private(set) var connection: (any ClientConnection)?
    /// What was known of the connection when it came.
    let facts: ConnectionFacts
    /// What the session will be here.
    var session: SessionRef?
    /// Not a client's: the session of a node that leaves.
    let sheltered: ShelterRequest?
    private var completion: ((Result<Resumed, ResumeRefusal>) -> Void)?

    init(
        account: JID, previd: String, h: UInt32, connection: any ClientConnection,
        completion: @escaping (Result<Resumed, ResumeRefusal>) -> Void
    ) {
        self.account = account
        self.previd = previd
        self.h = h
        self.connection = connection
        facts = connection.facts
        sheltered = nil
        self.completion = completion
    }

    /// Nobody waits for it: the session is to be here because its node leaves.
    init(sheltering request: ShelterRequest) {
        account = request.account
        previd = request.id
        h = 0
        facts = ConnectionFacts(remoteAddress: "", localPort: 0, mechanism: "", since: 0)
        sheltered = request
    }

    /// This node leaves: the client is to try at another, where its session will be.
    func cut() {
        let connection = connection
        streamClosed()
        connection?.cut()
    }

    /// The stream is over before the attempt is: nobody is told how that comes out. Called by the connection.
    public func streamClosed() {
        connection = nil
        completion = nil
    }

    func finish(_ result: Result<Resumed, ResumeRefusal>) {
        let completion = completion
        self.completion = nil
        completion?(result)
    }
}

extension Shard {
    /// Resumes a session over a new stream.
    ///
    /// - Parameters:
    ///   - account: Bare JID that was authenticated; a session of another is not found.
    ///   - previd: The SM-ID.
    ///   - h: Stanzas that the client has.
    ///   - completion: Called once on this loop, unless the connection says `streamClosed` to the result first. On success the
    ///     connection writes `<resumed/>` and then calls `Session.resend`.
    @discardableResult
    public func resume(
        account: JID, previd: String, h: UInt32, connection: any ClientConnection,
        completion: @escaping (Result<Resumed, ResumeRefusal>) -> Void
    ) -> Resumption {
        let attempt = Resumption(account: account.bare, previd: previd, h: h, connection: connection, completion: completion)
        nonisolated(unsafe) let waiting = attempt
        enter { $0.resume(waiting) }
        return attempt
    }

    private func resume(_ attempt: Resumption) {
        guard attempt.connection != nil else { return }
        guard !isLeaving else { return attempt.cut() }
        if let session = resumable[attempt.previd].flatMap({ sessions[$0] }), session.account == attempt.account, session.ended == nil,
            session.leaving == nil
        {
            return session.resume(by: attempt)
        }
        nextSessionID += 1
        attempt.session = SessionRef(shard: address, id: nextSessionID)
        resuming[nextSessionID] = attempt
        ask(for: attempt)
    }

    /// Asks the home for a session that is elsewhere, or nowhere.
    func ask(for attempt: Resumption) {
        guard let session = attempt.session, let home = placement.home(of: attempt.account) else { return }
        let request = ResumeRequest(
            account: attempt.account, previd: attempt.previd, session: session, sheltered: attempt.sheltered?.session)
        post(.resume(request), to: home)
    }

    /// A new home serves: it is asked for what the old one was asked for.
    func resumeAgain() {
        for (id, attempt) in resuming.sorted(by: { $0.key < $1.key }) {
            if attempt.connection == nil { resuming[id] = nil } else { ask(for: attempt) }
        }
        drained()
    }

    func resumeRefused(_ id: UInt64, _ refusal: ResumeRefusal) {
        guard let attempt = resuming.removeValue(forKey: id) else { return }
        finish(attempt, .failure(refusal), "refused")
        drained()
    }

    /// The session that a client here asked for. Its old loop keeps it until it hears that it has arrived.
    func adopt(_ state: SessionState, as id: UInt64, from old: SessionRef) {
        guard let attempt = resuming.removeValue(forKey: id), sessions[id] == nil,
            let full = try? attempt.account.with(resource: state.resource)
        else { return }
        let session = Session(state, id: id, account: attempt.account, fullJID: full, facts: attempt.facts, shard: self)
        sessions[id] = session
        post(.forget(session: old.id), to: old.shard)
        session.arrive()
        if let connection = attempt.connection {
            finish(attempt, session.attach(connection, h: attempt.h), "moved")
        } else {
            if attempt.sheltered != nil { core.metrics.shelteredSessions.increment() }
            session.waitHere(isExpected: attempt.sheltered?.isExpected ?? false)
        }
        if isLeaving { giveAway(session) }
    }

    /// The home wants a session for a client at another loop.
    func handOver(_ id: UInt64, of account: JID, to new: SessionRef, asking epoch: UInt64) {
        if let session = sessions[id], session.ended == nil {
            if session.isResumable { return session.leave(to: new, asking: epoch) }
            session.end(.replaced)
        }
        guard let home = placement.home(of: account, asking: epoch) else { return }
        post(.moved(account: account, from: SessionRef(shard: address, id: id), to: new, state: nil), to: home)
    }

    func finish(_ attempt: Resumption, _ result: Result<Resumed, ResumeRefusal>, _ outcome: String) {
        guard attempt.sheltered == nil else { return }
        // A client that hears no refusal here tries at the next node, where its session is or will be.
        if isLeaving, case .failure(let refusal) = result, refusal.streamError == nil { return attempt.cut() }
        if case .success = result { core.metrics.resumed(outcome) } else { core.metrics.resumed("refused") }
        attempt.finish(result)
    }

    // MARK: Without sockets

    /// A session lost its socket: above the bound of this loop the oldest goes.
    func noteDetached(_ session: Session) {
        core.metrics.detachedSessions.add(1)
        if !session.isExpected { boundDetached(session) }
    }

    /// It waits, and nobody knows for how long.
    func boundDetached(_ session: Session) {
        detached.append(session.id)
        let bound = max(1, core.settings.sessions.detachedPerNode / max(1, Int(core.loopCount)))
        guard detached.count > bound else { return }
        // Those that are attached again, or gone, stand here no more.
        var seen: Set<UInt64> = []
        detached = Deque(detached.reversed().filter { sessions[$0]?.isDetached == true && seen.insert($0).inserted }.reversed())
        while detached.count > bound, let oldest = detached.popFirst() { sessions[oldest]?.end(.expired) }
    }

    /// Moves the timers of the protocol, where `[debug] manual_clock` lets the clock be moved.
    public func skipTime(seconds: Int64) {
        for session in Array(sessions.values) { session.skipTime(seconds: seconds) }
    }
}
