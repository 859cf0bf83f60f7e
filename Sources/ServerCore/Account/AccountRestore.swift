import Settings
import Stanzas
import Store

/// The core's own claims in the dispatch table.
enum CoreRequests {
    static func register(in registration: inout Registration) {
        RosterRequests.register(in: &registration)
        Account.registerRosterEdits(in: &registration)
        Account.registerPurges(in: &registration)
        Account.registerAnnouncements(in: &registration)
        registration.call(Account.restoreCall) { argument, turn, result in
            guard let piece = try? AccountPiece(argument) else { return result.reply(.failed("a part of the account is not readable")) }
            result.reply(.done(turn.account.restore(piece)))
        }
    }
}

/// What comes back out of a backup, at the home of its account. Each piece may come twice.
extension Account {
    /// The name of the call whose argument is an `AccountPiece`; answered with the number of things that came back.
    public static let restoreCall = "restore"

    func restore(_ piece: AccountPiece) -> Int {
        switch piece {
        case .archiveKey(let key): restoreArchiveKey(key)
        case .contacts(let contacts, let wins): contacts.count { restore($0, wins: wins) }
        case .requests(let requests): requests.count { restore($0) }
        case .items(let items, let wins): restore(items, wins: wins)
        case .messages(let messages): messages.count { restore($0) }
        }
    }

    private func restoreArchiveKey(_ key: UInt64) -> Int {
        guard var record else { return 0 }
        record.archiveKey = key
        write(record)
        return 1
    }

    /// A contact that is there stays, unless the backup wins. Subscriptions are this side's alone: the contact is told nothing.
    private func restore(_ item: RosterItemRecord, wins: Bool) -> Bool {
        guard let contact = try? JID(item.jid), contact.bare == contact, contact != jid else { return false }
        if let there = roster[contact], !there.isRemoved, there.isListed, !wins { return false }
        let isNew = roster[contact].map { $0.isRemoved || !$0.isListed } ?? true
        guard !isNew || !item.isListed || roster.count < core.settings.limits.rosterItems else { return false }
        let restored = Contact(
            jid: contact, name: item.name, groups: item.groups, state: SubscriptionState(code: item.state), isListed: item.isListed)
        if var there = roster[contact] {
            there.version = 0
            guard there != restored else { return false }
        }
        store(restored, pushed: item.isListed)
        return true
    }

    private func restore(_ pending: PendingInRecord) -> Bool {
        guard let rows, let contact = try? JID(pending.jid), roster.request(of: contact) == nil,
            let stanza = try? Stanza(encoded: pending.stanza)
        else { return false }
        // Answered since.
        if let there = roster[contact], there.state.hasFrom { return false }
        roster.setRequest(stanza, of: contact)
        put(Keys.pendingIn(partition, rows.number, rows.identity.hash128(pending.jid)), pending.encode())
        return true
    }

    private func restore(_ all: [AccountPiece.Item], wins: Bool) -> Int {
        var count = 0
        for item in all {
            // Whether one that is not in memory is there was looked at by the one who sends it.
            if item.kind.isResident, let there = items(item.kind)[item.name], !wins || there == item.value { continue }
            if keep(item.kind, item.name, item.value) { count += 1 }
        }
        archive.forgetPreferences()
        return count
    }

    /// Under its old number, which is a moment of the past: order and id are what they were.
    private func restore(_ message: MessageRecord) -> Bool {
        guard let rows, message.sequence > 0, message.sequence <= UInt64(bitPattern: core.clock.now) else { return false }
        let value = message.encode()
        put(Keys.message(partition, rows.number, sequence: message.sequence), value)
        guard message.flags.contains(.owed) else {
            inbox.pass(message.sequence)
            touchInbox()
            return true
        }
        let owed = OwedMessage(message.sequence, bytes: value.count, isArchived: message.flags.contains(.archived))
        if inbox.isOwed(message.sequence) {
            inbox.renew(owed)
        } else {
            inbox.add(owed, sessions: 0)
            pump()
        }
        touchInbox()
        return true
    }
}
