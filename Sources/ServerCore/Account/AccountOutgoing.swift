import Settings
import Stanzas
import Store
import Telemetry
import XMLStream

/// What the account's own sessions send (RFC 6120 §10, RFC 6121 §8.1).
extension Account {
    func outgoing(_ stanza: Stanza, _ ticket: Ticket) {
        if let to = stanza.to, isBlocked(to) {
            core.metrics.blockedStanzas.increment()
            trace(stanza.mayBeAnswered ? .bounced : .dropped, stanza, "\(jid) blocks \(to)")
            return complete(ticket, .whole, refusal: stanza.mayBeAnswered ? Self.blockedError : nil)
        }
        if stanza.kind == .message, departing[ticket.session] != nil, record?.isEnabled == true {
            // Ended from here while it was under way: what the client said before it knew still counts.
            return outgoingMessage(stanza, ticket)
        }
        guard case .live = phase, let resource = resource(of: ticket.session) else {
            // The home does not know the session: it was ended here while the stanza was under way, or the account is gone.
            trace(.dropped, stanza, "the home of \(jid) does not know the session")
            if departing[ticket.session] == nil {
                shard.post(.end(session: ticket.session.id, .unknownToHome), to: ticket.session.shard)
            }
            return complete(ticket, .whole)
        }
        resource.management?.note(settled: ticket.settled)
        var stanza = stanza
        // The session said so already; a copy is made only where it did not.
        if stanza.from != resource.jid { stanza.from = resource.jid }
        if stanza.kind != .message { trace(.admitted, stanza, "by \(jid), outgoing") }
        switch stanza.kind {
        case .presence:
            let isMany = multicast(stanza, ticket) { copy, own in outgoingPresence(copy, resource, own) }
            if !isMany { outgoingPresence(stanza, resource, ticket) }
        case .message: outgoingMessage(stanza, ticket)
        case .iq: outgoingIQ(stanza, resource, ticket)
        }
    }

    // MARK: Messages

    private func outgoingMessage(_ stanza: Stanza, _ ticket: Ticket) {
        let isMany = multicast(stanza, ticket) { copy, own in outgoingMessage(copy, own, by: ticket.session) }
        if !isMany { outgoingMessage(stanza, ticket, by: ticket.session) }
    }

    private func outgoingMessage(_ original: Stanza, _ ticket: Ticket, by session: SessionRef) {
        var stanza = original
        // RFC 6120 §10.3.1: without an address it is for the sender's own account.
        if stanza.to == nil { stanza.to = jid }
        let turn = Turn(account: self, ticket: ticket)
        switch shard.table.pass(through: .keep, .outgoing, &stanza, turn) {
        case nil: break
        case (let stage, nil)?:
            trace(.dropped, stanza, "by \(jid), at \(stage)")
            return complete(ticket, .whole)
        case (let stage, let error?)?:
            trace(.bounced, stanza, "by \(jid), at \(stage): \(error)")
            return complete(ticket, .whole, refusal: error)
        }
        cutForgedStanzaIDs(&stanza)
        trace(.admitted, stanza, "by \(jid), outgoing")
        let isSecond = wasSent(stanza, ticket)
        let mine = archiveOutgoing(stanza, ticket)
        if let mine { trace(.archived, stanza, "by \(jid) as \(archiveIDs.id(mine))") }
        route(stanza, ticket)
        // XEP-0313 §3.5: the id is for those who may read this archive, so for copies alone.
        if let mine, resources.count > 1 { identify(&stanza, mine) }
        if !isSecond { copySent(stanza, by: session) }
        _ = shard.table.pass(.copy, .outgoing, &stanza, turn)
    }

    // MARK: IQ

    private func outgoingIQ(_ stanza: Stanza, _ resource: Resource, _ ticket: Ticket) {
        let to = stanza.to ?? jid
        if to == jid {
            guard stanza.type == .get || stanza.type == .set else {
                answered(stanza)
                return complete(ticket, .whole)
            }
            return dispatch(stanza, .ownAccount, ticket: ticket)
        }
        if !to.hasLocal, core.isOfHost(to) {
            // The server itself (RFC 6120 §10.5.2): it is asked where the asker lives.
            guard stanza.type == .get || stanza.type == .set else { return complete(ticket, .whole) }
            guard to.resource == nil else { return complete(ticket, .whole, refusal: StanzaError(.serviceUnavailable)) }
            return dispatch(stanza, .server, ticket: ticket)
        }
        route(stanza, ticket)
    }

