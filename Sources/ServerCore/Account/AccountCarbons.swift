public import Stanzas
import Telemetry
import XMLStream

/// Copies of messages to the account's other sessions (XEP-0280).
///
/// They leave through the gate behind the commit of the original and in order with it, and are owed to nobody: a copy that a dying
/// session did not take, or that a dying home did not send, is in the archive.
extension Account {
    /// Turns copies on or off for one of the account's sessions. Returns false when it is gone.
    @discardableResult
    public func setCarbons(_ on: Bool, of session: JID) -> Bool {
        guard let resource = resource(jid: session) else { return false }
        if on { resource.flags.insert(.carbons) } else { resource.flags.remove(.carbons) }
        return true
    }

    /// Whether a message was archived before and comes again: from its session, after a takeover, or from a client that heard no
    /// acknowledgement. The others had their copy then, or find it in the archive; another would not carry its id.
    func wasSent(_ stanza: Stanza, _ ticket: Ticket) -> Bool {
        guard resources.contains(where: { $0.flags.contains(.carbons) }) else { return false }
        return recent.isRepeated(ticket) || recent.contains(origin: originHash(of: stanza, to: stanza.to))
    }

    /// What one of the account's sessions sent, to the others (§8).
    ///
    /// - Parameter stanza: with the id under which this account archived it.
    func copySent(_ stanza: Stanza, by sender: SessionRef) {
        guard resources.contains(where: { $0.flags.contains(.carbons) && $0.session != sender }), let to = stanza.to else { return }
        // To oneself: it comes in here, and every session gets it once, by itself or as a copy of what was received.
        guard to.bare != jid, isCopied(stanza, .outgoing) else { return }
        var targets = resources.filter { $0.flags.contains(.carbons) && $0.session != sender }
        if CarbonRules.isPrivateToOccupant(stanza) {
            // §6.1: to the sessions that share the sender's nick in the room. They told the room of themselves by directed presence.
            let nicks = resource(of: sender)?.directed.filter { $0.bare == to.bare } ?? []
            targets.removeAll { $0.directed.isDisjoint(with: nicks) }
        }
        copy(stanza, in: "sent", to: targets)
    }

    /// What came in, to the sessions that did not get it themselves (§7).
    ///
    /// - Parameters:
    ///   - stanza: with the id under which this account archived it.
    ///   - receivers: who gets it by RFC 6121 §8.5, now or in its turn.
    func copyReceived(_ stanza: Stanza, besides receivers: [Resource]) {
        guard resources.contains(where: { $0.flags.contains(.carbons) }), isCopied(stanza, .incoming) else { return }
        // Who sent it to the own account does not need it back.
        let targets = resources.filter { target in
            target.flags.contains(.carbons) && target.jid != stanza.from && !receivers.contains { $0 === target }
        }
        copy(stanza, in: "received", to: targets)
    }

    /// A message was refused, and its sender's session wrote the error itself: the others hear of it too, if they had a copy.
    func copyRefusal(_ error: Stanza, by sender: SessionRef) {
        guard carbons.isAnswered(by: error, .incoming) else { return }
        copy(error, in: "received", to: resources.filter { $0.flags.contains(.carbons) && $0.session != sender })
    }

    /// Whether a message is copied; remembered, so that its errors are.
    private func isCopied(_ stanza: Stanza, _ direction: Direction) -> Bool {
        if stanza.type == .error { return carbons.isAnswered(by: stanza, direction) }
        guard CarbonRules.copies(stanza, direction) else { return false }
        carbons.note(stanza, direction)
        return true
    }

    private func copy(_ stanza: Stanza, in wrapper: String, to targets: [Resource]) {
        guard !targets.isEmpty else { return }
        var xml = XMLWriter()
        xml.element(wrapper, xmlns: NS.carbons) { xml in
            xml.element("forwarded", xmlns: NS.forward) { xml in stanza.write(into: &xml.bytes, xmlns: NS.client) }
        }
        let payload = Payload(written: xml.bytes, as: .carbon)
        shard.metrics.carbons.increment(by: UInt64(targets.count))
        trace(.copied, stanza, "in \(wrapper) to \(targets.map(\.name).joined(separator: ", "))")
        for target in targets {
            var copy = Stanza(kind: .message, type: stanza.type, from: jid, to: target.jid, payload: payload)
            if stanza.trace != 0 { copy.trace = stanza.trace }
            deliver(copy, to: target)
        }
    }
}
