import AdminLanguage
internal import NIOCore
import ServerCore
import Stanzas

/// `trace`: the way of stanzas through the cluster, live.
extension Commands {
    func trace(_ invocation: Invocation, _ sink: ReplySink) {
        guard invocation.option("file") == nil else {
            return sink.fail(.usage, "--file is for martletctl, which writes the file itself; leave it out and keep the answer")
        }
        var filter = TraceFilter()
        for text in invocation.texts("JID") {
            guard let jid = jid(text, sink) else { return }
            filter.jids.append(jid)
        }
        filter.domain = invocation.option("domain")
        for text in invocation.option("kind")?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
            guard let kind = TraceFilter.Kind(String(text)) else {
                return sink.fail(
                    .invalid,
                    "\(text) is no kind of stanza; write message, presence, iq or error, or one type of a kind as message:chat or iq:set")
            }
            filter.kinds.append(kind)
        }
        let node = invocation.option("node")
        guard filter != TraceFilter() || node != nil else {
            return sink.fail(.usage, "say what to trace: JIDs, --domain, --node or --kind")
        }
        let order = TraceOrder(
            id: .random(in: 0 ... .max), place: 0, filter: filter, showsBodies: invocation.flag("bodies"),
            seconds: UInt32(clamping: invocation.integerOption("seconds") ?? CommandTable.defaultTraceSeconds))
        let count = invocation.integerOption("count")
        askNodes(.facts, sink) { nodes, silent in
            var order = order
            var loops = 0
            for facts in nodes {
                guard case .text(let text) = facts["incarnation"], let incarnation = UInt64(text, radix: 16) else { continue }
                order.nodeNames[incarnation] = Self.name(of: facts)
                if case .integer(let count) = facts["loops"] { loops += Int(clamping: count) }
            }
            if let node {
                guard let incarnation = order.nodeNames.first(where: { $0.value == node })?.key else {
                    return sink.fail(
                        silent.isEmpty ? .notFound : .partial, "no node \(node) answered; node list shows those that do")
                }
                order.filter.node = incarnation
            }
            TraceRun(order, count: count, loops: loops, silent: silent, core: core, sink).begin()
        }
    }
}

/// One trace and the connection that sees it.
private final class TraceRun: @unchecked Sendable {
    // @unchecked: all but the constants is touched on the event loop of the connection alone.
    private var order: TraceOrder
    private let count: Int?
    private let core: Core
    private let sink: ReplySink
    private let loop: any EventLoop
    /// Loops that are to follow stanzas.
    private let loops: Int
    /// Nodes that did not say who they are, or went silent.
    private var silent: Set<UInt64>
    private var merge = TraceMerge()
    private var places: [UInt8] = (0..<UInt8(TraceOrder.places)).shuffled()
    private var hasBegun = false
    private var isOver = false
    private var stories: Set<UInt64> = []
    private var stations = 0
    /// Since they were last told.
    private var lost: UInt64 = 0
    private var skipped: UInt64 = 0
    private var unseen: UInt64 = 0
    private var isEnding = false

    /// How long it is waited for the loops to begin, and for the rest of the last stanza's way.
    private static let patience = TimeAmount.seconds(2)

    init(_ order: TraceOrder, count: Int?, loops: Int, silent: Set<UInt64>, core: Core, _ sink: ReplySink) {
        self.order = order
        self.count = count
        self.loops = loops
        self.silent = silent
        self.core = core
        self.sink = sink
        loop = sink.eventLoop
    }

    func begin() {
        loop.execute { self.start() }
        sink.whenClosed { self.loop.execute { self.stop() } }
    }

    private func start() {
        guard !isOver else { return }
        guard let place = places.popLast(), let shard = core.shards.first else {
            isOver = true
            return sink.fail(.refused, "\(TraceOrder.places) traces run in the cluster already; end one, or wait for its end")
        }
        order.id = .random(in: 0 ... .max)
        order.place = place
        merge = TraceMerge()
        let order = order
        shard.enter { shard in
            shard.trace(
                order, report: { bytes in self.loop.execute { self.take(bytes, of: order.id) } },
                done: { silent in self.loop.execute { self.allEnded(order.id, silent) } })
        }
        loop.scheduleTask(in: Self.patience) { if self.order.id == order.id { self.showBeginning() } }
    }

    // MARK: What the loops say

    private func take(_ bytes: [UInt8], of id: UInt64) {
        guard !isOver, id == order.id, let report = try? TraceReport(bytes) else { return }
        guard report.state != .taken else {
            endEverywhere()
            return start()
        }
        merge.add(report)
        lost += report.lost
        skipped += report.skipped
        if !hasBegun, merge.shards.count >= loops { showBeginning() }
        if hasBegun { show(merge.takeReady()) }
    }

