@testable import ServerCore
import Modules
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Traces of stanzas over nodes, in memory: what each station says, what is blanked, and that a trace stays within its bounds.
@Suite struct TraceTests {
    /// Somebody who traces.
    final class Watch {
        let order: TraceOrder
        private let shard: Shard
        private let cluster: MemoryCluster
        private(set) var reports: [TraceReport] = []
        private(set) var silent: Set<UInt64>?
        private var merge = TraceMerge()
        var refusals: Int { reports.count { $0.state == .taken } }
        var lost: UInt64 { reports.reduce(0) { $0 + $1.lost } }
        var skipped: UInt64 { reports.reduce(0) { $0 + $1.skipped } }

        init(
            _ stage: Stage, node: Int = 0, place: UInt8 = 0, bodies: Bool = false, seconds: UInt32 = 600,
            _ change: (inout TraceFilter) throws -> Void
        ) rethrows {
            var filter = TraceFilter()
            try change(&filter)
            let nodes = stage.cluster.nodes
            order = TraceOrder(
                id: .random(in: 0 ... .max), place: place, filter: filter, showsBodies: bodies, seconds: seconds,
                nodeNames: Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1.id, ["a", "b", "c"][$0]) }))
            cluster = stage.cluster
            shard = nodes[node].shards[0]
            shard.trace(
                order,
                report: { [unowned self] bytes in
                    guard let report = try? TraceReport(bytes) else { return }
                    reports.append(report)
                    merge.add(report)
                }, done: { [unowned self] in silent = $0 })
            shard.endTick()
            cluster.run()
        }

        /// What happened since the last time, in order.
        func stations() -> [TraceMerge.Entry] {
            cluster.advance(seconds: 1)
            return merge.takeAll()
        }

        func end() {
            shard.endTrace(order)
            shard.endTick()
            cluster.run()
            cluster.advance(seconds: 1)
        }
    }

    private func stations(_ entries: [TraceMerge.Entry]) -> [String] { entries.map { "\($0.node) \($0.event.station)" } }

    @Test func aMessageOverTwoNodesIsOneStory() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        let watch = try Watch(stage, node: 2) { $0.jids = [try JID("juliet@capulet.lit")] }
        try romeo.post("<message to='juliet@capulet.lit' type='chat' id='m1'><body>Neither, fair saint</body></message>")
        stage.cluster.run()
        #expect(try juliet.bodies() == ["Neither, fair saint"])
        let way = watch.stations()
        #expect(
            stations(way) == [
                "node2 received", "node1 admitted", "node1 archived", "node1 routed", "node1 admitted", "node1 chosen", "node1 kept",
                "node1 archived", "node1 released", "node3 written", "node3 sent", "node2 completed", "node2 completed",
            ])
        #expect(Set(way.map(\.event.story)).count == 1)
        #expect(Set(way.map(\.event.from)) == ["romeo@capulet.lit/orchard"])
        #expect(way.map(\.event.detail)[5] == "balcony on c")
        // What the client gets has the id that was told.
        let archived = way[7].event.detail
        #expect(archived.hasPrefix("by juliet@capulet.lit as "))
        // No text is shown, and only the first station shows the stanza.
        #expect(way[0].event.content.contains("<body>…</body>"))
        #expect(way.filter { !$0.event.content.isEmpty }.count == 1)
        #expect(!way.contains { $0.event.content.contains("saint") || $0.event.detail.contains("saint") })
        #expect(stage.cluster.nodes.allSatisfy { $0.shards[0].tracer != nil })
        watch.end()
        #expect(stage.cluster.nodes.allSatisfy { $0.shards[0].tracer == nil })
        try romeo.post(Stage.say("unseen", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(watch.stations().isEmpty)
    }
}
