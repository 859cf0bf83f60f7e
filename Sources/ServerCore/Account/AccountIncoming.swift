import Settings
import Telemetry
internal import DequeModule
import Stanzas
import Store
import XMLStream

/// What others send to the account (RFC 6121 §8.5), and the inbox (XEP-0160).
extension Account {
    func incoming(_ stanza: Stanza, _ ticket: Ticket?) {
        if isHost { return incomingToHost(stanza, ticket) }
        spent.note(ticket)
        guard let to = stanza.to, case .live = phase, let record else { return incomingToNobody(stanza, ticket) }
        guard record.isEnabled else { return incomingToDisabled(stanza, to: to, ticket) }
        // Before all else: what is blocked leaves no trace.
        if let from = stanza.from, isBlocked(from) { return refuseBlocked(stanza, ticket) }
        switch stanza.kind {
        case .presence: incomingPresence(stanza, to: to, ticket)
        case .message: incomingMessage(stanza, to: to, ticket)
        case .iq: incomingIQ(stanza, to: to, ticket)
        }
    }

    /// A disabled account answers like none at all, but its subscriptions live on: it must not wake up with a roster that is wrong.
    private func incomingToDisabled(_ stanza: Stanza, to: JID, _ ticket: Ticket?) {
        guard stanza.kind == .presence, stanza.type != .probe else { return incomingToNobody(stanza, ticket) }
        incomingPresence(stanza, to: to, ticket)
    }

    /// A stanza that a session gave back: no stage sees it again, and nobody waits for its completion.
    func incomingAgain(_ stanza: Stanza) {
        guard let to = stanza.to else { return }
        // Blocked since it came.
        if let from = stanza.from, isBlocked(from) { return }
        let refusal: StanzaError?
        switch stanza.kind {
        case .message where phase.isLive && record?.isEnabled == true:
            var again = stanza
            refusal = place(&again, to: to, nil, origin: 0)
        case .presence: refusal = nil
        case .message, .iq: refusal = StanzaError(.serviceUnavailable)
        }
        if let refusal = heard(refusal, by: stanza), stanza.mayBeAnswered, let bounce = refusal.reply(to: stanza) {
            shard.metrics.bounced(refusal)
            route(bounce, nil)
        }
    }

    /// RFC 6121 §8.5.1: no such user.
    private func incomingToNobody(_ stanza: Stanza, _ ticket: Ticket?) {
        answerAsNobody(stanza, ticket, "there is no account \(jid), or it is disabled")
    }

    // MARK: IQ

    private func incomingIQ(_ stanza: Stanza, to: JID, _ ticket: Ticket?) {
        if to.resource == nil {
            guard stanza.type == .get || stanza.type == .set else {
                answered(stanza)
                return complete(ticket, .theirs)
            }
            let isKnown = stanza.from.map { isVisible(to: $0.bare) } ?? false
            return isKnown ? dispatch(stanza, .otherAccount, ticket: ticket) : answerStranger(stanza, ticket)
        }
        let addressed = resource(jid: to)
        let sees = stanza.from.map { from in
            isVisible(to: from.bare) || addressed.map { $0.directed.contains(from) || $0.directed.contains(from.bare) } == true
        }
        switch DeliveryRules.chooseIQ(
            type: stanza.type, resource: to.resource, senderSeesPresence: sees ?? false,
            sessions: resources.lazy.map(DeliveryRules.Candidate.init))
        {
        case .sessions:
            if stanza.trace != 0 { traceChosen(stanza, addressed.map { [$0] } ?? []) }
            deliver(stanza, to: addressed)
        case .refuse(let condition):
            trace(.bounced, stanza, "by \(jid): \(condition.name); nobody is there, or the sender may not know")
            return complete(ticket, .theirs, refusal: StanzaError(condition))
        case .offline, .drop, nil: trace(.dropped, stanza, "by \(jid): nobody is there")
        }
        complete(ticket, .theirs)
    }

    // MARK: Messages

    private func incomingMessage(_ original: Stanza, to: JID, _ ticket: Ticket?) {
        var stanza = original
        let turn = Turn(account: self, ticket: ticket)
        switch shard.table.pass(through: .stamp, .incoming, &stanza, turn) {
        case nil: break
        case (let stage, nil)?:
            trace(.dropped, stanza, "by \(jid), at \(stage)")
            return complete(ticket, .theirs)
        case (let stage, let error?)?:
            trace(.bounced, stanza, "by \(jid), at \(stage): \(error)")
            return complete(ticket, .theirs, refusal: heard(error, by: stanza))
        }
        cutForgedStanzaIDs(&stanza)
        let origin = originHash(of: stanza)
        if recent.isRepeated(ticket) || recent.contains(origin: origin) {
            trace(.dropped, stanza, "by \(jid): written before")
            // Already written: it is in the inbox, or was acknowledged. Whoever was to be called may not have been.
            if recent.isRepeated(ticket) { hold(&stanza, turn) }
            return complete(ticket, .theirs)
        }
        trace(.admitted, stanza, "by \(jid), incoming")
        let refusal = place(&stanza, to: to, ticket, origin: origin, copied: true)
        if let refusal { trace(.bounced, stanza, "by \(jid): \(refusal)") }
        complete(ticket, .theirs, refusal: heard(refusal, by: stanza))
        _ = shard.table.pass(.copy, .incoming, &stanza, turn)
        if refusal == nil { hold(&stanza, turn) }
    }

