import DequeModule

/// A payload that arrived.
public struct Delivery: Equatable, Sendable {
    public var payload: [UInt8]
    public var fromLoop: UInt16
    public var toLoop: UInt16
    public var lane: Lane

    public init(payload: [UInt8], fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        self.payload = payload
        self.fromLoop = fromLoop
        self.toLoop = toLoop
        self.lane = lane
    }
}

/// What a frame means to the owner of a link.
public enum LinkAnswer: Equatable, Sendable {
    /// The two met for the first time. `replacing` is the incarnation known before, which is therefore dead.
    case up(NodeInfo, replacing: NodeInfo?)
    /// A new connection between incarnations that know each other; `replayed` frames go again.
    case resumed(replayed: Int)
    case deliver(Delivery)
    /// The peer ended the link for good. Everything it sent before was delivered.
    case farewell(Farewell)
    /// The hello is not acceptable. A goodbye is ready to be written; then the connection is to be closed.
    case refused(LinkRefusal)
}

/// Why a hello is not acceptable.
public enum LinkRefusal: Equatable, Sendable {
    case otherVolume
    /// The two programs have no protocol in common.
    case otherProtocol
    /// It names another node than was called, or this one.
    case wrongName
    /// The smaller name dials; this one was dialled by a larger.
    case wrongDirection
    /// This incarnation was taken for dead.
    case departed
    /// It says to have received what was not sent, or misses what was acknowledged.
    case diverged
}

/// One link between this node and the node of one name, over any number of connections: hello, sequence numbers, acknowledgement,
/// replay after a lost connection, credit per lane. No socket, no clock, no thread; nanoseconds of any monotonic clock are passed in.
///
/// What is posted leaves in order per lane, control before stanza before bulk. It is kept until the peer acknowledged it, and goes
/// again, in the same order and under the same numbers, when a connection is lost between the same two incarnations. The receiver
/// takes each number once. So each lane is a reliable FIFO for as long as both processes live.
public struct LinkMachine: Sendable {
    public enum State: Equatable, Sendable {
        /// No connection.
        case closed
        /// Connected; the peer's hello has not come.
        case greeting
        case open
        /// A goodbye was said or heard; nothing more is taken.
        case over
    }

    public let me: NodeInfo
    /// The other end, by name.
    public let peerName: String
    public private(set) var state = State.closed
    /// The incarnation met last.
    public private(set) var peer: NodeInfo?
    /// Time of the last answered ping, there and back.
    public private(set) var roundTrip: UInt64?
    /// Pings that were answered.
    public private(set) var pongs: UInt64 = 0
    /// Connections after the first.
    public private(set) var resumptions = 0
    /// Frames of all kinds written, over all connections.
    public private(set) var framesWritten: UInt64 = 0
    /// Data frames that came twice.
    public private(set) var duplicates = 0

    let limits: LinkLimits
    private var outgoing: [OutLane]
    private var incoming: [InLane]
    /// Sent and not acknowledged, by ascending sequence.
    private var ring: Deque<SentFrame> = []
    private var ringBytes = 0
    /// The first entry of the ring that the present connection has not carried.
    private var unsent = 0
    private var lastSent: UInt64 = 0
    private var acknowledged: UInt64 = 0
    private var received: UInt64 = 0
    /// The highest `received` the peer was told.
    private var told: UInt64 = 0
    private var bytesSinceTold = 0
    private var urgent: [Frame.Body] = []
    private var creditDue = false
    private var acknowledgementDue = false
    private var leaves = false
    private var heard: UInt64 = 0
    private var pinged: UInt64 = 0

    /// Nanoseconds between pings.
    public static let pingInterval: UInt64 = 1_000_000_000
    /// Bytes received after which an acknowledgement does not wait for the next tick.
    static let eagerAcknowledgement = 1 << 18

    public init(me: NodeInfo, peerName: String, limits: LinkLimits) {
        self.me = me
        self.peerName = peerName
        self.limits = limits
        outgoing = Lane.allCases.map { _ in OutLane() }
        incoming = Lane.allCases.map { _ in InLane(window: limits.laneCredit) }
    }

    /// Whether this side opens the connections: the smaller name does, so that there is one link for a pair.
    public var dials: Bool { me.id.name < peerName }
    /// Payload bytes that have not left for the first time.
    public var queuedBytes: Int { outgoing.reduce(0) { $0 + $1.queuedBytes } }
    /// Payload bytes sent and not acknowledged.
    public var unacknowledgedBytes: Int { ringBytes }

