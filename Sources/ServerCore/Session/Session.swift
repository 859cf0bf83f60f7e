import Settings
import Telemetry
internal import DequeModule
public import Stanzas

/// The object on the loop of a client's socket that *delivers*: stream, numbers of what came in, queue of what goes out.
///
/// It decides nothing about stanzas; its account does, at the home. A stream dies with its socket; with stream management the session
/// then waits for its client (`attached ⇄ detached → ended`). It ends by `end`, by its client's word, or when its time is over.
public final class Session {
    public let id: UInt64
    public let account: JID
    /// Full JID; the bare one until the home granted a resource.
    public internal(set) var fullJID: JID
    /// When the session was bound, wall clock µs.
    public private(set) var since: Int64
    public private(set) var bind: BindID?
    /// The client's socket; nil while the session waits for its client to resume it.
    public internal(set) var connection: (any ClientConnection)? {
        willSet {
            if newValue != nil { lastFacts = nil } else if let connection { lastFacts = LastFacts(connection.facts) }
        }
    }
    /// Held for good, and the shard holds its sessions: loops live as long as their process (`Shard.dismantle`).
    let shard: Shard
    /// What its submissions are known by in records, wherever it lives: moving to another loop does not change it.
    let key: UInt64
    /// Stream management, once the client enabled it.
    var management: Management?
    /// Apart, since few sessions wait and every session would have room for it.
    private final class LastFacts {
        let facts: ConnectionFacts
        init(_ facts: ConnectionFacts) { self.facts = facts }
    }
    /// What was known of the last socket, while there is none.
    private var lastFacts: LastFacts?
    /// When it ends unless its client resumes it.
    var detachedUntil: MonotonicTime?
    var detachedSince: MonotonicTime?
    var detachTimer: (any LoopTimer)?
    /// Where it is going, once its client came back at another loop.
    var leaving: SessionRef?
    /// The epoch of the home that wants it there.
    var leavingEpoch: UInt64 = 0
    /// Its state is on the way there: what happens to it here counts no more.
    var isHandedOver = false
    /// Somebody wants to go on with it here, once what it sent is handled.
    var resumption: Resumption?
    /// Runs while it waits for that.
    var quietTimer: (any LoopTimer)?
    /// How often it changed its loop.
    var moves: UInt32 = 0
    /// It lost its socket because its node leaves: its client is expected at once.
    var isExpected = false
    /// Runs while it is.
    var expectationTimer: (any LoopTimer)?
    /// A new stream stands and `<resumed/>` is not written on it yet.
    var isSilent = false

    var inbound = InboundLedger()
    var held = AnswerHold()
    /// Written and not yet handed to the kernel.
    var queue = OutQueue()
    var ackedNow: [UInt64] = []
    /// The last acknowledged messages, for a home that died before it wrote that down.
    var ackedLately: Deque<(message: UInt64, at: MonotonicTime)> = []
    var deliveredThrough: UInt64 = 0
    var out: [UInt8] = []
    /// The last presence of each sender that came while the queue was full, in the order of their first.
    var latePresence: [JID: Stanza] = [:]
    var latePresenceOrder: [JID] = []
    /// The client is inactive, and what waits until it is not (`SessionClientState`).
    var isInactive = false
    var clientState = ClientStateHold()
    var clientStateTimer: (any LoopTimer)?
    var isDirty = false
    var reading = true
    var pace = Pace()
    var paceTimer: (any LoopTimer)?
    public internal(set) var stanzasIn: UInt64 = 0
    public internal(set) var stanzasOut: UInt64 = 0
    public internal(set) var lastActivity: MonotonicTime
    var rate: SessionRate
    /// What a new home must know of the client's presence.
    var presence = PresenceMemory()
    /// Bits of `Resource.Flags`: what the home must know.
    var flags: UInt8 { presence.flags | (isInactive ? Resource.Flags.inactive.rawValue : 0) }
    var bindCompletion: ((Result<Session, StanzaError>) -> Void)?
    public internal(set) var ended: EndReason?
    /// Why this side is ending it.
    var ending: EndReason?
    var departurePosted = false
    private let requestedResource: String?
    let terms: BindTerms
    /// The state of the archive when the session was bound (`BindTerms.readsArchive`); there while the completion of `bind` runs.
    public private(set) var archiveAtBind: ArchiveMetadata?
    var bindPosted = false