    /// Finds the one handler of a request and sends its answer, exactly once, to the asker.
    func dispatch(_ stanza: Stanza, _ addressee: Addressee, ticket: Ticket?) {
        let half: CompletionHalf = addressee == .otherAccount || addressee == .accountOfStranger ? .theirs : .whole
        guard let from = stanza.from, let wrapped = stanza.payload.element(wrappedIn: .iq) else {
            return complete(ticket, half, refusal: StanzaError(.badRequest))
        }
        // RFC 6120 §8.2.3: exactly one child.
        let payloads = Array(wrapped.children.prefix(2))
        guard payloads.count == 1, let payload = payloads.first else { return complete(ticket, half, refusal: StanzaError(.badRequest)) }
        guard let handler = shard.table.handler(isSet: stanza.type == .set, payload.name, addressee) else {
            trace(.bounced, stanza, "nobody answers {\(payload.namespace)}\(payload.local)")
            return complete(ticket, half, refusal: StanzaError(.serviceUnavailable))
        }
        let turn = Turn(account: self, ticket: ticket)
        let request = Request(stanza: stanza, from: from, payload: payload)
        let reply = handler(request, turn)
        trace(.answered, stanza, "{\(payload.namespace)}\(payload.local) by \(jid): \(reply.word)")
        switch reply {
        case .result(let xml):
            answer(stanza, xml)
            complete(ticket, half)
        case .error(let error): complete(ticket, half, refusal: error)
        case .sent: complete(ticket, half)
        case .later: break
        }
    }

    /// The result of a request, to the asker.
    func answer(_ request: Stanza, _ xml: [UInt8]) {
        guard let asker = request.from else { return }
        var result = Stanza(
            kind: .iq, type: .result, id: request.id, from: request.to ?? jid, to: asker,
            payload: xml.isEmpty ? .empty : Payload(written: xml))
        if request.trace != 0 { result.trace = request.trace }
        if asker.bare == jid {
            // Its own session: straight down, behind everything this account already said.
            deliver(result, to: resource(jid: asker))
        } else {
            route(result, nil)
        }
    }

    func resource(jid full: JID) -> Resource? { resources.first { $0.jid == full } }

    // MARK: The router: one switch on `to`

    /// Sends a stanza on its way; the completion of what goes elsewhere is `.own` here and `.theirs` there.
    func route(_ stanza: Stanza, _ ticket: Ticket?) {
        if let tracer = shard.tracer, let found = tracer.found(stanza) { return route(found, ticket) }
        guard let to = stanza.to else { return complete(ticket, .whole) }
        if core.isOfComponent(to) { return routeToComponent(stanza, ticket) }
        guard core.isOfHost(to) else {
            // RFC 6120 §10.4: no stream to the remote domain can be had.
            trace(stanza.mayBeAnswered ? .bounced : .dropped, stanza, "no stream to \(to.domain) can be had")
            return complete(ticket, .whole, refusal: stanza.mayBeAnswered ? StanzaError(.remoteServerNotFound) : nil)
        }
        guard to.hasLocal else {
            // The domain: only IQs have a meaning there, and those were dispatched.
            let refused = stanza.kind != .presence && stanza.mayBeAnswered
            return complete(ticket, .whole, refusal: refused ? StanzaError(.serviceUnavailable) : nil)
        }
        let bare = to.bare
        guard let home = shard.placement.shard(ofPartition: shard.placement.partition(of: bare)) else {
            return complete(ticket, .whole, refusal: StanzaError(.internalServerError))
        }
        trace(.routed, stanza, "to the home of \(bare), loop \(home.loop)")
        // Both accounts keep independently and in parallel: the letter does not wait for this account's commit.
        shard.post(.route(to: bare, stanza: stanza, ticket: ticket), to: home)
        complete(ticket, .own)
    }

    /// Hands a stanza to one of this account's sessions, through the gate.
    func deliver(_ stanza: Stanza, to resource: Resource?, message: UInt64 = 0) {
        guard let resource else { return }
        if let tracer = shard.tracer, let found = tracer.found(stanza, node: resource.session.shard.node) {
            return deliver(found, to: resource, message: message)
        }
        if message != 0 { resource.inFlight.insert(message) }
        if let move = resource.move {
            // It is changing its loop: said when it has arrived.
            trace(.held, stanza, "\(resource.name) is changing its loop")
            move.held.append((stanza, message))
            return
        }
        emit(
            .deliver(session: resource.session.id, epoch: shard.placement.epoch, message: message, stanza: stanza),
            to: resource.session.shard)
    }
}
