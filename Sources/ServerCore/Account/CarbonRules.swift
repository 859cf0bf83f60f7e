import Stanzas
import XMLStream

/// Which messages are copied to the other sessions of an account (XEP-0280 §6.1; all of them are followed, so
/// `urn:xmpp:carbons:rules:0` is advertised).
enum CarbonRules {
    /// Payloads that are typical of instant messaging, whatever the type of the message.
    private static let typical: PayloadMask = [
        .receipt, .receiptRequest, .chatState, .marker, .markable, .encrypted, .reactions, .retraction, .replacement, .jingleMessage,
        .directInvitation,
    ]
    /// What its sender wants for one session alone (§9, XEP-0334 §4.3), and what is a copy already.
    private static let uncopied: PayloadMask = [.private, .noCopy, .carbon]

    /// Whether a message is copied. Errors are not: they follow the message that they answer (`CarbonMemory`).
    static func copies(_ stanza: Stanza, _ direction: Direction) -> Bool {
        guard stanza.kind == .message, stanza.type != .groupchat, stanza.type != .error else { return false }
        let mask = stanza.payload.facts.mask
        guard mask.isDisjoint(with: uncopied) else { return false }
        if mask.contains(.roomUser) {
            if isMediatedInvitation(stanza) { return true }
            switch direction {
            // The room hands a private message to every client of an occupant itself.
            case .incoming: if stanza.from?.resource != nil { return false }
            case .outgoing: if isPrivateToOccupant(stanza) { return true }
            }
        }
        if !mask.isDisjoint(with: typical) { return true }
        switch stanza.type {
        case .chat: return true
        case .normal: return mask.contains(.body)
        default: return false
        }
    }

    /// Whether a message goes to somebody in a room, as far as its sender said so.
    static func isPrivateToOccupant(_ stanza: Stanza) -> Bool {
        stanza.payload.facts.mask.contains(.roomUser) && stanza.to?.resource != nil
    }

    /// XEP-0045 §7.8.2.
    private static func isMediatedInvitation(_ stanza: Stanza) -> Bool {
        guard let fact = stanza.payload.facts.first(.roomUser), let user = stanza.payload.element(of: fact) else { return false }
        return user.first(Names.roomInvitation) != nil
    }
}

/// The last messages that were copied, so that errors which answer them are copied too (XEP-0280 §6.1). An error need not bring
/// what it answers (RFC 6120 §8.3.1): its address and id tell.
struct CarbonMemory {
    private static let bound = 128
    private var ring: [Int] = []
    private var next = 0

    /// Remembers a message that was copied. One without an id cannot be told by its answer.
    mutating func note(_ stanza: Stanza, _ direction: Direction) {
        guard let key = Self.key(stanza, peer: direction == .outgoing ? stanza.to : stanza.from, direction) else { return }
        if ring.count < Self.bound {
            ring.append(key)
        } else {
            ring[next] = key
            next = (next + 1) % Self.bound
        }
    }

    /// Whether an error answers a message that was copied.
    func isAnswered(by error: Stanza, _ direction: Direction) -> Bool {
        let peer = direction == .outgoing ? error.to : error.from
        guard error.type == .error, let key = Self.key(error, peer: peer, direction == .outgoing ? .incoming : .outgoing) else {
            return false
        }
        return ring.contains(key)
    }

    private static func key(_ stanza: Stanza, peer: JID?, _ direction: Direction) -> Int? {
        guard let id = stanza.id, let peer else { return nil }
        var hasher = Hasher()
        hasher.combine(direction)
        // A client answers what was sent to its account by its full JID.
        hasher.combine(peer.bare)
        hasher.combine(id)
        return hasher.finalize()
    }
}
