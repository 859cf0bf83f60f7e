import Settings
import Stanzas
import Store

/// Subscriptions (RFC 6121 §3): `SubscriptionState` decides, this carries out, in the order in which its answer is written.
extension Account {
    func outgoingSubscription(_ original: Stanza, to contact: JID, _ ticket: Ticket) {
        // §3.1.2: from the bare JID, whatever session sent it; nobody subscribes to oneself.
        var stanza = original
        stanza.from = jid
        stanza.to = contact
        guard contact != jid else { return complete(ticket, .whole) }
        let entry = roster[contact] ?? Contact(jid: contact)
        guard let change = entry.state.outbound(stanza.type) else { return complete(ticket, .whole, refusal: StanzaError(.badRequest)) }
        if roster[contact] == nil, change.state.needsItem, roster.count >= core.settings.limits.rosterItems {
            return complete(
                ticket, .whole,
                refusal: StanzaError(.resourceConstraint, text: "The roster holds \(core.settings.limits.rosterItems) contacts at most"))
        }
        if change.sendsUnavailable { sendUnavailable(to: contact) }
        apply(change, to: entry, request: nil)
        if change.routes { route(stanza, ticket) } else { complete(ticket, .whole) }
        if change.sendsPresence { sendPresence(to: contact) }
    }

    func incomingSubscription(_ stanza: Stanza, _ ticket: Ticket?) {
        guard let from = stanza.from?.bare, from != jid, let change = (roster[from] ?? Contact(jid: from)).state.inbound(stanza.type) else {
            return complete(ticket, .theirs)
        }
        let entry = roster[from] ?? Contact(jid: from)
        var delivered = stanza
        delivered.from = from
        delivered.to = jid
        if change.delivers {
            for resource in resources {
                let wants = stanza.type == .subscribe ? resource.isAvailable : resource.flags.contains(.interested)
                if wants { deliver(delivered, to: resource) }
            }
        }
        if change.sendsUnavailable { sendUnavailable(to: from) }
        for type in change.sends { route(Stanza(kind: .presence, type: type, from: jid, to: from), nil) }
        apply(change, to: entry, request: delivered)
        if change.sendsPresence { sendPresence(to: from) }
        complete(ticket, .theirs)
    }

    /// Keeps a new state, pushes it where clients see it, and keeps or forgets the request that stands behind it.
    private func apply(_ change: SubscriptionChange, to contact: Contact, request: Stanza?) {
        switch change.request {
        case .untouched: break
        case .forget: forgetRequest(of: contact.jid)
        case .keep: if let request { keepRequest(request, of: contact.jid) }
        }
        guard change.isChanged else { return }
        var contact = contact
        contact.state = change.state
        if change.state.needsItem {
            contact.isListed = true
            contact.isRemoved = false
        }
        store(contact, pushed: change.pushes && contact.isListed)
    }

    private func keepRequest(_ stanza: Stanza, of contact: JID) {
        guard let record else { return }
        roster.setRequest(stanza, of: contact)
        var writer = ByteWriter()
        stanza.encode(into: &writer)
        let row = PendingInRecord(jid: contact.description, stamp: core.clock.now, stanza: writer.bytes)
        put(Keys.pendingIn(partition, record.number, core.identity.hash128(contact.description)), row.encode())
    }

    func forgetRequest(of contact: JID) {
        guard let record, roster.request(of: contact) != nil else { return }
        roster.setRequest(nil, of: contact)
        delete(Keys.pendingIn(partition, record.number, core.identity.hash128(contact.description)))
    }

    /// The account is about to go: its contacts see both subscriptions end.
    func sayGoodbyeToContacts() {
        for contact in roster.everyContact {
            let change = contact.state.removed()
            if change.sendsUnavailable { sendUnavailable(to: contact.jid) }
            for type in change.sends { route(Stanza(kind: .presence, type: type, from: jid, to: contact.jid), nil) }
        }
    }
}
