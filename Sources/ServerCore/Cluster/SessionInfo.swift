import Stanzas
import XMLStream

/// One session as the administrator sees it.
public struct SessionInfo: Sendable, Equatable {
    public var jid: String
    /// Incarnation of the node that holds the socket.
    public var node: UInt64
    public var nodeName: String
    public var loop: UInt16
    public var facts: ConnectionFacts
    /// When the session was bound, wall clock µs.
    public var since: Int64
    public var stanzasIn: UInt64
    public var stanzasOut: UInt64
    /// Stanzas from the client that are not handled yet.
    public var unhandled: Int
    /// Bytes that the socket has not taken yet.
    public var queuedBytes: Int
    public var isAvailable: Bool
    /// Whether its client says that somebody looks at it (XEP-0352).
    public var isActive: Bool
    /// Stanzas that wait until it is active.
    public var held: Int
    /// Milliseconds since the client last sent a stanza.
    public var idleMilliseconds: UInt64
    /// Stanzas that wait for socket, acknowledgement or an inactive client.
    public var waiting: Int
    /// Stanzas a second from and to the client, over the last minute.
    public var perSecondIn: Float
    public var perSecondOut: Float
    /// Whether its socket is read; not while too much is unhandled, or it sends too fast.
    public var isReading: Bool
    public var unhandledBytes: Int
    public var heldBytes: Int
    /// Bytes that the session takes of the memory of its node, estimated.
    public var memory: Int
    /// Whether it gets copies of messages (XEP-0280).
    public var hasCarbons: Bool
    /// What the client calls itself, and the installation it is (XEP-0388); nil where it does not say.
    public var client: String?
    public var device: String?
    /// What its presence says; nil while it is not available, or was not asked for.
    public var presence: Presence?
    /// Stream management; nil: off.
    public var management: Management?

    /// The presence of a session, in short.
    public struct Presence: Sendable, Equatable {
        /// "available" where it says no more.
        public var show: String
        public var priority: Int8
        /// `node#ver` of its capabilities (XEP-0115); empty where it announces none.
        public var capabilities: String
    }

    /// How stream management stands (XEP-0198).
    public struct Management: Sendable, Equatable {
        public var isResumable: Bool
        /// Seconds for which the session has waited for its client; nil while it has a socket.
        public var detachedSeconds: UInt64?
        /// Seconds for which it will still wait; nil while it has a socket.
        public var secondsLeft: UInt64?
        /// Seconds for which it would wait.
        public var seconds: Int
        /// Stanzas that the client has not acknowledged, and their bytes.
        public var unacked: Int
        public var unackedBytes: Int
        /// Stanzas from the client that are handled, as it counts.
        public var handled: UInt32
        /// Stanzas to the client that it acknowledged.
        public var acknowledged: UInt32
    }
}

extension SessionInfo {
    func encode(into writer: inout ByteWriter) {
        writer.string(jid)
        writer.uint64(node)
        writer.string(nodeName)
        writer.uint16(loop)
        writer.string(facts.remoteAddress)
        writer.uint32(UInt32(clamping: facts.localPort))
        writer.string(facts.tlsVersion ?? "")
        writer.string(facts.tlsCipher ?? "")
        writer.bool(facts.isCompressed)
        writer.string(facts.mechanism)
        writer.uint64(UInt64(bitPattern: facts.since))
        writer.uint64(facts.bytesIn)
        writer.uint64(facts.bytesOut)
        writer.uint64(UInt64(bitPattern: since))
        writer.uint64(stanzasIn)
        writer.uint64(stanzasOut)
        writer.count(unhandled)
        writer.count(queuedBytes)
        writer.uint8(isAvailable ? 1 : 0)
        writer.uint8(isActive ? 1 : 0)
        writer.count(held)
        writer.uint64(idleMilliseconds)
        writer.count(waiting)
        writer.uint32(perSecondIn.bitPattern)
        writer.uint32(perSecondOut.bitPattern)
        writer.bool(isReading)
        writer.count(unhandledBytes)
        writer.count(heldBytes)
        writer.count(memory)
        writer.bool(hasCarbons)
        writer.optional(client)
        writer.optional(device)
        writer.bool(presence != nil)
        if let presence {
            writer.string(presence.show)
            writer.uint8(UInt8(bitPattern: presence.priority))
            writer.string(presence.capabilities)
        }
        writer.bool(management != nil)
        guard let management else { return }
        writer.bool(management.isResumable)
        writer.bool(management.detachedSeconds != nil)
        if let seconds = management.detachedSeconds {
            writer.uint64(seconds)
            writer.uint64(management.secondsLeft ?? 0)
        }
        writer.count(management.seconds)
        writer.count(management.unacked)
        writer.count(management.unackedBytes)
        writer.uint32(management.handled)
        writer.uint32(management.acknowledged)
    }

