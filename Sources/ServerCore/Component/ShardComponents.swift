import Settings
public import Stanzas

extension Core {
    /// Whether stanzas for this domain stay within the cluster: a host, or a component's.
    func serves(_ domain: String) -> Bool { hosts.index(forKey: domain) != nil || components.index(forKey: domain) != nil }

    /// The same of an address, without making a string of its domain.
    func serves(domainOf jid: JID) -> Bool { isOfHost(jid) || isOfComponent(jid) }
}

/// Components of this shard: homes of their domains, and sessions at their sockets.
extension Shard {
    /// Begins the session of a component that proved who it is: the home of its domain grants it the domain, or refuses with `conflict`.
    ///
    /// - Parameter completion: Called once on this loop, unless the connection says `streamClosed` first.
    @discardableResult
    public func attach(
        component domain: JID, connection: any ClientConnection,
        completion: @escaping (Result<ComponentSession, StanzaError>) -> Void
    ) -> ComponentSession {
        nextSessionID += 1
        let session = ComponentSession(
            id: nextSessionID, domain: domain, connection: connection, shard: self, completion: completion)
        componentSessions[session.id] = session
        if isLeaving {
            let id = session.id
            enter { shard in shard.componentSessions[id]?.refuse(StanzaError(.serviceUnavailable, type: .wait)) }
        } else {
            session.requestBind()
        }
        return session
    }

    func remove(_ session: ComponentSession) {
        componentSessions[session.id] = nil
        drained()
    }

    func flushComponents() {
        guard !dirtyComponents.isEmpty else { return }
        let touched = dirtyComponents
        dirtyComponents.removeAll(keepingCapacity: true)
        for session in touched { session.flush() }
    }

    /// Sends a stanza of the server's own to the home of its recipient.
    func route(_ stanza: Stanza) {
        guard let to = stanza.to, core.serves(to.domain), let home = placement.shard(ofPartition: placement.partition(of: to.bare)) else {
            return
        }
        post(.route(to: to, stanza: stanza, ticket: nil), to: home)
    }

    // MARK: As home

    /// The home of a component's domain; nil when the address is none of a component.
    func componentHome(_ jid: JID) -> ComponentHome? {
        guard !core.components.isEmpty, let settings = core.components[jid.domain] else { return nil }
        if let home = components[jid.domain] { return home }
        let home = ComponentHome(jid.domainJID, settings, shard: self)
        components[jid.domain] = home
        return home
    }

    /// Gives a letter to the component it is for. Returns false when it is for none.
    func receivedByComponent(_ letter: Letter) -> Bool {
        guard !core.components.isEmpty else { return false }
        switch letter {
        case .route(let to, let stanza, let ticket):
            guard let home = componentHome(to) else { return false }
            home.incoming(stanza, ticket)
        case .bind(let request):
            guard let home = componentHome(request.account) else { return false }
            home.bind(request)
        case .unbind(let jid, let session, _, _, _), .returned(let jid, let session, _):
            guard let home = componentHome(jid) else { return false }
            home.left(session)
        case .acked(let jid, _, let numbers):
            guard let home = componentHome(jid) else { return false }
            home.acknowledged(numbers)
        case .command(let command):
            guard let home = componentHome(command.account) else { return false }
            home.obey(command)
        default: return false
        }
        return true
    }

    /// A stanza for a component's session that is gone: its home may still believe in it. Returns false when it is for none.
    func deliveredToNoComponent(_ session: UInt64, _ stanza: Stanza) -> Bool {
        guard let to = stanza.to, core.isOfComponent(to) else { return false }
        guard let home = placement.home(of: to.domainJID) else { return true }
        post(.returned(account: to.domainJID, session: SessionRef(shard: address, id: session), stanzas: []), to: home)
        return true
    }

    // MARK: Takeover and chores

    func reportComponents(epoch: UInt64) {
        for session in componentSessions.values.sorted(by: { $0.id < $1.id }) {
            guard let report = session.report(epoch: epoch) else { continue }
            guard let home = placement.shard(ofPartition: placement.partition(of: session.domain)) else { continue }
            post(.report(report), to: home)
        }
    }

    func checkComponents() {
        for session in Array(componentSessions.values) { session.checkProgress() }
    }
}

extension Account {
    /// Sends a stanza to the home of a component's domain.
    func routeToComponent(_ stanza: Stanza, _ ticket: Ticket?) {
        guard let to = stanza.to, let home = shard.placement.shard(ofPartition: shard.placement.partition(of: to.bare)) else {
            return complete(ticket, .whole, refusal: StanzaError(.internalServerError))
        }
        shard.post(.route(to: to, stanza: stanza, ticket: ticket), to: home)
        complete(ticket, .own)
    }

    /// What one without an account here sends to a host: its requests are answered where modules answer strangers, all else has no
    /// meaning.
    func incomingToHost(_ stanza: Stanza, _ ticket: Ticket?) {
        if stanza.kind != .iq, stanza.mayBeAnswered, let refusal = shard.table.refusal(stanza) {
            return complete(ticket, .theirs, refusal: refusal)
        }
        guard stanza.mayBeAnswered, stanza.kind != .presence else { return complete(ticket, .theirs) }
        guard stanza.kind == .iq, stanza.to?.resource == nil, case .live = phase else {
            return complete(ticket, .theirs, refusal: stanza.kind == .iq || stanza.mayBeKept ? StanzaError(.serviceUnavailable) : nil)
        }
        dispatch(stanza, .serverOfStranger, ticket: ticket)
    }
}
