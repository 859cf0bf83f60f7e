import Settings
import Telemetry
internal import DequeModule
public import Stanzas

/// The object on the loop of a client's socket that *delivers*: stream, numbers of what came in, queue of what goes out.
///
/// It decides nothing about stanzas; its account does, at the home. A stream dies with its socket, a session ends by `end`,
/// and by nothing else.
public final class Session {
    public let id: UInt64
    public let account: JID
    /// Full JID; the bare one until the home granted a resource.
    public private(set) var fullJID: JID
    /// When the session was bound, wall clock µs.
    public private(set) var since: Int64
    public private(set) var bind: BindID?
    public let connection: any ClientConnection
    unowned let shard: Shard

    var inbound = InboundLedger()
    private var held = AnswerHold()
    /// Written and not yet handed to the kernel.
    private var queue = OutQueue()
    private var ackedNow: [UInt64] = []
    /// The last acknowledged messages, for a home that died before it wrote that down.
    private var ackedLately: Deque<(message: UInt64, at: MonotonicTime)> = []
    private(set) var deliveredThrough: UInt64 = 0
    private var out: [UInt8] = []
    /// The last presence of each sender that came while the queue was full, in the order of their first.
    private var latePresence: [JID: Stanza] = [:]
    private var latePresenceOrder: [JID] = []
    /// The client is inactive, and what waits until it is not (`SessionClientState`).
    var isInactive = false
    var clientState = ClientStateHold()
    var clientStateTimer: (any LoopTimer)?
    private var isDirty = false
    private var reading = true
    private var pace = Pace()
    private var paceTimer: (any LoopTimer)?
    public private(set) var stanzasIn: UInt64 = 0
    public private(set) var stanzasOut: UInt64 = 0
    public private(set) var lastActivity: MonotonicTime
    /// What a new home must know of the client's presence.
    var presence = PresenceMemory()
    /// Why nobody attends to the client.
    var sleep: Resource.Flags = []
    /// Bits of `Resource.Flags`: what the home must know.
    var flags: UInt8 { presence.flags | sleep.rawValue }
    private var bindCompletion: ((Result<Session, StanzaError>) -> Void)?
    public private(set) var ended: EndReason?
    /// Why this side is ending it.
    private var ending: EndReason?
    private var departurePosted = false
    private let requestedResource: String?
    private let terms: BindTerms
    private var bindPosted = false

    init(
        id: UInt64, account: JID, resource: String?, terms: BindTerms = BindTerms(), connection: any ClientConnection, shard: Shard,
        completion: @escaping (Result<Session, StanzaError>) -> Void
    ) {
        self.id = id
        self.account = account
        self.fullJID = account
        self.connection = connection
        self.shard = shard
        requestedResource = resource
        self.terms = terms
        presence = PresenceMemory(flags: terms.flags)
        bindCompletion = completion
        since = shard.core.clock.now
        lastActivity = shard.loop.now
        out.reserveCapacity(512)
    }

    /// How the home knows this session.
    public var ref: SessionRef { SessionRef(shard: shard.address, id: id) }
    /// Submissions that are not handled yet.
    public var unhandled: Int { inbound.count }
    /// Bytes that the socket has not taken yet.
    public var bytesWaiting: Int { queue.bytes + out.count }
    /// Stanzas that the socket has not taken yet.
    public var stanzasWaiting: Int { queue.count }

    // MARK: Binding

    func requestBind() {
        guard bind == nil, ended == nil, !bindPosted, let home = shard.placement.home(of: account) else { return }
        bindPosted = true
        shard.post(.bind(BindRequest(account: account, resource: requestedResource, session: ref, terms: terms)), to: home)
    }

    func bound(_ answer: BindAnswer) {
        guard bind == nil else { return }
        switch answer {
        case .granted(let resource, let bind, let epoch):
            // From a home that died: the next one is asked anew, and knows nothing of this.
            guard epoch == shard.placement.epoch else { return }
            guard let full = try? account.with(resource: resource) else { return refuse(StanzaError(.badRequest)) }
            self.bind = bind
            fullJID = full
            since = shard.core.clock.now
            guard ended == nil else {
                // The client left while the home was granting.
                return depart()
            }
            shard.core.metrics.sessionsBound.increment()
            shard.core.metrics.sessions.add(1)
            let completion = bindCompletion
            bindCompletion = nil
            completion?(.success(self))
        case .refused(let error): refuse(error)
        }
    }