    init(from reader: inout ByteReader) throws(CodecError) {
        jid = try reader.string()
        node = try reader.uint64()
        nodeName = try reader.string()
        loop = try reader.uint16()
        let address = try reader.string()
        let port = Int(try reader.uint32())
        let version = try reader.string()
        let cipher = try reader.string()
        let isCompressed = try reader.bool()
        let mechanism = try reader.string()
        let accepted = Int64(bitPattern: try reader.uint64())
        facts = ConnectionFacts(
            remoteAddress: address, localPort: port, tlsVersion: version.isEmpty ? nil : version, tlsCipher: cipher.isEmpty ? nil : cipher,
            mechanism: mechanism, since: accepted)
        facts.isCompressed = isCompressed
        facts.bytesIn = try reader.uint64()
        facts.bytesOut = try reader.uint64()
        since = Int64(bitPattern: try reader.uint64())
        stanzasIn = try reader.uint64()
        stanzasOut = try reader.uint64()
        unhandled = try reader.count()
        queuedBytes = try reader.count()
        isAvailable = try reader.uint8() != 0
        isActive = try reader.uint8() != 0
        held = try reader.count()
        idleMilliseconds = try reader.uint64()
        waiting = try reader.count()
        perSecondIn = Float(bitPattern: try reader.uint32())
        perSecondOut = Float(bitPattern: try reader.uint32())
        isReading = try reader.bool()
        unhandledBytes = try reader.count()
        heldBytes = try reader.count()
        memory = try reader.count()
        hasCarbons = try reader.bool()
        client = try reader.optional()
        device = try reader.optional()
        if try reader.bool() {
            presence = Presence(
                show: try reader.string(), priority: Int8(bitPattern: try reader.uint8()), capabilities: try reader.string())
        }
        guard try reader.bool() else { return }
        let isResumable = try reader.bool()
        let isDetached = try reader.bool()
        management = Management(
            isResumable: isResumable, detachedSeconds: isDetached ? try reader.uint64() : nil,
            secondsLeft: isDetached ? try reader.uint64() : nil, seconds: try reader.count(), unacked: try reader.count(),
            unackedBytes: try reader.count(), handled: try reader.uint32(), acknowledged: try reader.uint32())
    }
}

extension SessionInfo {
    /// - Parameter isDetailed: with what its presence says, which has to be read for it.
    init(_ session: Session, isDetailed: Bool) {
        let shard = session.shard
        let now = shard.loop.now
        let (perSecondIn, perSecondOut) = session.rates
        self.init(
            jid: session.fullJID.description, node: shard.core.node, nodeName: shard.core.nodeName, loop: shard.address.loop,
            facts: session.facts, since: session.since, stanzasIn: session.stanzasIn, stanzasOut: session.stanzasOut,
            unhandled: session.unhandled, queuedBytes: session.bytesWaiting, isAvailable: session.presence.available != nil,
            isActive: session.isActive, held: session.stanzasHeld, idleMilliseconds: session.idleMilliseconds,
            waiting: session.stanzasUnderWay, perSecondIn: perSecondIn, perSecondOut: perSecondOut, isReading: session.reading,
            unhandledBytes: session.inbound.bytes, heldBytes: session.clientState.bytes, memory: session.memoryEstimate,
            hasCarbons: session.flags & Resource.Flags.carbons.rawValue != 0, client: session.terms.client, device: session.terms.device,
            presence: isDetailed ? session.presence.available.map(Presence.init) : nil,
            management: session.management.map { management in
                Management(
                    isResumable: management.id != nil,
                    detachedSeconds: session.detachedSince.map { now.milliseconds(since: $0) / 1000 },
                    secondsLeft: session.detachedUntil.map { $0.milliseconds(since: now) / 1000 }, seconds: management.seconds,
                    unacked: management.ledger.count, unackedBytes: management.ledger.bytes, handled: management.handled,
                    acknowledged: management.ledger.acknowledgedThrough)
            })
    }
}

extension SessionInfo.Presence {
    init(_ presence: Stanza) {
        let shown = presence.payload.facts.first(.show).flatMap { presence.payload.element(of: $0)?.text }
        let capabilities = CapabilityAnnouncement(presence).map { "\($0.node)#\($0.ver)" }
        self.init(show: shown ?? "available", priority: Account.priority(of: presence), capabilities: capabilities ?? "")
    }
}
