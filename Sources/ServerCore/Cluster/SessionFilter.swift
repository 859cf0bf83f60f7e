public import Stanzas

/// Which sessions a question is about, in what order they are wanted, and how many of them.
public struct SessionFilter: Sendable, Equatable {
    /// What the first sessions have most of; `jid`: in the order of their addresses.
    public enum Order: UInt8, Sendable, CaseIterable {
        case jid = 0, idle, queue, rate
    }

    /// Whether a session has a socket.
    public enum State: UInt8, Sendable, CaseIterable {
        case attached = 0, detached
    }

    /// Bare or full JID.
    public var jid: JID?
    /// Of the full JID (`Pattern`).
    public var pattern: String?
    public var host: String?
    /// Name of a node.
    public var node: String?
    /// What the address of the peer begins with.
    public var address: String?
    /// With TLS, or without.
    public var tls: Bool?
    /// In what the client calls itself, or in the URI that it announces in presence; capitals do not count.
    public var client: String?
    /// Silent for longer, in seconds.
    public var idleSeconds: UInt64?
    /// More stanzas wait.
    public var queue: UInt64?
    public var state: State?
    public var order = Order.jid
    /// Only those behind this one, in the order of addresses.
    public var after: String?
    /// How many of each loop are wanted.
    public var limit: UInt64 = .max
    /// With what its presence says.
    public var isDetailed = false

    public init(jid: JID? = nil, host: String? = nil, node: String? = nil) {
        self.jid = jid
        self.host = host
        self.node = node
    }

    private static let kind: UInt8 = 1

    /// The question, for `Shard.ask`; the answers are `SessionPart`s.
    public var question: [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.kind)
        for text in [jid?.description, pattern, host, node, address, client, after] { writer.optional(text) }
        writer.uint8(tls.map { $0 ? 2 : 1 } ?? 0)
        writer.uint8(state.map { $0.rawValue + 1 } ?? 0)
        writer.uint64(idleSeconds.map { $0 &+ 1 } ?? 0)
        writer.uint64(queue.map { $0 &+ 1 } ?? 0)
        writer.uint8(order.rawValue)
        writer.uint64(limit)
        writer.bool(isDetailed)
        return writer.bytes
    }

    init?(_ question: [UInt8]) {
        var reader = ByteReader(question)
        guard (try? reader.uint8()) == Self.kind, let filter = try? Self.read(&reader) else { return nil }
        self = filter
    }

    private static func read(_ reader: inout ByteReader) throws(CodecError) -> SessionFilter {
        var filter = SessionFilter()
        if let jid = try reader.optional() {
            guard let jid = try? JID(jid) else { throw .malformed }
            filter.jid = jid
        }
        filter.pattern = try reader.optional()
        filter.host = try reader.optional()
        filter.node = try reader.optional()
        filter.address = try reader.optional()
        filter.client = try reader.optional()
        filter.after = try reader.optional()
        let tls = try reader.uint8()
        filter.tls = tls == 0 ? nil : tls == 2
        let state = try reader.uint8()
        filter.state = state == 0 ? nil : State(rawValue: state - 1)
        let idle = try reader.uint64()
        filter.idleSeconds = idle == 0 ? nil : idle - 1
        let queue = try reader.uint64()
        filter.queue = queue == 0 ? nil : queue - 1
        guard let order = Order(rawValue: try reader.uint8()) else { throw .malformed }
        filter.order = order
        filter.limit = try reader.uint64()
        filter.isDetailed = try reader.bool()
        return filter
    }

    func matches(_ session: Session) -> Bool {
        if let jid, session.fullJID != jid, session.account != jid { return false }
        if let host, session.account.domain != host { return false }
        if let state, (state == .detached) != session.isDetached { return false }
        if let tls, tls != (session.facts.tlsVersion != nil) { return false }
        if let address, !session.facts.remoteAddress.hasPrefix(address) { return false }
        if let queue, session.stanzasUnderWay <= queue { return false }
        if let idleSeconds, session.idleMilliseconds / 1000 <= idleSeconds { return false }
        if let after, session.fullJID.description <= after { return false }
        if let pattern, !Pattern.matches(session.fullJID.description, pattern) { return false }
        if let client, !session.isClient(client.lowercased()) { return false }
        return true
    }

    /// How much a session has of what the order is about.
    func weight(of session: Session) -> Double {
        switch order {
        case .jid: return 0
        case .idle: return Double(session.idleMilliseconds)
        case .queue: return Double(session.stanzasUnderWay)
        case .rate:
            let (perSecondIn, perSecondOut) = session.rates
            return Double(perSecondIn + perSecondOut)
        }
    }
}

extension SessionInfo {
    /// Puts sessions of several loops in the order that was asked for.
    public static func sorted(_ sessions: [SessionInfo], by order: SessionFilter.Order) -> [SessionInfo] {
        func weight(_ session: SessionInfo) -> Double {
            switch order {
            case .jid: 0
            case .idle: Double(session.idleMilliseconds)
            case .queue: Double(session.waiting)
            case .rate: Double(session.perSecondIn + session.perSecondOut)
            }
        }
        return sessions.map { (weight($0), $0) }.sorted { $0.0 == $1.0 ? $0.1.jid < $1.1.jid : $0.0 > $1.0 }.map(\.1)
    }
}

extension Session {
    /// Since the client last sent a stanza.
    var idleMilliseconds: UInt64 { shard.loop.now.milliseconds(since: lastActivity) }

    /// - Parameter text: in lower case.
    fileprivate func isClient(_ text: String) -> Bool {
        if let client = terms.client, client.lowercased().contains(text) { return true }
        return presence.available.flatMap(CapabilityAnnouncement.init)?.node.lowercased().contains(text) ?? false
    }
}
