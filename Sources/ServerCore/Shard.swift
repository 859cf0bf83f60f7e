import Telemetry
internal import DequeModule
public import Stanzas
import Store
import Synchronization

/// One loop's world: the accounts whose home it is, the sessions whose sockets it serves, and the mail between them.
///
/// Confined to its loop: every method is called there. Letters from elsewhere arrive through the `Mailbox`; what this
/// shard sends leaves once at the end of the tick.
public final class Shard: @unchecked Sendable {
    // @unchecked: a reference crosses threads only inside closures that are run on `loop`.
    public let core: Core
    public let loop: any Loop
    public let address: ShardAddress
    public let placement: Placement
    public internal(set) var table: DispatchTable
    public internal(set) var catalogue: Catalogue
    /// What the table is made of, again where settings change.
    let modules: [any Module.Type]

    var sessions: [UInt64: Session] = [:]
    var accounts: [JID: Account] = [:]
    /// Sessions of this loop that can be resumed, by SM-ID.
    var resumable: [String: UInt64] = [:]
    /// Sessions without a socket, the oldest first; some of them are attached again, or gone.
    var detached: Deque<UInt64> = []
    /// Sessions that clients here asked the homes for, by the number they will have.
    var resuming: [UInt64: Resumption] = [:]
    /// There while somebody traces stanzas.
    var tracer: Tracer?
    /// Homes of components' domains, and the components whose sockets are here.
    var components: [String: ComponentHome] = [:]
    var componentSessions: [UInt64: ComponentSession] = [:]
    let mailbox: Mailbox
    var mailroom = Mailroom()
    /// Letters from this shard to itself, within the tick.
    var ownMail: Deque<Letter> = []
    private var isTickDue = false
    /// See `encode`.
    var encoded: [UInt8] = []
    /// Copies of stanzas to several addresses that are under way, by the number their completion comes to.
    var copies: [UInt64: (group: Multicast, stanza: Stanza)] = [:]
    var dirty: [Session] = []
    /// Buffers for what sessions write in a tick (`Session.gather`).
    var spareBuffers: [[UInt8]] = []
    /// Those that are being flushed: the two take turns, so that neither is made anew.
    private var flushing: [Session] = []
    var dirtyComponents: [ComponentSession] = []
    /// Accounts whose acknowledgements are not written yet.
    var touchedInboxes: [Account] = []
    var housekeeping: (any LoopTimer)?
    var choreRound: UInt64 = 0
    var levelsReported = Levels()
    /// A step of the purge is being read; the next partition to look at; whether the last step found something.
    var isPurging = false
    var purgeNext: UInt16 = .max
    var purgeGoesOn = false
    var retention = RetentionChore()
    /// This node takes no more sessions and gives away those it has.
    var drain: Drain?
    /// Nodes of which the same is known.
    var leavingNodes: Set<UInt64> = []
    /// Rows of sessions that are gone, and when they may go: in that order.
    var goneRows: Deque<(key: Key, after: MonotonicTime)> = []
    /// Effects of this tick, and the number of the batch they will be.
    var effects = Effects()
    var openBatch: UInt64 = 1
    private let lane: CommitLane
    /// What is counted for every stanza.
    let metrics: LoopMetrics
    var durableBatch: UInt64 = 0
    /// Batches that were submitted and not answered.
    private var outstanding = 0
    /// A commit failed and the lane refuses everything until the last answer is in.
    private var laneIsShut = false
    /// Waiting for a batch, and those before it, to be durable.
    var settled: [(batch: UInt64, done: @Sendable () -> Void)] = []
    /// Accounts with output behind a batch, in the order of their batches.
    var gated: Deque<(batch: UInt64, account: Account)> = []
    var nextSessionID: UInt64
    var nextBind: UInt64 = 0
    var lastAccountNumber: UInt64 = 0
    var takeover: Takeover?
    /// The last epoch in which this process was, or is, the owner.
    var homeEpoch: UInt64 = 0
    var waitingForHome: Deque<(letter: Letter, from: ShardAddress)> = []
    var pendingCommands: [UInt64: PendingCommand] = [:]
    var pendingQuestions: [UInt64: PendingQuestion] = [:]
    /// Passwords whose keys are being made.
    var pendingKeys: [UInt64: (Result<[UInt8], PasswordRefusal>) -> Void] = [:]
    var nextCommand: UInt64
    var inTick = false
    /// Accounts without a session, least recently used first.
    var idle: Deque<JID> = []
    /// Answers questions that are not about sessions; set by the room that assembles the node.
    public var answerer: ((_ question: [UInt8]) -> [UInt8])?
    /// Answers those that take time, once, on any thread; false: not one of them.
    public var laterAnswerer: ((_ question: [UInt8], _ answer: @escaping @Sendable ([UInt8]) -> Void) -> Bool)?
    /// Told of every account that a module made or changed from here; set by the room that assembles the node.
    public var accountWritten: ((AccountCommand, JID) -> Void)?
    /// Live nodes as the bus knows them: incarnation → number of loops.
    var members: [UInt64: UInt16]
    /// Unhandled bytes of all sessions here.
    var unhandledBytes = 0

