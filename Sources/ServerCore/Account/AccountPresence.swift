import Settings
public import Stanzas
import Store
import XMLStream

/// Presence (RFC 6121 §4): broadcast, probes, directed presence and its cleanup.
extension Account {
    // MARK: What others may see

    /// Whether a contact may see this account's presence (subscription `from` or `both`), or is the account itself.
    public func isVisible(to contact: JID) -> Bool { contact.bare == jid || roster.sendsPresence(to: contact.bare) }

    /// Whether any session is available.
    public var isOnline: Bool { resources.contains { $0.isAvailable } }

    /// Full JIDs of the available sessions.
    public var availableResources: [JID] { resources.filter(\.isAvailable).map(\.jid) }

    /// When the last session left, and what it said.
    public var lastSeen: (stamp: Int64, status: String?)? {
        guard let record, let stamp = record.lastUnavailable else { return record.map { ($0.created, nil) } }
        return (stamp, record.lastStatus)
    }

    static func priority(of presence: Stanza) -> Int8 {
        guard presence.payload.bytes.count > 0, let text = presence.payload.element(wrappedIn: .presence)?.first(Names.priority)?.text,
            let value = Int(text.trimmingASCIISpace)
        else { return 0 }
        return Int8(clamping: value)
    }

    // MARK: From the account's own sessions

    func outgoingPresence(_ stanza: Stanza, _ resource: Resource, _ ticket: Ticket) {
        guard let to = stanza.to else {
            switch stanza.type {
            case .none: becameAvailable(stanza, resource)
            case .unavailable: becameUnavailable(stanza, resource)
            case .error: break
            default: return complete(ticket, .whole, refusal: StanzaError(.badRequest))
            }
            return complete(ticket, .whole)
        }
        switch stanza.type {
        case .subscribe, .subscribed, .unsubscribe, .unsubscribed:
            outgoingSubscription(stanza, to: to.bare, ticket)
        case .probe:
            // §4.3: a client does not probe; its server did when it became available.
            complete(ticket, .whole)
        case .none:
            if !roster.sendsPresence(to: to.bare) || !resource.isAvailable {
                guard resource.directed.count < Resource.directedBound else {
                    return complete(
                        ticket, .whole,
                        refusal: StanzaError(.resourceConstraint, type: .wait, text: "Too many addresses of directed presence"))
                }
                if resource.directed.insert(to).inserted { writeRow(resource) }
            }
            route(stanza, ticket)
        case .unavailable:
            if resource.directed.remove(to) != nil { writeRow(resource) }
            route(stanza, ticket)
        default: route(stanza, ticket)
        }
    }

    private func becameAvailable(_ stanza: Stanza, _ resource: Resource) {
        let wasInitial = !resource.isAvailable || !resource.sawPresence
        let couldReceive = resource.isAvailable && resource.priority >= 0
        resource.presence = stanza
        resource.priority = Self.priority(of: stanza)
        resource.sawPresence = true
        broadcast(stanza)
        // §4.2.2, §4.4.2: the account's other available sessions, and its own.
        toOwnSessions(stanza)
        if wasInitial {
            // From here on somebody believes that it is there.
            if resource.lacksRow { writeRow(resource) }
            welcome(resource)
        }
        shard.table.show(stanza, of: resource.jid, Turn(account: self, ticket: nil))
        if !couldReceive, resource.priority >= 0 { pump() }
    }

    /// To the account's own available sessions.
    func toOwnSessions(_ stanza: Stanza) {
        for other in resources where other.isAvailable { deliver(readdressed(stanza, other.jid), to: other) }
    }

    /// What a session that became available must see: its siblings, its contacts, and who asks to become one.
    func welcome(_ resource: Resource) {
        // §4.2.2: what the other sessions' presence is.
        for other in resources where other !== resource {
            if let presence = other.presence { deliver(readdressed(presence, resource.jid), to: resource) }
        }
        probeContacts(for: resource)
        deliverPendingRequests(to: resource)
    }

    private func becameUnavailable(_ stanza: Stanza, _ resource: Resource) {
        guard resource.isAvailable || !resource.directed.isEmpty else { return }
        let hadDirected = !resource.directed.isEmpty
        goUnavailable(resource, stanza)
        if hadDirected { writeRow(resource) }
    }

    /// A session ended without saying goodbye: the server says it (§4.5.2).
    func announceGone(_ resource: Resource) {
        guard resource.isAvailable || !resource.directed.isEmpty else { return }
        goUnavailable(resource, Stanza(kind: .presence, type: .unavailable, from: resource.jid))
    }