    private func refuse(_ error: StanzaError) {
        let completion = bindCompletion
        bindCompletion = nil
        shard.remove(self)
        if ended == nil { completion?(.failure(error)) }
    }

    // MARK: From the client

    /// Takes a stanza from the client's stream: numbers it and posts it to the account's home.
    ///
    /// - Parameter size: Bytes it took on the wire, for back-pressure.
    public func submit(_ stanza: Stanza, size: Int) {
        guard ended == nil, bind != nil else { return }
        stanzasIn &+= 1
        shard.core.metrics.stanzasIn.increment()
        lastActivity = shard.loop.now
        var stanza = stanza
        stanza.from = fullJID
        presence.noteSubmitted(stanza, inSeq: inbound.nextSeq, at: shard.loop.now)
        let entry = inbound.add(stanza, size: size)
        shard.unhandledBytes += size
        post(entry)
        checkPace()
        checkReading()
    }

    /// `limits.stanzasPerSecond`: a client that sends faster is read no further until its time has come.
    private func checkPace() {
        guard paceTimer == nil, let wait = pace.note(at: shard.loop.now, perSecond: shard.core.settings.limits.stanzasPerSecond) else {
            return
        }
        shard.core.metrics.rateLimited.increment()
        let id = id
        paceTimer = shard.loop.schedule(after: wait) { [shard] in
            shard.enter { shard in
                guard let session = shard.sessions[id] else { return }
                session.paceTimer = nil
                session.checkReading()
            }
        }
    }

    private func post(_ entry: InboundLedger.Entry) {
        guard let home = shard.placement.home(of: account) else { return }
        guard entry.sentEpoch != shard.placement.epoch else { return }
        inbound.markSent(entry.seq, epoch: shard.placement.epoch)
        let ticket = Ticket(session: ref, inSeq: entry.seq, isRepeat: entry.sentEpoch != 0, settled: inbound.handledThrough)
        shard.post(.submit(account: account, ticket: ticket, stanza: entry.stanza), to: home)
    }

    /// A new home serves: everything unhandled goes to it again, in order.
    func submitAgain() {
        if bind == nil {
            bindPosted = false
            // The client left while a home was granting that died: the new one knows of no grant.
            if ended == nil { requestBind() } else { shard.remove(self) }
            return
        }
        for entry in inbound.unhandled where !entry.isHandled { post(entry) }
        postAcknowledgements()
        if ended != nil {
            departurePosted = false
            depart()
        }
    }

    func completed(_ inSeq: UInt32, _ half: CompletionHalf, refusal: StanzaError?) {
        guard let entry = inbound.entry(inSeq) else { return }
        if let refusal, !entry.refused {
            inbound.markRefused(inSeq)
            if let reply = refusal.reply(to: entry.stanza) {
                if ended == nil { deliver(reply, message: 0) }
                copyRefusal(reply, of: entry.stanza)
            }
        }
        let (done, bytes) = inbound.complete(inSeq, half)
        while let next = held.next(inbound) {
            guard ended == nil else { break }
            if !waits(next.stanza, message: next.message) { pass(next.stanza, message: next.message) }
        }
        guard done > 0 else { return }
        shard.unhandledBytes -= bytes
        presence.noteHandled(through: inbound.handledThrough, at: shard.loop.now)
        checkReading()
        if ended != nil { shard.forgetIfDone(self) }
    }

    /// The account's other sessions have a copy of the message: its error is for them too (XEP-0280 §6.1).
    private func copyRefusal(_ error: Stanza, of stanza: Stanza) {
        guard CarbonRules.copies(stanza, .outgoing), let home = shard.placement.home(of: account) else { return }
        shard.post(.refused(account: account, session: ref, error: error), to: home)
    }

