@testable import ServerCore
import Modules
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Copies of messages (XEP-0280) where the order of things, a store or a node decides. The rules themselves are told by scripts.
@Suite struct CarbonsTests {
    private func enable(_ client: MemoryClient, _ stage: Stage) {
        #expect(throws: Never.self) { try client.post("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>") }
        stage.cluster.run()
        _ = client.takeReceived()
    }

    /// The bodies in copies, with what they stand in.
    private func copies(_ client: MemoryClient) throws -> [String] {
        try client.elements().compactMap { message in
            guard let carbon = message.children.first(where: { $0.namespace == NS.carbons }),
                let original = carbon.first(local: "forwarded", namespace: NS.forward)?.first(local: "message", namespace: NS.client)
            else { return message.first(local: "body", namespace: NS.client).map { "itself " + $0.text } }
            return carbon.local + " " + (original.first(local: "body", namespace: NS.client)?.text ?? original["type"] ?? "")
        }
    }

    @Test func theyOutliveTheKeeper() throws {
        let stage = try Stage(nodes: 3, modules: [Carbons.self])
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let balcony = try stage.online("juliet", "balcony", node: 1)
        let chamber = try stage.online("juliet", "chamber", node: 2, priority: -1)
        enable(chamber, stage)
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 2)
        stage.cluster.run()
        for client in [romeo, balcony, chamber] { _ = client.takeReceived() }
        try romeo.post(Stage.say("in", to: "juliet@capulet.lit"))
        stage.cluster.run()
        try balcony.post(Stage.say("out", to: "romeo@capulet.lit"))
        stage.cluster.run()
        #expect(try copies(chamber) == ["received in", "sent out"])
        #expect(try copies(balcony) == ["itself in"])
    }

    /// Asked for while nobody serves: the next home hears of it.
    @Test func theyAreTurnedOnWhileNobodyServes() throws {
        let stage = try Stage(nodes: 3, modules: [Carbons.self])
        let romeo = try stage.online("romeo", "orchard", node: 1)
        _ = try stage.online("juliet", "balcony", node: 1)
        let chamber = try stage.online("juliet", "chamber", node: 2, priority: -1)
        stage.cluster.kill(0)
        stage.cluster.run()
        enable(chamber, stage)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        _ = chamber.takeReceived()
        try romeo.post(Stage.say("in", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try copies(chamber) == ["received in"])
    }

    @Test func nothingIsCopiedBeforeTheOriginalIsDurable() throws {
        let stage = try Stage(modules: [Carbons.self])
        let romeo = try stage.online("romeo", "orchard")
        let balcony = try stage.online("juliet", "balcony")
        let chamber = try stage.online("juliet", "chamber", priority: -1)
        enable(chamber, stage)
        stage.cluster.volume.holdsCommits = true
        try romeo.post(Stage.say("kept", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try copies(chamber).isEmpty)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(try copies(chamber) == ["received kept"])
        #expect(try copies(balcony) == ["itself kept"])
        // What the store refused was never there: its error is for its sender alone.
        stage.cluster.volume.failNext(1)
        try romeo.post(Stage.say("lost", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try copies(chamber).isEmpty)
        #expect(try copies(balcony).isEmpty)
    }

    /// Behind what waits only one of several sessions gets a message; then the others have their copy, and nobody has it twice.
    @Test func whoIsPassedOverGetsACopy() throws {
        let stage = try Stage(modules: [Carbons.self])
        let romeo = try stage.online("romeo", "orchard")
        try romeo.post(Stage.say("first", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let chamber = try stage.cluster.connect("juliet", resource: "chamber", node: 0)
        let balcony = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        for client in [chamber, balcony] { enable(client, stage) }
        // Presence begins the reading of what waits; the next message comes meanwhile.
        try balcony.post("<presence/>")
        try chamber.post("<presence/>")
        try romeo.post(Stage.say("second", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let both = [try copies(balcony), try copies(chamber)]
        #expect(both.joined().filter { $0 == "itself first" }.count == 1)
        for seen in both { #expect(seen.filter { $0.hasSuffix("second") }.count == 1) }
        #expect(Set(both.joined()).isSuperset(of: ["itself second", "received second"]))
    }

    /// Given back by a session that died, a message is chosen anew and not copied again.
    @Test func whatComesBackIsNotCopiedAgain() throws {
        let stage = try Stage(modules: [Carbons.self]) { $0.hosts[0].durability = .relay }
        let romeo = try stage.online("romeo", "orchard")
        let balcony = try stage.online("juliet", "balcony", priority: 5)
        let attic = try stage.online("juliet", "attic", priority: -1)
        enable(attic, stage)
        balcony.isStalled = true
        try romeo.post(Stage.say("relayed", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try copies(attic) == ["received relayed"])
        balcony.end(.lost)
        stage.cluster.run()
        #expect(try copies(attic).isEmpty)
        let garden = try stage.online("juliet", "garden")
        _ = garden
        #expect(try copies(attic).isEmpty)
    }

    /// Inside a copy stands the id under which this account archived the message; what is sent again is copied once.
    @Test func copiesCarryTheArchiveId() throws {
        let stage = try Stage(modules: [Carbons.self]) { $0.hosts[0].archive = true }
        let romeo = try stage.online("romeo", "orchard")
        let balcony = try stage.online("juliet", "balcony")
        let chamber = try stage.online("juliet", "chamber", priority: -1)
        enable(chamber, stage)
        func ids(_ client: MemoryClient) throws -> [[String]] {
            try client.elements().filter { $0.local == "message" }.map { message in
                let original = message.children.first { $0.namespace == NS.carbons }?.first(local: "forwarded", namespace: NS.forward)?
                    .first(local: "message", namespace: NS.client)
                return (original ?? message).children.filter { $0.local == "stanza-id" }.map { "\($0["by"] ?? "") \($0["id"] ?? "")" }
            }
        }
        try romeo.post(Stage.say("in", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let delivered = try ids(balcony)
        #expect(delivered.count == 1 && delivered[0].count == 1 && delivered[0][0].hasPrefix("juliet@capulet.lit "))
        #expect(try ids(chamber) == delivered)
        let sent = "<message to='romeo@capulet.lit' type='chat' id='o'><body>out</body><origin-id xmlns='urn:xmpp:sid:0' id='o'/></message>"
        try balcony.post(sent)
        stage.cluster.run()
        let copied = try ids(chamber)
        #expect(copied.count == 1 && copied[0].count == 1 && copied[0][0].hasPrefix("juliet@capulet.lit "))
        // The recipient has an id of its own account alone.
        let got = try ids(romeo)
        #expect(got.count == 1 && got[0].count == 1 && got[0][0].hasPrefix("romeo@capulet.lit "))
        try balcony.post(sent)
        stage.cluster.run()
        #expect(try ids(chamber).isEmpty)
        #expect(try ids(romeo).isEmpty)
    }

    @Test func theMemoryOfCopiesIsBounded() throws {
        var memory = CarbonMemory()
        let peer = try JID("romeo@montague.lit/orchard")
        func message(_ id: Int, _ type: StanzaType = .chat) -> Stanza { Stanza(kind: .message, type: type, id: "m\(id)", from: peer) }
        for id in 0..<200 { memory.note(message(id), .incoming) }
        func answered(_ id: Int) -> Bool {
            memory.isAnswered(by: Stanza(kind: .message, type: .error, id: "m\(id)", to: peer.bare), .outgoing)
        }
        #expect(answered(199) && answered(72))
        #expect(!answered(71) && !answered(0))
        // The other direction is another message, and what is no error answers nothing.
        #expect(!memory.isAnswered(by: message(199, .error), .incoming))
        #expect(!memory.isAnswered(by: Stanza(kind: .message, type: .chat, id: "m199", to: peer), .outgoing))
    }
}
