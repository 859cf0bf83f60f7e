/// One frame of a link: `length u32 | type u8 | flags u8 | lane u8 | 0 | sequence u64 | acknowledged u64 | body`, big endian.
/// The length counts what follows it.
public struct Frame: Equatable, Sendable {
    /// The sender's number of a data frame, from 1 without gaps over the life of both incarnations; 0 for all others.
    public var sequence: UInt64
    /// The last data frame the sender has received in order.
    public var acknowledged: UInt64
    public var body: Body

    public init(sequence: UInt64 = 0, acknowledged: UInt64 = 0, body: Body) {
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.body = body
    }

    public enum Body: Equatable, Sendable {
        /// The first frame of a connection in each direction.
        case hello(Hello)
        case data(DataFrame)
        /// Only the acknowledgement in the header.
        case acknowledgement
        /// The total of data bytes, since the incarnations met, up to which each lane may be filled, by lane number.
        case credit([UInt64])
        /// A token the peer sends back.
        case ping(UInt64)
        case pong(UInt64)
        /// The last frame: nothing follows.
        case goodbye(Farewell)
    }
}

/// Why a node ends a link for good.
public enum Farewell: UInt8, Sendable {
    /// The node stops.
    case leaving = 0
    /// The two ends do not agree on what was received.
    case diverged = 1
    /// The hello was not acceptable: other volume, other protocol, or a node taken for dead.
    case refused = 2
}

/// A payload, or a chunk of one.
public struct DataFrame: Equatable, Sendable {
    /// Bytes before the payload in the body of a first chunk, at most.
    static let prefixBytes = 8

    /// Where a chunk stands in its payload.
    public enum Part: Equatable, Sendable {
        case whole(fromLoop: UInt16, toLoop: UInt16)
        /// `total` is the size of the whole payload.
        case first(fromLoop: UInt16, toLoop: UInt16, total: Int)
        case middle
        case last
    }

    public var lane: Lane
    public var part: Part
    public var bytes: [UInt8]

    public init(lane: Lane, part: Part, bytes: [UInt8]) {
        self.lane = lane
        self.part = part
        self.bytes = bytes
    }
}

/// The fixed part of a frame.
struct FrameHeader {
    /// Bytes on the wire, with the length.
    static let size = 24

    enum Kind: UInt8 {
        case hello = 1
        case data = 2
        case acknowledgement = 3
        case credit = 4
        case ping = 5
        case pong = 6
        case goodbye = 7
    }

    /// Flags of a data frame.
    static let first: UInt8 = 1
    static let last: UInt8 = 2

    var kind: Kind
    var flags: UInt8 = 0
    var lane: UInt8 = 0
    var sequence: UInt64 = 0
    var acknowledged: UInt64 = 0
}

/// Why bytes from a peer are not taken. The connection is closed; the link resumes on a new one.
public enum LinkFault: Error, Equatable, Sendable {
    /// Longer than a frame may be.
    case oversized
    /// Not what the codec writes.
    case malformed
    /// A frame that does not belong at this point of the conversation.
    case unexpected
    /// A data frame is missing.
    case gap
    /// More than the credit allows.
    case creditExceeded
    /// A payload beyond the limit, or chunks that do not add up to it.
    case badPayload
    /// An acknowledgement of what was never sent.
    case badAcknowledgement
}
