@testable import ServerCore
import Settings
import Stanzas
import Synchronization
import TestKit
import Testing
import XMLStream

/// Components (XEP-0114) when nodes, homes and sockets fail; what goes well is in the script.
@Suite struct ComponentTests {
    private static func toPuck(_ id: String) -> String {
        "<message to='puck@plays.capulet.lit' type='chat' id='\(id)'><body>\(id)</body></message>"
    }

    private static func errors(_ client: MemoryClient) throws -> [String] {
        try client.elements().filter { $0["type"] == "error" }.compactMap { element in
            let error = element.first(local: "error", namespace: "jabber:client")
            return "\(element["id"] ?? "") \(error?.children.first { _ in true }?.local ?? "")"
        }
    }

    private static func ids(_ component: MemoryComponent) throws -> [String] {
        try component.takeReceived().compactMap { try Element.parse(Array($0.utf8))["id"] }
    }

    @Test func aNewHomeKnowsTheComponent() throws {
        let stage = try Stage(nodes: 3, loops: 2)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let component = try stage.cluster.connectComponent("plays", node: 2, loop: 1)
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        #expect(component.closedWith == nil)
        try romeo.post(Self.toPuck("after"))
        try component.post("<message from='plays.capulet.lit' to='romeo@capulet.lit' type='chat'><body>back</body></message>")
        stage.cluster.run()
        #expect(try Self.ids(component) == ["after"])
        #expect(try romeo.bodies() == ["back"])
        #expect(romeo.session?.unhandled == 0)
        #expect(component.session?.unhandled == 0)
    }