    init(
        id: UInt64, account: JID, resource: String?, terms: BindTerms = BindTerms(), connection: any ClientConnection, shard: Shard,
        completion: @escaping (Result<Session, StanzaError>) -> Void
    ) {
        self.id = id
        self.account = account
        self.fullJID = account
        self.connection = connection
        self.shard = shard
        key = SessionRef(shard: shard.address, id: id).key
        requestedResource = resource
        self.terms = terms
        presence = PresenceMemory(flags: terms.flags)
        bindCompletion = completion
        since = shard.core.clock.now
        lastActivity = shard.loop.now
        rate = SessionRate(at: lastActivity)
    }

    /// A session that comes from another loop. `shard.adopt` gives it what it needs to go on.
    init(_ state: SessionState, id: UInt64, account: JID, fullJID: JID, facts: ConnectionFacts, shard: Shard) {
        self.id = id
        self.account = account
        self.fullJID = fullJID
        self.shard = shard
        key = state.key
        bind = state.bind
        since = state.since
        moves = state.moves &+ 1
        requestedResource = nil
        terms = state.terms
        lastFacts = LastFacts(facts)
        lastActivity = shard.loop.now
        rate = SessionRate(at: lastActivity, stanzasIn: state.stanzasIn, stanzasOut: state.stanzasOut)
        stanzasIn = state.stanzasIn
        stanzasOut = state.stanzasOut
        deliveredThrough = state.deliveredThrough
        inbound = InboundLedger(nextSeq: state.nextSeq, unhandled: state.unhandled)
        presence = PresenceMemory(state.presence, at: shard.loop.now)
        management = Management(
            id: state.id, seconds: state.seconds, base: state.base, handled: state.handled, earlier: state.earlier,
            ledger: AckLedger(acknowledged: state.acknowledged, written: state.written, entries: state.outgoing))
        let now = shard.loop.now
        ackedLately = Deque(state.acked.map { ($0, now) })
        for stanza in state.latePresence {
            guard let from = stanza.from, latePresence.updateValue(stanza, forKey: from) == nil else { continue }
            latePresenceOrder.append(from)
        }
    }

