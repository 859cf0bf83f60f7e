import Settings
import Stanzas
import XMLStream

/// Stanzas that go to several addresses at once (XEP-0033): a session sends one to a host, and its account sends the copies, each by
/// the same rules as if the session had sent it itself.
///
/// The original is handled when every copy is. A copy's completion comes back to this loop, under a number of its own; what it is known
/// by in the store is made of the original submission and the place of its address, so that one that is submitted again after a
/// takeover is recognised copy by copy.
extension Account {
    /// Sends the copies of a stanza that a module makes several of. Returns false when none does.
    ///
    /// - Parameter send: what is done with each copy and the ticket that stands for it.
    func multicast(_ stanza: Stanza, _ ticket: Ticket, send: (Stanza, Ticket) -> Void) -> Bool {
        guard let to = stanza.to, to.isDomain, core.isOfHost(to),
            let expanded = shard.table.expand(stanza, Turn(account: self, ticket: ticket))
        else { return false }
        switch expanded {
        case .failure(let error): complete(ticket, .whole, refusal: error)
        case .success(let copies):
            guard !copies.isEmpty else {
                complete(ticket, .whole)
                return true
            }
            let group = Multicast(account: self, ticket: ticket, left: copies.count)
            for (number, copy) in copies.enumerated() {
                var copy = copy
                if stanza.trace != 0 { copy.trace = stanza.trace }
                shard.nextSessionID += 1
                shard.copies[shard.nextSessionID] = (group, copy)
                var own = ticket
                own.session = SessionRef(
                    shard: shard.address, id: shard.nextSessionID, key: ticket.session.key &+ UInt64(number + 1) &* 0xD6E8_FEB8_6659_FD93)
                send(copy, own)
            }
        }
        return true
    }
}

/// The copies of one stanza.
final class Multicast {
    let account: Account
    let ticket: Ticket
    /// Copies that are not handled.
    var left: Int

    init(account: Account, ticket: Ticket, left: Int) {
        self.account = account
        self.ticket = ticket
        self.left = left
    }
}

extension Shard {
    /// A half of a copy is done. Its own half says nothing: it is written with the original's.
    func copyCompleted(_ id: UInt64, _ half: CompletionHalf, refusal: StanzaError?) {
        guard half != .own, let (group, copy) = copies.removeValue(forKey: id) else { return }
        let account = group.account
        if let reply = refusal?.reply(to: copy) { account.deliver(reply, to: account.resource(of: group.ticket.session)) }
        group.left -= 1
        if group.left == 0 { account.complete(group.ticket, .whole) }
    }
}

extension Session {
    private static let address = Name("address", NS.address)

    /// Presence to several addresses as the session has to remember it: to each. A new home is told whom it was directed to.
    func presenceCopies(of stanza: Stanza) -> [Stanza] {
        guard stanza.kind == .presence, stanza.payload.facts.mask.contains(.addresses), shard.core.settings.limits.addresses > 0,
            let to = stanza.to, !to.hasLocal, shard.core.isOfHost(to), let fact = stanza.payload.facts.first(.addresses),
            let header = stanza.payload.element(of: fact)
        else { return [] }
        let recipients = header.children.filter { address in
            address.is(Self.address) && ["to", "cc", "bcc"].contains(address["type"]) && address["delivered"] != "true"
        }
        return recipients.prefix(shard.core.settings.limits.addresses).compactMap { address in
            guard let jid = address["jid"].flatMap({ try? JID($0) }) else { return nil }
            return Stanza(kind: .presence, type: stanza.type, from: fullJID, to: jid)
        }
    }
}
