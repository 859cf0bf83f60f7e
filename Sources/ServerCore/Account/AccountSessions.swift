import Settings
import Stanzas
import Store

/// Sessions come and go: binding (RFC 6120 §7), departure, acknowledgement, and what survives a takeover.
extension Account {
    func resource(of session: SessionRef) -> Resource? { resources.first { $0.session == session } }

    /// The session that a row speaks of.
    func resource(ofRow row: SessionRow) -> Resource? {
        resources.first { $0.session.key == row.session }
    }

    func resource(named name: String) -> Resource? { resources.first { $0.name == name } }

    // MARK: Bind

    /// A client that reads the archive hears what there is in it (XEP-0386 §3.2): the session begins when that is known.
    func bind(_ request: BindRequest) {
        guard request.terms.readsArchive, host?.archives == true, case .live = phase, record != nil, resource(of: request.session) == nil
        else { return bind(request, nil) }
        guard bindsReading.updateValue(request, forKey: request.session) == nil else { return }
        readArchiveEnds { [unowned self] result in
            // Nobody waits where the node of the session died, or a commit failed (`bindUnread`).
            guard bindsReading.removeValue(forKey: request.session) != nil else { return }
            switch result {
            case .success(let ends): bind(request, ArchiveMetadata(ends))
            // Nothing is taken for known: what waits is sent.
            case .failure: bind(request, nil)
            }
        }
    }

    /// The reads of these were thrown away: their sessions begin all the same.
    func bindUnread() {
        let requests = bindsReading.values
        bindsReading.removeAll()
        for var request in requests {
            request.terms.readsArchive = false
            receive(.bind(request))
        }
    }

    private func bind(_ request: BindRequest, _ archive: ArchiveMetadata?) {
        guard case .live = phase, let record, record.isEnabled, host != nil else {
            return refuse(request, StanzaError(.notAllowed, text: "The account does not exist or is disabled"))
        }
        if let bound = resources.first(where: { $0.session == request.session }) {
            // Asked again after a takeover that already knew the session.
            return emit(
                .bound(session: request.session.id, .granted(resource: bound.name, bind: bound.bind, epoch: shard.placement.epoch)),
                to: request.session.shard)
        }
        if request.terms.replacesDevice, let device = request.terms.device {
            for earlier in resources where earlier.device == device { endSession(earlier, .replaced) }
        }
        let settings = core.settings.sessions
        let isTaken = isHeld(request.resource)
        // Who waits for a client makes room for one that is here.
        if resources.count >= settings.resourcesPerAccount, !isTaken, let waiting = oldestDetached { endSession(waiting, .expired) }
        let places = settings.resourcesPerAccount + (isTaken && settings.conflict == .replace ? 1 : 0)
        guard resources.count < places else {
            return refuse(request, StanzaError(.resourceConstraint, type: .wait, text: "The account has too many sessions"))
        }
        if isTaken, settings.conflict == .refuse { return refuse(request, StanzaError(.conflict)) }
        let name = grantedName(request.resource)
        guard let full = try? jid.with(resource: name) else { return refuse(request, StanzaError(.badRequest)) }
        if let holder = resource(named: name) { endSession(holder, .replaced) }
        shard.nextBind += 1
        let bind = BindID(epoch: shard.placement.epoch, counter: shard.nextBind << 8 | UInt64(shard.address.loop & 0xFF))
        let resource = Resource(name: name, jid: full, session: request.session, bind: bind, device: request.terms.device)
        resource.flags = request.terms.flags
        resources.append(resource)
        if let end = archive?.ends?.last, let sequence = archiveIDs.sequence(end.id) {
            resource.archivedThrough = sequence
            settleArchived(through: sequence)
            pump()
        }
        // The grant waits for the row: whatever the session does is known to have been done by somebody (see `claim`).
        writeRow(resource, waits: true)
        emit(
            .bound(
                session: request.session.id, .granted(resource: name, bind: bind, epoch: shard.placement.epoch, archive: archive)),
            to: request.session.shard)
    }

    private func refuse(_ request: BindRequest, _ error: StanzaError) {
        emit(.bound(session: request.session.id, .refused(error)), to: request.session.shard)
    }

    private func isHeld(_ name: String?) -> Bool {
        guard let name, let holder = resource(named: name) else { return false }
        // A client that does not resume its session has given it up.
        return !holder.isDetached
    }

    /// The resource that a client gets: its own choice, unless a session holds it that is to stay.
    private func grantedName(_ wanted: String?) -> String {
        if let wanted, core.settings.sessions.conflict != .rename || !isHeld(wanted) { return wanted }
        var name = ""
        repeat { name = wanted.map(renamed) ?? randomResource() } while resource(named: name) != nil
        return name
    }

    /// Another name that shows where it comes from and stays within the 1,023 bytes of a resourcepart (RFC 7622 §3.4).
    private func renamed(_ name: String) -> String {
        var start = ""
        for character in name {
            guard start.utf8.count + character.utf8.count <= 1_000 else { break }
            start.append(character)
        }
        return start + "." + randomResource()
    }

    private func randomResource() -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        var random = core.random
        return String((0..<16).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
    }

