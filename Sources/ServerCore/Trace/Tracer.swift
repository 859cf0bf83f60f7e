internal import DequeModule
import Stanzas

/// Notes the stations of stanzas that somebody looks at. A loop has one only while a trace runs.
///
/// A stanza is marked where it enters (`Session.submit`), is made, or gets its address (`Shard.receiveAtHome`), if a trace wants it, and
/// the mark travels with it (`Stanza.trace`): what stands behind looks at the mark alone. What was under way before is not seen.
///
/// It never holds more than `bound` stations of a trace, which leave ten times a second. When half of that is full no more stanzas are
/// marked here, so that the ways of those that are stay whole; both are counted.
final class Tracer {
    /// Stations of one trace between two reports.
    static let bound = 500
    static let pause = Duration.milliseconds(100)
    /// Stanzas whose socket is waited for, of all sessions here.
    private static let flightBound = 2_000

    private struct Running {
        var order: TraceOrder
        /// The question that is answered, and who asked it.
        var question: UInt64
        var asker: ShardAddress
        var until: MonotonicTime
        var events: [TraceEvent] = []
        var lost: UInt64 = 0
        var skipped: UInt64 = 0
    }

    private var running: [Running] = []
    private let shard: Shard
    private var nextOwn: UInt64 = 0
    /// Written towards clients and not known to be with the kernel, by session.
    private var flights: [UInt64: Deque<(mark: UInt64, stanza: Stanza)>] = [:]
    private var flightCount = 0
    private var timer: (any LoopTimer)?

    init(_ shard: Shard) { self.shard = shard }

    deinit { timer?.cancel() }

    var isIdle: Bool { running.isEmpty }

    /// What a node is called, for people.
    func name(ofNode node: UInt64) -> String {
        if node == shard.core.node { return shard.core.nodeName }
        return running.lazy.compactMap { $0.order.nodeNames[node] }.first ?? String(node, radix: 16)
    }

    /// This node.
    var node: UInt64 { shard.core.node }

    // MARK: Beginning and end

    /// Begins a trace; false when another has its place.
    func begin(_ order: TraceOrder, question: UInt64, asker: ShardAddress) -> Bool {
        guard !running.contains(where: { $0.order.place == order.place }) else { return false }
        let until = shard.loop.now + .seconds(Int64(order.seconds) + 2)
        running.append(Running(order: order, question: question, asker: asker, until: until))
        if timer == nil { schedule() }
        return true
    }

    func end(where isOver: (_ id: UInt64, _ asker: ShardAddress) -> Bool) {
        running.removeAll { isOver($0.order.id, $0.asker) }
    }

    private func schedule() {
        timer = shard.loop.schedule(after: Self.pause) { [shard] in
            shard.enter { shard in
                guard let tracer = shard.tracer else { return }
                tracer.report()
                if tracer.isIdle { shard.tracer = nil } else { tracer.schedule() }
            }
        }
    }

    /// Says to everybody who traces what was noted since the last time.
    func report() {
        let now = shard.loop.now
        for index in running.indices { post(index, isOver: running[index].until <= now) }
        running.removeAll { $0.until <= now }
    }

    private func post(_ index: Int, isOver: Bool) {
        let one = running[index]
        let report = TraceReport(
            state: isOver ? .ended : .running, node: shard.core.node, nodeName: shard.core.nodeName, loop: shard.address.loop,
            through: shard.core.clock.now, lost: one.lost, skipped: one.skipped, events: one.events)
        running[index].events.removeAll(keepingCapacity: true)
        running[index].lost = 0
        running[index].skipped = 0
        shard.post(.answer(id: one.question, part: report.bytes, last: isOver), to: one.asker)
    }

    // MARK: Marks

    /// The lowest bits of a mark: for which places it is.
    private static let placeMask: UInt64 = 15

    /// Which stanza it is.
    static func story(_ mark: UInt64) -> UInt64 { mark >> 4 }

