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
                report: { [weak self] bytes in
                    guard let self, let report = try? TraceReport(bytes) else { return }
                    reports.append(report)
                    merge.add(report)
                }, done: { [weak self] in self?.silent = $0 })
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

    @Test func whatIsRefusedSaysWhy() throws {
        let stage = try Stage(nodes: 3, modules: [Blocking.self])
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        let watch = try Watch(stage) { $0.kinds = [try #require(.init("message"))] }
        func reasons(_ name: TraceStation) -> [String] { watch.stations().filter { $0.event.station == name }.map(\.event.detail) }
        try romeo.post(Stage.say("lost", to: "nobody@capulet.lit"))
        stage.cluster.run()
        #expect(reasons(.bounced) == ["there is no account nobody@capulet.lit, or it is disabled"])
        try romeo.post(Stage.say("lost", to: "romeo@elsewhere.lit"))
        stage.cluster.run()
        let way = watch.stations()
        #expect(way.first { $0.event.station == .bounced }?.event.detail == "no stream to elsewhere.lit can be had")
        // The error is a part of the story.
        #expect(way.contains { $0.event.station == .sent && $0.event.type == .error })
        #expect(way.contains { $0.event.station == .completed && $0.event.detail == "refused: remote-server-not-found (cancel)" })
        #expect(Set(way.map(\.event.story)).count == 1)
        try juliet.post("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@capulet.lit'/></block></iq>")
        stage.cluster.run()
        _ = watch.stations()
        try romeo.post(Stage.say("blocked", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(reasons(.bounced) == ["juliet@capulet.lit blocks romeo@capulet.lit/orchard"])
    }

    @Test func whatIsOwedGoesOnWithTheSameStory() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let watch = try Watch(stage) { $0.jids = [try JID("juliet@capulet.lit/balcony"), try JID("romeo@capulet.lit")] }
        try romeo.post(Stage.say("later", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let before = watch.stations()
        #expect(before.contains { $0.event.station == .kept })
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 2)
        try juliet.post("<presence/>")
        stage.cluster.run()
        #expect(try juliet.bodies() == ["later"])
        let after = watch.stations().filter { $0.event.kind == .message }
        #expect(after.map(\.event.station) == [.found, .released, .written, .sent])
        #expect(Set(after.map(\.event.story)) == Set(before.map(\.event.story)))
        #expect(after.last?.event.detail == "by the socket, which counts as acknowledged")
    }

    @Test func whatWaitsAndWhatIsAcknowledged() throws {
        let stage = try Stage(nodes: 3, modules: [ClientState.self])
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        try juliet.post("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        stage.cluster.run()
        juliet.session?.setActive(false)
        stage.cluster.run()
        let watch = try Watch(stage) { $0.jids = [try JID("juliet@capulet.lit/balcony"), try JID("juliet@capulet.lit")] }
        try romeo.post(
            "<message to='juliet@capulet.lit/balcony' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        stage.cluster.run()
        #expect(
            watch.stations().last { $0.event.station == .held }?.event.detail == "until the client of juliet@capulet.lit/balcony is active")
        juliet.session?.setActive(true)
        try romeo.post(Stage.say("kept", to: "juliet@capulet.lit"))
        stage.cluster.run()
        juliet.session?.acknowledged(through: 2)
        stage.cluster.nodes[2].shards[0].enter { _ in }
        stage.cluster.run()
        let details = watch.stations().filter { $0.event.station == .acknowledged }.map(\.event.detail)
        #expect(details == ["by juliet@capulet.lit/balcony, number 1 of h=2", "by juliet@capulet.lit/balcony, number 2 of h=2"])
    }

    @Test func aNodeIsTracedByItsSessions() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        let watch = Watch(stage) { $0.node = stage.cluster.nodes[2].id }
        try romeo.post(Stage.say("towards", to: "juliet@capulet.lit"))
        try romeo.post(Stage.say("past", to: "romeo@capulet.lit"))
        stage.cluster.run()
        // From where it is on its way there, and its sender's part is not seen.
        #expect(stations(watch.stations()) == ["node1 found", "node1 released", "node3 written", "node3 sent"])
        try juliet.post(Stage.say("from", to: "romeo@capulet.lit"))
        stage.cluster.run()
        let way = watch.stations()
        #expect(way.first?.event.station == .received && way.first?.node == "node3")
        #expect(way.contains { $0.event.station == .sent && $0.node == "node2" })
    }

    @Test func itStaysWithinItsBoundsAndSaysWhatItLeftOut() throws {
        let stage = try Stage(nodes: 3) { $0.limits.unhandledStanzas = 10_000 }
        let romeo = try stage.online("romeo", "orchard", node: 1)
        _ = try stage.online("juliet", "balcony", node: 2)
        let watch = try Watch(stage) { $0.jids = [try JID("romeo@capulet.lit")] }
        for number in 0..<1_000 { try romeo.post(Stage.say("m\(number)", to: "juliet@capulet.lit", type: "headline")) }
        stage.cluster.run()
        let way = watch.stations()
        let begun = way.count { $0.event.station == .received }
        // Half of the room at most is begun, and every other one is counted.
        #expect(begun > 0 && begun <= Tracer.bound / 2)
        #expect(watch.skipped == 1_000 - UInt64(begun))
        #expect(!way.contains { $0.event.station == .found })
        #expect(watch.reports.allSatisfy { $0.events.count <= Tracer.bound })
        #expect(UInt64(way.count) + watch.lost >= UInt64(begun) * 10)
        // What was reported makes room.
        try romeo.post(Stage.say("again", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(watch.stations().contains { $0.event.station == .sent })
    }

    @Test func itEndsWithItsTimeAndWithItsAsker() throws {
        let stage = try Stage(nodes: 3)
        let short = Watch(stage, place: 0, seconds: 5) { $0.domain = "capulet.lit" }
        let other = Watch(stage, node: 2, place: 1) { $0.domain = "capulet.lit" }
        let third = Watch(stage, place: 1) { $0.domain = "capulet.lit" }
        #expect(third.refusals == 3)
        for _ in 0..<8 { stage.cluster.advance(seconds: 1) }
        #expect(short.silent == [])
        #expect(other.silent == nil)
        #expect(stage.cluster.nodes[0].shards[0].tracer != nil)
        stage.cluster.kill(2)
        stage.cluster.run()
        stage.cluster.advance(seconds: 1)
        #expect(stage.cluster.nodes[0].shards[0].tracer == nil)
        #expect(stage.cluster.nodes[1].shards[0].tracer == nil)
    }

    @Test func aNodeThatJoinsFollowsToo() throws {
        let stage = try Stage(nodes: 2)
        let watch = Watch(stage) { $0.domain = "capulet.lit" }
        try stage.cluster.addNode()
        stage.cluster.run()
        let romeo = try stage.online("romeo", "orchard", node: 2)
        _ = watch.stations()
        try romeo.post("<iq type='get' id='x' to='capulet.lit'><nothing xmlns='urn:example'/></iq>")
        stage.cluster.run()
        let way = watch.stations()
        #expect(way.first?.node == "node3" && way.first?.event.station == .received)
        #expect(way.contains { $0.event.station == .bounced && $0.event.detail == "nobody answers {urn:example}nothing" })
    }

    @Test func theStoriesOfFourTracesAreKeptApart() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        let first = try Watch(stage, place: 0) { $0.jids = [try JID("romeo@capulet.lit")] }
        let second = try Watch(stage, place: 3) { $0.kinds = [try #require(.init("iq:get"))] }
        try romeo.post(Stage.say("one", to: "juliet@capulet.lit"))
        try juliet.post("<iq type='get' id='x' to='capulet.lit'><nothing xmlns='urn:example'/></iq>")
        stage.cluster.run()
        #expect(Set(first.stations().map(\.event.kind)) == [.message])
        #expect(Set(second.stations().map(\.event.kind)) == [.iq])
    }
}