    public init(core: Core, index: Int, modules: [any Module.Type]) throws(ClaimConflict) {
        self.core = core
        loop = core.loops[index]
        mailbox = core.mailboxes[index]
        address = ShardAddress(node: core.node, loop: UInt16(truncatingIfNeeded: index))
        placement = Placement(identity: core.identity, wholeDomains: Set(core.components.keys))
        lane = CommitLane(core.volume)
        metrics = core.metrics.loops.add()
        // Numbers carry the loop, so that they differ within the process, and start at random, so that they tell nothing.
        var random = core.random
        nextSessionID = UInt64(index) << 48 | UInt64.random(in: 1...0xFFFF_FFFF, using: &random)
        nextCommand = UInt64(index) << 48 | UInt64.random(in: 1...0xFFFF_FFFF, using: &random)
        members = [core.node: core.loopCount]
        self.modules = modules
        (table, catalogue) = try Self.makeTable(core, modules)
    }

    // MARK: Ticks

    /// Runs `body` as one tick of this shard from any thread.
    public func enter(_ body: @escaping @Sendable (Shard) -> Void) {
        loop.execute {
            body(self)
            self.endTick()
        }
    }

    /// Works off what was sent within this loop, while it is at hand, and ends the tick once all sockets that are ready now were read:
    /// what they have for one client is written to it at once, their effects are one batch, their letters one frame.
    public func endTickOfRound() {
        if !inTick {
            inTick = true
            while let letter = ownMail.popFirst() { receive(letter, from: address) }
            inTick = false
        }
        guard !isTickDue else { return }
        isTickDue = true
        // The loop looks at its sockets first and then does what is to be executed.
        loop.execute {
            self.isTickDue = false
            self.endTick()
        }
    }

    /// Ends a tick: works off what this shard sent itself, commits what it asked for, posts its mail, and flushes every touched
    /// stream once.
    public func endTick() {
        guard !inTick else { return }
        inTick = true
        // A socket may take what it is given at once and say so while it is flushed: that is work of this tick too.
        while !ownMail.isEmpty || !effects.isEmpty || !mailroom.isEmpty || !dirty.isEmpty || !dirtyComponents.isEmpty {
            while let letter = ownMail.popFirst() { receive(letter, from: address) }
            commitEffects()
            postMail()
            flushSessions()
        }
        inTick = false
        if !settled.isEmpty {
            // Mail that asked for nothing made no batch.
            for index in settled.indices { settled[index].batch = min(settled[index].batch, openBatch - 1) }
            let over = settled.filter { $0.batch <= durableBatch }
            settled.removeAll { $0.batch <= durableBatch }
            for waiting in over { waiting.done() }
        }
    }

    private func commitEffects() {
        guard !effects.isEmpty else { return }
        let batch = openBatch
        openBatch += 1
        let asked = effects
        effects = Effects()
        let started = loop.now
        outstanding += 1
        lane.commit(asked) { [loop] result in
            loop.execute {
                self.outstanding -= 1
                switch result {
                case .success:
                    self.metrics.commitLatency.observe(self.loop.now.microseconds(since: started))
                    self.batchDurable(batch)
                case .failure: self.batchFailed(batch)
                }
                // Open again only when no failure of what was submitted before can shut the lane once more.
                if self.laneIsShut, self.outstanding == 0 {
                    self.laneIsShut = false
                    self.lane.resume()
                }
                self.endTick()
            }
        }
    }

