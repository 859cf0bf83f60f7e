import DequeModule
import Settings
public import Stanzas
import Store
import Telemetry

/// Sessions of this shard, and the small chores of a loop.
extension Shard {
    /// Begins a session for an authenticated stream: the home of the account grants the resource.
    ///
    /// - Parameters:
    ///   - account: Bare JID that was authenticated.
    ///   - resource: What the client asked for, prepared; nil: the server makes one.
    ///   - terms: What the session is to be from its first moment.
    ///   - completion: Called once on this loop, unless the connection says `streamClosed` first.
    /// - Returns: The session, so that the connection can say that its stream closed while the home is granting.
    @discardableResult
    public func bind(
        account: JID, resource: String?, terms: BindTerms = BindTerms(), connection: any ClientConnection,
        completion: @escaping (Result<Session, StanzaError>) -> Void
    ) -> Session {
        nextSessionID += 1
        let session = Session(
            id: nextSessionID, account: account.bare, resource: resource, terms: terms, connection: connection, shard: self,
            completion: completion)
        sessions[session.id] = session
        if isLeaving {
            let id = session.id
            enter { $0.sessions[id]?.end(.shutdown) }
        } else {
            session.requestBind()
        }
        return session
    }

    /// A stanza for a session that is gone: the account may still list it, and what nobody keeps goes back; what is owed waits there.
    func deliveredToNobody(_ session: UInt64, _ stanza: Stanza, _ message: UInt64) {
        if deliveredToNoComponent(session, stanza) { return }
        guard let account = stanza.to?.bare, account.local != nil, let home = placement.home(of: account) else { return }
        let ref = SessionRef(shard: address, id: session)
        post(.returned(account: account, session: ref, stanzas: message == 0 && stanza.isMissedWhenLost ? [stanza] : []), to: home)
    }

    func remove(_ session: Session) {
        sessions[session.id] = nil
        drained()
    }

    func forgetIfDone(_ session: Session) {
        if session.isDone { remove(session) }
    }

    /// Every session of this shard, bound or ending.
    public var allSessions: [Session] { Array(sessions.values) }

    /// Writes down what the accounts of this loop know and the store does not, and calls `done` when it is durable. A node that stops
    /// does this on every loop when the sessions of all its loops are gone: an acknowledgement that is not written is a message
    /// that comes again.
    public func settle(_ done: @escaping @Sendable () -> Void) {
        flushInboxes()
        // Not for what others ask of it meanwhile: a keeper that is used has no moment without a commit under way.
        settled.append((askedThrough, done))
        endTick()
    }

    /// Lets go of all that is here without a word: what it holds holds it. For a loop whose process goes on without it, which only
    /// tests do.
    public func dismantle() {
        for session in sessions.values { session.connection = nil }
        sessions.removeAll()
        componentSessions.removeAll()
        accounts.removeAll()
        components.removeAll()
        resuming.removeAll()
        copies.removeAll()
        ownMail.removeAll()
        gated.removeAll()
        touchedInboxes.removeAll()
        settled.removeAll()
        pendingQuestions.removeAll()
        pendingCommands.removeAll()
        pendingKeys.removeAll()
        dirty.removeAll()
        dirtyComponents.removeAll()
        idle.removeAll()
        tracer = nil
        takeover = nil
    }

    // MARK: Chores

    /// Starts the regular chores: acknowledgements to the store, sleeping accounts.
    public func startHousekeeping() {
        scheduleChores()
    }

    private func scheduleChores() {
        housekeeping = loop.schedule(after: .milliseconds(250)) {
            self.enter { shard in
                shard.doChores()
                shard.scheduleChores()
            }
        }
    }

    public func stopHousekeeping() {
        housekeeping?.cancel()
        housekeeping = nil
    }

    /// One round of chores; tests call it instead of waiting for it.
    public func doChores() {
        flushInboxes()
        choreRound &+= 1
        if choreRound % 40 == 0 {
            for session in sessions.values {
                session.rate.sample(loop.now, stanzasIn: session.stanzasIn, stanzasOut: session.stanzasOut)
            }
            let now = core.clock.now
            for account in accounts.values where account.spent.hasDue(now: now) { account.flushInbox() }
        }
        while let first = goneRows.first, first.after <= loop.now {
            effects.delete(first.key)
            goneRows.removeFirst()
        }
        purge()
        retainArchives()
        sleep()
        checkComponents()
        report()
    }

