public import Stanzas
import Store

/// What owners may do to their accounts (XEP-0077): from here, so that it is kept before it is said.
extension Account {
    /// Takes new keys in the place of the old ones. Devices that log in without the password have to give it again.
    ///
    /// - Parameter onlyKeeping: the one session that does not end; nil: all stay.
    /// - Returns: false when the account is gone, or cannot be read at the moment.
    public func changeCredentials(_ credentials: [UInt8], onlyKeeping session: JID?) -> Bool {
        guard case .live = phase, var record, !isHost else { return false }
        record.credentials = credentials
        write(record)
        revokeTokens()
        if let session {
            for resource in resources where resource.jid != session { endSession(resource, .credentialsChanged) }
        }
        return true
    }

    /// Gives the account up: contacts are told, nothing of it is left, and every session ends, the asker's behind its result.
    public func giveUp(_ request: Request) -> IQReply {
        guard case .live = phase, let record, !isHost, let asker = resource(jid: request.from) else {
            return .error(StanzaError(.registrationRequired))
        }
        let stanza = request.stanza
        remove(record, asker: asker, answer: Stanza(kind: .iq, type: .result, id: stanza.id, from: stanza.to ?? jid, to: asker.jid))
        return .sent
    }

    /// Both subscriptions stand from now on, because both sides are known to want them. The other side does the same for itself.
    public func befriend(_ contact: JID) {
        guard case .live = phase, record != nil, !isHost, contact != jid, contact.isBare else { return }
        var entry = roster[contact] ?? Contact(jid: contact)
        let both = SubscriptionState(outgoing: .subscribed, incoming: .subscribed)
        guard entry.state != both || !entry.isListed else { return }
        forgetRequest(of: contact)
        entry.state = both
        entry.isListed = true
        entry.isRemoved = false
        store(entry, pushed: true)
        sendPresence(to: contact)
        for resource in resources where resource.isAvailable {
            route(Stanza(kind: .presence, type: .probe, from: resource.jid, to: contact), nil)
        }
    }
}
