@testable import ServerCore
import Modules
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Settings change while sessions live.
@Suite struct SettingsChangeTests {
    private func change(_ stage: Stage, _ body: (inout Settings) -> Void) throws {
        var settings = stage.cluster.nodes[0].shards[0].core.settings
        body(&settings)
        for node in stage.cluster.nodes {
            node.shards[0].core.replace(settings)
            for shard in node.shards {
                shard.enter { shard in
                    do { try shard.settingsChanged() } catch { Issue.record("\(error)") }
                }
            }
        }
        stage.cluster.run()
    }

    @Test func hostsComeAndGo() throws {
        let stage = try Stage(nodes: 2, loops: 2, modules: ModuleList.all)
        let juliet = try stage.online("juliet", "balcony", node: 1)
        let mercutio = try JID("mercutio@verona.lit")
        var results: [CommandResult] = []
        func make() {
            nonisolated(unsafe) let take = { (result: CommandResult) in results.append(result) }
            stage.cluster.nodes[1].shards[0].enter { $0.command(.create(credentials: [1]), for: mercutio) { take($0) } }
            stage.cluster.run()
        }
        make()
        try change(stage) { $0.hosts.append(Settings.Host(domain: "verona.lit")) }
        make()
        #expect(results.count == 2)
        #expect(results.first != .done(0) && results.first != .done(1), "there is no such host: \(results)")
        try juliet.post(Stage.say("over there", to: "mercutio@verona.lit"))
        stage.cluster.run()
        #expect(try juliet.elements().isEmpty, "it is kept for him")
        #expect(juliet.session?.unhandled == 0)
        try change(stage) { $0.hosts.removeAll { $0.domain == "capulet.lit" } }
        #expect(juliet.closedWith == "host-gone")
        #expect(juliet.session?.ended == .hostGone)
    }

    @Test func boundsHoldFromTheNextMoment() throws {
        let stage = try Stage(nodes: 2, modules: ModuleList.all)
        let juliet = try stage.online("juliet", "balcony", node: 1)
        try change(stage) {
            $0.sessions.resourcesPerAccount = 1
            $0.profile.vCardBytes = 1_024
        }
        #expect(try stage.cluster.connect("juliet", resource: "chamber", node: 0).bindError?.condition == .resourceConstraint)
        #expect(juliet.closedWith == nil)
        // Modules go by them too.
        let card = "<vCard xmlns='vcard-temp'><NOTE>\(String(repeating: "x", count: 2_000))</NOTE></vCard>"
        try juliet.post("<iq type='set' id='card'>\(card)</iq>")
        stage.cluster.run()
        let answer = try #require(try juliet.elements().first { $0["id"] == "card" })
        #expect(answer["type"] == "error")
        try change(stage) { $0.profile.vCardBytes = 65_536 }
        try juliet.post("<iq type='set' id='card2'>\(card)</iq>")
        stage.cluster.run()
        #expect(try juliet.elements().contains { $0["id"] == "card2" && $0["type"] == "result" })
    }
}
