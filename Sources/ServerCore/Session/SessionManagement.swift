import DequeModule
import Settings
import Stanzas
import Telemetry
import XMLStream

/// Stream management (XEP-0198): acknowledgements both ways, and the time without a socket.
extension Session {
    /// What goes to another session or the inbox when this one ends.
    var unackedMessages: [UInt64] { queue.owed + (management?.ledger.owed ?? []) }
    /// Stanzas that the client has not acknowledged, or that its socket has not taken.
    public var unacked: Int { management?.ledger.count ?? queue.count }
    /// Whether the session outlives its socket.
    public var isResumable: Bool {
        // What was written before `<enable/>` is in no ledger: if that did not leave, the client must get it from its account.
        management?.id != nil && bind != nil && ended == nil && !queue.hasFates
    }
    public var isDetached: Bool { connection == nil && ended == nil && bind != nil }
    /// `h` of what the client sent and of what it acknowledged; nil without stream management.
    public var counters: (handled: UInt32, acknowledged: UInt32)? {
        management.map { ($0.handled, $0.ledger.acknowledgedThrough) }
    }

    // MARK: Enabling

    /// Begins to count. The caller then writes `<enabled/>`, before anything else.
    ///
    /// - Parameters:
    ///   - resumable: The client wants to be able to resume.
    ///   - maxSeconds: For how long, if it says so.
    public func enableManagement(resumable: Bool, maxSeconds: Int?) -> ManagementGrant {
        let settings = shard.core.settings.sessions
        // What the client counts begins behind `<enabled/>`.
        flush()
        let seconds = min(settings.resumeSeconds, maxSeconds.flatMap { $0 > 0 ? $0 : nil } ?? .max)
        let id = resumable && seconds > 0 ? makeManagementID() : nil
        management = Management(id: id, seconds: seconds, inbound: inbound)
        guard let id else {
            noteManagement()
            return ManagementGrant()
        }
        shard.resumable[id] = self.id
        noteManagement()
        return ManagementGrant(id: id, max: seconds, location: settings.location(ofNode: shard.core.nodeName))
    }