    /// Bytes waiting on a lane, and what may still leave on it.
    public func lane(_ lane: Lane) -> (queuedBytes: Int, credit: UInt64) {
        let lane = outgoing[Int(lane.rawValue)]
        return (lane.queuedBytes, lane.credit)
    }

    // MARK: Connections

    /// A connection stands.
    public mutating func connected(at now: UInt64) {
        state = .greeting
        urgent.removeAll()
        creditDue = false
        acknowledgementDue = false
        heard = now
        pinged = now
        if dials { urgent.append(.hello(hello)) }
    }

    /// The connection is gone. What was posted waits for the next one.
    public mutating func disconnected() {
        state = .closed
        urgent.removeAll()
    }

    /// Nanoseconds since the peer was last heard on the present connection; 0 without one.
    public func silence(at now: UInt64) -> UInt64 {
        (state == .open || state == .greeting) && now > heard ? now - heard : 0
    }

    /// Called every 100 ms or so: acknowledges what came since, and pings.
    public mutating func tick(at now: UInt64) {
        guard state == .open else { return }
        if told != received { acknowledgementDue = true }
        if now >= pinged, now - pinged >= Self.pingInterval {
            pinged = now
            urgent.append(.ping(now))
        }
    }

    private var hello: Hello {
        Hello(node: me, peerIncarnation: peer?.id.incarnation ?? 0, received: received)
    }

    // MARK: Sending

    /// Queues a payload. False when it is larger than the limit, and therefore not taken.
    public mutating func post(_ payload: [UInt8], fromLoop: UInt16, toLoop: UInt16, lane: Lane) -> Bool {
        guard payload.count <= limits.payloadBytes else { return false }
        outgoing[Int(lane.rawValue)].add(payload, fromLoop: fromLoop, toLoop: toLoop)
        return true
    }

    /// Says goodbye once everything posted has left.
    public mutating func leave() { leaves = true }

    /// Says goodbye now, with nothing before it.
    public mutating func refuse(_ farewell: Farewell) {
        urgent = [.goodbye(farewell)]
        creditDue = false
        acknowledgementDue = false
        state = .over
    }

    /// Whether `write` would write something.
    public var hasOutput: Bool {
        if !urgent.isEmpty || creditDue || acknowledgementDue { return true }
        guard state == .open else { return false }
        return unsent < ring.count || outgoing.contains { $0.mayLeave } || maySayGoodbye
    }

    private var maySayGoodbye: Bool { leaves && unsent == ring.count && outgoing.allSatisfy(\.isEmpty) }

    /// Appends frames until `limit` bytes are passed or nothing may leave.
    public mutating func write(into bytes: inout [UInt8], limit: Int) {
        let start = bytes.count
        for body in urgent { append(body, to: &bytes) }
        urgent.removeAll(keepingCapacity: true)
        if creditDue {
            creditDue = false
            append(.credit(incoming.indices.map { incoming[$0].grant() }), to: &bytes)
        }
        if state == .open {
            while bytes.count - start < limit, let frame = nextData() {
                FrameCodec.encode(
                    lane: frame.lane, part: frame.part, bytes: frame.bytes, sequence: frame.sequence, acknowledged: received, into: &bytes)
                tell()
            }
            if maySayGoodbye {
                append(.goodbye(.leaving), to: &bytes)
                state = .over
            }
        }
        if acknowledgementDue { append(.acknowledgement, to: &bytes) }
    }

    private mutating func append(_ body: Frame.Body, to bytes: inout [UInt8]) {
        Frame(acknowledged: received, body: body).encode(into: &bytes)
        tell()
    }

    /// Every frame carries the acknowledgement.
    private mutating func tell() {
        framesWritten &+= 1
        told = received
        bytesSinceTold = 0
        acknowledgementDue = false
    }

    private mutating func nextData() -> SentFrame? {
        if unsent < ring.count {
            defer { unsent += 1 }
            return ring[unsent]
        }
        for lane in Lane.allCases {
            guard let (part, bytes) = outgoing[Int(lane.rawValue)].next(chunkBytes: limits.chunkBytes) else { continue }
            lastSent &+= 1
            let frame = SentFrame(sequence: lastSent, lane: lane, part: part, bytes: bytes)
            ring.append(frame)
            ringBytes += bytes.count
            unsent = ring.count
            return frame
        }
        return nil
    }