    private func batchDurable(_ batch: UInt64) {
        guard batch > durableBatch else { return }
        durableBatch = batch
        while let first = gated.first, first.batch <= batch {
            let account = gated.removeFirst().account
            account.openGate(durable: batch)
        }
    }

    /// Account memory is derived state: everything that stands behind the failed batch is dropped and loaded anew.
    ///
    /// The refusal of a later batch may arrive before the failure that caused it, but never before the success of an earlier one:
    /// whatever is not known to be durable now has failed, or will.
    private func batchFailed(_ batch: UInt64) {
        core.metrics.failedCommits.increment()
        laneIsShut = true
        guard batch > durableBatch else { return }
        let touched = accounts.values.filter { $0.wrote > durableBatch }
        durableBatch = openBatch - 1
        effects = Effects()
        gated.removeAll()
        for account in touched { account.dropAfterFailedCommit() }
    }

    /// The last batch of all that was asked for until now.
    var askedThrough: UInt64 { effects.isEmpty && ownMail.isEmpty ? openBatch - 1 : openBatch }

    private func postMail() {
        guard !mailroom.isEmpty else { return }
        for (to, letters) in mailroom.empty() {
            if to.node == core.node {
                guard Int(to.loop) < core.mailboxes.count else { continue }
                if core.mailboxes[Int(to.loop)].put(.init(from: address, letters: letters)) {
                    core.wake(Int(to.loop))
                }
            } else {
                for (lane, run) in LetterCodec.batches(letters) {
                    core.bus.post(run, to: to.node, fromLoop: address.loop, toLoop: to.loop, lane: lane)
                }
            }
        }
    }

    private func flushSessions() {
        while !dirty.isEmpty {
            swap(&dirty, &flushing)
            for session in flushing { session.flush() }
            flushing.removeAll(keepingCapacity: true)
        }
        flushComponents()
    }

    // MARK: Mail

    /// Sends a letter: at the end of the tick it leaves, in order for its destination.
    func post(_ letter: consuming Letter, to address: ShardAddress) {
        if address == self.address { ownMail.append(letter) } else { mailroom.add(letter, to: address) }
    }

    /// Works off the mailbox. Called on the loop when mail has arrived.
    func collectMail() {
        for mail in mailbox.takeAll() {
            for letter in mail.letters { receive(letter, from: mail.from) }
        }
        endTick()
    }

    /// Letters from another node, as the bus delivered them.
    public func receiveBatch(_ bytes: [UInt8], from: ShardAddress) {
        do {
            for letter in try LetterCodec.decode(bytes) { receive(letter, from: from) }
        } catch {
            core.metrics.badLetters.increment()
        }
        endTick()
    }

    func receive(_ letter: consuming Letter, from: ShardAddress) {
        guard !letter.isForHome else { return receiveAtHome(letter, from: from) }
        switch consume letter {
        case .deliver(let session, let epoch, let message, let stanza):
            guard epoch >= placement.epoch else { return }
            if let session = sessions[session] {
                session.deliver(stanza, message: message)
            } else if let component = componentSessions[session] {
                component.deliver(stanza, number: message)
            } else {
                deliveredToNobody(session, stanza, message)
            }
        case .completed(let session, let inSeq, let half, let refusal):
            if let session = sessions[session] {
                session.completed(inSeq, half, refusal: refusal)
            } else {
                copyCompleted(session, half, refusal: refusal)
            }
            componentSessions[session]?.completed(inSeq, half, refusal: refusal)
        case .bound(let session, let answer):
            sessions[session]?.bound(answer)
            componentSessions[session]?.bound(answer)
        case .detach(let session, let account, let to, let epoch):
            if epoch >= placement.epoch { handOver(session, of: account, to: to, asking: epoch) }
        case .stay(let session, let epoch):
            if epoch >= placement.epoch { sessions[session]?.stay() }
        case .forget(let session):
            sessions[session]?.vanish()
        case .adopt(let session, let from, let epoch, let state):
            // From a home that died: the next one asks anew.
            if epoch >= placement.epoch { adopt(state, as: session, from: from) }
        case .resumeRefused(let session, let refusal):
            resumeRefused(session, refusal)
        case .shelter(let request):
            shelter(request)
        case .leaves(let node, let leaves):
            if leaves { leavingNodes.insert(node) } else { leavingNodes.remove(node) }
        case .end(let session, let reason):
            sessions[session]?.end(reason)
            componentSessions[session]?.end(reason)
        case .resync(let owner, let loops, let epoch):
            reportSessions(owner: owner, loops: loops, epoch: epoch)
        case .report(let report):
            reported(report)
        case .reported(let epoch, let from):
            if epoch > placement.epoch { becomeHome(epoch: epoch) }
            takeover?.shardReported(from, epoch: epoch, self)
        case .serves(let owner, let epoch):
            ownerServes(owner: owner, epoch: epoch)
        case .commandResult(let id, let result):
            pendingCommands.removeValue(forKey: id)?.completion(result)
        case .ask(let id, let from, let question):
            let isTaken = laterAnswerer?(question) { [self] part in
                enter { $0.post(.answer(id: id, part: part, last: true), to: from) }
            }
            if isTaken != true { answer(question, id: id, to: from) }
        case .answer(let id, let part, let last):
            answerArrived(id, part, last: last, from: from)
        default: break
        }
    }