    /// Marks a stanza of a session, if a trace wants it.
    ///
    /// - Parameters:
    ///   - key: of the session.
    ///   - seq: its number of the stanza.
    ///   - node: where its socket is.
    func mark(_ stanza: inout Stanza, key: UInt64, seq: UInt32, node: UInt64?) {
        var places: UInt64 = 0
        var isWanted = false
        for index in running.indices where running[index].order.filter.matches(stanza) {
            let bit: UInt64 = 1 << UInt64(running[index].order.place)
            if let wanted = running[index].order.filter.node {
                guard wanted == node, stanza.trace & bit == 0 else { continue }
            } else if stanza.trace != 0 {
                // It was decided where it came from.
                continue
            }
            isWanted = true
            guard running[index].events.count < Self.bound / 2 else {
                running[index].skipped += 1
                continue
            }
            places |= bit
        }
        // One that is not followed is marked too, for nobody: what comes later shall not begin in the midst of its way.
        guard isWanted else { return }
        stanza.trace = (stanza.trace == 0 ? Self.mix(key, seq) : stanza.trace) | places
    }

    /// Marks a stanza that the server made or that got an address here. Returns whether it is marked now and was not before.
    func markOwn(_ stanza: inout Stanza, node: UInt64? = nil) -> Bool {
        let before = stanza.trace
        nextOwn &+= 1
        mark(&stanza, key: shard.address.node &+ UInt64(shard.address.loop) << 32 &+ nextOwn, seq: .max, node: node)
        return before == 0 && stanza.trace != 0
    }

    /// 60 bits that tell a submission from others, the same in every node.
    private static func mix(_ key: UInt64, _ seq: UInt32) -> UInt64 {
        var mixed = key ^ (UInt64(seq) &* 0x9E37_79B9_7F4A_7C15)
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return (mixed ^ (mixed >> 31)) & ~placeMask
    }

    // MARK: Stations

    /// Notes a station of a marked stanza.
    func note(_ station: TraceStation, _ stanza: Stanza, _ detail: @autoclosure () -> String = "", showsContent: Bool = false) {
        let places = stanza.trace & Self.placeMask
        var noted: TraceEvent?
        for index in running.indices where places & (1 << UInt64(running[index].order.place)) != 0 {
            guard running[index].events.count < Self.bound else {
                running[index].lost += 1
                continue
            }
            var event =
                noted
                ?? TraceEvent(
                    stamp: shard.core.clock.now, story: Self.story(stanza.trace), station: station, kind: stanza.kind, type: stanza.type,
                    id: stanza.id, from: stanza.from?.description, to: stanza.to?.description, detail: Self.bounded(detail()))
            noted = event
            if showsContent { event.content = TraceBlanking.text(of: stanza, showsBodies: running[index].order.showsBodies) }
            running[index].events.append(event)
        }
    }

    /// Bytes of what one station says: an answer of the cluster must not become long by a crowd of resources.
    private static let detailBound = 1_024

    private static func bounded(_ text: String) -> String {
        guard text.utf8.count > detailBound else { return text }
        return String(decoding: text.utf8.prefix(detailBound), as: UTF8.self) + "…"
    }

    // MARK: Towards the client

    /// A marked stanza was written and leaves with a flush.
    func wrote(_ stanza: Stanza, session: UInt64, mark: UInt64) {
        guard flightCount < Self.flightBound else { return }
        flightCount += 1
        flights[session, default: []].append((mark, stanza))
    }

    /// The kernel has everything of a session up to a mark.
    func socketTook(session: UInt64, through mark: UInt64, _ detail: @autoclosure () -> String) {
        guard flights[session] != nil else { return }
        while let first = flights[session]?.first, first.mark <= mark {
            note(.sent, first.stanza, detail())
            flights[session]?.removeFirst()
            flightCount -= 1
        }
        if flights[session]?.isEmpty == true { flights[session] = nil }
    }

    /// A session lost its socket: its marks never come.
    func socketLost(session: UInt64) {
        flightCount -= flights.removeValue(forKey: session)?.count ?? 0
    }
}
