import DequeModule
import Settings
import Stanzas
import Telemetry

/// A session changes its loop, because its client came back at another one (XEP-0198 §5; the home's part is `AccountResumption`).
extension Session {
    /// Stops where it is. Once everything is handled, or a moment later, all of it goes to the home. What is not handled then is
    /// submitted again from there, and a request may be carried out twice.
    func leave(to new: SessionRef, asking epoch: UInt64) {
        leaving = new
        leavingEpoch = epoch
        isHandedOver = false
        if let old = connection {
            if shard.isLeaving {
                // What stands here now may as well arrive.
                flush()
                isExpected = true
                detach()
                old.cut()
            } else {
                detach()
                old.close(StreamError(.conflict, text: "Resumed on another stream"))
            }
        }
        dropResumption()
        waitForQuiet()
    }

    func handOver() {
        guard let new = leaving, !isHandedOver, ended == nil,
            // A home that died does not want it any more; the next one says so.
            let home = shard.placement.home(of: account, asking: leavingEpoch), let state = takeState()
        else {
            return
        }
        isHandedOver = true
        postAcknowledgements()
        shard.post(.moved(account: account, from: ref, to: new, state: state), to: home)
    }

    /// All of it; nil while it cannot move.
    private func takeState() -> SessionState? {
        guard let bind, let resource = fullJID.resource, let id = management?.id else { return nil }
        // Held back only behind what came before stream management, and not any more.
        for held in held.takeAll() {
            management?.ledger.add(held.stanza, message: held.message, stamp: shard.core.clock.now, isWritten: false)
        }
        // A stream that was resumed begins active (XEP-0352 §5.2).
        setActive(true)
        guard let management else { return nil }
        let ledger = management.ledger
        return SessionState(
            resource: resource, key: key, bind: bind, moves: moves, since: since, stanzasIn: stanzasIn, stanzasOut: stanzasOut,
            deliveredThrough: deliveredThrough, acked: ackedLately.map(\.message) + ackedNow, terms: terms, id: id,
            seconds: management.seconds, base: management.base, handled: management.handled, earlier: management.unhandledBefore,
            acknowledged: ledger.acknowledged, written: ledger.written, outgoing: Array(ledger.entries),
            latePresence: latePresenceOrder.compactMap { latePresence[$0] }, nextSeq: inbound.nextSeq, unhandled: Array(inbound.unhandled),
            presence: presence.state(at: shard.loop.now))
    }

    /// It is not wanted elsewhere any more: it waits for its client here.
    func stay() {
        guard leaving != nil, ended == nil else { return }
        leaving = nil
        isHandedOver = false
        quietTimer?.cancel()
        quietTimer = nil
        submitAgain()
    }

    /// Another loop has it. Nothing is said of it here any more.
    func vanish() {
        guard ended == nil, leaving != nil else { return }
        ended = .replaced
        departurePosted = true
        endManagement()
        dropHeld()
        shard.unhandledBytes -= inbound.bytes
        inbound = InboundLedger(nextSeq: inbound.nextSeq)
        shard.core.metrics.sessions.add(-1)
        shard.remove(self)
    }

    /// It has arrived: what is not handled goes to the home again, from here.
    func arrive() {
        shard.unhandledBytes += inbound.bytes
        shard.core.metrics.sessions.add(1)
        if let id = management?.id { shard.resumable[id] = self.id }
        for entry in inbound.unhandled where !entry.isHandled { post(entry) }
    }

    /// Its client was gone before it arrived, or comes from a node that leaves.
    func waitHere(isExpected expected: Bool) {
        guard let seconds = management?.seconds else { return }
        detachedSince = shard.loop.now
        waitForClient(.seconds(seconds))
        isExpected = expected
        noteManagement()
        shard.noteDetached(self)
        guard expected else { return }
        let id = id
        expectationTimer = shard.loop.schedule(after: Self.expectation) { [shard] in
            shard.enter { $0.sessions[id]?.noLongerExpected() }
        }
    }

    /// How long a client whose node left may take to come back before its session is one like others without a socket: bounded in
    /// number, and worth a notification.
    private static let expectation = Duration.seconds(60)

    private func noLongerExpected() {
        guard isExpected, isDetached else { return }
        isExpected = false
        noteManagement()
        shard.boundDetached(self)
    }
}
