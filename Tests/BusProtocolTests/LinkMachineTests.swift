import BusProtocol
import Testing

@Suite struct LinkMachineTests {
    @Test func helloThenPayloadsBothWays() throws {
        var pair = Pair()
        #expect(pair.a.dials && !pair.b.dials)
        pair.connect()
        #expect(!pair.b.hasOutput, "the dialled side waits to learn who calls")
        pair.a.send([1], fromLoop: 1, toLoop: 2, lane: .stanza)
        pair.b.send([2], fromLoop: 3, toLoop: 4, lane: .control)
        try pair.settle()
        #expect(pair.atA == [.up(pair.b.me, replacing: nil), .deliver(Delivery(payload: [2], fromLoop: 3, toLoop: 4, lane: .control))])
        #expect(pair.atB == [.up(pair.a.me, replacing: nil), .deliver(Delivery(payload: [1], fromLoop: 1, toLoop: 2, lane: .stanza))])
        #expect(pair.a.state == .open && pair.b.state == .open)
    }

    @Test func lowerLanesGoFirstAndChunksLetThemPass() throws {
        var pair = Pair(limits: LinkLimits(chunkBytes: 10))
        pair.connect()
        try pair.settle()
        pair.atB = []
        let long = Array(0..<95).map { UInt8($0) }
        pair.a.send(long, lane: .bulk)
        try pair.move(chunk: 1)
        try pair.move(chunk: 1)
        #expect(pair.atB.isEmpty)
        pair.a.send([1], lane: .stanza)
        pair.a.send([2], lane: .control)
        try pair.settle()
        #expect(payloads(pair.atB) == [[2], [1], long])
    }