    /// What no home took while there was none goes to the next one, once and in order.
    @Test func whatItSentMeanwhileIsSubmittedAgain() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let component = try stage.cluster.connectComponent("plays", node: 2)
        stage.cluster.kill(0, arrives: 0)
        for number in 0..<5 {
            try component.post(
                "<message from='plays.capulet.lit' to='romeo@capulet.lit' type='chat' id='\(number)'><body>\(number)</body></message>")
        }
        stage.cluster.run()
        #expect(component.session?.unhandled == 5)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        #expect(try romeo.bodies() == ["0", "1", "2", "3", "4"])
        #expect(component.session?.unhandled == 0)
    }

    /// A message is handled when the component's socket took it; what it did not take comes back when its node dies.
    @Test func whatADeadNodeHeldIsRefused() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let component = try stage.cluster.connectComponent("plays", node: 2)
        component.isStalled = true
        try romeo.post(Self.toPuck("held"))
        try romeo.post("<iq type='get' to='plays.capulet.lit' id='asked'><ping xmlns='urn:xmpp:ping'/></iq>")
        stage.cluster.run()
        // The request is handled, and stands behind the message.
        #expect(romeo.session?.unhandled == 2)
        stage.cluster.kill(2)
        stage.cluster.run()
        #expect(try Set(Self.errors(romeo)) == ["held service-unavailable", "asked service-unavailable"])
        #expect(romeo.session?.unhandled == 0)
    }

    /// The next connection gets what the one before did not take.
    @Test func theNextConnectionGetsWhatWaits() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let first = try stage.cluster.connectComponent("plays", node: 2)
        first.isStalled = true
        for id in ["a", "b"] { try romeo.post(Self.toPuck(id)) }
        stage.cluster.run()
        let second = try stage.cluster.connectComponent("plays", node: 0)
        #expect(first.closedWith == "conflict")
        #expect(try Self.ids(second) == ["a", "b"])
        #expect(romeo.session?.unhandled == 0)
        #expect(try Self.errors(romeo).isEmpty)
    }

    @Test func aComponentThatReadsNothingIsEnded() throws {
        let stage = try Stage(nodes: 1)
        let romeo = try stage.online("romeo", "orchard")
        let component = try stage.cluster.connectComponent("plays", node: 0)
        component.isStalled = true
        try romeo.post(Self.toPuck("held"))
        stage.cluster.run()
        stage.cluster.advance(seconds: 10)
        stage.cluster.doChores()
        #expect(component.closedWith == nil)
        stage.cluster.advance(seconds: 10)
        stage.cluster.doChores()
        #expect(component.closedWith == "policy-violation")
        #expect(try Self.errors(romeo) == ["held service-unavailable"])
    }

    @Test func theFirstStaysWhereTheSettingSaysSo() throws {
        let stage = try Stage(nodes: 2) { settings in
            var component = Settings.Component(domain: "plays.capulet.lit")
            component.conflict = .refuse
            settings.components = [component]
        }
        let romeo = try stage.online("romeo", "orchard")
        let first = try stage.cluster.connectComponent("plays", node: 0)
        let second = try stage.cluster.connectComponent("plays", node: 1)
        #expect(second.closedWith == "conflict")
        try romeo.post(Self.toPuck("to the first"))
        stage.cluster.run()
        #expect(try Self.ids(first) == ["to the first"])
        first.end(.closedByPeer)
        stage.cluster.run()
        #expect(try stage.cluster.connectComponent("plays", node: 1).closedWith == nil)
    }

    @Test func theAdministratorEndsItFromAnyNode() throws {
        let stage = try Stage(nodes: 3)
        let component = try stage.cluster.connectComponent("plays", node: 2)
        let infos = Mutex<[ComponentInfo]>([])
        let results = Mutex<[CommandResult]>([])
        let domain = try JID("plays.capulet.lit")
        stage.cluster.nodes[1].shards[0].enter { shard in
            shard.ask(
                ComponentInfo.question, part: { part in infos.withLock { $0 += (try? ComponentInfo.decode(part)) ?? [] } }, done: { _ in })
        }
        stage.cluster.run()
        #expect(infos.withLock { $0.map(\.domain) } == ["plays.capulet.lit"])
        #expect(infos.withLock { $0.map(\.nodeName) } == ["node3"])
        for _ in 0..<2 {
            stage.cluster.nodes[1].shards[0].enter { shard in
                shard.command(.kick(resource: nil, text: "enough"), for: domain) { result in results.withLock { $0.append(result) } }
            }
            stage.cluster.run()
        }
        #expect(results.withLock { $0 } == [.done(1), .notFound])
        #expect(component.closedWith == "policy-violation")
    }

    /// Its own socket is paused while too much of it is unhandled.
    @Test func itIsReadNoFurtherWhileNobodyServes() throws {
        let stage = try Stage(nodes: 2) { $0.limits.unhandledStanzas = 4 }
        let component = try stage.cluster.connectComponent("plays", node: 1)
        stage.cluster.kill(0)
        for number in 0..<4 {
            try component.post("<message from='plays.capulet.lit' to='romeo@capulet.lit' type='headline' id='\(number)'/>")
        }
        stage.cluster.run()
        #expect(!component.isReading)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        #expect(component.isReading)
    }

    /// A stranger that names the host reaches none of what its users may ask.
    @Test func theHostAnswersStrangersOnlyWhatIsMeantForThem() throws {
        let stage = try Stage()
        let component = try stage.cluster.connectComponent("plays", node: 0)
        for (id, xml) in [
            ("roster", "<query xmlns='jabber:iq:roster'/>"), ("remove", "<query xmlns='jabber:iq:register'><remove/></query>"),
            ("session", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"),
        ] {
            try component.post("<iq type='set' from='plays.capulet.lit' to='capulet.lit' id='\(id)'>\(xml)</iq>")
        }
        try component.post("<presence from='plays.capulet.lit' to='capulet.lit' type='subscribe'/>")
        stage.cluster.run()
        let answers = try component.takeReceived().map { try Element.parse(Array($0.utf8)) }
        #expect(answers.map { $0["id"] } == ["roster", "remove", "session"])
        #expect(answers.allSatisfy { $0["type"] == "error" })
    }
}
