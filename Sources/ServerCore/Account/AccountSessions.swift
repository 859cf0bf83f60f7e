import Settings
import Stanzas
import Store

/// Sessions come and go: binding (RFC 6120 §7), departure, acknowledgement, and what survives a takeover.
extension Account {
    func resource(of session: SessionRef) -> Resource? { resources.first { $0.session == session } }

    func resource(named name: String) -> Resource? { resources.first { $0.name == name } }

    // MARK: Bind

    func bind(_ request: BindRequest) {
        let refuse = { (error: StanzaError) in
            self.emit(.bound(session: request.session.id, .refused(error)), to: request.session.shard)
        }
        guard case .live = phase, let record, record.isEnabled, host != nil else {
            return refuse(StanzaError(.notAllowed, text: "The account does not exist or is disabled"))
        }
        if let bound = resources.first(where: { $0.session == request.session }) {
            // Asked again after a takeover that already knew the session.
            return emit(
                .bound(session: request.session.id, .granted(resource: bound.name, bind: bound.bind, epoch: shard.placement.epoch)),
                to: request.session.shard)
        }
        let settings = core.settings.sessions
        var name: String
        if let wanted = request.resource {
            name = wanted
        } else {
            repeat { name = Self.randomResource() } while resource(named: name) != nil
        }
        if let holder = resource(named: name) {
            switch settings.conflict {
            case .replace: endSession(holder, .replaced)
            case .refuse: return refuse(StanzaError(.conflict))
            case .rename: repeat { name = "\(request.resource ?? "").\(Self.randomResource())" } while resource(named: name) != nil
            }
        }
        guard resources.count < settings.resourcesPerAccount else {
            return refuse(StanzaError(.resourceConstraint, type: .wait, text: "The account has too many sessions"))
        }
        guard let full = try? jid.with(resource: name) else { return refuse(StanzaError(.badRequest)) }
        shard.nextBind += 1
        let bind = BindID(epoch: shard.placement.epoch, counter: shard.nextBind << 8 | UInt64(shard.address.loop & 0xFF))
        let resource = Resource(name: name, jid: full, session: request.session, bind: bind)
        resources.append(resource)
        writeRow(resource)
        emit(
            .bound(session: request.session.id, .granted(resource: name, bind: bind, epoch: shard.placement.epoch)),
            to: request.session.shard)
    }

    private static func randomResource() -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        return String((0..<16).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
    }

    // MARK: Departure

    func unbind(_ session: SessionRef, _ bind: BindID, _ departure: Departure, unacked: [UInt64]) {
        guard let resource = resources.first(where: { $0.session == session && $0.bind == bind }) else { return }
        for message in unacked { resource.inFlight.insert(message) }
        leave(resource)
    }

    /// Ends a session from the home: it leaves the list at once, its socket is told.
    func endSession(_ resource: Resource, _ reason: EndReason) {
        shard.post(.end(session: resource.session.id, reason), to: resource.session.shard)
        leave(resource)
    }

    /// The one exit, in the one order: out of the list, unacknowledged messages back, unavailable presence (DESIGN §4b).
    func leave(_ resource: Resource) {
        guard let index = resources.firstIndex(where: { $0 === resource }) else { return }
        resources.remove(at: index)
        delete(Keys.sessionRow(partition, record?.number ?? 0, session: resource.session.id), waits: false)
        for message in resource.inFlight { _ = inbox.giveBack(message) }
        resource.inFlight.removeAll()
        announceGone(resource)
        pump()
        shard.noteIdle(self)
    }

    /// Every session of a node that died.
    func dropSessions(ofNode node: UInt64) {
        for resource in resources where resource.session.shard.node == node { leave(resource) }
    }

    // MARK: Acknowledgement