    // MARK: Departure

    func unbind(_ session: SessionRef, _ bind: BindID, _ departure: Departure, unacked: [UInt64]) {
        if let held = departing.removeValue(forKey: session) {
            // Behind everything it acknowledged.
            for message in held { _ = inbox.giveBack(message) }
            pump()
            return shard.noteIdle(self)
        }
        guard let resource = resources.first(where: { $0.session == session && $0.bind == bind }) else { return }
        for message in unacked { resource.inFlight.insert(message) }
        leave(resource)
    }

    /// Ends a session from the home: it leaves the list at once, its socket is told. What it holds comes back when it has said
    /// what of it was acknowledged.
    func endSession(_ resource: Resource, _ reason: EndReason) {
        shard.post(.end(session: resource.session.id, reason), to: resource.session.shard)
        departing[resource.session] = resource.inFlight
        resource.inFlight.removeAll()
        leave(resource)
    }

    /// A session could not hand these to its client: whoever is there now gets them, or the inbox, or they are bounced.
    func takeBack(_ stanzas: [Stanza], from session: SessionRef) {
        // It says so behind its departure: a session still listed is one that nobody knows there.
        if let resource = resource(of: session) { leave(resource) }
        if let held = departing.removeValue(forKey: session) { for message in held { _ = inbox.giveBack(message) } }
        for stanza in stanzas { incomingAgain(stanza) }
        pump()
    }

    /// The one exit, in the one order: out of the list, unacknowledged messages back, unavailable presence.
    func leave(_ resource: Resource) {
        guard let index = resources.firstIndex(where: { $0 === resource }) else { return }
        resources.remove(at: index)
        let unsaid = abandonMove(of: resource)
        rememberEnd(of: resource)
        forgetRow(resource.session.key)
        leftUnread(resource)
        for message in resource.inFlight { _ = inbox.giveBack(message) }
        resource.inFlight.removeAll()
        announceGone(resource)
        for stanza in unsaid { incomingAgain(stanza) }
        if !resources.contains(where: { $0.isAvailable && $0.priority >= 0 }) { releaseHeldBack() }
        pump()
        shard.noteIdle(self)
    }

    /// Whether a node's death concerns the account, as far as it knows yet.
    func knowsSessions(ofNode node: UInt64) -> Bool {
        if !phase.isLive { return true }
        return resources.contains { $0.session.shard.node == node || $0.move?.isFor(node) == true }
            || departing.keys.contains { $0.shard.node == node } || bindsReading.keys.contains { $0.shard.node == node }
    }

    /// Every session of a node that died.
    func dropSessions(ofNode node: UInt64) {
        for session in bindsReading.keys where session.shard.node == node { bindsReading[session] = nil }
        for (session, held) in departing where session.shard.node == node {
            departing[session] = nil
            for message in held { _ = inbox.giveBack(message) }
        }
        for resource in resources where resource.session.shard.node == node {
            // It may not have arrived: its old loop has what nobody else keeps.
            if let old = resource.movedFrom { shard.post(.end(session: old.id, .nodeLost), to: old.shard) }
            leave(resource)
        }
        for resource in resources where resource.move?.isFor(node) == true {
            if resource.move?.next?.session.shard.node == node { resource.move?.next = nil }
            if resource.move?.to.shard.node == node { cancelMove(of: resource) }
        }
        pump()
    }

    // MARK: Acknowledgement

    func acknowledged(_ session: SessionRef, _ messages: [UInt64]) {
        guard case .live = phase else { return }
        let resource = resource(of: session)
        for message in messages {
            resource?.inFlight.remove(message)
            departing[session]?.remove(message)
            guard settle(message) else { continue }
            for other in resources where other !== resource { other.inFlight.remove(message) }
        }
        if let resource, resource.isLagging, resource.inFlight.count <= Resource.flightBound / 2 { resource.isLagging = false }
        pump()
    }

    /// A message is owed no more. Returns false when it was not owed.
    func settle(_ message: UInt64) -> Bool {
        let stays = inbox.isArchived(message)
        guard let origin = inbox.acknowledge(message) else { return false }
        if stays {
            archive.acknowledge(message)
        } else {
            spent.append(message, origin: origin, after: core.clock.now &+ RecentMessages.graceMicroseconds)
        }
        touchInbox()
        return true
    }

    func touchInbox() {
        guard !inboxTouched else { return }
        inboxTouched = true
        shard.touchedInboxes.append(self)
    }

    /// Writes what is acknowledged, in one record, and removes messages whose time is over. Nobody waits for it, but who asks (`waits`).
    func flushInbox(waits: Bool = false) {
        inboxTouched = false
        guard case .live = phase, let record else { return }
        let now = core.clock.now
        for message in spent.take(Self.flushBound, now: now, in: shard.openBatch, durable: shard.durableBatch) {
            delete(Keys.message(partition, record.number, sequence: message), waits: false)
        }
        // Acknowledged = at or below the mark and not an exception; what is owed below the mark is the shorter list to write.
        let mark = InboxRecord(ackedThrough: inbox.highest, owed: inbox.all, spent: spent.messages)
        put(Keys.inbox(partition, record.number), mark.encode(), waits: waits)
        archive.flushed(in: shard.openBatch, durable: shard.durableBatch)
        if spent.hasDue(now: now) { touchInbox() }
        shard.noteIdle(self)
    }