    // MARK: Receiving

    /// Takes a frame of the present connection. After a fault the connection is to be closed; the link itself is unharmed.
    public mutating func receive(_ frame: Frame, at now: UInt64) throws(LinkFault) -> LinkAnswer? {
        heard = now
        switch (state, frame.body) {
        case (.greeting, .hello(let hello)):
            return take(hello)
        case (.greeting, .goodbye(let farewell)), (.open, .goodbye(let farewell)):
            state = .over
            return .farewell(farewell)
        case (.open, .data(let data)):
            try take(acknowledged: frame.acknowledged)
            return try take(data, sequence: frame.sequence)
        case (.open, .acknowledgement):
            try take(acknowledged: frame.acknowledged)
        case (.open, .credit(let totals)):
            try take(acknowledged: frame.acknowledged)
            for (lane, total) in zip(outgoing.indices, totals) { outgoing[lane].allow(total) }
        case (.open, .ping(let token)):
            try take(acknowledged: frame.acknowledged)
            urgent.append(.pong(token))
        case (.open, .pong(let token)):
            try take(acknowledged: frame.acknowledged)
            if token == pinged, now >= token {
                roundTrip = now - token
                pongs &+= 1
            }
        case (.over, _):
            // The peer has not read the goodbye yet.
            return nil
        default:
            throw .unexpected
        }
        return nil
    }

    private mutating func take(_ hello: Hello) -> LinkAnswer {
        if let refusal = objection(to: hello) {
            refuse(refusal == .diverged ? .diverged : .refused)
            return .refused(refusal)
        }
        let known = peer
        let isSame = known?.id == hello.node.id
        // What was posted before the first meeting is meant for whoever comes.
        if known != nil, !isSame { forget() }
        peer = hello.node
        // What it says about an earlier incarnation of this node is not about us.
        trim(to: hello.peerIncarnation == me.id.incarnation ? hello.received : 0)
        unsent = 0
        creditDue = true
        state = .open
        if !dials { urgent.append(.hello(self.hello)) }
        guard isSame else { return .up(hello.node, replacing: known) }
        resumptions += 1
        return .resumed(replayed: ring.count)
    }

    private func objection(to hello: Hello) -> LinkRefusal? {
        guard min(hello.newest, Hello.newest) >= max(hello.oldest, Hello.oldest) else { return .otherProtocol }
        guard hello.node.volumeID == me.volumeID else { return .otherVolume }
        guard hello.node.id.name == peerName, peerName != me.id.name else { return .wrongName }
        let isSame = peer?.id == hello.node.id
        let heHas = hello.peerIncarnation == me.id.incarnation ? hello.received : 0
        guard heHas >= (isSame ? acknowledged : 0), heHas <= (isSame ? lastSent : 0) else { return .diverged }
        return nil
    }

    /// Another incarnation: nothing of the old one means anything to it.
    private mutating func forget() {
        outgoing = Lane.allCases.map { _ in OutLane() }
        incoming = Lane.allCases.map { _ in InLane(window: limits.laneCredit) }
        ring.removeAll()
        ringBytes = 0
        lastSent = 0
        acknowledged = 0
        received = 0
        told = 0
        bytesSinceTold = 0
        roundTrip = nil
        resumptions = 0
        duplicates = 0
    }

    private mutating func take(acknowledged number: UInt64) throws(LinkFault) {
        guard number <= lastSent else { throw .badAcknowledgement }
        trim(to: number)
    }

    private mutating func trim(to number: UInt64) {
        acknowledged = max(acknowledged, number)
        while let first = ring.first, first.sequence <= number {
            ringBytes -= first.bytes.count
            ring.removeFirst()
            if unsent > 0 { unsent -= 1 }
        }
    }

    private mutating func take(_ data: DataFrame, sequence: UInt64) throws(LinkFault) -> LinkAnswer? {
        guard sequence > received else {
            duplicates += 1
            return nil
        }
        guard sequence == received &+ 1 else { throw .gap }
        let lane = Int(data.lane.rawValue)
        let delivery = try incoming[lane].take(data, payloadBytes: limits.payloadBytes)
        received = sequence
        if incoming[lane].needsGrant { creditDue = true }
        bytesSinceTold += data.bytes.count + FrameHeader.size
        if bytesSinceTold >= Self.eagerAcknowledgement { acknowledgementDue = true }
        return delivery.map { .deliver($0) }
    }
}
