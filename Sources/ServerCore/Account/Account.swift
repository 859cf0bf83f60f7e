import Settings
import Telemetry
internal import DequeModule
public import Stanzas
public import Store

/// What an account has to know of its host's settings: there are many accounts.
struct HostTerms {
    /// Its messages are archived.
    let archives: Bool
    /// What it acknowledges is kept in the store.
    let keeps: Bool

    init(_ host: Settings.Host) {
        archives = host.archive
        keeps = host.durability == .kept
    }
}

/// The object at the home that *decides*: who gets what, what is kept, who may see whom.
///
/// Cold until its first letter, then loading (letters wait, in order), then live. It runs each letter at once on its own
/// memory; what comes out waits at its gate until the effects it stands on are durable.
public final class Account {
    enum Work {
        case submit(Ticket, Stanza)
        case incoming(Stanza, Ticket?)
        case bind(BindRequest)
        case unbind(SessionRef, BindID, Departure, [UInt64])
        case acked(SessionRef, [UInt64])
        case returned(SessionRef, [Stanza])
        case refused(SessionRef, Stanza)
        case command(CommandLetter)
        case activity(SessionRef, isActive: Bool)
        case managed(SessionRef, ManagementNote)
        case resume(ResumeRequest)
        case moved(from: SessionRef, to: SessionRef, SessionState?)
        case claim([SessionReport], orphans: [SessionRow], isLate: Bool)
        case nodeLost(UInt64)

        /// Whether it says what happened, so that it waits as long as the store cannot be read; a question is refused instead.
        var isNotice: Bool {
            switch self {
            case .submit, .incoming, .bind, .resume, .command: false
            case .managed, .moved, .unbind, .acked, .returned, .activity, .refused, .claim, .nodeLost: true
            }
        }
    }

    enum Phase {
        case loading(Deque<Work>)
        /// No such account on this server.
        case absent
        case live

        var isLive: Bool { if case .live = self { true } else { false } }
    }

    public let jid: JID
    public let partition: UInt16
    /// What its host says of it; nil when the domain is not served here.
    var host: HostTerms?
    let shard: Shard

    var phase = Phase.loading([])
    /// The stored account; nil while absent.
    public internal(set) var record: AccountRecord?
    /// The roster, by contact.
    public internal(set) var roster = RosterBook()
    /// The items of the kinds that stay in memory, by kind and name.
    var items: [ItemKind: [String: [UInt8]]] = [:]
    var resources: [Resource] = []
    /// Sessions that were ended from here and have not left yet, with what they held: they may still acknowledge it.
    var departing: [SessionRef: Set<UInt64>] = [:]
    var inbox = Inbox()
    /// What is left of sessions that could be resumed.
    var endedSessions = EndedSessions()
    /// Messages acknowledged but still in the store.
    var spent = SpentMessages()
    var inboxTouched = false
    /// What it knows of its archive beside the store.
    var archive = ArchiveMemory()
    var lastMessage: UInt64 = 0
    /// What recently came in: for repeats after a takeover and for clients that send again.
    var recent = RecentMessages()
    var carbons = CarbonMemory()
    var gate = Gate()
    /// The batch of the last effects that output has to wait for.
    private(set) var reached: UInt64 = 0
    /// The batch of the last effects of all.
    private(set) var wrote: UInt64 = 0
    private var registeredBatch: UInt64 = 0
    /// The page of owed messages that is being read, for the session that gets it.
    var page: InboxPage?
    var pagesAsked = 0
    /// Never-stored messages that must not overtake waiting ones.
    var heldBack: Deque<Stanza> = []
    /// Stands in the shard's queue of those that may sleep.
    var isNotedIdle = false
    /// Requests of its own that are not answered yet.
    var requests = PendingRequests()
    /// What is to be done in a while.
    var delayed: [UInt64: (Turn) -> Void] = [:]
    /// What modules remember of it, by their types.
    var memories: [ObjectIdentifier: AnyObject] = [:]
    /// Sessions that begin when it is known what there is in the archive.
    var bindsReading: [SessionRef: BindRequest] = [:]
    /// Reads of the store whose answers the account waits for.
    var reads = 0
    /// A host's account that the store does not know yet.
    var hostIsUnwritten = false
    /// This process is no longer the home.
    var isRetired = false
    private var generation = 0
    private var reloadTimer: (any LoopTimer)?
    private var rewriteTimer: (any LoopTimer)?