    private func goUnavailable(_ resource: Resource, _ stanza: Stanza) {
        let wasAvailable = resource.isAvailable
        resource.presence = nil
        resource.sawPresence = false
        resource.announcement = nil
        resource.capabilities = nil
        let directed = resource.directed
        resource.directed.removeAll()
        if wasAvailable {
            broadcast(stanza)
            for other in resources where other.isAvailable || other === resource { deliver(readdressed(stanza, other.jid), to: other) }
            if !isOnline, var record {
                record.lastUnavailable = core.clock.now
                record.lastStatus =
                    stanza.payload.bytes.isEmpty ? nil : stanza.payload.element(wrappedIn: .presence)?.first(Names.status)?.text
                self.record = record
                put(Keys.account(partition, core.identity.hash128(jid.description)), record.encode(), waits: false)
            }
        }
        // §4.6.3: those who got directed presence and are no subscribers.
        for to in directed where !(wasAvailable && roster.sendsPresence(to: to.bare)) && !isBlocked(to) {
            route(readdressed(stanza, to), nil)
        }
    }

    private func readdressed(_ stanza: Stanza, _ to: JID) -> Stanza {
        var copy = stanza
        copy.to = to
        return copy
    }

    /// To every contact that may see it: one letter for each loop that is home to some of them.
    func broadcast(_ stanza: Stanza) { fanOut(stanza, to: roster.presenceSubscribers.filter { !isBlocked($0) }) }

    /// To local accounts, this one excepted.
    func fanOut(_ stanza: Stanza, to contacts: [JID]) {
        var byHome: [ShardAddress: [JID]] = [:]
        for contact in contacts {
            guard core.serves(domainOf: contact), contact != jid else { continue }
            guard let home = shard.placement.shard(ofPartition: shard.placement.partition(of: contact)) else { continue }
            byHome[home, default: []].append(contact)
        }
        trace(.broadcast, stanza, "to \(byHome.reduce(0) { $0 + $1.value.count }) contacts")
        for (home, contacts) in byHome.sorted(by: { $0.key < $1.key }) {
            for start in stride(from: 0, to: contacts.count, by: Self.fanOutBound) {
                shard.post(.fanOut(to: Array(contacts[start..<min(start + Self.fanOutBound, contacts.count)]), stanza: stanza), to: home)
            }
        }
    }

    /// Addresses in one letter: it must fit a frame of the bus.
    private static let fanOutBound = 250

    /// §4.3.1: asks for the presence of everybody this account may see.
    private func probeContacts(for resource: Resource) {
        for contact in roster.presenceSources where contact != jid && !isBlocked(contact) {
            route(Stanza(kind: .presence, type: .probe, from: resource.jid, to: contact), nil)
        }
    }

    // MARK: From others

    func incomingPresence(_ stanza: Stanza, to: JID, _ ticket: Ticket?) {
        switch stanza.type {
        case .subscribe, .subscribed, .unsubscribe, .unsubscribed: return incomingSubscription(stanza, ticket)
        case .probe: answerProbe(stanza)
        case .none, .unavailable, .error:
            if to.resource != nil {
                if stanza.trace != 0 { traceChosen(stanza, resource(jid: to).map { [$0] } ?? []) }
                // §8.5.3.2.2: to the addressed session; nobody there: silently dropped.
                deliver(stanza, to: resource(jid: to))
            } else {
                if stanza.trace != 0 { traceChosen(stanza, resources.filter(\.isAvailable)) }
                // §8.5.2.1.2: to every available session, whatever its priority; so are errors, or a failed request would go unseen (§3.1.2).
                for resource in resources where resource.isAvailable { deliver(stanza, to: resource) }
            }
        default: break
        }
        complete(ticket, .theirs)
    }

    /// §4.3.2.
    private func answerProbe(_ probe: Stanza) {
        guard let asker = probe.from else { return }
        guard isVisible(to: asker.bare) else { return denyProbe(probe) }
        if let wanted = probe.to?.resource, let resource = resource(named: wanted) {
            // §4.3.2 last paragraph: a full JID.
            let presence = resource.presence ?? Stanza(kind: .presence, type: .unavailable, from: resource.jid)
            return route(readdressed(presence, asker), nil)
        }
        // Rule 3 would have an unavailable presence for each contact that is away: what a login costs would be mostly that.
        for resource in resources {
            if let presence = resource.presence { route(readdressed(presence, asker), nil) }
        }
    }

    /// §3.1.3: requests that nobody answered yet, to a session that became available.
    private func deliverPendingRequests(to resource: Resource) {
        for request in roster.pendingRequests where request.from.map({ !isBlocked($0) }) ?? true { deliver(request, to: resource) }
    }

    /// Sends the current presence of every available session to one contact.
    func sendPresence(to contact: JID) {
        for resource in resources {
            if let presence = resource.presence { route(readdressed(presence, contact), nil) }
        }
    }

    /// Sends unavailable presence of every available session to one contact.
    func sendUnavailable(to contact: JID) {
        for resource in resources where resource.isAvailable {
            route(Stanza(kind: .presence, type: .unavailable, from: resource.jid, to: contact), nil)
        }
    }
}
