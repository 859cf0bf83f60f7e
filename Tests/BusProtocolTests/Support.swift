import BusProtocol
import Testing

/// SplitMix64: the same seed gives the same run.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

func node(_ name: String, incarnation: UInt64 = 1, volume: [UInt8] = [7, 7], featureLevel: UInt16 = 3) -> NodeInfo {
    NodeInfo(
        id: NodeID(name: name, incarnation: incarnation), pid: 4711, startTime: 99, featureLevel: featureLevel, loops: 2,
        volumeID: volume, product: "Martlet 0.1")
}

/// All frames in the bytes.
func frames(_ bytes: [UInt8]) throws -> [Frame] {
    var found: [Frame] = []
    var rest = bytes[...]
    while let (frame, size) = try rest.withUnsafeBytes({ try FrameCodec.decode($0) }) {
        found.append(frame)
        rest = rest.dropFirst(size)
    }
    guard rest.isEmpty else { throw LinkFault.malformed }
    return found
}

/// Two machines and the wire between them, which may be cut at any byte.
struct Pair {
    var a: LinkMachine
    var b: LinkMachine
    var toA: [UInt8] = []
    var toB: [UInt8] = []
    var atA: [LinkAnswer] = []
    var atB: [LinkAnswer] = []
    var now: UInt64 = 1_000

    init(_ a: NodeInfo = node("a", incarnation: 1), _ b: NodeInfo = node("b", incarnation: 2), limits: LinkLimits = LinkLimits()) {
        self.a = LinkMachine(me: a, peerName: b.id.name, limits: limits)
        self.b = LinkMachine(me: b, peerName: a.id.name, limits: limits)
    }

    mutating func connect() {
        toA = []
        toB = []
        a.connected(at: now)
        b.connected(at: now)
    }

    /// The bytes on their way are lost.
    mutating func cut() {
        toA = []
        toB = []
        a.disconnected()
        b.disconnected()
    }

    /// Moves at most `bytes` each way; whole frames are taken as they become complete.
    mutating func move(_ bytes: Int = .max, chunk: Int = 1 << 20) throws {
        if a.hasOutput { a.write(into: &toB, limit: chunk) }
        if b.hasOutput { b.write(into: &toA, limit: chunk) }
        try Self.take(&toB, upTo: bytes, by: &b, into: &atB, at: now)
        try Self.take(&toA, upTo: bytes, by: &a, into: &atA, at: now)
    }

    mutating func settle() throws {
        while a.hasOutput || b.hasOutput || !toA.isEmpty || !toB.isEmpty { try move() }
    }

    private static func take(
        _ wire: inout [UInt8], upTo bytes: Int, by machine: inout LinkMachine, into answers: inout [LinkAnswer], at now: UInt64
    ) throws {
        var taken = 0
        while let (frame, size) = try wire.withUnsafeBytes({ try FrameCodec.decode($0) }), taken + size <= bytes {
            if let answer = try machine.receive(frame, at: now) { answers.append(answer) }
            wire.removeFirst(size)
            taken += size
        }
    }
}

/// The payloads among answers.
func payloads(_ answers: [LinkAnswer], _ lane: Lane? = nil) -> [[UInt8]] {
    answers.compactMap { answer in
        guard case .deliver(let delivery) = answer, lane == nil || delivery.lane == lane else { return nil }
        return delivery.payload
    }
}

extension LinkMachine {
    /// Posts what must be taken.
    mutating func send(_ payload: [UInt8], fromLoop: UInt16 = 0, toLoop: UInt16 = 0, lane: Lane) {
        let taken = post(payload, fromLoop: fromLoop, toLoop: toLoop, lane: lane)
        #expect(taken)
    }
}