    var isPumping: Bool { page != nil }

    init(_ jid: JID, shard: Shard) {
        self.jid = jid
        self.shard = shard
        partition = shard.placement.partition(of: jid)
        host = shard.core.hosts[jid.domain].map(HostTerms.init)
    }

    var core: Core { shard.core }

    // MARK: Cold, loading, live

    /// Reads the account on a reader thread; letters wait meanwhile.
    func load() {
        generation += 1
        let generation = generation
        let core = core
        let jid = jid
        let shard = shard
        let repeatsSince = core.clock.now &- RecentMessages.graceMicroseconds
        core.readers.read { snapshot in
            let result = Result<AccountSnapshot?, StoreFailure> { () throws(StoreFailure) in
                try AccountSnapshot.load(jid: jid.description, from: snapshot, identity: core.identity, repeatsSince: repeatsSince)
            }
            shard.enter { shard in shard.accounts[jid]?.loaded(result, generation: generation) }
        }
    }

    private func loaded(_ result: Result<AccountSnapshot?, StoreFailure>, generation: Int) {
        guard generation == self.generation, case .loading(let waiting) = phase else { return }
        switch result {
        case .success(let snapshot?): adopt(snapshot)
        case .success(nil): if isHost { adoptHost() } else { phase = .absent }
        case .failure(let failure):
            shard.cannotRead("the account \(jid)", failure)
            return refuseAll(waiting, failure)
        }
        for work in waiting { run(work) }
        shard.noteIdle(self)
    }

    private func adopt(_ snapshot: AccountSnapshot) {
        record = snapshot.account
        roster = RosterBook(items: snapshot.roster, pendingIn: snapshot.pendingIn, version: snapshot.account.rosterVersion)
        items = snapshot.items
        inbox = Inbox(owed: snapshot.owed, through: snapshot.lastMessage)
        for resource in resources { for message in resource.inFlight { inbox.claim(message) } }
        for held in departing.values { for message in held { inbox.claim(message) } }
        lastMessage = max(lastMessage, snapshot.lastMessage)
        recent = RecentMessages(snapshot.recent)
        let after = core.clock.now &+ RecentMessages.graceMicroseconds
        // After a failed commit: what was acknowledged stays so, and the rows of the sessions are as they should be.
        for message in spent.messages + archive.acknowledged { _ = inbox.acknowledge(message) }
        archive.forgetPreferences()
        archive.retractions.forgetAll()
        spent.adopt(snapshot.spent, after: after)
        phase = .live
        if wrote > 0 {
            for row in snapshot.sessions where resource(ofRow: row) == nil { forgetRow(row.session) }
            writeAgainLater()
        }
    }

    /// After a failed commit, the rows of the sessions and the inbox as they should be: in a moment, so that a store that refuses
    /// everything is not asked without end.
    private func writeAgainLater() {
        let jid = jid
        let generation = generation
        rewriteTimer?.cancel()
        rewriteTimer = shard.loop.schedule(after: .seconds(1)) { [shard] in
            shard.enter { shard in
                guard let account = shard.accounts[jid], account.generation == generation, account.phase.isLive else { return }
                account.rewriteTimer = nil
                for resource in account.resources { account.writeRow(resource) }
                account.touchInbox()
            }
        }
    }

