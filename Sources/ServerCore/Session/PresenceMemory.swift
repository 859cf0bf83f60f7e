import XMLStream
import Stanzas

/// What a session remembers of its client's presence, so that a new home can be told after a takeover.
struct PresenceMemory {
    /// The last available presence without an address.
    private(set) var available: Stanza?
    private var submittedAt: UInt32 = 0
    private(set) var isConfirmed = true
    /// Addresses that got directed presence and no unavailable since.
    private(set) var directed: Set<JID> = []
    /// Bits of `Resource.Flags` that the client asked for.
    private(set) var flags: UInt8 = 0

    mutating func noteSubmitted(_ stanza: Stanza, inSeq: UInt32) {
        switch stanza.kind {
        case .presence:
            switch (stanza.type, stanza.to) {
            case (.none, nil):
                available = stanza
                submittedAt = inSeq
                isConfirmed = false
            case (.unavailable, nil):
                available = nil
                directed.removeAll()
                isConfirmed = true
            case (.none, let to?): if directed.count < Resource.directedBound { directed.insert(to) }
            case (.unavailable, let to?): directed.remove(to)
            default: break
            }
        case .iq:
            if stanza.type == .get, stanza.payload.element(wrappedIn: .iq)?.first(Names.rosterQuery) != nil { flags |= Resource.Flags.interested.rawValue }
        case .message: break
        }
    }

    mutating func noteHandled(through seq: UInt32) {
        if !isConfirmed, Int32(bitPattern: seq &- submittedAt) >= 0 { isConfirmed = true }
    }
}