    /// 128 bits of chance: what a client must know to take the session over, and nothing else.
    private func makeManagementID() -> String {
        let random = shard.core.random
        return [random.next(), random.next()].map { (number: UInt64) in
            let text = String(number, radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }.joined()
    }

    // MARK: Acknowledgements

    /// The client sent `<r/>`.
    public func acknowledgementAsked() {
        guard ended == nil, management != nil else { return }
        management?.noteAsked(inbound)
        touch()
    }

    /// The client sent `<a/>`.
    public func acknowledged(through h: UInt32) {
        guard ended == nil, management != nil else { return }
        management?.requestedAt = nil
        if let error = acknowledge(h) { end(.protocolError(error)) }
    }

    /// Takes out what the client has. Returns how its stream ends when it cannot be true (XEP-0198 §6).
    func acknowledge(_ h: UInt32) -> StreamError? {
        shard.tracer?.acknowledges(self, h)
        guard let answer = management?.ledger.acknowledge(h) else { return nil }
        switch answer {
        case .tooHigh(let sent):
            var writer = XMLWriter()
            writer.empty("handled-count-too-high", xmlns: NS.streamManagement, ("h", String(h)), ("send-count", String(sent)))
            return StreamError(
                .undefinedCondition, text: "You acknowledged \(h) stanzas, but I only sent you \(sent) so far.",
                application: writer.bytes)
        case .acknowledged(let messages):
            shard.metrics.acknowledgementsIn.increment()
            ackedNow.append(contentsOf: messages)
            postAcknowledgements()
            writeLatePresence()
            return nil
        }
    }

    func noteHandled(_ stanzas: Int) {
        guard management != nil else { return }
        management?.noteHandled(
            stanzas, through: inbound.handledThrough, unaskedAfter: shard.core.settings.sessions.ackAfterStanzas)
        if management?.owesAnswer == true, canWrite { touch() }
    }

    /// Adds `<a/>` and `<r/>` to what this tick writes.
    func writeManagement() {
        guard let state = management else { return }
        if state.owesAnswer, let h = management?.tell() {
            var writer = XMLWriter()
            writer.empty("a", xmlns: NS.streamManagement, ("h", String(h)))
            gather()
            out.append(contentsOf: writer.bytes)
            shard.metrics.acknowledgementsOut.increment()
        }
        guard !state.ledger.isEmpty else { return }
        if state.unasked >= shard.core.settings.sessions.ackAfterStanzas, state.requestedAt == nil { writeRequest() }
        startManagementTimer()
    }

    private func writeRequest() {
        var writer = XMLWriter()
        writer.empty("r", xmlns: NS.streamManagement)
        gather()
        out.append(contentsOf: writer.bytes)
        management?.requestedAt = shard.loop.now
        management?.unasked = 0
    }

    private func startManagementTimer() {
        guard let state = management, state.timer == nil else { return }
        let settings = shard.core.settings.sessions
        let wait = Duration.seconds(state.requestedAt == nil ? settings.ackAfterSeconds : settings.ackTimeoutSeconds)
        startManagementTimer(wait)
    }

    private func startManagementTimer(_ wait: Duration) {
        let id = id
        management?.timer = shard.loop.schedule(after: wait) { [shard] in
            shard.enter { $0.sessions[id]?.managementTimeCame() }
        }
    }

    /// Looks whether the client has to be asked, or did not answer in time: its socket is dead then.
    private func managementTimeCame() {
        management?.timer = nil
        guard ended == nil, canWrite, let state = management, !state.ledger.isEmpty else { return }
        guard let asked = state.requestedAt else {
            writeRequest()
            startManagementTimer()
            return touch()
        }
        let deadline = asked + .seconds(shard.core.settings.sessions.ackTimeoutSeconds)
        guard deadline <= shard.loop.now else {
            return startManagementTimer(.nanoseconds(Int64(clamping: deadline.nanoseconds - shard.loop.now.nanoseconds)))
        }
        shard.core.metrics.acknowledgementTimeouts.increment()
        guard isResumable, let connection else { return end(.protocolError(StreamError(.connectionTimeout))) }
        detach()
        connection.close(StreamError(.connectionTimeout))
    }

    // MARK: What the home knows

    /// What the home keeps in mind of it; nil without stream management.
    var managementNote: ManagementNote? {
        management.map {
            ManagementNote(id: $0.id ?? "", base: $0.base, handled: $0.handled, isDetached: connection == nil, isExpected: isExpected)
        }
    }

    /// Tells the home; one that serves later is told then.
    func noteManagement() {
        guard let note = managementNote, let home = shard.placement.home(of: account) else { return }
        shard.post(.managed(account: account, session: ref, note), to: home)
    }

    // MARK: Without a socket

    /// The socket is gone: what comes now waits in the ledger, for a while.
    func detach() {
        guard let state = management else { return }
        connection = nil
        shard.tracer?.socketLost(session: id)
        isSilent = false
        queue.abandon()
        dropOutput()
        state.timer?.cancel()
        management?.timer = nil
        management?.requestedAt = nil
        management?.unasked = 0
        paceTimer?.cancel()
        paceTimer = nil
        reading = true
        detachedSince = shard.loop.now
        waitForClient(.seconds(state.seconds))
        noteManagement()
        shard.noteDetached(self)
    }

    /// The session ends after `wait` unless its client is back.
    func waitForClient(_ wait: Duration) {
        detachTimer?.cancel()
        detachedUntil = shard.loop.now + wait
        let id = id
        detachTimer = shard.loop.schedule(after: wait) { [shard] in
            shard.enter { $0.sessions[id]?.detachedTimeCame() }
        }
    }

    private func detachedTimeCame() {
        guard isDetached, let until = detachedUntil, until <= shard.loop.now else { return }
        // Nobody said whether it arrived where it was going: whoever knows has it, or it is over.
        if isHandedOver { vanish() } else { end(.expired) }
    }

    /// `seconds` of protocol time passed at once, under `[debug] manual_clock`.
    func skipTime(seconds: Int64) {
        guard isDetached, let until = detachedUntil else { return }
        let left = until.nanoseconds > shard.loop.now.nanoseconds ? until.nanoseconds - shard.loop.now.nanoseconds : 0
        waitForClient(max(.zero, .nanoseconds(Int64(clamping: left)) - .seconds(seconds)))
    }

    /// The session ends: nothing of stream management is left to wait for.
    func endManagement() {
        management?.timer?.cancel()
        management?.timer = nil
        dropResumption()
        quietTimer?.cancel()
        quietTimer = nil
        leaveDetached()
        if let id = management?.id, shard.resumable[id] == self.id { shard.resumable[id] = nil }
    }

    private func leaveDetached() {
        detachTimer?.cancel()
        detachTimer = nil
        expectationTimer?.cancel()
        expectationTimer = nil
        isExpected = false
        guard detachedSince != nil else { return }
        detachedSince = nil
        detachedUntil = nil
        shard.core.metrics.detachedSessions.add(-1)
    }

    /// Hands back what nobody keeps.
    func takeUnkept() -> [Stanza] {
        queue.takeUnkept() + (management?.ledger.takeUnkept(from: account.domainJID) ?? [])
    }

    // MARK: Resumption

    /// A stanza that is here already, from a stream before.
    func isSentAgain(_ stanza: Stanza) -> Bool { management?.isSentAgain(stanza) ?? false }

    /// Somebody wants to go on with it here: at once if everything it sent is handled, so that nothing needs to be sent again.
    func resume(by attempt: Resumption) {
        guard isResumable else {
            end(.replaced)
            return shard.finish(attempt, .failure(ResumeRefusal(.itemNotFound, h: management?.handled)), "here")
        }
        dropResumption()
        if let old = connection {
            // It may look alive for long: its client knows better.
            detach()
            old.close(StreamError(.conflict, text: "Resumed on another stream"))
        }
        resumption = attempt
        waitForQuiet()
    }

    /// The attempt that waits will not succeed.
    func dropResumption() {
        guard let attempt = resumption else { return }
        resumption = nil
        shard.finish(attempt, .failure(ResumeRefusal(.itemNotFound, h: management?.handled)), "here")
    }

    /// How long what the client sent may take to be handled before its session goes on, here or elsewhere, with it unhandled.
    private static let quietPatience = Duration.seconds(1)

    func waitForQuiet() {
        guard inbound.count > 0 else { return becameQuiet() }
        quietTimer?.cancel()
        let id = id
        quietTimer = shard.loop.schedule(after: Self.quietPatience) { [shard] in
            shard.enter { $0.sessions[id]?.becameQuiet() }
        }
    }

    /// Everything the client sent is handled, or it took too long.
    func becameQuiet() {
        quietTimer?.cancel()
        quietTimer = nil
        handOver()
        guard let attempt = resumption else { return }
        resumption = nil
        guard let connection = attempt.connection else { return }
        shard.finish(attempt, attach(connection, h: attempt.h), "here")
    }

    /// The client is back on a new stream: acknowledges what it has. Nothing is written until `resend`.
    func attach(_ connection: any ClientConnection, h: UInt32) -> Result<Resumed, ResumeRefusal> {
        guard let previd = management?.id, ended == nil else { return .failure(ResumeRefusal(.itemNotFound)) }
        guard isResumable else {
            end(.replaced)
            return .failure(ResumeRefusal(.itemNotFound, h: management?.handled))
        }
        if let error = acknowledge(h) {
            end(.protocolError(error))
            return .failure(ResumeRefusal(.unexpectedRequest, streamError: error))
        }
        leaveDetached()
        self.connection = connection
        isSilent = true
        reading = true
        // A stream that was resumed begins active (XEP-0352 §5.2).
        setActive(true)
        lastActivity = shard.loop.now
        noteManagement()
        checkReading()
        management?.noteResumed(inbound)
        return .success(Resumed(session: self, previd: previd, h: management?.tell() ?? 0))
    }

    /// `<resumed/>` is written: everything that the client has not acknowledged goes out again, in order, before anything new.
    public func resend() {
        guard ended == nil, isSilent, connection != nil, let ledger = management?.ledger else { return }
        isSilent = false
        gather()
        for entry in ledger.entries {
            note(nil, entry.stanza.kind)
            if entry.stanza.trace != 0 { traceWritten(entry.stanza, entry.message) }
            entry.stamped(by: account.domainJID).write(into: &out)
        }
        management?.ledger.noteAllWritten()
        management?.unasked = ledger.count
        writeLatePresence()
        touch()
    }
}
