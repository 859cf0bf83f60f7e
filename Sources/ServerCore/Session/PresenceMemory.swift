import Stanzas
import XMLStream

/// What a session remembers of its client's presence, so that a new home can be told after a takeover.
///
/// What ends presence counts only when it was handled: until then somebody may still have to hear of the end.
struct PresenceMemory {
    /// The last available presence without an address, until its end was handled.
    private(set) var available: Stanza?
    private var submittedAt: UInt32 = 0
    private var endsAt: UInt32?
    private(set) var isConfirmed = true
    /// Addresses that got directed presence and no unavailable since, and when.
    private var addressed: [JID: UInt32] = [:]
    /// Bits of `Resource.Flags` that the client asked for.
    private(set) var flags: UInt8

    /// - Parameter flags: what the session was bound with.
    init(flags: Resource.Flags = []) { self.flags = flags.rawValue }

    /// The whole of it, on its way to another loop.
    struct State: Sendable {
        var available: Stanza?
        var submittedAt: UInt32 = 0
        var endsAt: UInt32?
        var isConfirmed = true
        var addressed: [JID: UInt32] = [:]
        var flags: UInt8 = 0
        var isFresh = false
    }

    func state(at now: MonotonicTime) -> State {
        State(
            available: available, submittedAt: submittedAt, endsAt: endsAt, isConfirmed: isConfirmed, addressed: addressed, flags: flags,
            isFresh: isFresh(at: now))
    }

    init(_ state: State, at now: MonotonicTime) {
        available = state.available
        submittedAt = state.submittedAt
        endsAt = state.endsAt
        isConfirmed = state.isConfirmed
        addressed = state.addressed
        flags = state.flags
        changedAt = state.isFresh ? now : nil
    }

    /// When the presence without an address last changed, or was last heard to be handled.
    private var changedAt: MonotonicTime?

    /// Whether what contacts were told of the last change may have died with the home that told them. Its completion is no proof: it
    /// takes another way.
    func isFresh(at now: MonotonicTime) -> Bool { changedAt.map { $0 + Self.freshness > now } ?? false }

    /// Well above the time that a letter is under way.
    static let freshness = Duration.seconds(10)

    var directed: [JID] { Array(addressed.keys) }

    mutating func noteSubmitted(_ stanza: Stanza, inSeq: UInt32, at now: MonotonicTime) {
        switch stanza.kind {
        case .presence:
            if stanza.to == nil { changedAt = now }
            switch (stanza.type, stanza.to) {
            case (.none, nil):
                available = stanza
                submittedAt = inSeq
                isConfirmed = false
                endsAt = nil
            case (.unavailable, nil): endsAt = inSeq
            case (.none, let to?): if addressed.count < Resource.directedBound || addressed[to] != nil { addressed[to] = inSeq }
            case (.unavailable, let to?): addressed[to] = nil
            default: break
            }
        case .iq:
            noteRequest(stanza)
        case .message: break
        }
    }

    /// What the client asks its own account to remember of the session.
    private mutating func noteRequest(_ stanza: Stanza) {
        guard stanza.type == .get || stanza.type == .set, stanza.to == nil || stanza.to == stanza.from?.bare,
            let request = stanza.payload.element(wrappedIn: .iq)
        else { return }
        if stanza.type == .get {
            if request.first(Names.rosterQuery) != nil { note(.interested) }
            if request.first(Names.blocklist) != nil { note(.blocklist) }
        } else if request.first(Names.carbonsOn) != nil {
            note(.carbons)
        } else if request.first(Names.carbonsOff) != nil {
            flags &= ~Resource.Flags.carbons.rawValue
        }
    }

    /// The session is to count as one that asked for this.
    mutating func note(_ flag: Resource.Flags) { flags |= flag.rawValue }

    mutating func noteHandled(through seq: UInt32, at now: MonotonicTime) {
        if !isConfirmed, Self.isHandled(submittedAt, through: seq) {
            isConfirmed = true
            changedAt = now
        }
        if let end = endsAt, Self.isHandled(end, through: seq) {
            changedAt = now
            endsAt = nil
            available = nil
            isConfirmed = true
            addressed = addressed.filter { !Self.isHandled($0.value, through: end) }
        }
    }

    /// Numbers wrap: the difference decides.
    private static func isHandled(_ number: UInt32, through seq: UInt32) -> Bool { Int32(bitPattern: seq &- number) >= 0 }
}
