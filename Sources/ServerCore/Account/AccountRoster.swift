import Settings
import Stanzas
import Store
import XMLStream

/// The core's own claims in the dispatch table: the roster requests of RFC 6121 §2, and what transports ask of devices.
enum RosterRequests {
    static func register(in registration: inout Registration) {
        registration.iq(.get, Names.rosterQuery, to: .ownAccount) { request, turn in turn.account.rosterGet(request) }
        registration.iq(.set, Names.rosterQuery, to: .ownAccount) { request, turn in
            turn.account.rosterSet(request, isRepeat: turn.isRepeat)
        }
        registration.feature(NS.roster, of: .ownAccount)
        // XEP-0160 §4
        registration.feature(NS.offlineFeature, of: .server)
        // The session request of RFC 3921 §3 says nothing any more and is granted for old clients.
        registration.iq(.set, Names.legacySession, to: .server, .ownAccount) { _, _ in .done }
        // RFC 6121 §2.6.1, §3.4.1
        registration.streamFeature("<ver xmlns='\(NS.rosterVersioning)'/>")
        registration.streamFeature("<sub xmlns='\(NS.preApproval)'/>")
        Account.registerDevices(in: &registration)
        Account.registerCredentials(in: &registration)
    }
}

extension Account {
    // MARK: Get

    func rosterGet(_ request: Request) -> IQReply {
        // §2.1.3: the result carries no `from` but the account's own; the asker becomes interested.
        if let resource = resource(jid: request.from), resource.flags.insert(.interested).inserted { writeRow(resource) }
        if let asked = request.payload["ver"], let version = UInt64(asked), version <= roster.version,
            AccountRecord.isSameEra(version, roster.version)
        {
            // §2.6.3: nothing but pushes for what changed since.
            let changes = roster.changes(after: version)
            if changes.isEmpty { return .done }
            if changes.count < 100, version > 0, let resource = resource(jid: request.from) {
                let id = request.stanza
                answer(id, [])
                for contact in changes { push(contact, to: resource) }
                return .sent
            }
        }
        let version = request.payload["ver"] == nil ? nil : String(roster.version)
        let items = roster.items
        return .result { xml in
            xml.element("query", xmlns: NS.roster, ("ver", version)) { xml in
                for contact in items { Self.write(contact, into: &xml) }
            }
        }
    }

    static func write(_ contact: Contact, into xml: inout XMLWriter) {
        if contact.isRemoved {
            xml.empty("item", ("jid", contact.jid.description), ("subscription", "remove"))
            return
        }
        xml.start(
            "item", ("jid", contact.jid.description), ("name", contact.name.isEmpty ? nil : contact.name),
            ("subscription", contact.state.subscription.rawValue), ("ask", contact.state.pendingOut ? "subscribe" : nil),
            ("approved", contact.state.preApproved ? "true" : nil))
        for group in contact.groups { xml.element("group", text: group) }
        xml.end("item")
    }

    // MARK: Set

    func rosterSet(_ request: Request, isRepeat: Bool) -> IQReply {
        // §2.3.3
        if let to = request.stanza.to, to != jid { return .error(StanzaError(.forbidden)) }
        let items = request.payload.all(Names.rosterItem)
        guard items.count == 1, let item = items.first, let text = item["jid"] else { return .error(StanzaError(.badRequest)) }
        guard let parsed = try? JID(text) else { return .error(StanzaError(.jidMalformed)) }
        let contact = parsed.bare
        if item["subscription"] == "remove" { return rosterRemove(contact, isRepeat: isRepeat) }
        let groups = item.all(Names.rosterGroup).map(\.text)
        guard Set(groups).count == groups.count else { return .error(StanzaError(.badRequest, text: "A group stands twice")) }
        guard !groups.contains("") else { return .error(StanzaError(.notAcceptable, text: "A group has no name")) }
        let name = item["name"] ?? ""
        guard name.utf8.count <= Contact.textBound, groups.allSatisfy({ $0.utf8.count <= Contact.textBound }),
            groups.count <= Contact.groupBound
        else {
            return .error(
                StanzaError(
                    .notAcceptable,
                    text: "A name is longer than \(Contact.textBound) bytes, or there are more than \(Contact.groupBound) groups"))
        }
        // The user's own address in the roster means nothing and is refused (§2.3.3: not-allowed by policy).
        guard contact != jid else { return .error(StanzaError(.notAllowed)) }
        var entry = roster[contact] ?? Contact(jid: contact)
        if !entry.isListed || entry.isRemoved {
            guard roster.count < core.settings.limits.rosterItems else {
                return .error(
                    StanzaError(.resourceConstraint, text: "The roster holds \(core.settings.limits.rosterItems) contacts at most"))
            }
        }
        entry.name = name
        entry.groups = groups
        entry.isListed = true
        entry.isRemoved = false
        store(entry, pushed: true)
        return .done
    }

    /// §2.5: out of the roster, with both subscriptions cancelled.
    func rosterRemove(_ contact: JID, isRepeat: Bool) -> IQReply {
        // Asked again after a takeover: the first time already did it.
        if isRepeat, roster[contact]?.isRemoved == true { return .done }
        guard var entry = roster[contact], entry.isListed, !entry.isRemoved else { return .error(StanzaError(.itemNotFound)) }
        let change = entry.state.removed()
        if change.sendsUnavailable { sendUnavailable(to: contact) }
        entry.state = change.state
        entry.isListed = false
        entry.isRemoved = true
        entry.name = ""
        entry.groups = []
        forgetRequest(of: contact)
        store(entry, pushed: true)
        for type in change.sends { route(Stanza(kind: .presence, type: type, from: jid, to: contact), nil) }
        return .done
    }

    // MARK: Keeping and pushing

    /// Keeps a contact and, when clients see it, pushes it to every interested session (§2.1.6).
    func store(_ contact: Contact, pushed: Bool) {
        guard var record else { return }
        var contact = contact
        if pushed {
            contact.version = roster.nextVersion()
            record.rosterVersion = roster.version
            write(record)
        }
        let key = Keys.rosterItem(partition, record.number, core.identity.hash128(contact.jid.description))
        if !contact.isListed, !contact.isRemoved, contact.state == SubscriptionState() {
            roster.forget(contact.jid)
            delete(key)
        } else {
            roster.set(contact)
            put(
                key,
                RosterItemRecord(
                    jid: contact.jid.description, name: contact.name, groups: contact.groups, state: contact.state.code,
                    version: contact.version,
                    isRemoved: contact.isRemoved, isListed: contact.isListed
                ).encode())
        }
        if pushed { for resource in resources where resource.flags.contains(.interested) { push(contact, to: resource) } }
    }

    func push(_ contact: Contact, to resource: Resource) {
        var xml = XMLWriter()
        xml.element("query", xmlns: NS.roster, ("ver", String(contact.version))) { Self.write(contact, into: &$0) }
        shard.nextBind += 1
        let push = Stanza(
            kind: .iq, type: .set, id: "push\(shard.nextBind)", from: jid, to: resource.jid, payload: Payload(written: xml.bytes))
        deliver(push, to: resource)
    }
}
