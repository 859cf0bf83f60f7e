import Settings
import Telemetry
internal import DequeModule
import Stanzas
import Store
import XMLStream

/// What others send to the account (RFC 6121 §8.5), and the inbox (XEP-0160, DESIGN §4a).
extension Account {
    func incoming(_ stanza: Stanza, _ ticket: Ticket?) {
        guard let to = stanza.to, case .live = phase, record?.isEnabled == true else { return incomingToNobody(stanza, ticket) }
        switch stanza.kind {
        case .presence: incomingPresence(stanza, to: to, ticket)
        case .message: incomingMessage(stanza, to: to, ticket)
        case .iq: incomingIQ(stanza, to: to, ticket)
        }
    }

    /// RFC 6121 §8.5.1: no such user. A disabled account answers no differently.
    private func incomingToNobody(_ stanza: Stanza, _ ticket: Ticket?) {
        guard stanza.mayBeAnswered else { return complete(ticket, .theirs) }
        switch stanza.kind {
        case .message, .iq: complete(ticket, .theirs, refusal: StanzaError(.serviceUnavailable))
        case .presence:
            // §4.3.2: a probe for nobody is answered as a cancelled subscription; all else is dropped in silence.
            if stanza.type == .probe, let asker = stanza.from {
                route(Stanza(kind: .presence, type: .unsubscribed, from: jid, to: asker.bare), nil)
            }
            complete(ticket, .theirs)
        }
    }

    // MARK: IQ

    private func incomingIQ(_ stanza: Stanza, to: JID, _ ticket: Ticket?) {
        if to.resource == nil {
            guard stanza.type == .get || stanza.type == .set else { return complete(ticket, .theirs) }
            return dispatch(stanza, .otherAccount, ticket: ticket)
        }
        let addressed = resource(jid: to)
        let sees = stanza.from.map { from in
            isVisible(to: from.bare) || addressed.map { $0.directed.contains(from) || $0.directed.contains(from.bare) } == true
        }
        switch DeliveryRules.chooseIQ(
            type: stanza.type, resource: to.resource, senderSeesPresence: sees ?? false, sessions: resources.map(DeliveryRules.Candidate.init))
        {
        case .sessions: deliver(stanza, to: addressed)
        case .refuse(let condition): return complete(ticket, .theirs, refusal: StanzaError(condition))
        case .offline, .drop, nil: break
        }
        complete(ticket, .theirs)
    }

    // MARK: Messages

    private func incomingMessage(_ original: Stanza, to: JID, _ ticket: Ticket?) {
        var stanza = original
        let turn = Turn(account: self, ticket: ticket)
        for stage in [Stage.admit, .stamp] {
            switch shard.table.pass(stage, .incoming, &stanza, turn) {
            case .next: continue
            case .drop: return complete(ticket, .theirs)
            case .bounce(let error): return complete(ticket, .theirs, refusal: error)
            }
        }
        let origin = originHash(of: stanza)
        if recent.isRepeated(ticket) || recent.contains(origin: origin) {
            // Already written: it is in the inbox, or was acknowledged.
            return complete(ticket, .theirs)
        }
        let choice = DeliveryRules.choose(type: stanza.type, resource: to.resource, hasPayload: stanza.mayBeKept, sessions: resources.map(DeliveryRules.Candidate.init))
        switch choice {
        case .refuse(let condition):
            return complete(ticket, .theirs, refusal: stanza.mayBeAnswered ? StanzaError(condition) : nil)
        case .drop: return complete(ticket, .theirs)
        case .offline: keepOrRefuse(stanza, ticket, origin: origin)
        case .sessions(let indexes): handOver(stanza, to: indexes.map { resources[$0] }, ticket, origin: origin, isBare: to.resource == nil)
        }
        _ = shard.table.pass(.copy, .incoming, &stanza, turn)
    }

    /// Nobody takes it now: owed, or refused (RFC 6121 §8.5.2.2.1).
    private func keepOrRefuse(_ stanza: Stanza, _ ticket: Ticket?, origin: UInt64) {
        guard stanza.isKeepable else {
            return complete(ticket, .theirs, refusal: stanza.mayBeKept ? StanzaError(.serviceUnavailable) : nil)
        }
        let bound = core.settings.offline.messages
        guard bound == 0 || inbox.owed < bound else {
            core.metrics.refusedOffline.increment()
            return complete(ticket, .theirs, refusal: StanzaError(.serviceUnavailable, text: "The recipient's inbox is full"))
        }
        keep(stanza, ticket, origin: origin, sessions: 0)
        complete(ticket, .theirs)
    }

    private func handOver(_ stanza: Stanza, to chosen: [Resource], _ ticket: Ticket?, origin: UInt64, isBare: Bool) {
        guard stanza.isKeepable, host?.durability == .kept else {
            // Never stored by its own type, or an account that asked for relay: it still must not overtake what waits.
            if stanza.type != .error, isBare, !inbox.waiting.isEmpty || isPumping {
                if stanza.isKeepable { return keepOrRefuse(stanza, ticket, origin: origin) }
                if heldBack.count < 64 { heldBack.append(stanza) }
            } else {
                for resource in chosen { deliver(stanza, to: resource) }
            }
            return complete(ticket, .theirs)
        }
        // What waits goes first; who has too much in flight reads it from the store in its turn.
        let ready = inbox.waiting.isEmpty && !isPumping ? chosen.filter { !isFull($0) } : []
        let message = keep(stanza, ticket, origin: origin, sessions: ready.count)
        for resource in ready { deliver(stanza, to: resource, message: message) }
        complete(ticket, .theirs)
        if ready.isEmpty { pump() }
    }