    private func flushInboxes() {
        let touched = touchedInboxes
        touchedInboxes.removeAll()
        for account in touched { account.flushInbox() }
    }

    /// Puts accounts to sleep that nobody needed longest, while there are too many.
    private func sleep() {
        let bound = core.settings.store.idleAccounts
        var looks = idle.count
        while accounts.count > bound, looks > 0, let jid = idle.popFirst() {
            looks -= 1
            guard let account = accounts[jid] else { continue }
            account.isNotedIdle = false
            if account.canSleep { accounts[jid] = nil } else { noteIdle(account) }
        }
    }

    /// Remembers that an account has no session, so that it may sleep when memory is wanted. Whether it can is seen then.
    func noteIdle(_ account: Account) {
        guard !account.isNotedIdle, account.resources.isEmpty, accounts[account.jid] === account else { return }
        account.isNotedIdle = true
        idle.append(account.jid)
    }

    /// Adds to the levels of the process what changed here since the last time.
    private func report() {
        var levels = Levels(accounts: accounts.count, unhandledBytes: unhandledBytes)
        for account in accounts.values {
            if !account.gate.isEmpty { levels.gated += 1 }
            levels.owed += account.inbox.owed
        }
        let metrics = core.metrics
        metrics.accounts.add(Int64(levels.accounts - levelsReported.accounts))
        metrics.gatedAccounts.add(Int64(levels.gated - levelsReported.gated))
        metrics.unhandledBytes.add(Int64(levels.unhandledBytes - levelsReported.unhandledBytes))
        metrics.owedRows.add(Int64(levels.owed - levelsReported.owed))
        if choreRound % Self.queueRound == 0 {
            for session in sessions.values {
                levels.queuedBytes += session.bytesWaiting
                levels.unacknowledged += session.unacknowledged
                levels.unhandled += session.unhandled
                if session.isPaused { levels.paused += 1 }
            }
        } else {
            (levels.queuedBytes, levels.unacknowledged) = (levelsReported.queuedBytes, levelsReported.unacknowledged)
            (levels.unhandled, levels.paused) = (levelsReported.unhandled, levelsReported.paused)
        }
        metrics.queuedBytes.add(Int64(levels.queuedBytes - levelsReported.queuedBytes))
        metrics.unacknowledgedStanzas.add(Int64(levels.unacknowledged - levelsReported.unacknowledged))
        metrics.unhandledStanzas.add(Int64(levels.unhandled - levelsReported.unhandled))
        metrics.pausedSessions.add(Int64(levels.paused - levelsReported.paused))
        levelsReported = levels
    }

    /// Rounds of chores between two looks at all sessions, which are many.
    private static let queueRound: UInt64 = 8

    /// What this loop last added to the levels of the process.
    struct Levels {
        var accounts = 0
        var unhandledBytes = 0
        var gated = 0
        var owed = 0
        var queuedBytes = 0
        var unacknowledged = 0
        var unhandled = 0
        var paused = 0
    }

    // MARK: Purge

    /// Removes rows of deleted accounts in small steps: one partition of this loop at a time, the same again while there is more.
    private func purge() {
        guard placement.owner?.node == core.node, takeover == nil, !isPurging, purgeGoesOn || choreRound % 8 == 0 else { return }
        let loops = UInt16(max(1, core.loopCount))
        let count = core.identity.partitions
        if !purgeGoesOn { purgeNext = purgeNext &+ loops }
        if purgeNext >= count { purgeNext = address.loop % loops }
        guard purgeNext < count else { return }
        isPurging = true
        let partition = purgeNext
        let epoch = placement.epoch
        core.readers.read { snapshot in
            let step = try? Purge.step(partition: partition, limit: 500, in: snapshot)
            self.enter { shard in
                shard.isPurging = false
                shard.purgeGoesOn = false
                guard let step, !step.isEmpty, shard.placement.epoch == epoch, shard.placement.owner?.node == shard.core.node else {
                    return
                }
                shard.purgeGoesOn = true
                shard.effects.append(step)
            }
        }
    }
}
