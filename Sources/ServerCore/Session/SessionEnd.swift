import Settings
import Telemetry
import Stanzas

/// How a session ends, and what a new home must know of it.
extension Session {
    // MARK: The end

    /// The client's stream is over. Called once by the connection.
    public func streamClosed(_ reason: StreamEnd) {
        switch reason {
        case _ where ending != nil || connection == nil: break
        case .closedByPeer: finish(.closed)
        case .lost: if isResumable { detach() } else { finish(.lost) }
        case .failed(let error): finish(.protocolError(error))
        }
    }

    /// Ends the session from this side: the one exit.
    public func end(_ reason: EndReason) {
        guard ended == nil, ending == nil else { return }
        // It is elsewhere, or about to be.
        if isHandedOver, reason == .shutdown { return vanish() }
        ending = reason
        if let connection {
            if !out.isEmpty, reason != .overrun { flush() }
            // The connection first: it says what the kernel has taken, and only the rest is handed back.
            connection.close(reason.streamError)
        }
        finish(reason)
    }

    func finish(_ reason: EndReason) {
        guard ended == nil else { return }
        ended = reason
        shard.tracer?.socketLost(session: id)
        paceTimer?.cancel()
        paceTimer = nil
        latePresence.removeAll()
        latePresenceOrder.removeAll()
        dropHeld()
        for held in held.takeAll() {
            if held.message != 0 { queue.add(.owed(held.message)) } else if held.stanza.isMissedWhenLost { queue.add(.unkept(held.stanza)) }
        }
        endManagement()
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
    func depart() {
        guard let bind, !departurePosted else { return }
        guard let home = shard.placement.home(of: account) else { return }
        departurePosted = true
        noteManagement()
        let departure: Departure =
            switch ended {
            case .closed: .closed
            case .lost, .none: .lost
            default: .ended
            }
        postAcknowledgements()
        shard.post(.unbind(account: account, session: ref, bind: bind, reason: departure, unacked: unackedMessages), to: home)
        let unkept = takeUnkept()
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
            directed: presence.directed, deliveredThrough: deliveredThrough, unacked: unackedMessages + held.owed,
            acked: ackedLately.map(\.message) + ackedNow, management: managementNote, moves: moves, isLeaving: leaving != nil)
    }
}