    /// How the home knows this session.
    public var ref: SessionRef { SessionRef(shard: shard.address, id: id, key: key) }
    /// What is known of its socket, or of the last one.
    public var facts: ConnectionFacts {
        connection?.facts ?? lastFacts?.facts ?? ConnectionFacts(remoteAddress: "", localPort: 0, mechanism: "", since: since)
    }
    /// Whether what is said now goes out at the end of the tick.
    var canWrite: Bool { connection != nil && !isSilent }
    /// Submissions that are not handled yet.
    public var unhandled: Int { inbound.count }
    /// Bytes that the socket has not taken yet.
    public var bytesWaiting: Int { queue.bytes + out.count }
    /// Stanzas that a client with stream management has not acknowledged.
    public var unacknowledged: Int { management?.ledger.count ?? 0 }
    /// Whether its client is not read now.
    public var isPaused: Bool { !reading }
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
        case .granted(let resource, let bind, let epoch, let archive):
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
            archiveAtBind = archive
            completion?(.success(self))
            archiveAtBind = nil
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
        guard ended == nil, bind != nil, !isSentAgain(stanza) else { return }
        stanzasIn &+= 1
        shard.metrics.stanzasIn[stanza.kind].increment()
        let now = shard.loop.now
        lastActivity = now
        var stanza = stanza
        // Its stream said so already; a copy is made only where it did not.
        if stanza.from != fullJID { stanza.from = fullJID }
        if let tracer = shard.tracer { tracer.received(&stanza, by: self, size: size) }
        presence.noteSubmitted(stanza, inSeq: inbound.nextSeq, at: now)
        for copy in presenceCopies(of: stanza) { presence.noteSubmitted(copy, inSeq: inbound.nextSeq, at: now) }
        let entry = inbound.add(stanza, size: size, received: now)
        shard.unhandledBytes += size
        post(entry)
        checkPace()
        checkReading()
    }

    /// Notes a stanza that its stream has answered already, or has nothing to answer: it counts as handled in its turn.
    ///
    /// - Parameters:
    ///   - answer: What the client hears.
    ///   - size: Bytes it took on the wire.
    public func answer(_ answer: Stanza?, size: Int) {
        guard ended == nil, bind != nil, !isSentAgain(Self.answered) else { return }
        stanzasIn &+= 1
        // What is passed over without a word has no kind worth a word.
        shard.metrics.stanzasIn[answer?.kind ?? .presence].increment()
        lastActivity = shard.loop.now
        let entry = inbound.add(Self.answered, size: size)
        shard.unhandledBytes += size
        if let answer { deliver(answer, message: 0) }
        completed(entry.seq, .whole, refusal: nil)
        checkPace()
        checkReading()
    }

    /// Stands in the ledger for a stanza that nobody else sees.
    private static let answered = Stanza(kind: .presence, type: .none)

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

    func post(_ entry: InboundLedger.Entry) {
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
        // It is said by the new home whether it stays.
        guard leaving == nil else { return }
        noteManagement()
        for entry in inbound.unhandled where !entry.isHandled { post(entry) }
        postAcknowledgements()
        if ended != nil {
            departurePosted = false
            depart()
        }
    }

    func completed(_ inSeq: UInt32, _ half: CompletionHalf, refusal: StanzaError?) {
        guard inbound.contains(inSeq) else { return }
        if refusal != nil || shard.tracer != nil, let entry = inbound.entry(inSeq) { hear(refusal, half, of: entry) }
        let now = shard.loop.now
        let (done, bytes) = inbound.complete(inSeq, half) { entry in
            // Of one that came from another loop or was answered at once there is nothing to tell.
            if let received = entry.received { shard.metrics.handled[entry.stanza.kind].observe(now.microseconds(since: received)) }
        }
        while let next = held.next(inbound) {
            guard ended == nil else { break }
            if !waits(next.stanza, message: next.message) { pass(next.stanza, message: next.message) }
        }
        guard done > 0 else { return }
        shard.unhandledBytes -= bytes
        noteHandled(done)
        presence.noteHandled(through: inbound.handledThrough, at: now)
        checkReading()
        if inbound.count == 0 { becameQuiet() }
        if ended != nil { shard.forgetIfDone(self) }
    }

    /// Passes on why a submission is refused, once, and says to who traces it how it ended.
    private func hear(_ refusal: StanzaError?, _ half: CompletionHalf, of entry: InboundLedger.Entry) {
        if entry.stanza.trace != 0 { shard.tracer?.completed(entry.stanza, half, refusal) }
        guard let refusal, !entry.refused else { return }
        inbound.markRefused(entry.seq)
        shard.metrics.bounced(refusal)
        guard let reply = refusal.reply(to: entry.stanza) else { return }
        if ended == nil { deliver(reply, message: 0) }
        copyRefusal(reply, of: entry.stanza)
    }

    /// The account's other sessions have a copy of the message: its error is for them too (XEP-0280 §6.1).
    private func copyRefusal(_ error: Stanza, of stanza: Stanza) {
        guard CarbonRules.copies(stanza, .outgoing), let home = shard.placement.home(of: account) else { return }
        shard.post(.refused(account: account, session: ref, error: error), to: home)
    }

    /// Pauses the socket while too much is unhandled, and resumes it at half of that.
    func checkReading() {
        let limits = shard.core.settings.limits
        if reading {
            if paceTimer != nil {
                reading = false
                if ended == nil { connection?.setReading(false) }
            } else if inbound.count >= limits.unhandledStanzas || inbound.bytes >= limits.unhandledBytes
                || shard.unhandledBytes >= limits.nodeUnhandledBytes / max(1, Int(shard.core.loopCount))
            {
                reading = false
                connection?.setReading(false)
                shard.core.metrics.pauses.increment()
            }
        } else if paceTimer == nil, inbound.count <= limits.unhandledStanzas / 2, inbound.bytes <= limits.unhandledBytes / 2 {
            reading = true
            if ended == nil { connection?.setReading(true) }
        }
    }
}