    private func isFull(_ resource: Resource) -> Bool {
        if resource.inFlight.count >= Resource.flightBound { resource.isLagging = true }
        return resource.isLagging
    }

    @discardableResult
    private func keep(_ stanza: Stanza, _ ticket: Ticket?, origin: UInt64, sessions: Int) -> UInt64 {
        guard let record else { return 0 }
        let stamp = max(core.clock.now, Int64(bitPattern: lastMessage) &+ 1)
        let message = UInt64(bitPattern: stamp)
        lastMessage = message
        var encoded: [UInt8] = []
        encoded.reserveCapacity(stanza.payload.bytes.count + 160)
        stanza.encode(into: &encoded)
        let value = MessageRecord(
            sequence: message, stamp: stamp, flags: .owed, originSession: RecentMessages.key(ticket), inSeq: ticket?.inSeq ?? 0, originIDHash: origin,
            stanza: encoded)
        put(Keys.message(partition, record.number, sequence: message), value.encode())
        recent.note(origin: origin)
        inbox.add(message, sessions: sessions)
        return message
    }

    /// A hash of the sender and its origin-id (XEP-0359); 0 without one.
    private func originHash(of stanza: Stanza) -> UInt64 {
        guard stanza.payload.facts.mask.contains(.originID), let from = stanza.from, let fact = stanza.payload.facts.first(.originID),
            let id = stanza.payload.element(of: fact)?["id"]
        else { return 0 }
        return core.identity.hash128(from.bare.description + "\n" + id).0
    }

    // MARK: The pump: owed messages to a session, in pages, in order

    /// Hands the next page of waiting messages to the session that should have it, when there is one.
    func pump() {
        guard case .live = phase, !isPumping else { return }
        guard !inbox.waiting.isEmpty else { return releaseHeldBack() }
        guard let resource = bestForInbox() else { return }
        guard resource.inFlight.count <= Resource.flightBound / 2, let number = record?.number else { return }
        isPumping = true
        let page = inbox.take(100)
        for message in page { resource.inFlight.insert(message) }
        let session = resource.session
        // Behind the gate: only when the last of them is durable does a snapshot show them all.
        pass(
            .perform { isDurable in
                guard isDurable else { return self.isPumping = false }
                self.readPage(page, number: number, for: session)
            })
    }

    /// RFC 6121 §8.5.2.1.1: the session with the highest priority that is not negative.
    private func bestForInbox() -> Resource? {
        resources.filter { $0.isAvailable && $0.priority >= 0 }.max { ($0.priority, $1.bind) < ($1.priority, $0.bind) }
    }

    private func readPage(_ page: [UInt64], number: UInt64, for session: SessionRef) {
        let core = core
        let partition = partition
        let jid = jid
        let shard = shard
        core.readers.read { snapshot in
            var records: [MessageRecord] = []
            var damaged: [UInt64] = []
            for message in page {
                do throws(StoreFailure) {
                    let key = Keys.message(partition, number, sequence: message)
                    if let value = try snapshot.get(key) { records.append(try MessageRecord.decode(value, key: key)) } else { damaged.append(message) }
                } catch {
                    damaged.append(message)
                }
            }
            let read = records
            let unreadable = damaged
            shard.enter { shard in shard.accounts[jid]?.pageRead(read, unreadable: unreadable, page: page, for: session) }
        }
    }

    private func pageRead(_ records: [MessageRecord], unreadable: [UInt64], page: [UInt64], for session: SessionRef) {
        guard isPumping else { return }
        isPumping = false
        guard let resource = resource(of: session) else {
            // The session left while the page was read: `leave` gave the messages back.
            return pump()
        }
        for message in unreadable {
            core.metrics.damagedRecords.increment()
            resource.inFlight.remove(message)
            _ = inbox.acknowledge(message)
        }
        for record in records {
            guard resource.inFlight.contains(record.sequence), var stanza = try? Stanza(encoded: record.stanza) else { continue }
            // XEP-0160 §3, XEP-0203: stamped by the account's own domain.
            var delay = XMLWriter()
            Delay(stamp: DateTime(microseconds: record.stamp), from: jid.domainJID).write(into: &delay)
            stanza.payload = stanza.payload.appending(delay.bytes, as: .delay)
            deliver(stanza, to: resource, message: record.sequence)
        }
        pump()
    }

    private func releaseHeldBack() {
        while let stanza = heldBack.popFirst() {
            guard let resource = bestForInbox() else { continue }
            deliver(stanza, to: resource)
        }
    }
}

extension Stanza {
    /// Payloads that make a message worth keeping; chat states, hints and stamps alone do not (XEP-0160 §3).
    private static let worthKeeping: PayloadMask = [
        .body, .encrypted, .receipt, .marker, .retraction, .moderation, .replacement, .reactions, .directInvitation, .outOfBand, .jingleMessage,
        .subject, .attention, .event, .other,
    ]

    /// Whether a message may be kept for later by its type and hints (XEP-0160 §3, XEP-0334).
    var isKeepable: Bool {
        guard kind == .message, type == .chat || type == .normal else { return false }
        let mask = payload.facts.mask
        if mask.contains(.noStore) || mask.contains(.noPermanentStore) { return false }
        return mask.contains(.store) || !mask.isDisjoint(with: Stanza.worthKeeping)
    }

    /// Whether nobody being there is worth an error: not for chat states and the like.
    var mayBeKept: Bool { kind == .message && (type == .chat || type == .normal || type == .groupchat) && !payload.facts.mask.isDisjoint(with: Stanza.worthKeeping) }
}