    func acknowledged(_ session: SessionRef, _ messages: [UInt64]) {
        guard case .live = phase else { return }
        let resource = resource(of: session)
        for message in messages {
            resource?.inFlight.remove(message)
            guard inbox.acknowledge(message) else { continue }
            for other in resources where other !== resource { other.inFlight.remove(message) }
            spent.append((message, core.clock.now &+ RecentMessages.graceMicroseconds))
            touchInbox()
        }
        if let resource, resource.isLagging, resource.inFlight.count <= Resource.flightBound / 2 { resource.isLagging = false }
        pump()
    }

    private func touchInbox() {
        guard !inboxTouched else { return }
        inboxTouched = true
        shard.touchedInboxes.append(self)
    }

    /// Writes what is acknowledged, in one record, and removes messages whose time is over. Nobody waits for it.
    func flushInbox() {
        inboxTouched = false
        guard case .live = phase, let record else { return }
        let now = core.clock.now
        var removed = 0
        while removed < 256, let first = spent.first, first.after <= now {
            spent.removeFirst()
            delete(Keys.message(partition, record.number, sequence: first.message), waits: false)
            removed += 1
        }
        let owed = inbox.all
        // Acknowledged = at or below the mark and not an exception; what is owed below the mark is the shorter list to write.
        let mark = InboxRecord(ackedThrough: inbox.highest, owed: owed.filter { $0 <= inbox.highest }, spent: spent.map(\.message))
        put(Keys.inbox(partition, record.number), mark.encode(), waits: false)
        if let next = spent.first, next.after <= now { touchInbox() }
    }

    // MARK: Takeover

    /// What the living sessions told a new home, and the rows of sessions that nobody claimed.
    func claim(_ reports: [SessionReport], orphans: [SessionRow]) {
        guard case .live = phase, let record, record.isEnabled else {
            for report in reports { shard.post(.end(session: report.session.id, .accountGone), to: report.session.shard) }
            return
        }
        var unconfirmed: [Resource] = []
        for report in reports.sorted(by: { $0.bind > $1.bind }) {
            guard resource(named: report.resource) == nil, let full = try? jid.with(resource: report.resource) else {
                // Two sessions claim one resource: the higher binding stays.
                shard.post(.end(session: report.session.id, .replaced), to: report.session.shard)
                continue
            }
            let resource = Resource(name: report.resource, jid: full, session: report.session, bind: report.bind)
            resource.flags = Resource.Flags(rawValue: report.flags)
            resource.directed = Set(report.directed)
            for message in report.acked where inbox.acknowledge(message) { spent.append((message, core.clock.now &+ RecentMessages.graceMicroseconds)) }
            for message in report.unacked {
                inbox.claim(message)
                resource.inFlight.insert(message)
            }
            resources.append(resource)
            if let presence = report.presence {
                resource.sawPresence = report.presenceConfirmed
                if report.presenceConfirmed {
                    resource.presence = presence
                    resource.priority = Self.priority(of: presence)
                } else {
                    unconfirmed.append(resource)
                }
            }
            writeRow(resource)
        }
        touchInbox()
        for row in orphans {
            // A session that died with its keeper: its contacts see it go.
            guard let full = try? jid.with(resource: row.resource), resource(named: row.resource) == nil else { continue }
            delete(Keys.sessionRow(partition, record.number, session: row.session), waits: false)
            let ghost = Resource(name: row.resource, jid: full, session: SessionRef(shard: ShardAddress(node: row.node, loop: 0), id: row.session), bind: BindID(epoch: 0, counter: 0))
            ghost.directed = Set(row.directed.compactMap { try? JID($0) })
            if row.isAvailable { ghost.presence = Stanza(kind: .presence, type: .none, from: full) }
            announceGone(ghost)
        }
        pump()
    }

    /// The small row that proves, after the keeper's death, that the session existed. Nobody waits for it.
    func writeRow(_ resource: Resource) {
        guard let record else { return }
        let row = SessionRow(
            account: jid.description, session: resource.session.id, node: resource.session.shard.node, resource: resource.name,
            isAvailable: resource.isAvailable, directed: resource.directed.map(\.description))
        put(Keys.sessionRow(partition, record.number, session: resource.session.id), row.encode(), waits: false)
    }
}
