import BusProtocol
import Testing

/// Two nodes and a network that does what networks do: bytes arrive in pieces and late, connections break in the midst of a frame, frames
/// are lost, come twice, or change places; a node dies and comes back as another incarnation. What each side hears is judged.
private struct Network {
    enum End: Int { case a, b }

    var chance: Seeded
    var ends: [LinkMachine]
    /// Bytes on their way to each end, over the connection that stands.
    var wires: [[UInt8]] = [[], []]
    var isConnected = false
    /// Numbers of what was posted and what arrived, by receiver and lane, since its sender's and its own incarnation met.
    var posted: [[[UInt32]]]
    var arrived: [[[UInt32]]]
    var next: UInt32 = 0
    var incarnation: UInt64 = 2
    var faults = 0
    var resumptions = 0
    var now: UInt64 = 1_000

    static let limits = LinkLimits(chunkBytes: 64, payloadBytes: 400, laneCredit: 600)

    init(seed: UInt64) {
        chance = Seeded(seed)
        let (a, b) = (node("a", incarnation: 1), node("b", incarnation: 2))
        ends = [
            LinkMachine(me: a, peerName: "b", limits: Self.limits), LinkMachine(me: b, peerName: "a", limits: Self.limits),
        ]
        posted = Self.nothing
        arrived = Self.nothing
    }

    private static var nothing: [[[UInt32]]] { [[[], [], []], [[], [], []]] }

    mutating func one(in many: Int) -> Bool { Int.random(in: 0..<many, using: &chance) == 0 }

    mutating func cut() {
        wires = [[], []]
        isConnected = false
        for index in ends.indices { ends[index].disconnected() }
    }

    mutating func connect() {
        cut()
        isConnected = true
        for index in ends.indices { ends[index].connected(at: now) }
    }

    /// The number first, so that any mixture of payloads shows.
    mutating func post(from end: Int) {
        let lane = Lane.allCases[Int.random(in: 0..<Lane.allCases.count, using: &chance)]
        next += 1
        let count = one(in: 4) ? Int.random(in: 4...400, using: &chance) : Int.random(in: 4...40, using: &chance)
        var payload = [UInt8](repeating: UInt8(truncatingIfNeeded: next), count: count)
        for byte in 0..<4 { payload[byte] = UInt8(truncatingIfNeeded: next >> (UInt32(byte) * 8)) }
        ends[end].send(payload, lane: lane)
        posted[1 - end][Int(lane.rawValue)].append(next)
    }

    /// A process dies and comes back under its name: nothing of what it knew is left, and what was for it is for nobody.
    mutating func restart(_ end: Int) {
        cut()
        incarnation += 1
        let name = end == 0 ? "a" : "b"
        ends[end] = LinkMachine(me: node(name, incarnation: incarnation), peerName: end == 0 ? "b" : "a", limits: Self.limits)
        posted[1 - end] = [[], [], []]
        arrived[1 - end] = [[], [], []]
        arrived[end] = [[], [], []]
    }

    /// Moves some bytes, now and then not as they were sent; what is broken by that ends the connection and nothing else.
    mutating func move(_ to: Int, isEvil: Bool) throws {
        ends[1 - to].write(into: &wires[to], limit: Int.random(in: 1...300, using: &chance))
        if isEvil { try spoil(to) }
        var budget = Int.random(in: 0...400, using: &chance)
        while let (frame, size) = try wires[to].withUnsafeBytes({ try FrameCodec.decode($0) }), size <= budget {
            budget -= size
            wires[to].removeFirst(size)
            do {
                if let answer = try ends[to].receive(frame, at: now) { hear(answer, at: to) }
            } catch {
                faults += 1
                return cut()
            }
            guard isConnected else { return }
        }
    }

    /// A frame that waits is lost, comes twice, or changes places with the next one.
    private mutating func spoil(_ to: Int) throws {
        var frames = try frames(wires[to])
        guard frames.count > 1, one(in: 6) else { return }
        let place = Int.random(in: 0..<frames.count - 1, using: &chance)
        // What opens the connection is not data: without it there is none.
        if case .hello = frames[place].body { return }
        switch Int.random(in: 0..<3, using: &chance) {
        case 0: frames.remove(at: place)
        case 1: frames.insert(frames[place], at: place)
        default: frames.swapAt(place, place + 1)
        }
        wires[to] = []
        for frame in frames { frame.encode(into: &wires[to]) }
    }