    /// The store could not read the account: questions that waited are answered, notices are kept, and it is tried again in a
    /// second or with the next letter.
    private func refuseAll(_ waiting: Deque<Work>, _ failure: StoreFailure) {
        let notices = waiting.filter(\.isNotice)
        if notices.isEmpty, resources.isEmpty, departing.isEmpty {
            shard.accounts[jid] = nil
        } else {
            phase = .loading(notices)
            let jid = jid
            let shard = shard
            let generation = generation
            reloadTimer = shard.loop.schedule(after: .seconds(1)) {
                shard.enter { shard in
                    guard let account = shard.accounts[jid], account.generation == generation else { return }
                    account.load()
                }
            }
        }
        let error = StanzaError(.resourceConstraint, type: .wait, text: "The account cannot be read at the moment")
        for work in waiting {
            switch work {
            case .submit(let ticket, _): complete(ticket, .whole, refusal: error)
            case .incoming(_, let ticket): if let ticket { complete(ticket, .theirs, refusal: error) }
            case .bind(let request): emit(.bound(session: request.session.id, .refused(error)), to: request.session.shard)
            case .command(let letter):
                emit(.commandResult(id: letter.id, .failed("the store cannot read \(jid): \(failure)")), to: letter.replyTo)
            case .resume(let request):
                shard.post(.resumeRefused(session: request.session.id, ResumeRefusal(.resourceConstraint)), to: request.session.shard)
            case .unbind, .acked, .returned, .activity, .refused, .managed, .moved, .claim, .nodeLost: break
            }
        }
    }

    func receive(_ work: Work) {
        if case .loading(var waiting) = phase {
            waiting.append(work)
            phase = .loading(waiting)
        } else {
            run(work)
        }
    }

    /// As `receive(.submit)`: the way of most.
    func receive(_ stanza: Stanza, by ticket: Ticket) {
        if case .loading = phase { receive(.submit(ticket, stanza)) } else { outgoing(stanza, ticket) }
    }

    /// As `receive(.incoming)`: the way of most.
    func receive(incoming stanza: Stanza, _ ticket: Ticket?) {
        if case .loading = phase { receive(.incoming(stanza, ticket)) } else { incoming(stanza, ticket) }
    }

    private func run(_ work: Work) {
        switch work {
        case .submit(let ticket, let stanza): outgoing(stanza, ticket)
        case .incoming(let stanza, let ticket): incoming(stanza, ticket)
        case .bind(let request): bind(request)
        case .unbind(let session, let bind, let departure, let unacked): unbind(session, bind, departure, unacked: unacked)
        case .acked(let session, let messages): acknowledged(session, messages)
        case .returned(let session, let stanzas): takeBack(stanzas, from: session)
        case .refused(let session, let error): copyRefusal(error, by: session)
        case .managed(let session, let note): noteManagement(session, note)
        case .resume(let request): resume(request)
        case .moved(let old, let new, let state): moved(from: old, to: new, state)
        case .nodeLost(let node): dropSessions(ofNode: node)
        case .command(let letter): obey(letter)
        case .activity(let session, let isActive): noteActivity(session, isActive: isActive)
        case .claim(let reports, let orphans, let isLate): claim(reports, orphans: orphans, isLate: isLate)
        }
    }

    /// Whether nothing would be lost if the account were forgotten now.
    var canSleep: Bool {
        guard resources.isEmpty, departing.isEmpty, gate.isEmpty, reads == 0, wrote <= shard.durableBatch, !isPumping, !inboxTouched,
            spent.isEmpty, requests.isEmpty, delayed.isEmpty
        else { return false }
        if case .loading = phase { return false }
        return true
    }

    // MARK: Effects and the gate

    /// Asks for a put. What the account says from now on waits for it, unless nobody needs to (`waits: false`).
    func put(_ key: Key, _ value: [UInt8], waits: Bool = true) {
        shard.effects.put(key, value)
        wrote = shard.openBatch
        if waits { reached = shard.openBatch }
    }

    /// As `put`, in the place of a larger row.
    func shrink(_ key: Key, _ value: [UInt8]) {
        shard.effects.shrink(key, value)
        wrote = shard.openBatch
        reached = shard.openBatch
    }

