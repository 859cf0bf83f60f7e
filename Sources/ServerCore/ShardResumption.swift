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
    private var completion: ((Result<Resumed, ResumeRefusal>) -> Void)?

    init(
        account: JID, previd: String, h: UInt32, connection: any ClientConnection,
        completion: @escaping (Result<Resumed, ResumeRefusal>) -> Void
    ) {
        self.account = account
        self.previd = previd
        self.h = h
        self.connection = connection
        self.completion = completion
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
        guard let connection = attempt.connection else { return }
        if let session = resumable[attempt.previd].flatMap({ sessions[$0] }), session.account == attempt.account, session.ended == nil {
            return finish(attempt, session.attach(connection, h: attempt.h), "here")
        }
        finish(attempt, .failure(ResumeRefusal(.itemNotFound)), "refused")
    }

    private func finish(_ attempt: Resumption, _ result: Result<Resumed, ResumeRefusal>, _ outcome: String) {
        if case .success = result { core.metrics.resumed(outcome) } else { core.metrics.resumed("refused") }
        attempt.finish(result)
    }

    // MARK: Without sockets

    /// A session lost its socket: above the bound of this loop the oldest goes.
    func noteDetached(_ session: Session) {
        core.metrics.detachedSessions.add(1)
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
