public import Stanzas

/// Which stanzas a trace is about: those that meet every condition that is set.
public struct TraceFilter: Sendable, Equatable {
    /// A kind of stanza, or one type of it; `nil` as the kind: errors of all.
    public struct Kind: Sendable, Equatable {
        public var kind: StanzaKind?
        public var type: StanzaType?

        /// `message`, `presence`, `iq`, `error`, or one with a type behind a colon: `message:groupchat`, `iq:set`; nil for anything else.
        public init?(_ text: String) {
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = parts.first else { return nil }
            if first == "error", parts.count == 1 {
                type = .error
                return
            }
            guard let kind = StanzaKind.allCases.first(where: { $0.name == first }) else { return nil }
            self.kind = kind
            guard parts.count == 2 else { return }
            let name = parts[1]
            let plain = name == "normal" ? StanzaType.normal : name == "available" ? StanzaType.none : nil
            guard let type = plain ?? StanzaType.allCases.first(where: { $0.attribute.map { $0 == name } ?? false }), type.fits(kind) else {
                return nil
            }
            self.type = type
        }

        fileprivate init(kind: StanzaKind?, type: StanzaType?) {
            self.kind = kind
            self.type = type
        }
    }

    /// From or to one of these; a bare JID stands for all of its resources.
    public var jids: [JID] = []
    /// From or to an address of this domain.
    public var domain: String?
    /// From, or to, a session whose socket is on this node, by its incarnation.
    public var node: UInt64?
    /// One of these kinds.
    public var kinds: [Kind] = []

    public init() {}

    /// Whether all but the node fits.
    func matches(_ stanza: Stanza) -> Bool {
        if !kinds.isEmpty {
            let (kind, type) = (stanza.kind, stanza.type)
            guard kinds.contains(where: { ($0.kind == nil || $0.kind == kind) && ($0.type == nil || $0.type == type) }) else {
                return false
            }
        }
        if let domain, stanza.from?.domain != domain, stanza.to?.domain != domain { return false }
        return jids.isEmpty || stanza.from.map(names) == true || stanza.to.map(names) == true
    }

    private func names(_ address: JID) -> Bool { jids.contains { $0 == address || $0.isBare && $0 == address.bare } }
}

/// A trace as it is asked for.
public struct TraceOrder: Sendable, Equatable {
    /// Traces that run at once in a cluster, at most: each has a place of its own.
    public static let places = 4
    /// Seconds that one runs at most.
    public static let longest = 86_400

    /// Made anew for each.
    public var id: UInt64
    /// 0 to 3.
    public var place: UInt8
    public var filter: TraceFilter
    /// Texts of messages are shown.
    public var showsBodies: Bool
    /// It ends by itself after this, wherever whoever asked is.
    public var seconds: UInt32
    /// What the nodes are called, by their incarnations.
    public var nodeNames: [UInt64: String]

    public init(
        id: UInt64, place: UInt8, filter: TraceFilter, showsBodies: Bool, seconds: UInt32, nodeNames: [UInt64: String] = [:]
    ) {
        self.nodeNames = nodeNames
        self.id = id
        self.place = place
        self.filter = filter
        self.showsBodies = showsBodies
        self.seconds = seconds
    }

    private static let begin: UInt8 = 8
    private static let end: UInt8 = 9

    /// The question that begins it, for `Shard.ask`.
    public var question: [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.begin)
        writer.uint64(id)
        writer.uint8(place)
        writer.bool(showsBodies)
        writer.uint32(seconds)
        writer.jids(filter.jids)
        writer.optional(filter.domain)
        writer.bool(filter.node != nil)
        if let node = filter.node { writer.uint64(node) }
        writer.count(filter.kinds.count)
        for kind in filter.kinds {
            writer.uint8(kind.kind?.rawValue ?? .max)
            writer.uint8(kind.type?.rawValue ?? .max)
        }
        writer.count(nodeNames.count)
        for (node, name) in nodeNames.sorted(by: { $0.key < $1.key }) {
            writer.uint64(node)
            writer.string(name)
        }
        return writer.bytes
    }

    init?(_ question: [UInt8]) {
        var reader = ByteReader(question)
        guard (try? reader.uint8()) == Self.begin, let order = try? Self.read(&reader) else { return nil }
        self = order
    }

    private static func read(_ reader: inout ByteReader) throws(CodecError) -> TraceOrder {
        let id = try reader.uint64()
        let place = try reader.uint8()
        let showsBodies = try reader.bool()
        let seconds = try reader.uint32()
        guard place < places, seconds <= longest else { throw .malformed }
        var filter = TraceFilter()
        filter.jids = try reader.jids()
        filter.domain = try reader.optional()
        if try reader.bool() { filter.node = try reader.uint64() }
        for _ in 0..<(try reader.count()) {
            let kind = try reader.uint8()
            let type = try reader.uint8()
            filter.kinds.append(.init(kind: StanzaKind(rawValue: kind), type: StanzaType(rawValue: type)))
        }
        var names: [UInt64: String] = [:]
        for _ in 0..<(try reader.count()) {
            let node = try reader.uint64()
            names[node] = try reader.string()
        }
        return TraceOrder(id: id, place: place, filter: filter, showsBodies: showsBodies, seconds: seconds, nodeNames: names)
    }

    /// The question that ends one.
    static func ending(_ id: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(end)
        writer.uint64(id)
        return writer.bytes
    }

    /// The trace that a question ends; nil when it is another question.
    static func ended(by question: [UInt8]) -> UInt64? {
        var reader = ByteReader(question)
        guard (try? reader.uint8()) == end else { return nil }
        return try? reader.uint64()
    }
}
