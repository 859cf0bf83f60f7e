import Settings
public import Stanzas
import Store
import Telemetry
import XMLStream

/// Blocked addresses (XEP-0191): what they send does not come in, what is for them does not go out, and to them the account is offline.
///
/// The list is the account's items of the kind `blocked`, in memory with it. Nobody asks an account without one more than whether it
/// has any items at all.
extension Account {
    /// Whether stanzas between the account and this address are stopped. Never between its own sessions (§5).
    public func isBlocked(_ address: JID) -> Bool {
        guard !items.isEmpty, let list = items[.blocked], !list.isEmpty else { return false }
        return Self.covers(list, address) && address.bare != jid
    }

    /// §6: the address itself, its bare JID, or its domain. A blocked "domain/resource" is that address alone.
    private static func covers(_ list: [String: [UInt8]], _ address: JID) -> Bool {
        if list[address.description] != nil { return true }
        if !address.isBare, address.local != nil, list[address.bare.description] != nil { return true }
        return !address.isDomain && list[address.domain] != nil
    }

    /// The blocked addresses as they are listed.
    public var blockedAddresses: [String] { items(.blocked).keys.sorted() }

    // MARK: What is stopped

    /// What becomes of a stanza from a blocked address (§3.3): the account looks as if nobody were there.
    func refuseBlocked(_ stanza: Stanza, _ ticket: Ticket?) {
        core.metrics.blockedStanzas.increment()
        let why = "\(jid) blocks \(stanza.from.map { "\($0)" } ?? "its sender")"
        switch stanza.kind {
        case .iq,
            .message where stanza.type != .groupchat:
            answerAsNobody(stanza, ticket, why)
        // Presence is not responded to, not even a probe. A room would take the error of a group chat for the end of its occupant.
        case .presence, .message:
            trace(.dropped, stanza, why)
            complete(ticket, .theirs)
        }
    }

    /// What the account's own session hears for a stanza to a blocked address (§3.3).
    static let blockedError = StanzaError(.notAcceptable, type: .cancel) { $0.empty("blocked", xmlns: NS.blockingErrors) }

    // MARK: Changing the list

    /// What can be wrong with addresses that are to be blocked.
    public enum BlockRefusal: Error, Sendable {
        /// The account itself, or the server that it lives on.
        case ownAddress
        /// The list would be longer than `limits.blocked_addresses`.
        case full(Int)
    }

    /// Blocks addresses. They see the account's sessions go, if they saw them.
    ///
    /// - Parameter isRepeat: it may have been done before by a home that died, which may not have told them.
    public func block(_ addresses: [JID], isRepeat: Bool) throws(BlockRefusal) {
        for address in addresses where address.bare == jid || address.isDomain && address.domain == jid.domain { throw .ownAddress }
        let list = items(.blocked)
        var new: [JID] = []
        for address in addresses where list[address.description] == nil && !new.contains(address) { new.append(address) }
        let bound = core.settings.limits.blockedAddresses
        guard list.count + new.count <= bound else { throw .full(bound) }
        let told = (isRepeat ? addresses : new).flatMap { address in audience(address) { !isBlocked($0) || isRepeat } }
        for address in new { keep(.blocked, address.description, []) }
        // Behind the commit: whoever is told is blocked.
        if !told.isEmpty { pass(.perform { self.sayGone(to: told) }) }
    }

    /// Unblocks addresses, or all. They see the account's sessions again, if they may; and those see them.
    public func unblock(_ addresses: [JID]?, isRepeat: Bool) {
        let list = items(.blocked)
        let wanted = addresses ?? list.keys.compactMap { try? JID($0) }
        let blocked = wanted.flatMap { address in audience(address) { isBlocked($0) || isRepeat } }
        if addresses == nil {
            for name in list.keys { forget(.blocked, name) }
        } else {
            for address in wanted { forget(.blocked, address.description) }
        }
        // What another item still covers stays blocked.
        let told = blocked.filter { !isBlocked($0) }
        if !told.isEmpty { pass(.perform { self.sayBack(to: told) }) }
    }

    /// Subscribers, those subscribed to, and addresses of directed presence that an item of the list is about.
    private func audience(_ item: JID, where isWanted: (JID) -> Bool) -> [JID] {
        let list = [item.description: [UInt8]()]
        var all: Set<JID> = []
        for contact in roster.everyContact where contact.state.hasFrom || contact.state.hasTo {
            // Of one resource of a contact only that address is told.
            if item.bare == contact.jid, !item.isBare {
                all.insert(item)
            } else if Self.covers(list, contact.jid) {
                all.insert(contact.jid)
            }
        }
        for resource in resources { for address in resource.directed where Self.covers(list, address) { all.insert(address) } }
        return all.filter(isWanted).sorted()
    }

    /// Unavailable presence to those who may have seen the sessions (§3.3).
    private func sayGone(to addresses: [JID]) {
        for address in addresses where isBlocked(address) {
            let isSubscribed = roster.sendsPresence(to: address.bare)
            for resource in resources {
                let wasDirected = resource.directed.remove(address) != nil
                if wasDirected { writeRow(resource) }
                guard wasDirected || isSubscribed && resource.isAvailable else { continue }
                route(Stanza(kind: .presence, type: .unavailable, from: resource.jid, to: address), nil)
            }
        }
    }

    /// The current presence to those who may see it (§3.4), and a question for theirs: what they sent meanwhile never came.
    private func sayBack(to addresses: [JID]) {
        for address in addresses where !isBlocked(address) {
            if roster.sendsPresence(to: address.bare) { sendPresence(to: address) }
            guard roster.getsPresence(of: address.bare) else { continue }
            for resource in resources where resource.isAvailable {
                route(Stanza(kind: .presence, type: .probe, from: resource.jid, to: address), nil)
            }
        }
    }

    /// Counts reports that came with the blocking of somebody (XEP-0377).
    public func noteReports(kept: Int, lost: Int) {
        core.metrics.keptReports.increment(by: UInt64(max(0, kept)))
        core.metrics.lostReports.increment(by: UInt64(max(0, lost)))
    }

    // MARK: Who is told of the list

    /// A session asked for the list: it is told of every change from now on (§3.3).
    public func followBlocklist(_ session: JID) { resource(jid: session)?.flags.insert(.blocklist) }

    /// Tells the sessions that asked for the list of a change, behind the answer to who made it.
    public func pushBlocklist(_ payload: [UInt8]) {
        for resource in resources where resource.flags.contains(.blocklist) {
            shard.nextBind += 1
            deliver(
                Stanza(
                    kind: .iq, type: .set, id: "block\(shard.nextBind)", from: jid, to: resource.jid, payload: Payload(written: payload)),
                to: resource)
        }
    }
}
