import Stanzas
import Store

/// Writes by the administrator, at the home of the account: applied once, answered when durable.
extension Account {
    func obey(_ letter: CommandLetter) {
        func answer(_ result: CommandResult) { emit(.commandResult(id: letter.id, result), to: letter.replyTo) }
        switch letter.command {
        case .create(let credentials):
            guard host != nil else { return answer(.failed("\(jid.domain) is not a host of this server; add it to the configuration")) }
            if let record {
                // Asked again after a takeover: the first time already made it.
                return answer(record.lastCommand == letter.id ? .done(1) : .exists)
            }
            // The volume itself lets an account's record through, so that those that are there can be changed and removed.
            guard core.volume.statistics.state != .readOnly(.quota) else { return answer(.failed("\(StoreFailure.quota)")) }
            create(credentials, command: letter.id)
            answer(.done(1))
        case .setCredentials(let credentials):
            guard var record else { return answer(.notFound) }
            record.credentials = credentials
            record.lastCommand = letter.id
            write(record)
            revokeTokens()
            for resource in resources { endSession(resource, .credentialsChanged) }
            answer(.done(1))
        case .enable:
            guard var record else { return answer(.notFound) }
            record.disabledReason = nil
            record.disabledSince = nil
            record.lastCommand = letter.id
            write(record)
            answer(.done(1))
        case .disable(let reason):
            guard var record else { return answer(.notFound) }
            // Disabled before, it only gets another reason.
            if record.isEnabled { record.disabledSince = core.clock.now }
            record.disabledReason = reason
            record.lastCommand = letter.id
            write(record)
            for resource in resources { endSession(resource, .accountGone) }
            answer(.done(1))
        case .delete:
            guard let record else { return answer(.notFound) }
            remove(record)
            answer(.done(1))
        case .kick(let name, let text):
            let victims = resources.filter { name == nil || $0.name == name }
            for resource in victims { endSession(resource, .kicked(text: text)) }
            answer(victims.isEmpty ? .notFound : .done(victims.count))
        case .call(let name, let argument):
            guard record != nil else { return answer(.notFound) }
            guard let handler = shard.table.call(name) else { return answer(.failed("this node knows no \(name)")) }
            handler(argument, Turn(account: self, ticket: nil), LaterResult(account: self, letter: letter))
        }
    }

    private func create(_ credentials: [UInt8], command: UInt64) {
        let record = AccountRecord(
            jid: jid.description, number: newAccountNumber(), created: core.clock.now, credentials: credentials, lastCommand: command,
            archiveKey: core.random.next())
        roster = RosterBook()
        items.removeAll()
        inbox = Inbox()
        recent = RecentMessages()
        spent.removeAll()
        archive = ArchiveMemory()
        heldBack.removeAll()
        departing.removeAll()
        abandonPage()
        lastMessage = 0
        phase = .live
        write(record)
    }

    /// Account numbers are never reused: the µs of creation and the loop, and always above the last one of the loop.
    func newAccountNumber() -> UInt64 {
        let wanted = (UInt64(bitPattern: max(0, core.clock.now)) << 10) | UInt64(shard.address.loop & 0x3FF)
        shard.lastAccountNumber = wanted > shard.lastAccountNumber ? wanted : shard.lastAccountNumber &+ 1_024
        return shard.lastAccountNumber
    }

    func write(_ record: AccountRecord) {
        self.record = record
        put(Keys.account(partition, core.identity.hash128(jid.description)), record.encode())
    }

    /// The account goes: sessions end, contacts are told, the record becomes a tombstone, the rest is purged in steps.
    ///
    /// - Parameters:
    ///   - asker: the session that asked for it, which is ended behind its answer.
    func remove(_ record: AccountRecord, asker: Resource? = nil, answer: Stanza? = nil) {
        for resource in resources where resource !== asker { endSession(resource, .accountGone) }
        if let asker { leave(asker) }
        shard.table.removing(Turn(account: self, ticket: nil))
        sayGoodbyeToContacts()
        delete(Keys.account(partition, core.identity.hash128(jid.description)))
        put(
            Keys.tombstone(partition, record.number),
            TombstoneRecord(jid: record.jid, number: record.number, deleted: core.clock.now).encode())
        self.record = nil
        roster = RosterBook()
        items.removeAll()
        inbox = Inbox()
        spent.removeAll()
        archive = ArchiveMemory()
        recent = RecentMessages()
        heldBack.removeAll()
        departing.removeAll()
        abandonPage()
        phase = .absent
        guard let asker, let answer else { return }
        deliver(answer, to: asker)
        emit(.end(session: asker.session.id, .accountGone), to: asker.session.shard)
        // What it sent meanwhile must not end it before it has the answer.
        departing[asker.session] = []
    }

    /// This process is no longer the home: nothing of the account is said any more.
    func retire() {
        _ = gate.takeAll()
        abandonPage()
        delayed.removeAll()
        phase = .absent
        isRetired = true
        for resource in resources { resource.move?.timer?.cancel() }
        resources.removeAll()
        // Behind all that: who waited may look at what is left of the account.
        dropRequests()
        departing.removeAll()
        inboxTouched = false
    }
}