    /// Pauses the socket while too much is unhandled, and resumes it at half of that.
    private func checkReading() {
        let limits = shard.core.settings.limits
        if reading {
            if paceTimer != nil {
                reading = false
                if ended == nil { connection.setReading(false) }
            } else if inbound.count >= limits.unhandledStanzas || inbound.bytes >= limits.unhandledBytes
                || shard.unhandledBytes >= limits.nodeUnhandledBytes / max(1, Int(shard.core.loopCount))
            {
                reading = false
                connection.setReading(false)
                shard.core.metrics.pauses.increment()
            }
        } else if paceTimer == nil, inbound.count <= limits.unhandledStanzas / 2, inbound.bytes <= limits.unhandledBytes / 2 {
            reading = true
            if ended == nil { connection.setReading(true) }
        }
    }

    // MARK: To the client

    /// Writes a stanza towards the client at the end of the tick.
    ///
    /// - Parameter message: The record's number when the account is owed it, 0 otherwise.
    func deliver(_ stanza: Stanza, message: UInt64) {
        guard ended == nil, bind != nil else {
            // Owed messages come back with the departure; the rest is handed back from here.
            if message == 0, stanza.isMissedWhenLost { handBack([stanza]) }
            return
        }
        if held.keeps(stanza, message: message, inbound) {
            if held.count > shard.core.settings.limits.sessionQueueStanzas { end(.overrun) }
            return
        }
        if !waits(stanza, message: message) { pass(stanza, message: message) }
    }

    func pass(_ stanza: Stanza, message: UInt64) {
        let limits = shard.core.settings.limits
        if bytesWaiting > limits.sessionQueueBytes || stanzasWaiting > limits.sessionQueueStanzas {
            guard message == 0, deferred(stanza) else {
                end(.overrun)
                return deliver(stanza, message: message)
            }
            return
        }
        // What waits of this sender is out of date now.
        if stanza.kind == .presence, !latePresence.isEmpty, stanza.type == .none || stanza.type == .unavailable, let from = stanza.from {
            latePresence[from] = nil
        }
        write(stanza, message: message)
    }

    private func write(_ stanza: Stanza, message: UInt64) {
        stanza.write(into: &out)
        stanzasOut &+= 1
        shard.core.metrics.stanzasOut.increment()
        if message != 0 {
            deliveredThrough = max(deliveredThrough, message)
            queue.add(.owed(message))
        } else {
            queue.add(stanza.isMissedWhenLost ? .unkept(stanza) : nil)
        }
        touch()
    }

    /// A full queue: of presence the last of each sender is enough, requests are refused, what is worth nothing later is
    /// dropped. Returns false for what cannot be deferred.
    private func deferred(_ stanza: Stanza) -> Bool {
        switch stanza.kind {
        case .presence:
            guard stanza.type == .none || stanza.type == .unavailable, let from = stanza.from else { return false }
            if latePresence.updateValue(stanza, forKey: from) == nil {
                guard latePresenceOrder.count < shard.core.settings.limits.sessionQueueStanzas else { return false }
                latePresenceOrder.append(from)
            }
            return true
        case .iq:
            guard stanza.mayBeAnswered, let from = stanza.from, from.bare != account, let home = shard.placement.home(of: from.bare),
                let reply = StanzaError(.resourceConstraint, type: .wait).reply(to: stanza)
            else { return false }
            shard.post(.route(to: from, stanza: reply, ticket: nil), to: home)
            return true
        case .message: return !stanza.mayBeKept && stanza.type != .error
        }
    }

    private func writeLatePresence() {
        let limits = shard.core.settings.limits
        guard !latePresenceOrder.isEmpty, ended == nil, bytesWaiting <= limits.sessionQueueBytes / 2,
            stanzasWaiting <= limits.sessionQueueStanzas / 2
        else { return }
        var left: [JID] = []
        for from in latePresenceOrder {
            guard bytesWaiting <= limits.sessionQueueBytes, stanzasWaiting <= limits.sessionQueueStanzas else {
                left.append(from)
                continue
            }
            if let stanza = latePresence.removeValue(forKey: from) { write(stanza, message: 0) }
        }
        latePresenceOrder = left
    }

    private func handBack(_ stanzas: [Stanza]) {
        guard let home = shard.placement.home(of: account) else { return }
        shard.post(.returned(account: account, session: ref, stanzas: stanzas), to: home)
    }

    private func touch() {
        if !isDirty {
            isDirty = true
            shard.dirty.append(self)
        }
    }