    /// Letters to an account. They wait while this shard is taking over, and go astray when it is not the home.
    private func receiveAtHome(_ letter: consuming Letter, from: ShardAddress) {
        if takeover != nil {
            waitingForHome.append((letter, from))
            return
        }
        guard placement.owner?.node == core.node else {
            // Sent to a home that this shard no longer is (or not yet: the sender will submit again on `serves`).
            core.metrics.strayLetters.increment()
            return
        }
        if receivedByComponent(letter) { return }
        switch consume letter {
        case .submit(let jid, let ticket, let stanza): account(jid).receive(stanza, by: ticket)
        case .route(let to, let stanza, let ticket): account(to.bare).receive(incoming: stanza, ticket)
        case .fanOut(let to, let stanza):
            for jid in to {
                var copy = stanza
                copy.to = jid
                tracer?.found(&copy)
                if let component = componentHome(jid) { component.incoming(copy, nil) } else { account(jid).receive(.incoming(copy, nil)) }
            }
        case .bind(let request): account(request.account).receive(.bind(request))
        case .unbind(let jid, let session, let bind, let reason, let unacked):
            account(jid).receive(.unbind(session, bind, reason, unacked))
        case .acked(let jid, let session, let messages): account(jid).receive(.acked(session, messages))
        case .returned(let jid, let session, let stanzas): account(jid).receive(.returned(session, stanzas))
        case .refused(let jid, let session, let error): account(jid).receive(.refused(session, error))
        case .activity(let jid, let session, let isActive): account(jid).receive(.activity(session, isActive: isActive))
        case .managed(let jid, let session, let note): account(jid).receive(.managed(session, note))
        case .resume(let request): account(request.account).receive(.resume(request))
        case .moved(let jid, let from, let to, let state): account(jid).receive(.moved(from: from, to: to, state))
        case .command(let command): account(command.account).receive(.command(command))
        default: break
        }
    }

    /// The account of a bare JID, woken if it sleeps.
    func account(_ bare: JID) -> Account {
        if let account = accounts[bare] { return account }
        let account = Account(bare, shard: self)
        accounts[bare] = account
        account.load()
        return account
    }

    /// Accounts with output for a batch that is not durable yet.
    func registerGate(_ account: Account, batch: UInt64) {
        gated.append((batch, account))
    }
}

extension Core {
    /// Wakes a loop of this process because its mailbox was empty and is not any more.
    func wake(_ loop: Int) {
        guard loop < loops.count else { return }
        let shards = shardTable.withLock { $0 }
        guard loop < shards.count else { return }
        let shard = shards[loop]
        loops[loop].execute { shard.collectMail() }
    }

    /// Makes the shards of this process known to each other. Once, before the first letter.
    public func install(_ shards: [Shard]) {
        shardTable.withLock { $0 = shards }
    }

    /// The shards of this process, by loop.
    public var shards: [Shard] { shardTable.withLock { $0 } }
}
