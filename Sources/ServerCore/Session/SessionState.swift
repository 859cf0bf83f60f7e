public import Stanzas

/// What a home keeps in mind of a session with stream management (XEP-0198).
public struct ManagementNote: Sendable, Equatable {
    /// The SM-ID; empty when the session cannot be resumed.
    public var id: String
    /// The session's number of the last stanza before `<enable/>`.
    public var base: UInt32
    /// Stanzas from the client that are handled, as far as known.
    public var handled: UInt32
    /// The session waits for its client.
    public var isDetached: Bool
    /// It waits because its node leaves: the client had no reason to go, and is expected at once.
    public var isExpected = false
    /// It waits, and nobody knows for how long.
    public var isWaiting: Bool { isDetached && !isExpected }

    /// Hears from a submission how far its session is settled.
    mutating func note(settled: UInt32) {
        let h = settled &- base
        // Numbers wrap, and what came before `<enable/>` lies below the base: the difference decides.
        if Int32(bitPattern: h &- handled) > 0 { handled = h }
    }
}

/// A client that wants its session on another loop.
public struct ResumeRequest: Sendable {
    public var account: JID
    public var previd: String
    /// What the session will be there.
    public var session: SessionRef
    /// Not a client's wish: the session, if it is still here, whose node leaves.
    public var sheltered: SessionRef?
}

/// A session that a node gives away because it leaves.
public struct ShelterRequest: Sendable {
    public var account: JID
    /// The SM-ID.
    public var id: String
    /// What it is where it leaves.
    public var session: SessionRef
    /// Its client was there until now.
    public var isExpected: Bool
}

/// A whole session on its way from one loop to another.
public struct SessionState: Sendable {
    public var resource: String
    public var key: UInt64
    public var bind: BindID
    /// How often it moved: of two loops that believe to have it, the one with more is right.
    public var moves: UInt32
    /// When it was bound, wall clock µs.
    public var since: Int64
    public var stanzasIn: UInt64
    public var stanzasOut: UInt64
    public var deliveredThrough: UInt64
    /// Messages the client acknowledged lately.
    public var acked: [UInt64]
    /// What it was bound with.
    public var terms: BindTerms
    var id: String
    var seconds: Int
    var base: UInt32
    var handled: UInt32
    var earlier: Int
    var acknowledged: UInt64
    var written: Int
    var outgoing: [AckLedger.Entry]
    /// The last presence of senders that did not fit.
    var latePresence: [Stanza]
    var nextSeq: UInt32
    var unhandled: [InboundLedger.Entry]
    var presence: PresenceMemory.State
}

extension SessionState {
    func encode(_ w: inout ByteWriter) {
        w.string(resource)
        w.uint64(key)
        w.bindID(bind)
        w.uint32(moves)
        w.uint64(UInt64(bitPattern: since))
        w.uint64(stanzasIn)
        w.uint64(stanzasOut)
        w.uint64(deliveredThrough)
        w.numbers(acked)
        w.terms(terms)
        w.string(id)
        w.count(seconds)
        w.uint32(base)
        w.uint32(handled)
        w.count(earlier)
        w.uint64(acknowledged)
        w.count(written)
        w.count(outgoing.count)
        for entry in outgoing {
            w.stanza(entry.stanza)
            w.uint64(entry.message)
            w.uint64(UInt64(bitPattern: entry.stamp))
        }
        w.count(latePresence.count)
        for stanza in latePresence { w.stanza(stanza) }
        w.uint32(nextSeq)
        w.count(unhandled.count)
        for entry in unhandled {
            w.stanza(entry.stanza)
            w.count(entry.size)
            w.uint8(entry.marks)
        }
        presence.encode(&w)
    }

    init(_ r: inout ByteReader) throws(CodecError) {
        resource = try r.string()
        key = try r.uint64()
        bind = try r.bindID()
        moves = try r.uint32()
        since = Int64(bitPattern: try r.uint64())
        stanzasIn = try r.uint64()
        stanzasOut = try r.uint64()
        deliveredThrough = try r.uint64()
        acked = try r.numbers()
        terms = try r.terms()
        id = try r.string()
        seconds = try r.count()
        base = try r.uint32()
        handled = try r.uint32()
        earlier = try r.count()
        acknowledged = try r.uint64()
        written = try r.count()
        outgoing = []
        for _ in 0..<(try r.count()) {
            outgoing.append(
                AckLedger.Entry(stanza: try r.stanza(), message: try r.uint64(), stamp: Int64(bitPattern: try r.uint64())))
        }
        latePresence = []
        for _ in 0..<(try r.count()) { latePresence.append(try r.stanza()) }
        nextSeq = try r.uint32()
        let count = try r.count()
        unhandled = []
        for index in 0..<count {
            let seq = nextSeq &- UInt32(truncatingIfNeeded: count - index)
            var entry = InboundLedger.Entry(seq: seq, stanza: try r.stanza(), size: try r.count())
            entry.marks = try r.uint8()
            unhandled.append(entry)
        }
        presence = try PresenceMemory.State(&r)
    }
}

extension InboundLedger.Entry {
    /// What is known of it, as bits.
    var marks: UInt8 {
        get {
            (sentEpoch != 0 ? 1 : 0) | (own ? 2 : 0) | (expectsTheirs ? 4 : 0) | (theirs ? 8 : 0) | (refused ? 16 : 0)
        }
        set {
            // Sent to some home by another name: what is posted again is a repeat.
            sentEpoch = newValue & 1 != 0 ? .max : 0
            own = newValue & 2 != 0
            expectsTheirs = newValue & 4 != 0
            theirs = newValue & 8 != 0
            refused = newValue & 16 != 0
        }
    }
}

extension PresenceMemory.State {
    func encode(_ w: inout ByteWriter) {
        w.bool(available != nil)
        if let available { w.stanza(available) }
        w.uint32(submittedAt)
        w.bool(endsAt != nil)
        if let endsAt { w.uint32(endsAt) }
        w.bool(isConfirmed)
        w.bool(isFresh)
        w.uint8(flags)
        w.count(addressed.count)
        for (to, seq) in addressed {
            w.jid(to)
            w.uint32(seq)
        }
    }

    init(_ r: inout ByteReader) throws(CodecError) {
        self.init()
        if try r.bool() { available = try r.stanza() }
        submittedAt = try r.uint32()
        if try r.bool() { endsAt = try r.uint32() }
        isConfirmed = try r.bool()
        isFresh = try r.bool()
        flags = try r.uint8()
        for _ in 0..<(try r.count()) { addressed[try r.jid()] = try r.uint32() }
    }
}

extension ByteWriter {
    mutating func note(_ note: ManagementNote) {
        string(note.id)
        uint32(note.base)
        uint32(note.handled)
        bool(note.isDetached)
        bool(note.isExpected)
    }

    mutating func refusal(_ refusal: ResumeRefusal) {
        uint8(refusal.condition.rawValue)
        bool(refusal.h != nil)
        if let h = refusal.h { uint32(h) }
    }
}

extension ByteReader {
    mutating func note() throws(CodecError) -> ManagementNote {
        ManagementNote(id: try string(), base: try uint32(), handled: try uint32(), isDetached: try bool(), isExpected: try bool())
    }

    mutating func refusal() throws(CodecError) -> ResumeRefusal {
        guard let condition = StanzaError.Condition(rawValue: try uint8()) else { throw .malformed }
        return ResumeRefusal(condition, h: try bool() ? try uint32() : nil)
    }
}
