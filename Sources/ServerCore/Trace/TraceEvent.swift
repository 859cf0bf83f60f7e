public import Stanzas

/// The stations of a stanza's way, as a trace names them. Their order is the order in which they are reached where clocks cannot tell.
/// The numbers travel between nodes of one version only.
public enum TraceStation: UInt8, Sendable, CaseIterable {
    /// A session, or a component's, took it from its client and numbered it.
    case received
    /// A trace meets it here: the server made it, it was read from the store, or it is on its way to a node that is looked at.
    case found
    /// A home let it pass its first stages.
    case admitted
    /// A home ended its way, and its sender hears why.
    case bounced
    /// A home, or a session, ended its way, and nobody hears of it.
    case dropped
    /// An archive has it under an id.
    case archived
    /// The home of the sender handed it to the home of the addressee.
    case routed
    /// It went to everybody who may see its sender.
    case broadcast
    /// The home of the addressee chose the sessions that get it.
    case chosen
    /// It is in the inbox: owed until some session acknowledges it.
    case kept
    /// Other sessions of the account get a copy.
    case copied
    /// A request found its handler, and what that said.
    case answered
    /// It waits, and for what.
    case held
    /// A push service is told of it.
    case pushed
    /// Its commit is on disk and it leaves the home.
    case released
    /// A session wrote it towards its client.
    case written
    /// The kernel has it.
    case sent
    /// The client acknowledged it (XEP-0198).
    case acknowledged
    /// A session could not hand it over and gave it back to its home.
    case returned
    /// The sender's session heard that one side of its way is done.
    case completed
}

/// One station of one stanza.
public struct TraceEvent: Sendable, Equatable {
    /// Wall clock µs.
    public var stamp: Int64
    /// Which stanza it is: the same at all stations of its way; copies, answers and errors have it too.
    public var story: UInt64
    public var station: TraceStation
    public var kind: StanzaKind
    public var type: StanzaType
    public var id: String?
    public var from: String?
    public var to: String?
    /// What the station says: numbers, resources, reasons.
    public var detail: String
    /// The stanza as XML with what nobody should see blanked; empty where it was shown before.
    public var content: String

    public init(
        stamp: Int64, story: UInt64, station: TraceStation, kind: StanzaKind, type: StanzaType, id: String? = nil, from: String? = nil,
        to: String? = nil, detail: String = "", content: String = ""
    ) {
        self.stamp = stamp
        self.story = story
        self.station = station
        self.kind = kind
        self.type = type
        self.id = id
        self.from = from
        self.to = to
        self.detail = detail
        self.content = content
    }
}

/// What one loop says to the one who traces.
public struct TraceReport: Sendable, Equatable {
    public enum State: UInt8, Sendable {
        /// It goes on.
        case running = 0
        /// Another trace has its place on this loop.
        case taken = 1
        /// It is over here.
        case ended = 2
    }

    public var state: State
    public var node: UInt64
    public var nodeName: String
    public var loop: UInt16
    /// Every station reached here up to this moment (wall clock µs) has been told.
    public var through: Int64
    /// Stations that did not fit the buffer since the last report.
    public var lost: UInt64
    /// Stanzas that were not followed since the last report, because too many were.
    public var skipped: UInt64
    public var events: [TraceEvent]

    public init(
        state: State, node: UInt64, nodeName: String, loop: UInt16, through: Int64, lost: UInt64 = 0, skipped: UInt64 = 0,
        events: [TraceEvent] = []
    ) {
        self.state = state
        self.node = node
        self.nodeName = nodeName
        self.loop = loop
        self.through = through
        self.lost = lost
        self.skipped = skipped
        self.events = events
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.uint8(state.rawValue)
        writer.uint64(node)
        writer.string(nodeName)
        writer.uint16(loop)
        writer.uint64(UInt64(bitPattern: through))
        writer.uint64(lost)
        writer.uint64(skipped)
        writer.count(events.count)
        for event in events { event.encode(into: &writer) }
        return writer.bytes
    }

    public init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        guard let state = State(rawValue: try reader.uint8()) else { throw .malformed }
        self.init(
            state: state, node: try reader.uint64(), nodeName: try reader.string(), loop: try reader.uint16(),
            through: Int64(bitPattern: try reader.uint64()), lost: try reader.uint64(), skipped: try reader.uint64())
        for _ in 0..<(try reader.count()) { events.append(try TraceEvent(from: &reader)) }
    }
}

extension TraceEvent {
    func encode(into writer: inout ByteWriter) {
        writer.uint64(UInt64(bitPattern: stamp))
        writer.uint64(story)
        writer.uint8(station.rawValue)
        writer.uint8(kind.rawValue)
        writer.uint8(type.rawValue)
        writer.optional(id)
        writer.optional(from)
        writer.optional(to)
        writer.string(detail)
        writer.string(content)
    }

    init(from reader: inout ByteReader) throws(CodecError) {
        let stamp = Int64(bitPattern: try reader.uint64())
        let story = try reader.uint64()
        guard let station = TraceStation(rawValue: try reader.uint8()), let kind = StanzaKind(rawValue: try reader.uint8()),
            let type = StanzaType(rawValue: try reader.uint8())
        else { throw .malformed }
        self.init(
            stamp: stamp, story: story, station: station, kind: kind, type: type, id: try reader.optional(), from: try reader.optional(),
            to: try reader.optional(), detail: try reader.string(), content: try reader.string())
    }
}