    @Test func acknowledgementEmptiesTheRing() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        pair.a.send(Array(repeating: 0, count: 500), lane: .stanza)
        try pair.settle()
        #expect(pair.a.unacknowledgedBytes == 500 && pair.a.queuedBytes == 0)
        pair.b.tick(at: pair.now)
        try pair.settle()
        #expect(pair.a.unacknowledgedBytes == 0)
        pair.b.tick(at: pair.now)
        #expect(!pair.b.hasOutput, "nothing new to acknowledge")
    }

    @Test func lostConnectionLosesNothing() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        for i in 0..<10 { pair.a.send([UInt8(i)], lane: .stanza) }
        pair.a.write(into: &pair.toB, limit: .max)
        pair.cut()
        for i in 10..<20 { pair.a.send([UInt8(i)], lane: .stanza) }
        pair.connect()
        try pair.settle()
        #expect(payloads(pair.atB) == (0..<20).map { [UInt8($0)] })
        #expect(pair.atA.last == .resumed(replayed: 10))
        #expect(pair.a.resumptions == 1)
    }

    @Test func replayedPayloadsAreTakenOnce() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        pair.a.send([1], lane: .stanza)
        try pair.settle()
        // The same frame again, as after a replay that crossed.
        let again = Frame(sequence: 1, body: .data(DataFrame(lane: .stanza, part: .whole(fromLoop: 0, toLoop: 0), bytes: [1])))
        #expect(try pair.b.receive(again, at: 0) == nil)
        #expect(pair.b.duplicates == 1)
        #expect(payloads(pair.atB) == [[1]])
    }

    /// Seeded conversations over a wire that is cut at random places: each lane is a FIFO without loss or repetition.
    @Test(arguments: 0..<40) func everyLaneIsAReliableFIFO(_ seed: Int) throws {
        var random = Seeded(UInt64(seed))
        var pair = Pair(
            limits: LinkLimits(chunkBytes: Int.random(in: 1...40, using: &random), laneCredit: Int.random(in: 1...400, using: &random)))
        var sentA: [Lane: [[UInt8]]] = [:]
        var sentB: [Lane: [[UInt8]]] = [:]
        pair.connect()
        for _ in 0..<400 {
            pair.now += 100_000_000
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let lane = Lane.allCases[Int.random(in: 0..<3, using: &random)]
                let payload = random.bytes(Int.random(in: 0...120, using: &random))
                if Bool.random(using: &random) {
                    pair.a.send(payload, lane: lane)
                    sentA[lane, default: []].append(payload)
                } else {
                    pair.b.send(payload, lane: lane)
                    sentB[lane, default: []].append(payload)
                }
            case 4..<8: try pair.move(Int.random(in: 0...300, using: &random), chunk: Int.random(in: 1...200, using: &random))
            case 8:
                pair.a.tick(at: pair.now)
                pair.b.tick(at: pair.now)
            default:
                pair.cut()
                pair.connect()
            }
        }
        try pair.settle()
        for lane in Lane.allCases {
            let isWhole = payloads(pair.atB, lane) == sentA[lane, default: []] && payloads(pair.atA, lane) == sentB[lane, default: []]
            #expect(isWhole)
        }
        pair.a.tick(at: pair.now)
        pair.b.tick(at: pair.now)
        try pair.settle()
        #expect(pair.a.unacknowledgedBytes == 0 && pair.b.unacknowledgedBytes == 0)
        #expect(pair.a.queuedBytes == 0 && pair.b.queuedBytes == 0)
    }

    @Test func restartedPeerIsAnotherNode() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        let old = pair.b.me
        for i in 0..<5 { pair.b.send([UInt8(i)], lane: .stanza) }
        pair.a.send([9], lane: .stanza)
        try pair.settle()
        pair.cut()
        pair.a.send([10], lane: .stanza)
        let new = node("b", incarnation: 3)
        pair.b = LinkMachine(me: new, peerName: "a", limits: LinkLimits())
        pair.atA = []
        pair.atB = []
        pair.connect()
        try pair.settle()
        #expect(pair.atA == [.up(new, replacing: old)])
        #expect(pair.atB == [.up(pair.a.me, replacing: nil)], "what was meant for the dead is not given to the living")
        #expect(pair.a.unacknowledgedBytes == 0 && pair.a.queuedBytes == 0)
        pair.b.send([1], lane: .bulk)
        pair.a.send([2], lane: .bulk)
        try pair.settle()
        #expect(payloads(pair.atA) == [[1]] && payloads(pair.atB) == [[2]])
    }

    @Test func laneWithoutCreditWaitsAloneAndFillsUpAgain() throws {
        var pair = Pair(limits: LinkLimits(chunkBytes: 100, laneCredit: 300))
        pair.connect()
        try pair.settle()
        for _ in 0..<20 { pair.a.send(Array(repeating: 0, count: 100), lane: .bulk) }
        var wire: [UInt8] = []
        pair.a.write(into: &wire, limit: .max)
        // 124 a frame: three fit, the third reaching beyond.
        #expect(try frames(wire).count == 3)
        #expect(pair.a.lane(.bulk).credit == 0 && !pair.a.hasOutput)
        pair.a.send([1], lane: .control)
        #expect(pair.a.hasOutput, "the other lanes have credit of their own")
        pair.toB = wire
        try pair.settle()
        #expect(payloads(pair.atB, .bulk).count == 20)
        #expect(payloads(pair.atB, .control) == [[1]])
    }

    @Test func moreThanTheCreditIsAFault() throws {
        var pair = Pair(limits: LinkLimits(laneCredit: 60))
        pair.connect()
        try pair.settle()
        func frame(_ sequence: UInt64, _ lane: Lane) -> Frame {
            Frame(sequence: sequence, body: .data(DataFrame(lane: lane, part: .whole(fromLoop: 0, toLoop: 0), bytes: [1])))
        }
        // 25 a frame: the third reaches beyond, a fourth may not come before more credit was told.
        for sequence: UInt64 in 1...3 { _ = try pair.b.receive(frame(sequence, .stanza), at: 0) }
        #expect(throws: LinkFault.creditExceeded) { try pair.b.receive(frame(4, .stanza), at: 0) }
        _ = try pair.b.receive(frame(4, .bulk), at: 0)
        var wire: [UInt8] = []
        pair.b.write(into: &wire, limit: .max)
        #expect(try frames(wire).contains { $0.body == .credit([60, 135, 85]) })
        _ = try pair.b.receive(frame(5, .stanza), at: 0)
    }

    @Test func faultsAreNamedAndHarmNothing() throws {
        var pair = Pair(limits: LinkLimits(payloadBytes: 10))
        pair.connect()
        #expect(throws: LinkFault.unexpected) { try pair.b.receive(Frame(body: .ping(1)), at: 0) }
        try pair.settle()
        func data(_ part: DataFrame.Part, _ count: Int, _ sequence: UInt64 = 1, _ acknowledged: UInt64 = 0) -> Frame {
            Frame(
                sequence: sequence, acknowledged: acknowledged,
                body: .data(DataFrame(lane: .stanza, part: part, bytes: Array(repeating: 0, count: count))))
        }
        let bad: [(Frame, LinkFault)] = [
            (data(.whole(fromLoop: 0, toLoop: 0), 1, 2), .gap),
            (data(.whole(fromLoop: 0, toLoop: 0), 11), .badPayload),
            (data(.first(fromLoop: 0, toLoop: 0, total: 11), 1), .badPayload),
            (data(.first(fromLoop: 0, toLoop: 0, total: 5), 5), .badPayload),
            (data(.middle, 1), .badPayload),
            (data(.last, 1), .badPayload),
            (data(.whole(fromLoop: 0, toLoop: 0), 1, 1, 1), .badAcknowledgement),
            (Frame(acknowledged: 1, body: .acknowledgement), .badAcknowledgement),
            (Frame(body: .hello(Hello(node: node("a"), peerIncarnation: 0, received: 0))), .unexpected),
        ]
        for (frame, fault) in bad { #expect(throws: fault) { try pair.b.receive(frame, at: 0) } }
        pair.a.send([5], lane: .stanza)
        let taken = pair.a.post(Array(repeating: 0, count: 11), fromLoop: 0, toLoop: 0, lane: .stanza)
        #expect(!taken)
        try pair.settle()
        #expect(payloads(pair.atB) == [[5]])
    }

    @Test func goodbyeFollowsEverythingPosted() throws {
        var pair = Pair(limits: LinkLimits(chunkBytes: 10, laneCredit: 50))
        pair.connect()
        try pair.settle()
        for i in 0..<30 { pair.a.send(Array(repeating: UInt8(i), count: 30), lane: .bulk) }
        pair.a.leave()
        try pair.settle()
        #expect(payloads(pair.atB).count == 30)
        #expect(pair.atB.last == .farewell(.leaving))
        #expect(pair.a.state == .over && pair.b.state == .over)
        // What comes late is passed over.
        #expect(try pair.a.receive(Frame(body: .ping(1)), at: 0) == nil)
    }

    @Test(arguments: [
        (Hello(node: node("a", volume: [1]), peerIncarnation: 0, received: 0), LinkRefusal.otherVolume),
        (Hello(node: node("a"), peerIncarnation: 0, received: 0, newest: 9, oldest: 9), .otherProtocol),
        (Hello(node: node("c"), peerIncarnation: 0, received: 0), .wrongName),
        (Hello(node: node("a"), peerIncarnation: 2, received: 1), .diverged),
    ]) func refusesHellos(_ hello: Hello, _ refusal: LinkRefusal) throws {
        var pair = Pair()
        pair.connect()
        #expect(try pair.b.receive(Frame(body: .hello(hello)), at: 0) == .refused(refusal))
        #expect(pair.b.state == .over)
        var wire: [UInt8] = []
        pair.b.write(into: &wire, limit: .max)
        #expect(try frames(wire).map(\.body) == [.goodbye(refusal == .diverged ? .diverged : .refused)])
        #expect(!pair.b.hasOutput)
    }

    @Test func peerThatForgotIsDiverged() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        pair.a.send([1], lane: .stanza)
        try pair.settle()
        pair.b.tick(at: 0)
        try pair.settle()
        pair.cut()
        // The same incarnation, but without its memory: the acknowledged frame can never go again.
        pair.b = LinkMachine(me: pair.b.me, peerName: "a", limits: LinkLimits())
        pair.atA = []
        pair.connect()
        try pair.settle()
        #expect(pair.atA == [.refused(.diverged)])
        #expect(pair.atB.last == .farewell(.diverged))
    }

    @Test func pingsMeasureTheRoundTrip() throws {
        var pair = Pair()
        pair.connect()
        try pair.settle()
        #expect(pair.a.roundTrip == nil)
        pair.now += LinkMachine.pingInterval
        pair.a.tick(at: pair.now)
        pair.a.write(into: &pair.toB, limit: .max)
        pair.now += 5_000
        try pair.settle()
        #expect(pair.a.roundTrip == 5_000)
        #expect(pair.a.silence(at: pair.now + 70) == 70)
        pair.cut()
        #expect(pair.a.silence(at: pair.now + 70) == 0)
    }
}
