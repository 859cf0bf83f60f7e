import BusProtocol
import Testing

@Suite struct FrameCodecTests {
    static let samples: [Frame] = [
        Frame(body: .hello(Hello(node: node("node-7", incarnation: .max), peerIncarnation: 5, received: 9))),
        Frame(sequence: 1, acknowledged: 2, body: .data(DataFrame(lane: .control, part: .whole(fromLoop: 1, toLoop: 65_535), bytes: []))),
        Frame(sequence: 2, body: .data(DataFrame(lane: .stanza, part: .first(fromLoop: 3, toLoop: 4, total: 100), bytes: [1, 2, 3]))),
        Frame(sequence: 3, body: .data(DataFrame(lane: .bulk, part: .middle, bytes: [9]))),
        Frame(sequence: .max, acknowledged: .max, body: .data(DataFrame(lane: .bulk, part: .last, bytes: Array(repeating: 5, count: 300)))),
        Frame(acknowledged: 77, body: .acknowledgement),
        Frame(body: .credit([1, .max, 0])),
        Frame(body: .ping(123)),
        Frame(body: .pong(.max)),
        Frame(body: .goodbye(.leaving)),
        Frame(body: .goodbye(.diverged)),
        Frame(body: .goodbye(.refused)),
    ]

    @Test(arguments: samples) func readsWhatItWrites(_ frame: Frame) throws {
        var bytes: [UInt8] = []
        frame.encode(into: &bytes)
        #expect(try frames(bytes) == [frame])
    }

    @Test func anySplitGivesTheSameFrames() throws {
        var stream: [UInt8] = []
        for frame in Self.samples { frame.encode(into: &stream) }
        var random = Seeded(1)
        for _ in 0..<200 {
            var buffer: [UInt8] = []
            var found: [Frame] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...60, using: &random))
                rest = rest.dropFirst(piece.count)
                buffer.append(contentsOf: piece)
                while let (frame, size) = try buffer.withUnsafeBytes({ try FrameCodec.decode($0) }) {
                    found.append(frame)
                    buffer.removeFirst(size)
                }
            }
            #expect(found == Self.samples)
            #expect(buffer.isEmpty)
        }
    }

    @Test func noInputTraps() {
        var random = Seeded(2)
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round.isMultiple(of: 2) {
                bytes = random.bytes(Int.random(in: 0...64, using: &random))
                // A plausible length, so that the rest is looked at.
                if bytes.count >= 4 { bytes.replaceSubrange(0..<4, with: [0, 0, 0, UInt8(bytes.count - 4)]) }
            } else {
                bytes = []
                Self.samples[Int.random(in: 0..<Self.samples.count, using: &random)].encode(into: &bytes)
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            guard let (frame, size) = try? bytes.withUnsafeBytes({ try FrameCodec.decode($0) }) else { continue }
            #expect(size <= bytes.count)
            // What is taken says the same when it is written again.
            var again: [UInt8] = []
            frame.encode(into: &again)
            #expect((try? frames(again)) == [frame])
        }
    }

    @Test func refusesALengthBeforeItsBytes() {
        let huge: [UInt8] = [0x00, 0x10, 0x00, 0x00]
        #expect(throws: LinkFault.oversized) { try huge.withUnsafeBytes { _ = try FrameCodec.decode($0) } }
        let tiny: [UInt8] = [0, 0, 0, 3]
        #expect(throws: LinkFault.malformed) { try tiny.withUnsafeBytes { _ = try FrameCodec.decode($0) } }
        // Only data may be long.
        var ping: [UInt8] = []
        Frame(body: .ping(1)).encode(into: &ping)
        ping.replaceSubrange(0..<4, with: [0, 0, 0x40, 0])
        #expect(throws: LinkFault.oversized) { try ping.withUnsafeBytes { _ = try FrameCodec.decode($0) } }
    }

    @Test func largestChunkIsAFrame() throws {
        let limits = LinkLimits(chunkBytes: .max)
        let data = DataFrame(
            lane: .bulk, part: .first(fromLoop: 0, toLoop: 0, total: 1 << 21), bytes: Array(repeating: 1, count: limits.chunkBytes))
        var bytes: [UInt8] = []
        Frame(sequence: 1, body: .data(data)).encode(into: &bytes)
        #expect(bytes.count == LinkLimits.frameBytes)
        #expect(try frames(bytes).count == 1)
    }

    @Test(arguments: ["", "-a", "A", "a/b", "..", String(repeating: "x", count: 33), "é"]) func refusesNames(_ name: String) throws {
        #expect(!NodeID.isValid(name: name))
        var bytes: [UInt8] = []
        Frame(body: .hello(Hello(node: node(name), peerIncarnation: 0, received: 0))).encode(into: &bytes)
        #expect(throws: LinkFault.malformed) { try bytes.withUnsafeBytes { _ = try FrameCodec.decode($0) } }
    }

    @Test func helloPassesOverNewerFields() throws {
        let frame = Frame(body: .hello(Hello(node: node("a"), peerIncarnation: 1, received: 2, newest: 9, oldest: 1)))
        var bytes: [UInt8] = []
        frame.encode(into: &bytes)
        bytes.append(contentsOf: [1, 2, 3])
        bytes[3] += 3
        #expect(try frames(bytes) == [frame])
    }
}