    /// Hands what was written in this tick to the socket, once.
    func flush() {
        isDirty = false
        if !out.isEmpty, ended == nil {
            let mark = queue.flushed(out.count)
            out.withUnsafeBytes { connection.write($0, mark: mark) }
        }
        if out.capacity > 65_536 { out = [] } else { out.removeAll(keepingCapacity: true) }
    }

    /// The socket handed everything up to `mark` to the kernel. Without stream management that is the acknowledgement.
    public func written(through mark: UInt64) {
        ackedNow.append(contentsOf: queue.written(through: mark))
        writeLatePresence()
        postAcknowledgements()
    }

    /// How long an acknowledgement is told again to a new home: well above the time that a home takes to write it down.
    private static let acknowledgementMemory = Duration.seconds(5)
    private static let acknowledgementBound = 4_096

    private func postAcknowledgements() {
        guard !ackedNow.isEmpty, let home = shard.placement.home(of: account) else { return }
        let now = shard.loop.now
        while let first = ackedLately.first, first.at + Self.acknowledgementMemory < now || ackedLately.count > Self.acknowledgementBound {
            ackedLately.removeFirst()
        }
        for message in ackedNow { ackedLately.append((message, now)) }
        shard.post(.acked(account: account, session: ref, messages: ackedNow), to: home)
        ackedNow.removeAll(keepingCapacity: true)
    }

    // MARK: The end

    /// The client's stream is over. Called once by the connection.
    public func streamClosed(_ reason: StreamEnd) {
        switch reason {
        case _ where ending != nil: break
        case .closedByPeer: finish(.closed)
        case .lost: finish(.lost)
        case .failed(let error): finish(.protocolError(error))
        }
    }

    /// Ends the session from this side: the one exit.
    public func end(_ reason: EndReason) {
        guard ended == nil, ending == nil else { return }
        ending = reason
        if !out.isEmpty, reason != .overrun { flush() }
        // The connection first: it says what the kernel has taken, and only the rest is handed back.
        connection.close(reason.streamError)
        finish(reason)
    }

    private func finish(_ reason: EndReason) {
        guard ended == nil else { return }
        ended = reason
        paceTimer?.cancel()
        paceTimer = nil
        latePresence.removeAll()
        latePresenceOrder.removeAll()
        dropHeld()
        for held in held.takeAll() {
            if held.message != 0 { queue.add(.owed(held.message)) } else if held.stanza.isMissedWhenLost { queue.add(.unkept(held.stanza)) }
        }
        shard.core.metrics.sessionsEnded(reason)
        bindCompletion = nil
        if bind != nil {
            shard.core.metrics.sessions.add(-1)
            depart()
        } else if !bindPosted {
            shard.remove(self)
        }
        // Otherwise the home is granting: `bound` departs.
    }

    /// Leaves the account's list and hands back what the client did not acknowledge, behind everything submitted.
    private func depart() {
        guard let bind, !departurePosted else { return }
        guard let home = shard.placement.home(of: account) else { return }
        departurePosted = true
        let departure: Departure =
            switch ended {
            case .closed: .closed
            case .lost, .none: .lost
            default: .ended
            }
        postAcknowledgements()
        shard.post(.unbind(account: account, session: ref, bind: bind, reason: departure, unacked: queue.owed), to: home)
        let unkept = queue.takeUnkept()
        if !unkept.isEmpty { handBack(unkept) }
        shard.forgetIfDone(self)
    }

    /// Whether nothing of the session is left to do here.
    var isDone: Bool { ended != nil && departurePosted && inbound.count == 0 }

    // MARK: Takeover

    /// What a new home must know; nil while the session has no resource.
    func report(epoch: UInt64) -> SessionReport? {
        // One that left and still has something unhandled counts as there: its submissions come first, then its departure.
        guard let bind, let resource = fullJID.resource else { return nil }
        return SessionReport(
            epoch: epoch, account: account, resource: resource, session: ref, bind: bind, presence: presence.available,
            presenceConfirmed: presence.isConfirmed, presenceIsFresh: presence.isFresh(at: shard.loop.now), flags: flags,
            device: terms.device,
            directed: presence.directed, deliveredThrough: deliveredThrough, unacked: queue.owed + held.owed,
            acked: ackedLately.map(\.message) + ackedNow)
    }
}
