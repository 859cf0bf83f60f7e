import Settings
import Stanzas
import Store
import Telemetry
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// Sessions of clients that read the archive (XEP-0386 §3.2): what they hear of it, and what is not sent to them.
@Suite struct ArchiveAtBindTests {
    private let terms = BindTerms(device: "phone", replacesDevice: true, readsArchive: true)

    /// Two messages that are archived, and between them one that is not.
    private func away(_ stage: Stage) throws -> MemoryClient {
        let romeo = try stage.online("romeo", "orchard")
        try romeo.post(Stage.say("first", to: "juliet@capulet.lit"))
        try romeo.post(
            "<message to='juliet@capulet.lit' type='chat' id='hint'><body>hint</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>"
        )
        try romeo.post(Stage.say("second", to: "juliet@capulet.lit"))
        stage.cluster.run()
        return romeo
    }

    private func bodies(_ stage: Stage, _ client: MemoryClient) throws -> [String] {
        try client.post("<presence/>")
        stage.cluster.run()
        return try client.bodies()
    }

    @Test(arguments: [1, 3]) func whatTheArchiveHasIsNotSent(nodes: Int) throws {
        let stage = try Stage(nodes: nodes)
        let romeo = try away(stage)
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: nodes - 1, terms: terms)
        let ends = try #require(juliet.archiveAtBind?.ends)
        #expect(ends.first.stamp < ends.last.stamp && ends.first.id != ends.last.id)
        // Before the client says that it is there, and for every session that may follow.
        #expect(try stage.account("juliet")?.inbox.owed == 1)
        #expect(stage.cluster.nodes[stage.cluster.keeper].shards[0].core.metrics.inboxCleared.value == 2)
        #expect(try bodies(stage, juliet) == ["hint"])
        try romeo.post(Stage.say("third", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["third"])
        juliet.end(.closedByPeer)
        stage.cluster.run()
        stage.cluster.doChores()
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 0, terms: terms)
        // The message that is not archived is none of the archive's.
        let later = try #require(again.archiveAtBind?.ends)
        #expect(later.first == ends.first && later.last.stamp > ends.last.stamp)
        #expect(try bodies(stage, again).isEmpty)
        stage.cluster.advance(seconds: 600)
        #expect(try stage.account("juliet")?.inbox.isEmpty ?? true)
    }

    @Test func othersGetEverything() throws {
        let stage = try Stage()
        _ = try away(stage)
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        #expect(juliet.archiveAtBind == nil)
        #expect(try bodies(stage, juliet) == ["first", "hint", "second"])
    }

    @Test func withoutArchiveThereIsNothingToHear() throws {
        let stage = try Stage { $0.hosts[0].archive = false }
        _ = try away(stage)
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0, terms: terms)
        #expect(juliet.archiveAtBind == nil)
        #expect(try bodies(stage, juliet) == ["first", "hint", "second"])
    }

    @Test func anEmptyArchiveIsSaidToBe() throws {
        let stage = try Stage()
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0, terms: terms)
        #expect(juliet.archiveAtBind == ArchiveMetadata(nil))
    }

    /// What an earlier session had and did not acknowledge is in the archive, too.
    @Test func whatComesBackLaterIsNotSent() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let stalled = try stage.online("juliet", "attic", priority: 5)
        stalled.isStalled = true
        try romeo.post(Stage.say("stuck", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0, terms: terms)
        #expect(try bodies(stage, juliet).isEmpty)
        stalled.end(.lost)
        stage.cluster.run()
        #expect(try juliet.bodies().isEmpty)
        #expect(try stage.account("juliet")?.inbox.isEmpty == true)
        // What comes after the binding is not known to the client.
        juliet.isStalled = true
        try romeo.post(Stage.say("new", to: "juliet@capulet.lit"))
        stage.cluster.run()
        juliet.end(.lost)
        stage.cluster.run()
        let legacy = try stage.cluster.connect("juliet", resource: "garden", node: 0)
        #expect(try bodies(stage, legacy) == ["new"])
    }

    /// A message on its way into the store while the session begins is either in the archive of which the client hears, or sent.
    @Test func nothingFallsBetweenArchiveAndSession() throws {
        for steps in 0..<60 {
            let stage = try Stage()
            let romeo = try stage.online("romeo", "orchard")
            stage.cluster.isUnruly = true
            var chance = Chance(seed: UInt64(steps))
            try romeo.post(Stage.say("one", to: "juliet@capulet.lit"))
            for _ in 0..<(steps % 4) { _ = stage.cluster.step(&chance) }
            let juliet = try stage.cluster.begin("juliet", resource: "balcony", node: 0, terms: terms)
            for _ in 0..<(steps % 7) { _ = stage.cluster.step(&chance) }
            try romeo.post(Stage.say("two", to: "juliet@capulet.lit"))
            while stage.cluster.step(&chance) {}
            stage.cluster.isUnruly = false
            stage.cluster.run()
            let heard = juliet.archiveAtBind?.ends
            let sent = try bodies(stage, juliet)
            // Both are archived in their order.
            let known = heard.map { $0.first == $0.last ? ["one"] : ["one", "two"] } ?? []
            #expect(known + sent == ["one", "two"], "seed \(steps)")
        }
    }

    @Test func aFailedCommitDelaysNobody() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        _ = try stage.online("juliet", "attic")
        stage.cluster.volume.holdsCommits = true
        try romeo.post(Stage.say("lost", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let juliet = try stage.cluster.begin("juliet", resource: "balcony", node: 0, terms: terms)
        stage.cluster.run()
        #expect(try stage.account("juliet")?.bindsReading.count == 1)
        stage.cluster.volume.failNext(1)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        stage.cluster.advance(seconds: 2)
        #expect(try stage.account("juliet")?.bindsReading.isEmpty == true)
        #expect(juliet.bindError == nil && juliet.jid == "juliet@capulet.lit/balcony")
    }

    @Test func nobodyBeginsForANodeThatDied() throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard")
        stage.cluster.volume.holdsCommits = true
        try romeo.post(Stage.say("slow", to: "juliet@capulet.lit"))
        stage.cluster.run()
        _ = try stage.cluster.begin("juliet", resource: "balcony", node: 1, terms: terms)
        stage.cluster.run()
        #expect(try stage.account("juliet")?.bindsReading.count == 1)
        stage.cluster.kill(1)
        stage.cluster.run()
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(try stage.account("juliet")?.resources.isEmpty == true)
    }
}
