internal import BusProtocol
internal import ServerCore
internal import Stanzas

extension FuzzTarget {
    private static func node(_ name: String, _ incarnation: UInt64) -> NodeInfo {
        NodeInfo(
            id: NodeID(name: name, incarnation: incarnation), pid: 7, startTime: 8, featureLevel: 1, loops: 2,
            volumeID: [UInt8](repeating: 7, count: 16), product: "martlet")
    }

    private static func encoded(_ frames: Frame...) -> [UInt8] {
        var bytes: [UInt8] = []
        for frame in frames { frame.encode(into: &bytes) }
        return bytes
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>) throws(LinkFault) -> (frame: Frame, size: Int)? {
        try bytes.withUnsafeBytes { raw in Result { () throws(LinkFault) in try FrameCodec.decode(raw) } }.get()
    }

    /// `dials u8 | bytes of the other node`.
    static let bus = FuzzTarget(
        "bus", "A frame that is taken is what the codec writes; a link takes nothing beyond its credit, and what it writes are frames",
        seeds: {
            let hello = Frame(body: .hello(Hello(node: node("b", 9), peerIncarnation: 5, received: 0)))
            let whole = Frame(sequence: 1, body: .data(DataFrame(lane: .stanza, part: .whole(fromLoop: 0, toLoop: 1), bytes: [1, 2, 3])))
            let first = Frame(sequence: 2, body: .data(DataFrame(lane: .bulk, part: .first(fromLoop: 0, toLoop: 1, total: 3), bytes: [1])))
            let middle = Frame(sequence: 3, body: .data(DataFrame(lane: .bulk, part: .middle, bytes: [2])))
            let last = Frame(sequence: 4, acknowledged: 1, body: .data(DataFrame(lane: .bulk, part: .last, bytes: [3])))
            let credit = Frame(body: .credit([100, 200, 300]))
            let tails = [
                Frame(body: .acknowledgement), Frame(acknowledged: 2, body: .ping(5)), Frame(body: .pong(6)),
                Frame(body: .goodbye(.leaving)),
            ]
            return [encoded(hello), encoded(hello, whole, first, middle, last), encoded(hello, credit, whole, first, credit)]
                .map { [0] + $0 } + tails.map { [1] + encoded(hello, credit, $0, whole) }
        }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        let isSmaller = choices.flag()
        var rest = choices.rest()[...]
        let limits = LinkLimits(chunkBytes: 64, payloadBytes: 256, laneCredit: 512)
        var link = LinkMachine(me: node(isSmaller ? "a" : "c", 5), peerName: "b", limits: limits)
        for lane in Lane.allCases { _ = link.post([UInt8](repeating: lane.rawValue, count: 150), fromLoop: 0, toLoop: 1, lane: lane) }
        var now: UInt64 = 1_000_000_000
        link.connected(at: now)
        var taken = 0
        while true {
            let found: (frame: Frame, size: Int)?
            do throws(LinkFault) { found = try decoded(rest) } catch { return }
            guard let found else { return }
            try hold(found.size >= 24 && found.size <= rest.count, "a frame of \(found.size) bytes is in \(rest.count)")
            var isNewer = false
            // Behind the fields of a hello may stand those of a newer protocol.
            if case .hello = found.frame.body { isNewer = encoded(found.frame).count < found.size }
            try hold(isNewer || encoded(found.frame) == Array(rest.prefix(found.size)), "a frame is taken that is not written so")
            taken += found.size
            rest = rest.dropFirst(found.size)
            now += 300_000_000
            do throws(LinkFault) {
                if case .deliver(let delivery) = try link.receive(found.frame, at: now) {
                    guard delivery.payload.count <= limits.payloadBytes else { throw LinkFault.oversized }
                }
            } catch LinkFault.oversized {
                throw Breach("more is delivered than a payload may have")
            } catch {
                // The connection is closed, and the link goes on over another.
                link.disconnected()
                link.connected(at: now)
            }
            link.tick(at: now)
            try write(&link)
        }
    }

    private static func write(_ link: inout LinkMachine) throws(Breach) {
        var written: [UInt8] = []
        link.write(into: &written, limit: 4_096)
        try hold(written.count < 20_000, "\(written.count) bytes are written at once")
        var rest = written[...]
        while !rest.isEmpty {
            guard let found = try? decoded(rest) else { throw Breach("what is written is no frame") }
            rest = rest.dropFirst(found.size)
        }
    }

    /// A batch of letters. Those of every kind are among the kept inputs: most can be made by the core alone.
    static let letters = FuzzTarget(
        "letters", "A batch that is taken is written again byte for byte", words: ["juliet@capulet.lit", "romeo@montague.lit/orchard"],
        seeds: { LetterCodec.batches([.serves(owner: 1, epoch: 3), .leaves(node: 7, true)]).map(\.1) }
    ) { (input) throws(Breach) in
        guard let letters = try? LetterCodec.decode(input) else { return }
        let written = LetterCodec.batches(letters).flatMap(\.1)
        guard let again = try? LetterCodec.decode(written) else { throw Breach("what is written cannot be read") }
        try hold(again.count == letters.count, "\(letters.count) letters become \(again.count)")
        try hold(LetterCodec.batches(again).flatMap(\.1) == written, "the letters are others when read again")
        try hold(written.count <= input.count * 2 + 64, "\(input.count) bytes become \(written.count)")
    }
}
