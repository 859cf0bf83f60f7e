import DequeModule

extension DataFrame {
    /// What a frame takes of its lane's credit. Empty payloads are not free.
    static func cost(ofBytes count: Int) -> UInt64 { UInt64(count + FrameHeader.size) }
}

/// A data frame that is on its way, or must go again: a slice of its payload, not a copy.
struct SentFrame {
    var sequence: UInt64
    var lane: Lane
    var part: DataFrame.Part
    var bytes: ArraySlice<UInt8>
}

/// One lane towards the peer.
struct OutLane {
    private struct Waiting {
        var payload: [UInt8]
        var fromLoop: UInt16
        var toLoop: UInt16
    }

    private var queue: Deque<Waiting> = []
    /// Bytes of the first payload in the queue that have left already.
    private var offset = 0
    /// Payload bytes that have not left.
    private(set) var queuedBytes = 0
    /// Cost of all data frames sent since the incarnations met.
    private(set) var sent: UInt64 = 0
    /// What the peer lets `sent` grow to.
    private(set) var allowed: UInt64 = 0

    var isEmpty: Bool { queue.isEmpty }
    /// One frame may reach beyond the credit: a chunk larger than the whole credit would wait for ever otherwise.
    var mayLeave: Bool { !queue.isEmpty && sent < allowed }
    /// Cost that may still leave.
    var credit: UInt64 { allowed > sent ? allowed - sent : 0 }

    mutating func add(_ payload: [UInt8], fromLoop: UInt16, toLoop: UInt16) {
        queue.append(Waiting(payload: payload, fromLoop: fromLoop, toLoop: toLoop))
        queuedBytes += payload.count
    }

    /// Credit never shrinks: a grant that was overtaken changes nothing.
    mutating func allow(_ total: UInt64) { allowed = max(allowed, total) }

    /// Takes the next chunk, if there is one and credit for it.
    mutating func next(chunkBytes: Int) -> (part: DataFrame.Part, bytes: ArraySlice<UInt8>)? {
        guard mayLeave, let head = queue.first else { return nil }
        let end = min(head.payload.count, offset + chunkBytes)
        let bytes = head.payload[offset..<end]
        let part: DataFrame.Part
        switch (offset == 0, end == head.payload.count) {
        case (true, true): part = .whole(fromLoop: head.fromLoop, toLoop: head.toLoop)
        case (true, false): part = .first(fromLoop: head.fromLoop, toLoop: head.toLoop, total: head.payload.count)
        case (false, false): part = .middle
        case (false, true): part = .last
        }
        if end == head.payload.count {
            queue.removeFirst()
            offset = 0
        } else {
            offset = end
        }
        queuedBytes -= bytes.count
        sent &+= DataFrame.cost(ofBytes: bytes.count)
        return (part, bytes)
    }
}

/// One lane from the peer.
struct InLane {
    private struct Assembly {
        var fromLoop: UInt16
        var toLoop: UInt16
        var total: Int
        var bytes: [UInt8]
    }

    private var assembly: Assembly?
    /// Cost of all data frames received since the incarnations met.
    private var consumed: UInt64 = 0
    /// What the peer was told it may fill.
    private var granted: UInt64 = 0
    private let window: UInt64

    init(window: Int) { self.window = UInt64(max(window, 1)) }

    /// Takes a frame; answers the payload it completes. After a fault nothing has changed.
    mutating func take(_ frame: DataFrame, payloadBytes: Int) throws(LinkFault) -> Delivery? {
        guard consumed < granted else { throw .creditExceeded }
        let delivery: Delivery?
        let left = assembly.map { $0.total - $0.bytes.count }
        switch frame.part {
        case .whole(let from, let to):
            guard assembly == nil, frame.bytes.count <= payloadBytes else { throw .badPayload }
            delivery = Delivery(payload: frame.bytes, fromLoop: from, toLoop: to, lane: frame.lane)
        case .first(let from, let to, let total):
            guard assembly == nil, total <= payloadBytes, frame.bytes.count < total else { throw .badPayload }
            assembly = Assembly(fromLoop: from, toLoop: to, total: total, bytes: frame.bytes)
            delivery = nil
        case .middle:
            guard let left, frame.bytes.count < left else { throw .badPayload }
            assembly?.bytes.append(contentsOf: frame.bytes)
            delivery = nil
        case .last:
            guard let left, frame.bytes.count == left else { throw .badPayload }
            assembly?.bytes.append(contentsOf: frame.bytes)
            delivery = assembly.map { Delivery(payload: $0.bytes, fromLoop: $0.fromLoop, toLoop: $0.toLoop, lane: frame.lane) }
            assembly = nil
        }
        consumed &+= DataFrame.cost(ofBytes: frame.bytes.count)
        return delivery
    }

    /// Whether the peer has used half of what it was told.
    var needsGrant: Bool { consumed &+ window / 2 >= granted }

    /// What the peer is now told it may fill: the window beyond what has come.
    mutating func grant() -> UInt64 {
        granted = consumed &+ window
        return granted
    }
}