    /// To the sessions that should have it, or into the inbox, and to the others as a copy. Returns what its sender must hear instead. What
    /// is archived carries its stanza-id afterwards.
    ///
    /// - Parameter copied: whether it comes for the first time: what a session gave back was copied then.
    private func place(_ stanza: inout Stanza, to: JID, _ ticket: Ticket?, origin: UInt64, copied: Bool = false) -> StanzaError? {
        let choice = DeliveryRules.choose(
            type: stanza.type, resource: to.resource, hasPayload: stanza.mayBeKept,
            sessions: resources.lazy.map(DeliveryRules.Candidate.init))
        switch choice {
        case .refuse(let condition): return stanza.mayBeAnswered ? StanzaError(condition) : nil
        case .drop:
            trace(.dropped, stanza, "by \(jid): nobody is there to take it")
            if copied { copyReceived(stanza, besides: []) }
            return nil
        case .offline:
            let refusal = keepOrRefuse(&stanza, ticket, origin: origin)
            if copied, refusal == nil { copyReceived(stanza, besides: []) }
            return refusal
        case .sessions(let indexes):
            let chosen = indexes.count == resources.count ? resources : indexes.map { resources[$0] }
            if stanza.trace != 0 { traceChosen(stanza, chosen) }
            // Kept behind what waits it goes to one session alone, the one that the inbox goes to next.
            let receivers = mustQueue(for: chosen) && stanza.isKeepable ? bestForInbox().map { [$0] } ?? [] : chosen
            let refusal = handOver(&stanza, to: chosen, ticket, origin: origin)
            if copied, refusal == nil { copyReceived(stanza, besides: receivers) }
            return refusal
        }
    }

    /// Whether one of the chosen sessions is the one that the inbox goes to, and something waits for it: that goes first. The others
    /// never see what waits.
    private func mustQueue(for chosen: [Resource]) -> Bool {
        guard !inbox.waiting.isEmpty || isPumping || isHeldByDeparting else { return false }
        guard let queue = page.flatMap({ resource(of: $0.session) }) ?? bestForInbox() else { return false }
        return chosen.contains { $0 === queue }
    }

    /// Nobody takes it now: owed, or refused (RFC 6121 §8.5.2.2.1).
    private func keepOrRefuse(_ stanza: inout Stanza, _ ticket: Ticket?, origin: UInt64) -> StanzaError? {
        guard stanza.isKeepable else { return stanza.mayBeKept ? StanzaError(.serviceUnavailable) : nil }
        if let refusal = inboxIsFull() { return refusal }
        keep(&stanza, ticket, origin: origin, sessions: 0)
        return nil
    }

    func inboxIsFull() -> StanzaError? {
        let bounds = core.settings.offline
        guard bounds.messages > 0 && inbox.owed >= bounds.messages || bounds.bytes > 0 && inbox.bytes >= bounds.bytes else { return nil }
        core.metrics.refusedOffline.increment()
        return StanzaError(.serviceUnavailable, text: "The recipient's inbox is full")
    }

    private func handOver(_ stanza: inout Stanza, to chosen: [Resource], _ ticket: Ticket?, origin: UInt64) -> StanzaError? {
        let mustQueue = mustQueue(for: chosen)
        guard stanza.isKeepable, host?.keeps == true else {
            // Never stored by its own type, or an account that asked for relay: it still must not overtake what waits.
            guard mustQueue, stanza.type != .error else {
                archiveRelayed(&stanza)
                for resource in chosen { deliver(stanza, to: resource) }
                return nil
            }
            if stanza.isKeepable {
                if let refusal = keepOrRefuse(&stanza, ticket, origin: origin) { return refusal }
                pump()
                return nil
            }
            guard heldBack.count < Self.heldBackBound else {
                return stanza.mayBeKept ? StanzaError(.resourceConstraint, type: .wait, text: "Too much is waiting for the recipient") : nil
            }
            trace(.held, stanza, "by \(jid), behind what waits in its inbox")
            heldBack.append(stanza)
            return nil
        }
        // Who has too much in flight reads it from the store in its turn.
        let ready = mustQueue ? [] : chosen.contains(where: isFull) ? chosen.filter { !isFull($0) } : chosen
        if ready.isEmpty, let refusal = inboxIsFull() { return refusal }
        let message = keep(&stanza, ticket, origin: origin, sessions: ready.count)
        if ready.isEmpty { trace(.held, stanza, "by \(jid), in the store: more than enough is under way") }
        for resource in ready { deliver(stanza, to: resource, message: message) }
        if ready.isEmpty { pump() }
        return nil
    }