    /// Rows that one flush removes at most.
    private static let flushBound = 8_192

    // MARK: Takeover

    /// What the living sessions told a new home, and the rows of sessions that nobody claimed.
    ///
    /// - Parameter isLate: the home serves already: contacts may have been told that the sessions are gone.
    func claim(_ reports: [SessionReport], orphans: [SessionRow], isLate: Bool) {
        guard case .live = phase, let record, record.isEnabled else {
            for report in reports { shard.post(.end(session: report.session.id, .accountGone), to: report.session.shard) }
            return
        }
        for report in reports.sorted(by: { ($0.bind, $0.moves) > ($1.bind, $1.moves) }) {
            // Asked twice, it answered twice.
            guard resource(of: report.session) == nil, departing[report.session] == nil else { continue }
            if let twin = resources.first(where: { $0.session.key == report.session.key }) {
                // It was changing its loop when the old home died, and both ends have it.
                settle(twin, report)
                continue
            }
            // Two sessions claim one resource: the higher binding stays.
            let holder = resource(named: report.resource)
            guard holder.map({ $0.bind < report.bind }) ?? true, let full = try? jid.with(resource: report.resource) else {
                shard.post(.end(session: report.session.id, .replaced), to: report.session.shard)
                for message in report.acked { _ = settle(message) }
                for message in report.unacked { inbox.claim(message) }
                departing[report.session] = Set(report.unacked)
                continue
            }
            if let holder { endSession(holder, .replaced) }
            let resource = Resource(name: report.resource, jid: full, session: report.session, bind: report.bind, device: report.device)
            resource.flags = Resource.Flags(rawValue: report.flags)
            resource.directed = Set(report.directed)
            resource.management = report.management
            resource.moves = report.moves
            if resource.isDetached { resource.detachedSince = shard.loop.now }
            if report.isLeaving { shard.post(.stay(session: report.session.id, epoch: shard.placement.epoch), to: report.session.shard) }
            for message in report.acked { _ = settle(message) }
            for message in report.unacked {
                inbox.claim(message)
                resource.inFlight.insert(message)
            }
            resources.append(resource)
            if let presence = report.presence {
                // Unconfirmed, it may have been seen or not: the session sends it again, and then it counts as its first.
                resource.presence = presence
                resource.priority = Self.priority(of: presence)
                resource.sawPresence = report.presenceConfirmed
            }
            writeRow(resource)
            if report.presenceIsFresh || isLate { tellAgain(resource) }
            if let presence = resource.presence, resource.sawPresence {
                shard.table.show(presence, of: resource.jid, Turn(account: self, ticket: nil))
            }
        }
        touchInbox()
        for row in orphans where resource(ofRow: row) == nil {
            forgetRow(row.session)
            // A session that died with its keeper: its contacts see it go, unless another has its name by now.
            guard let full = try? jid.with(resource: row.resource), resource(named: row.resource) == nil else { continue }
            let ghost = Resource(name: row.resource, jid: full, session: row.ref, bind: BindID(epoch: 0, counter: 0))
            ghost.directed = Set(row.directed.compactMap { try? JID($0) })
            // Whether it was available no row says: that would be a commit for every first presence, to spare some others a stanza here.
            ghost.presence = Stanza(kind: .presence, type: .none, from: full)
            announceGone(ghost)
        }
        pump()
    }

    /// The small row that proves, after the keeper's death, that the session existed. Only its grant waits for it.
    func writeRow(_ resource: Resource, waits: Bool = false) {
        guard record != nil else { return }
        resource.lacksRow = false
        let row = SessionRow(
            account: jid.description, session: resource.session.key, node: resource.session.shard.node, resource: resource.name,
            directed: resource.directed.map(\.description))
        put(rowKey(row.session), row.encode(), waits: waits)
    }

    /// The row of a session that is gone goes when everybody must have heard of its end: until then a new home would have to say it.
    func forgetRow(_ session: UInt64) {
        shard.goneRows.append((rowKey(session), shard.loop.now + PresenceMemory.freshness))
    }

    /// What a home said of a session just before it died may not have arrived, nor what others answered.
    private func tellAgain(_ resource: Resource) {
        guard let presence = resource.presence else {
            let gone = Stanza(kind: .presence, type: .unavailable, from: resource.jid)
            broadcast(gone)
            return toOwnSessions(gone)
        }
        // Unconfirmed, it is about to be sent again.
        guard resource.sawPresence else { return }
        broadcast(presence)
        toOwnSessions(presence)
        welcome(resource)
    }

    func rowKey(_ session: UInt64) -> Key { Keys.sessionRow(partition, record?.number ?? 0, session: session) }
}

extension SessionRow {
    /// Stands for the session where nothing is sent to it any more: neither its loop nor its own number is kept.
    var ref: SessionRef { SessionRef(shard: ShardAddress(node: node, loop: 0), id: session) }
}