    /// Asks for a delete.
    func delete(_ key: Key, waits: Bool = true) {
        shard.effects.delete(key)
        wrote = shard.openBatch
        if waits { reached = shard.openBatch }
    }

    /// Lets a letter leave through the gate.
    func emit(_ letter: Letter, to address: ShardAddress) { pass(.letter(letter, to: address)) }

    /// Says through the gate that a submission is done here.
    func complete(_ ticket: Ticket?, _ half: CompletionHalf, refusal: StanzaError? = nil) {
        guard let ticket else { return }
        pass(.completion(ticket, half, refusal: refusal))
    }

    func pass(_ output: consuming Gate.Output) {
        if gate.isEmpty, reached <= shard.durableBatch {
            release(output)
            return
        }
        gate.hold(output, until: reached)
        if registeredBatch < reached {
            registeredBatch = reached
            shard.registerGate(self, batch: reached)
        }
    }

    /// Everything up to `batch` is durable.
    func openGate(durable batch: UInt64) {
        while let output = gate.next(durable: batch) { release(output) }
        if gate.isEmpty { shard.noteIdle(self) }
    }

    private func release(_ output: consuming Gate.Output) {
        // A home that is none any more says nothing: the next one is asked again.
        guard !isRetired else { return }
        switch consume output {
        case .letter(let letter, let to):
            shard.tracer?.released(letter, to: to)
            shard.post(letter, to: to)
        case .completion(let ticket, let half, let refusal):
            shard.post(.completed(session: ticket.session.id, inSeq: ticket.inSeq, half: half, refusal: refusal), to: ticket.session.shard)
        case .perform(let body): body()
        }
    }

    /// The batch this account stood on was not committed: its memory never became true. Waiting output turns into refusals, the
    /// account is read anew; its sessions and their presence stay.
    func dropAfterFailedCommit() {
        let error = StanzaError(.resourceConstraint, type: .wait, text: "The server cannot store anything at the moment")
        for output in gate.takeAll() {
            switch output {
            case .completion(let ticket, let half, _):
                shard.post(
                    .completed(session: ticket.session.id, inSeq: ticket.inSeq, half: half == .own ? .whole : half, refusal: error),
                    to: ticket.session.shard)
            case .letter(.commandResult(let id, _), let to):
                shard.post(.commandResult(id: id, .failed("the store refused to write; see the log of the keeper")), to: to)
            // Nor does the move of a session.
            case .letter(let letter, let to) where letter.isOfMove: shard.post(letter, to: to)
            // A binding stands on nothing that is stored.
            case .letter(.bound(let session, let answer), let to): shard.post(.bound(session: session, answer), to: to)
            case .letter(.deliver(let session, let epoch, let message, let stanza), let to):
                if message != 0 {
                    // Never became true, or is read from the store again.
                    resource(of: SessionRef(shard: to, id: session))?.inFlight.remove(message)
                } else if saysOthers(stanza) {
                    shard.post(.deliver(session: session, epoch: epoch, message: 0, stanza: stanza), to: to)
                }
            case .letter, .perform: break
            }
        }
        dropHeldAfterFailedCommit()
        for resource in resources { resource.lacksRow = true }
        abandonPage()
        archive.commitFailed()
        spent.commitFailed()
        wrote = max(wrote, shard.durableBatch)
        reached = shard.durableBatch
        registeredBatch = reached
        record = nil
        if case .loading(let waiting) = phase { phase = .loading(waiting) } else { phase = .loading([]) }
        bindUnread()
        load()
    }

    /// Whether a stanza for one of the sessions says only what somebody else is or answers, so that it holds without this account's
    /// memory, and nobody would say it again.
    func saysOthers(_ stanza: Stanza) -> Bool {
        guard stanza.from?.bare != jid else { return stanza.kind == .presence }
        switch stanza.kind {
        case .presence: return [.none, .unavailable, .error].contains(stanza.type)
        case .iq: return !stanza.mayBeAnswered
        case .message: return stanza.type == .error
        }
    }
}