    /// Never-stored messages that wait behind stored ones.
    private static let heldBackBound = 64

    private func isFull(_ resource: Resource) -> Bool {
        guard resource.isLagging || resource.inFlight.count >= Resource.flightBound else { return false }
        // Only the session that the inbox goes to is spared: what waits would go to it, and not to another.
        guard resource === bestForInbox() else { return false }
        resource.isLagging = true
        return true
    }

    @discardableResult
    private func keep(_ stanza: inout Stanza, _ ticket: Ticket?, origin: UInt64, sessions: Int) -> UInt64 {
        let isArchived = belongsInArchive(stanza, peer: stanza.from)
        guard let kept = write(stanza, isArchived ? [.owed, .archived] : .owed, peer: stanza.from, ticket, origin: origin) else { return 0 }
        shard.metrics.keptMessages.increment()
        trace(.kept, stanza, "by \(jid), owed as \(kept.sequence)")
        if isArchived { trace(.archived, stanza, "by \(jid) as \(archiveIDs.id(kept.sequence))") }
        inbox.add(OwedMessage(kept.sequence, bytes: kept.bytes, isArchived: isArchived), sessions: sessions, origin: Origin(ticket))
        if isArchived { archived(&stanza, kept.sequence) }
        return kept.sequence
    }

    /// Microseconds by which a stamp may be ahead of the clock before that is counted: then the clock was set back.
    private static let toleratedHaste: Int64 = 5_000_000

    /// Writes a message's one record. Returns its number and the size of its row; nil when there is no account.
    func write(
        _ stanza: Stanza, _ flags: MessageRecord.Flags, peer: JID?, _ ticket: Ticket?, origin: UInt64, waits: Bool = true
    ) -> (sequence: UInt64, bytes: Int)? {
        guard let number = record?.number else { return nil }
        let now = core.clock.now
        let stamp = max(now, Int64(bitPattern: lastMessage) &+ 1)
        if stamp &- now > Self.toleratedHaste { shard.metrics.stampsAhead.increment() }
        let message = UInt64(bitPattern: stamp)
        lastMessage = message
        let header = MessageRecord.Header(
            sequence: message, stamp: stamp, flags: flags, originSession: RecentMessages.key(ticket), inSeq: ticket?.inSeq ?? 0,
            originIDHash: origin, peer: peer?.withBareBytes { core.identity.peer($0) } ?? 0)
        let value = shard.encode(stanza) { MessageRecord.encode(header, stanza: $0) }
        put(Keys.message(partition, number, sequence: message), value, waits: waits)
        recent.note(origin: origin, at: stamp)
        recent.note(ticket, at: stamp)
        return (message, value.count)
    }

    /// A hash of the sender and its origin-id (XEP-0359), and of the addressee when the account is the sender; 0 without one.
    func originHash(of stanza: Stanza, to other: JID? = nil) -> UInt64 {
        guard stanza.payload.facts.mask.contains(.originID), let from = stanza.from, let fact = stanza.payload.facts.first(.originID),
            let id = stanza.payload.element(of: fact)?["id"]
        else { return 0 }
        return originHash(from: from, id: id, to: other)
    }

    func originHash(from: JID, id: String, to other: JID?) -> UInt64 {
        var id = id
        return from.withBareBytes { from in
            id.withUTF8 { id in
                guard let other else { return core.identity.hash128(joining: from, UnsafeRawBufferPointer(id)).0 }
                return other.withBareBytes { core.identity.hash128(joining: from, UnsafeRawBufferPointer(id), $0).0 }
            }
        }
    }
}

extension Stanza {
    /// Payloads that make a message worth keeping; chat states, hints and stamps alone do not (XEP-0160 §3).
    private static let worthKeeping: PayloadMask = [
        .body, .encrypted, .receipt, .marker, .retraction, .moderation, .replacement, .reactions, .directInvitation, .outOfBand,
        .jingleMessage,
        .subject, .attention, .event, .other,
    ]

    /// Whether a message may be kept for later by its type and hints (XEP-0160 §3, XEP-0334).
    var isKeepable: Bool {
        guard kind == .message, type == .chat || type == .normal else { return false }
        let mask = payload.facts.mask
        if mask.contains(.noStore) { return false }
        return mask.contains(.store) || !mask.isDisjoint(with: Stanza.worthKeeping)
    }

    /// Whether nobody being there is worth an error: not for chat states and the like.
    var mayBeKept: Bool {
        kind == .message && (type == .chat || type == .normal || type == .groupchat)
            && !payload.facts.mask.isDisjoint(with: Stanza.worthKeeping)
    }
}
