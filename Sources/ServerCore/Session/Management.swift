internal import DequeModule
public import Stanzas

/// What a session keeps once its client enabled stream management (XEP-0198).
struct Management {
    /// The SM-ID; nil when the session cannot be resumed.
    let id: String?
    /// Seconds for which the session waits for its client to resume it.
    let seconds: Int
    var ledger = AckLedger()
    /// Stanzas from the client that are handled: the longest prefix, counted from `<enable/>`; wraps at 2³².
    private(set) var handled: UInt32 = 0
    /// The session's number of the last stanza that came before `<enable/>`.
    let base: UInt32
    /// Unhandled stanzas that came before `<enable/>`.
    private var earlier: Int
    /// The client asked for an answer and has none yet.
    var owesAnswer = false
    /// The last stanza that stood before an `<r/>`, while it is not handled.
    private var asked: UInt32?
    /// `handled` as the client knows it.
    private(set) var told: UInt32 = 0
    /// Stanzas written since the last `<r/>`.
    var unasked = 0
    /// When the `<r/>` was sent that is not answered.
    var requestedAt: MonotonicTime?
    var timer: (any LoopTimer)?
    /// What came over an earlier stream and was not handled when the session was resumed: its client sends it again, and here it is already.
    private var again: Deque<Stanza> = []

    init(id: String?, seconds: Int, inbound: InboundLedger) {
        self.id = id
        self.seconds = seconds
        base = inbound.nextSeq &- 1
        earlier = inbound.count
    }

    /// From another loop.
    init(id: String?, seconds: Int, base: UInt32, handled: UInt32, earlier: Int, ledger: AckLedger) {
        self.id = id
        self.seconds = seconds
        self.base = base
        self.handled = handled
        self.earlier = earlier
        self.ledger = ledger
        told = handled
    }

    /// Unhandled stanzas of before `<enable/>`.
    var unhandledBefore: Int { earlier }

    /// The handled prefix grew.
    ///
    /// - Parameter unaskedAfter: Stanzas after which the client is told although it did not ask.
    mutating func noteHandled(_ stanzas: Int, through seq: UInt32, unaskedAfter: Int) {
        let before = min(earlier, stanzas)
        earlier -= before
        handled &+= UInt32(truncatingIfNeeded: stanzas - before)
        guard handled != told else { return }
        if let last = asked {
            owesAnswer = true
            if Int32(bitPattern: seq &- last) >= 0 { asked = nil }
        } else if Int(handled &- told) >= unaskedAfter {
            owesAnswer = true
        }
    }

    /// The client sent `<r/>`: it is answered at once, and again as what it sent before is handled.
    mutating func noteAsked(_ inbound: InboundLedger) {
        owesAnswer = true
        asked = inbound.count > 0 ? inbound.nextSeq &- 1 : nil
    }

    /// The session is resumed: what the client is not told of now it sends again.
    mutating func noteResumed(_ inbound: InboundLedger) {
        again = Deque(inbound.unhandled.dropFirst(earlier).map(\.stanza))
    }

    /// Whether a stanza is the next of what is sent again.
    mutating func isSentAgain(_ stanza: Stanza) -> Bool {
        guard let expected = again.popFirst() else { return false }
        if stanza.isSame(as: expected) { return true }
        again.removeAll()
        return false
    }

    /// The `h` that is being told.
    mutating func tell() -> UInt32 {
        owesAnswer = false
        told = handled
        return handled
    }
}

extension Stanza {
    /// Whether a client would call it the same stanza as one it sent before.
    fileprivate func isSame(as other: Stanza) -> Bool {
        guard kind == other.kind, type == other.type, id == other.id, to == other.to else { return false }
        return id != nil || payload.bytes == other.payload.bytes
    }
}

/// What the server grants to a client that enables stream management: the attributes of `<enabled/>` (XEP-0198 §3).
public struct ManagementGrant: Sendable, Equatable {
    /// The SM-ID; nil when the session cannot be resumed.
    public var id: String?
    /// Seconds for which the server waits for the client to resume; nil when it cannot.
    public var max: Int?
    /// Where the client should reconnect (RFC 6120 §4.9.3.19), if the operator said so.
    public var location: String?

    public init(id: String? = nil, max: Int? = nil, location: String? = nil) {
        self.id = id
        self.max = max
        self.location = location
    }
}

/// A session that goes on over a new stream (XEP-0198 §5). Its connection writes `<resumed/>`, and then calls `session.resend()`.
public struct Resumed {
    public var session: Session
    /// The SM-ID that the client named.
    public var previd: String
    /// Stanzas from the client that are handled.
    public var h: UInt32
    public var fullJID: JID { session.fullJID }
}

/// Why a session cannot be resumed: what `<failed/>` says.
public struct ResumeRefusal: Error, Sendable, Equatable {
    public var condition: StanzaError.Condition
    /// Stanzas from the client that were handled, where it is still known.
    public var h: UInt32?
    /// The client acknowledged what it was never sent: the stream ends with this instead (§6).
    public var streamError: StreamError?

    public init(_ condition: StanzaError.Condition, h: UInt32? = nil, streamError: StreamError? = nil) {
        self.condition = condition
        self.h = h
        self.streamError = streamError
    }
}
