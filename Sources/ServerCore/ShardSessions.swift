import DequeModule
import Settings
public import Stanzas

/// Sessions of this shard, and the small chores of a loop.
extension Shard {
    /// Begins a session for an authenticated stream: the home of the account grants the resource.
    ///
    /// - Parameters:
    ///   - account: Bare JID that was authenticated.
    ///   - resource: What the client asked for, prepared; nil: the server makes one.
    ///   - completion: Called once on this loop, unless the connection says `streamClosed` first.
    /// - Returns: The session, so that the connection can say that its stream closed while the home is granting.
    @discardableResult
    public func bind(
        account: JID, resource: String?, connection: any ClientConnection, completion: @escaping (Result<Session, StanzaError>) -> Void
    ) -> Session {
        nextSessionID += 1
        let session = Session(
            id: nextSessionID, account: account.bare, resource: resource, connection: connection, shard: self, completion: completion)
        sessions[session.id] = session
        session.requestBind()
        return session
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

    /// Ends every session of this shard; `done` is called when what they submitted is handled, or after `patience`.
    public func drain(patience: Duration, done: @escaping @Sendable () -> Void) {
        ending = true
        drainCompletion = done
        for session in Array(sessions.values) { session.end(.shutdown) }
        drainTimer = loop.schedule(after: patience) { self.enter { $0.finishDrain() } }
        drained()
    }

    private func drained() {
        if ending, sessions.isEmpty { finishDrain() }
    }

    private func finishDrain() {
        guard let done = drainCompletion else { return }
        drainCompletion = nil
        drainTimer?.cancel()
        // After the mail of this tick left.
        endTick()
        done()
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
        let touched = touchedInboxes
        touchedInboxes.removeAll()
        for account in touched { account.flushInbox() }
        choreRound &+= 1
        if choreRound % 40 == 0 {
            for account in accounts.values where !account.spent.isEmpty { account.flushInbox() }
        }
        while accounts.count > core.settings.store.idleAccounts, let jid = idle.popFirst() {
            if let account = accounts[jid], account.canSleep { accounts[jid] = nil }
        }
    }

    /// Remembers that an account has no session and nothing waiting, so that it may sleep when memory is wanted.
    func noteIdle(_ account: Account) {
        guard account.canSleep else { return }
        idle.append(account.jid)
        // Names may stand in the queue more than once; keep it in proportion.
        if idle.count > 4 * max(1_000, core.settings.store.idleAccounts) { idle = .init(accounts.keys.filter { accounts[$0]?.canSleep == true }) }
    }
}
