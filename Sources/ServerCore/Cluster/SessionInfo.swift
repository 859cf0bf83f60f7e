public import Stanzas

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
    /// Stream management; nil: off.
    public var management: Management?

    /// How stream management stands (XEP-0198).
    public struct Management: Sendable, Equatable {
        public var isResumable: Bool
        /// Seconds for which the session has waited for its client; nil while it has a socket.
        public var detachedSeconds: UInt64?
        /// Stanzas that the client has not acknowledged.
        public var unacked: Int
        /// Stanzas from the client that are handled, as it counts.
        public var handled: UInt32
        /// Stanzas to the client that it acknowledged.
        public var acknowledged: UInt32
    }
}

/// Which sessions a question is about.
public struct SessionFilter: Sendable, Equatable {
    /// Bare or full JID.
    public var jid: JID?
    public var host: String?
    /// Name of a node.
    public var node: String?
    public init(jid: JID? = nil, host: String? = nil, node: String? = nil) {
        self.jid = jid
        self.host = host
        self.node = node
    }

    private static let kind: UInt8 = 1

    /// The question, for `Shard.ask`.
    public var question: [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.kind)
        writer.string(jid?.description ?? "")
        writer.string(host ?? "")
        writer.string(node ?? "")
        return writer.bytes
    }

    init?(_ question: [UInt8]) {
        var reader = ByteReader(question)
        guard (try? reader.uint8()) == Self.kind, let jid = try? reader.string(), let host = try? reader.string(),
            let node = try? reader.string()
        else {
            return nil
        }
        self.init(jid: jid.isEmpty ? nil : try? JID(jid), host: host.isEmpty ? nil : host, node: node.isEmpty ? nil : node)
    }

    func matches(_ session: Session) -> Bool {
        if let jid, session.fullJID != jid, session.account != jid { return false }
        if let host, session.account.domain != host { return false }
        return true
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
        writer.bool(management != nil)
        guard let management else { return }
        writer.bool(management.isResumable)
        writer.bool(management.detachedSeconds != nil)
        if let seconds = management.detachedSeconds { writer.uint64(seconds) }
        writer.count(management.unacked)
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
        guard try reader.bool() else { return }
        management = Management(
            isResumable: try reader.bool(), detachedSeconds: try reader.bool() ? try reader.uint64() : nil, unacked: try reader.count(),
            handled: try reader.uint32(), acknowledged: try reader.uint32())
    }

    /// The sessions in one part of an answer.
    public static func decode(_ part: [UInt8]) throws(CodecError) -> [SessionInfo] {
        var reader = ByteReader(part)
        var all: [SessionInfo] = []
        while !reader.isAtEnd { all.append(try SessionInfo(from: &reader)) }
        return all
    }
}

extension Shard {
    /// Answers a question about this shard, in parts that fit a frame.
    func answers(to question: [UInt8]) -> [(part: [UInt8], last: Bool)] {
        if let components = componentAnswers(to: question) { return components }
        guard let filter = SessionFilter(question) else { return [(answerer?(question) ?? [], true)] }
        guard filter.node == nil || filter.node == core.nodeName else { return [([], true)] }
        var parts: [(part: [UInt8], last: Bool)] = []
        var writer = ByteWriter()
        for session in allSessions where session.bind != nil && session.ended == nil && filter.matches(session) {
            info(of: session).encode(into: &writer)
            if writer.bytes.count > 131_072 {
                parts.append((writer.bytes, false))
                writer = ByteWriter()
            }
        }
        parts.append((writer.bytes, true))
        return parts
    }

    private func info(of session: Session) -> SessionInfo {
        SessionInfo(
            jid: session.fullJID.description, node: core.node, nodeName: core.nodeName, loop: address.loop, facts: session.facts,
            since: session.since, stanzasIn: session.stanzasIn, stanzasOut: session.stanzasOut, unhandled: session.unhandled,
            queuedBytes: session.bytesWaiting, isAvailable: session.presence.available != nil, isActive: session.isActive,
            held: session.stanzasHeld,
            idleMilliseconds: loop.now.milliseconds(since: session.lastActivity),
            management: session.management.map { management in
                SessionInfo.Management(
                    isResumable: management.id != nil,
                    detachedSeconds: session.detachedSince.map { loop.now.milliseconds(since: $0) / 1000 },
                    unacked: management.ledger.count, handled: management.handled, acknowledged: management.ledger.acknowledgedThrough)
            })
    }
}
