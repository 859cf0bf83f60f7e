@testable import ServerCore
import Settings
import Stanzas
import Store
import Synchronization
import TestKit
import Testing
import XMLStream

/// A node leaves, and its sessions go on at others (XEP-0198).
@Suite struct DrainTests {
    private func managed(_ stage: Stage, _ name: String, _ resource: String, node: Int) throws -> MemoryClient {
        let client = try stage.online(name, resource, node: node)
        try client.post("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        stage.cluster.run()
        _ = client.takeReceived()
        return client
    }

    /// Whether the loops of a node said that nothing is left.
    private final class Over: Sendable {
        let loops = Atomic<Int>(0)
        var count: Int { loops.load(ordering: .relaxed) }
    }

    private func drain(_ cluster: MemoryCluster, _ node: Int, perSecond: Int = .max) -> Over {
        let over = Over()
        for shard in cluster.nodes[node].shards {
            shard.enter { $0.drain(patience: .seconds(30), perSecond: perSecond) { over.loops.wrappingAdd(1, ordering: .relaxed) } }
        }
        return over
    }

    @Test(arguments: [0, 1]) func sessionsGoOnElsewhere(leaving: Int) throws {
        let stage = try Stage(nodes: 3, people: ["romeo", "juliet", "nurse"])
        let juliet = try managed(stage, "juliet", "balcony", node: leaving)
        let nurse = try stage.online("nurse", "hall", node: leaving)
        let romeo = try stage.online("romeo", "orchard", node: 2)
        try stage.befriend(romeo, juliet)
        try juliet.post(Stage.say("before", to: "romeo@capulet.lit"))
        let over = drain(stage.cluster, leaving)
        try romeo.post(Stage.say("meanwhile", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(juliet.closedWith == "cut")
        #expect(nurse.closedWith == "system-shutdown")
        #expect(over.count == 1)
        #expect(stage.cluster.nodes[leaving].shards[0].allSessions.isEmpty)
        if leaving == 0 {
            stage.cluster.kill(0)
            stage.cluster.takeOver(by: 1)
        }
        try romeo.post(Stage.say("after", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let again = try stage.cluster.resume("juliet", from: juliet, node: 3 - leaving - (leaving == 0 ? 2 : 0))
        #expect(again.resumeError == nil)
        #expect(try juliet.bodies() + again.bodies() == ["meanwhile", "after"])
        #expect(again.management?.unacknowledged == [])
        let seen = try romeo.elements()
        #expect(!seen.contains { $0["type"] == "unavailable" }, "her contacts saw her go")
        #expect(seen.compactMap { $0["id"] } == ["before"])
    }

    /// What comes to a node that leaves is sent away without an error of its session's; then it takes clients again.
    @Test func aLeavingNodeTakesNobody() throws {
        let stage = try Stage(nodes: 2)
        let juliet = try managed(stage, "juliet", "balcony", node: 1)
        juliet.end(.lost)
        stage.cluster.run()
        _ = drain(stage.cluster, 0)
        stage.cluster.run()
        let early = try stage.cluster.resume("juliet", from: juliet, node: 0)
        #expect(early.resumeError == nil)
        #expect(early.closedWith == "cut")
        #expect(try stage.cluster.connect("romeo", resource: "orchard", node: 0).closedWith == "system-shutdown")
        // The last one that stays has nowhere to send anybody.
        let romeo = try managed(stage, "romeo", "orchard", node: 1)
        _ = drain(stage.cluster, 1)
        stage.cluster.run()
        #expect(romeo.closedWith == "system-shutdown")
        for node in stage.cluster.nodes { node.shards[0].enter { $0.undrain() } }
        stage.cluster.run()
        let back = try managed(stage, "romeo", "orchard", node: 0)
        let over = drain(stage.cluster, 0)
        stage.cluster.run()
        #expect(back.closedWith == "cut")
        #expect(over.count == 1)
    }

    /// Two leave at once: what the one gave to the other goes on to the third.
    @Test func shelterIsPassedOn() throws {
        let stage = try Stage(nodes: 3, loops: 2)
        let clients = try (0..<20).map { try managed(stage, "juliet", "r\($0)", node: $0 % 3) }
        let overs = [drain(stage.cluster, 1), drain(stage.cluster, 2)]
        stage.cluster.run()
        stage.cluster.advance(seconds: 1)
        stage.cluster.advance(seconds: 1)
        #expect(overs.allSatisfy { $0.count == 2 })
        for (number, client) in clients.enumerated() {
            #expect(client.closedWith == (number % 3 == 0 ? nil : "cut"))
            guard client.closedWith != nil else { continue }
            #expect(try stage.cluster.resume("juliet", from: client, node: 0, loop: number % 2).resumeError == nil)
        }
    }

    /// More sessions than an account may have without a socket, for a moment; not for long.
    @Test func whoIsExpectedIsNotCounted() throws {
        let stage = try Stage(nodes: 2) {
            $0.sessions.detachedPerAccount = 2
            $0.sessions.detachedPerNode = 3
        }
        let clients = try (0..<6).map { try managed(stage, "juliet", "r\($0)", node: 1) }
        _ = drain(stage.cluster, 1)
        stage.cluster.run()
        #expect(stage.cluster.nodes[0].shards[0].allSessions.count == 6)
        #expect(try stage.cluster.resume("juliet", from: clients[5], node: 0).resumeError == nil)
        stage.cluster.advance(seconds: 61)
        #expect(stage.cluster.nodes[0].shards[0].allSessions.count == 3)
        #expect(try stage.cluster.resume("juliet", from: clients[0], node: 0).resumeError != nil)
    }

    @Test func sessionsAreLetGoInSteps() throws {
        let stage = try Stage(nodes: 2)
        let clients = try (0..<10).map { try managed(stage, "juliet", "r\($0)", node: 1) }
        let over = drain(stage.cluster, 1, perSecond: 20)
        stage.cluster.run()
        #expect(clients.count { $0.closedWith == "cut" } == 1)
        #expect(over.count == 0)
        for _ in 0..<9 { stage.cluster.advance(seconds: 1) }
        #expect(clients.allSatisfy { $0.closedWith == "cut" })
        #expect(over.count == 1)
    }

    /// In any order of things: nobody who resumes hears that it cannot, and nothing is lost or comes twice.
    /// In those above 1,000 a new home's wish for a session comes before the word that it serves.
    @Test(arguments: Array(0..<150) + [1_172, 1_470, 1_512, 1_554, 2_006, 2_112]) func noClientSeesAnError(_ seed: Int) throws {
        var chance = Chance(seed: UInt64(seed))
        let stage = try Stage(nodes: 3, loops: 2, people: ["romeo", "juliet"], seed: UInt64(seed))
        let leaving = seed % 2
        var romeo = try managed(stage, "romeo", "orchard", node: 2)
        var juliet = try managed(stage, "juliet", "balcony", node: leaving)
        stage.cluster.isUnruly = true
        var got: [String] = []
        var sent = 0
        var over: Over?
        var isGone = false
        var place = leaving
        for round in 0..<600 {
            if round == 40 { over = drain(stage.cluster, leaving) }
            if chance.one(in: 12), romeo.closedWith == nil {
                sent += 1
                try romeo.post(Stage.say("\(sent)", to: "juliet@capulet.lit"))
            }
            for _ in 0..<chance.below(6) { stage.cluster.step(&chance) }
            if chance.one(in: 40), juliet.closedWith == nil, juliet.session?.connection != nil { juliet.end(.lost) }
            if juliet.closedWith != nil, chance.one(in: 8) {
                got += try juliet.bodies()
                let before = juliet
                place = chance.below(3)
                if isGone, place == leaving { place = 2 }
                juliet = try stage.cluster.beginResume(
                    "juliet", before.management?.id ?? before.previd, continuing: before.management ?? before.continued,
                    node: place, loop: chance.below(2))
            }
            if let over, over.count == 2, !isGone, round > 300 {
                isGone = true
                stage.cluster.kill(leaving)
                if place == leaving { juliet.abandon() }
                if leaving == 0 { stage.cluster.takeOver(by: 1) }
            }
            #expect(juliet.resumeError == nil, "round \(round)")
            #expect(romeo.closedWith == nil)
        }
        stage.cluster.isUnruly = false
        stage.cluster.run()
        for _ in 0..<3 { stage.cluster.advance(seconds: 1) }
        #expect(over?.count == 2)
        got += try juliet.bodies()
        if juliet.closedWith != nil {
            juliet = try stage.cluster.beginResume(
                "juliet", juliet.management?.id ?? juliet.previd, continuing: juliet.management ?? juliet.continued, node: 2)
            stage.cluster.run()
        }
        #expect(juliet.resumeError == nil)
        got += try juliet.bodies()
        #expect(got == (1...max(1, sent)).map { String($0) })
        romeo = try stage.cluster.resume("romeo", from: romeo, node: 2)
        #expect(romeo.management?.unacknowledged == [])
    }
}