    private mutating func hear(_ answer: LinkAnswer, at end: Int) {
        switch answer {
        case .deliver(let delivery):
            let bytes = delivery.payload
            let number = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[$1]) << (UInt32($1) * 8) }
            #expect(bytes.dropFirst(4).allSatisfy { $0 == UInt8(truncatingIfNeeded: number) }, "payloads were mixed")
            arrived[end][Int(delivery.lane.rawValue)].append(number)
        case .up(_, let replacing):
            // Met anew: what was posted for the one before it is forgotten with it.
            if replacing != nil { posted[1 - end] = [[], [], []] }
        case .resumed: resumptions += 1
        case .refused, .farewell: Issue.record("\(answer) at \(end)")
        }
    }
}

/// `MARTLET_LINK_SEEDS=n` plays that many.
@Suite struct LinkSimulationTests {
    /// Each lane is a reliable FIFO for as long as both processes live, whatever happens to connections and frames.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func everyLaneIsInOrderAndWhole(_ seed: UInt64) throws {
        var network = Network(seed: seed)
        network.connect()
        for _ in 0..<1_500 {
            network.now += 1_000_000
            switch Int.random(in: 0..<40, using: &network.chance) {
            case 0..<10: network.post(from: Int.random(in: 0...1, using: &network.chance))
            case 10..<36 where network.isConnected: try network.move(Int.random(in: 0...1, using: &network.chance), isEvil: seed % 3 == 0)
            case 36: network.cut()
            case 37, 38: for end in 0...1 { network.ends[end].tick(at: network.now) }
            default: if !network.isConnected { network.connect() }
            }
            for end in 0...1 {
                for lane in 0..<3 {
                    let (sent, got) = (network.posted[end][lane], network.arrived[end][lane])
                    try #require(got.count <= sent.count && got.elementsEqual(sent.prefix(got.count)), "seed \(seed), lane \(lane)")
                }
            }
        }
        // A lost word about credit is said again on the next connection.
        network.cut()
        try settle(&network)
        #expect(network.arrived == network.posted, "seed \(seed)")
        #expect(network.resumptions > 0, "seed \(seed)")
        #expect(seed % 3 == 0 || network.faults == 0, "seed \(seed)")
        for end in network.ends { #expect(end.queuedBytes == 0 && end.unacknowledgedBytes == 0, "seed \(seed)") }
    }

    /// A node that comes back as another incarnation gets nothing that was meant for the one before, and everything since they met.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func whatWasForTheDeadReachesNobody(_ seed: UInt64) throws {
        var network = Network(seed: seed)
        for _ in 0..<5 {
            network.connect()
            for _ in 0..<200 {
                network.now += 1_000_000
                if network.one(in: 4) { network.post(from: Int.random(in: 0...1, using: &network.chance)) }
                if network.isConnected { try network.move(Int.random(in: 0...1, using: &network.chance), isEvil: false) }
                if network.one(in: 30) { network.cut() }
                if !network.isConnected, network.one(in: 3) { network.connect() }
            }
            network.restart(Int.random(in: 0...1, using: &network.chance))
            try settle(&network)
            #expect(network.arrived == network.posted, "seed \(seed)")
        }
    }

    /// Nothing breaks any more, and everything arrives and is acknowledged.
    private func settle(_ network: inout Network) throws {
        for round in 0..<20_000 {
            network.now += 200_000_000
            if !network.isConnected { network.connect() }
            for end in 0...1 {
                network.ends[end].tick(at: network.now)
                try network.move(end, isEvil: false)
            }
            let isDone = network.ends.allSatisfy { $0.queuedBytes == 0 && $0.unacknowledgedBytes == 0 && $0.state == .open }
            if isDone, network.wires.allSatisfy(\.isEmpty), round > 4 { return }
        }
    }
}
