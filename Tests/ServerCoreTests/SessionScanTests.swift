@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing

/// What an administrator asks about sessions: filters, orders and pages, over loops and nodes, without holding a loop up.
@Suite struct SessionScanTests {
    /// Asks, and runs the cluster until the answer is whole.
    private func ask(_ stage: Stage, _ change: (inout SessionFilter) throws -> Void) rethrows -> (sessions: [SessionInfo], matching: UInt64)
    {
        var filter = SessionFilter()
        try change(&filter)
        var parts: [SessionPart] = []
        let shard = stage.cluster.nodes[0].shards[0]
        shard.ask(filter.question, part: { part in if let part = try? SessionPart(part) { parts.append(part) } }, done: { _ in })
        shard.endTick()
        stage.cluster.run()
        return (SessionInfo.sorted(parts.flatMap(\.sessions), by: filter.order), parts.reduce(0) { $0 + $1.matching })
    }

    @Test func manyAreToldInPagesAndInOrder() throws {
        let people = (0..<240).map { "user\($0)" }
        let stage = try Stage(nodes: 2, loops: 2, people: people)
        for (number, person) in people.enumerated() {
            _ = try stage.cluster.connect(person, resource: "r", node: number % 2, loop: number / 2 % 2)
        }
        let expected = people.map { "\($0)@capulet.lit/r" }.sorted()
        let all = ask(stage) { _ in }
        #expect(all.sessions.map(\.jid) == expected)
        #expect(all.matching == 240)
        // A page: each loop tells no more than is wanted, and all are counted.
        let page = ask(stage) { $0.limit = 50 }
        #expect(page.sessions.prefix(50).map(\.jid) == Array(expected.prefix(50)))
        #expect(page.sessions.count == 200 && page.matching == 240)
        let next = ask(stage) {
            $0.limit = 50
            $0.after = expected[49]
        }
        #expect(next.sessions.prefix(50).map(\.jid) == Array(expected[50..<100]))
        #expect(next.matching == 190)
        #expect(ask(stage) { $0.node = "node2" }.matching == 120)
        #expect(ask(stage) { $0.pattern = "user1?@*" }.matching == 10)
        #expect(ask(stage) { $0.pattern = "user23" }.matching == 11)
        #expect(ask(stage) { $0.address = "mem" }.matching == 240)
        #expect(ask(stage) { $0.address = "10." }.matching == 0)
        #expect(ask(stage) { $0.tls = true }.matching == 0)
        #expect(ask(stage) { $0.host = "capulet.lit" }.matching == 240)
    }

    @Test func aTurnLooksAtFewSessions() throws {
        let people = (0..<520).map { "user\($0)" }
        let stage = try Stage(people: people)
        for person in people { _ = try stage.cluster.connect(person, resource: "r", node: 0) }
        let shard = stage.cluster.nodes[0].shards[0]
        let scan = SessionScan(SessionFilter(), question: 1, asker: shard.address, of: shard)
        #expect(scan.step(shard))
        var steps = 1
        while scan.step(shard) { steps += 1 }
        // Two looks, then 128 a turn.
        #expect(steps == 1 + 4)
    }

    @Test func theyAreFoundByWhatTheyDo() throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard", node: 0)
        let juliet = try stage.cluster.connect(
            "juliet", resource: "balcony", node: 1, terms: BindTerms(device: "d", client: "Swift Client, Pixel"))
        try juliet.post(
            "<presence><show>away</show><priority>3</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://other.example' ver='abc='/></presence>"
        )
        stage.cluster.run()
        try juliet.post("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        stage.cluster.run()
        #expect(ask(stage) { $0.client = "swift" }.sessions.map(\.jid) == ["juliet@capulet.lit/balcony"])
        #expect(ask(stage) { $0.client = "OTHER.example" }.matching == 1)
        stage.cluster.advance(seconds: 100)
        for number in 0..<20 { try romeo.post(Stage.say("m\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        #expect(ask(stage) { $0.idleSeconds = 60 }.sessions.map(\.jid) == ["juliet@capulet.lit/balcony"])
        #expect(ask(stage) { $0.order = .idle }.sessions.first?.jid == "juliet@capulet.lit/balcony")
        let rate = try #require(ask(stage) { $0.jid = romeo.session?.fullJID }.sessions.first?.perSecondIn)
        #expect(abs(rate - 0.21) < 0.001)
        #expect(ask(stage) { $0.order = .rate }.matching == 2)
        #expect(ask(stage) { $0.queue = 19 }.sessions.map(\.waiting) == [20])
        #expect(ask(stage) { $0.queue = 20 }.matching == 0)
        let shown = try #require(
            try ask(stage) {
                $0.jid = try JID("juliet@capulet.lit/balcony")
                $0.isDetailed = true
            }.sessions.first)
        #expect(shown.presence == SessionInfo.Presence(show: "away", priority: 3, capabilities: "https://other.example#abc="))
        #expect(shown.client == "Swift Client, Pixel" && shown.device == "d")
        #expect(shown.management?.unacked == 20)
        #expect(shown.memory > 20 * 256)
        #expect(shown.isReading)
        juliet.session?.streamClosed(.lost)
        stage.cluster.run()
        stage.cluster.advance(seconds: 10)
        let detached = ask(stage) { $0.state = .detached }
        #expect(detached.sessions.map(\.jid) == ["juliet@capulet.lit/balcony"])
        let management = try #require(detached.sessions.first?.management)
        #expect(management.detachedSeconds == 10)
        #expect(management.secondsLeft == UInt64(management.seconds) - 10)
        #expect(ask(stage) { $0.state = .attached }.matching == 1)
    }

    @Test func questionsTravel() throws {
        var filter = SessionFilter(jid: try JID("a@b/c"), host: "b", node: "n")
        filter.pattern = "*x"
        filter.address = "10."
        filter.tls = false
        filter.client = "c"
        filter.idleSeconds = 0
        filter.queue = 5
        filter.state = .detached
        filter.order = .queue
        filter.after = "a"
        filter.limit = 3
        filter.isDetailed = true
        #expect(SessionFilter(filter.question) == filter)
        for end in 0..<filter.question.count { #expect(SessionFilter(Array(filter.question.prefix(end))) == nil) }
    }
}
