import Settings
public import Stanzas
import Store

/// Subscriptions (RFC 6121 §3): `SubscriptionState` decides, this carries out, in the order in which its answer is written.
extension Account {
    func outgoingSubscription(_ original: Stanza, to contact: JID, _ ticket: Ticket?) {
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
        guard let from = stanza.from?.bare, from != jid else { return complete(ticket, .theirs) }
        if stanza.type == .subscribe, (roster[from] ?? Contact(jid: from)).state.incoming == SubscriptionState.Incoming.none,
            shard.table.takes(
                stanza, Turn(account: self, ticket: ticket), { LaterSubscription(account: self, request: stanza, ticket: ticket) })
        {
            return
        }
        receiveSubscription(stanza, from: from, ticket)
    }

    /// - Parameter isGranted: the request is granted before anybody sees it.
    func receiveSubscription(_ stanza: Stanza, from: JID, _ ticket: Ticket?, isGranted: Bool = false) {
        var entry = roster[from] ?? Contact(jid: from)
        if isGranted, !entry.state.hasFrom {
            forgetRequest(of: from)
            entry.state.incoming = .preApproved
        }
        guard let change = entry.state.inbound(stanza.type) else { return complete(ticket, .theirs) }
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

/// A subscription request that waits for a module's decision. Forgotten, it goes to the owner like any other.
public final class LaterSubscription {
    private let account: Account
    private let request: Stanza
    private let ticket: Ticket?
    private var isOpen = true

    init(account: Account, request: Stanza, ticket: Ticket?) {
        self.account = account
        self.request = request
        self.ticket = ticket
        account.reads += 1
    }

    /// Bare JID of who asks.
    public var contact: JID? { request.from?.bare }

    /// Decides, on the account's loop. A second call is ignored.
    ///
    /// - Parameter isGranted: the contact gets the account's presence and is asked for his own; otherwise the owner decides.
    public func decide(isGranted: Bool) {
        guard isOpen else { return }
        isOpen = false
        account.reads -= 1
        guard !account.isRetired, let contact else { return }
        // Read anew after a failed commit, or gone: whatever it is then answers.
        guard account.phase.isLive else { return account.receive(.incoming(request, ticket)) }
        let hasRoom = account.roster[contact] != nil || account.roster.count < account.core.settings.limits.rosterItems
        account.receiveSubscription(request, from: contact, ticket, isGranted: isGranted && hasRoom)
        if isGranted, hasRoom, account.roster[contact]?.state.outgoing == SubscriptionState.Outgoing.none {
            account.outgoingSubscription(Stanza(kind: .presence, type: .subscribe, from: account.jid, to: contact), to: contact, nil)
        }
    }

    deinit { decide(isGranted: false) }
}