    private func showBeginning() {
        guard !hasBegun, !isOver else { return }
        hasBegun = true
        let shards = merge.shards
        let nodes = Set(shards.map(\.node))
        silent.formUnion(Set(order.nodeNames.keys).subtracting(nodes))
        sink.write { reply in
            reply.fact("loops", ReplyValue(shards.count))
            reply.fact("nodes", ReplyValue(nodes.count))
            reply.fact("seconds", ReplyValue(order.seconds))
            reply.table("trace", ["time", "stanza", "node", "loop", "station", "kind", "type", "from", "to", "id", "detail", "content"])
            for node in silent.sorted() { reply.warning("node \(name(of: node)) does not answer: what passes it is not seen") }
        }
        beat()
    }

    private func name(of node: UInt64) -> String { order.nodeNames[node] ?? String(node, radix: 16) }

    /// Says that it goes on, and finds out whether anybody listens.
    private func beat() {
        loop.scheduleTask(in: .seconds(5)) {
            guard !self.isOver else { return }
            self.sink.write { $0.progress(self.stories.count, of: self.count) }
            self.beat()
        }
    }

    private func show(_ entries: [TraceMerge.Entry]) {
        var shown: [TraceMerge.Entry] = []
        for entry in entries {
            if !stories.contains(entry.event.story) {
                // What begins behind the last one that is wanted is not shown.
                if let count, stories.count >= count { continue }
                // Their number is all that is wanted of so many.
                if stories.count >= Self.rememberedStories { stories.removeFirst() }
                stories.insert(entry.event.story)
                total += 1
                if let count, stories.count == count { endSoon() }
            }
            shown.append(entry)
        }
        // A terminal that stands still must not fill the memory of the node.
        guard sink.isWritable else {
            unseen += UInt64(shown.count)
            return
        }
        stations += shown.count
        guard !shown.isEmpty || lost + skipped + unseen > 0 else { return }
        sink.write { reply in
            for entry in shown { reply.row(Self.row(entry)) }
            if let sentence = complaint() { reply.warning(sentence) }
        }
    }

    private static let rememberedStories = 100_000
    private var total = 0

    /// What was not seen since it was last said.
    private func complaint() -> String? {
        defer { (lost, skipped, unseen) = (0, 0, 0) }
        var parts: [String] = []
        if skipped > 0 { parts.append("\(skipped) stanzas were not followed") }
        if lost > 0 { parts.append("\(lost) stations were not noted") }
        if unseen > 0 { parts.append("\(unseen) stations were not shown") }
        guard !parts.isEmpty else { return nil }
        return parts.joined(separator: ", ") + ": it is too much at once; trace fewer"
    }

    private static func row(_ entry: TraceMerge.Entry) -> [ReplyValue] {
        let event = entry.event
        return [
            .text(TraceTime.text(event.stamp)), .text(TraceTime.story(event.story)), .text(entry.node), ReplyValue(entry.loop),
            .text("\(event.station)"), .text(event.kind.name),
            .text(event.type.attribute ?? (event.kind == .message ? "normal" : "available")),
            ReplyValue(event.from), ReplyValue(event.to), ReplyValue(event.id), event.detail.isEmpty ? .none : .text(event.detail),
            event.content.isEmpty ? .none : .text(event.content),
        ]
    }

    // MARK: The end

    /// The last stanza began: the rest of its way comes in.
    private func endSoon() {
        guard !isEnding else { return }
        isEnding = true
        loop.scheduleTask(in: Self.patience) { self.finish("by its count") }
    }

    private func allEnded(_ id: UInt64, _ silent: Set<UInt64>) {
        guard id == order.id, !isOver else { return }
        self.silent.formUnion(silent)
        finish("after \(order.seconds) s")
    }

    private func finish(_ reason: String) {
        guard !isOver else { return }
        showBeginning()
        show(merge.takeAll())
        isOver = true
        endEverywhere()
        let sentence = "\(total == 1 ? "1 stanza" : "\(total) stanzas"), \(stations) stations; ended \(reason)"
        sink.end { reply in
            if let complaint = complaint() { reply.warning(complaint) }
            if silent.isEmpty {
                reply.ok(sentence)
            } else {
                reply.error(.partial, "\(sentence); not seen: \(silent.map(name).sorted().joined(separator: ", "))")
            }
        }
    }

    /// Nobody listens any more.
    private func stop() {
        guard !isOver else { return }
        isOver = true
        endEverywhere()
    }

    private func endEverywhere() {
        guard let shard = core.shards.first else { return }
        let order = order
        shard.enter { $0.endTrace(order) }
    }
}

/// Moments and stanzas of a trace, in few characters.
enum TraceTime {
    /// "18:07:42.123456", UTC.
    static func text(_ stamp: Int64) -> String {
        let day: Int64 = 86_400_000_000
        let rest = (stamp % day + day) % day
        func digits(_ number: Int64, _ width: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let seconds = rest / 1_000_000
        return "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2)).\(digits(rest % 1_000_000, 6))"
    }

    /// Eight digits that tell the stanzas of a trace apart.
    static func story(_ story: UInt64) -> String {
        let text = String(story >> 28, radix: 16)
        return String(repeating: "0", count: max(0, 8 - text.count)) + text
    }
}
