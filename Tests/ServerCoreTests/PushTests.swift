import Modules
@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Push (XEP-0357) where time, sleep and failure come in; the protocol itself is in the script.
@Suite struct PushTests {
    /// Juliet enabled a service at the component `push` from her phone; romeo writes.
    private final class Scene {
        let cluster: MemoryCluster
        let romeo: MemoryClient
        let phone: MemoryClient
        let service: MemoryComponent

        init(nodes: Int = 1, _ change: (inout Settings) -> Void = { _ in }) throws {
            var settings = Settings()
            settings.hosts = [Settings.Host(domain: "capulet.lit")]
            change(&settings)
            cluster = try MemoryCluster(nodes: nodes, modules: ModuleList.all, settings: settings)
            for name in ["romeo", "juliet"] { try cluster.addAccount(name) }
            romeo = try cluster.connect("romeo", resource: "orchard", node: nodes - 1)
            phone = try cluster.connect("juliet", resource: "phone", node: nodes - 1)
            service = try cluster.connectComponent("push", node: nodes - 1)
            try phone.post("<presence/>")
            try enable("n")
            _ = phone.takeReceived()
        }

        func enable(_ node: String) throws {
            try phone.post("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.capulet.lit' node='\(node)'/></iq>")
            cluster.run()
        }

        func say(_ text: String, more: String = "") throws {
            try romeo.post("<message to='juliet@capulet.lit' type='chat'><body>\(text)</body>\(more)</message>")
            cluster.run()
        }

        /// The fields of the notifications that came, each answered with a result, or with this error.
        func pushes(error: String? = nil) throws -> [[String: String]] {
            var all: [[String: String]] = []
            for text in service.takeReceived() {
                let iq = try Element.parse(Array(text.utf8))
                guard iq.local == "iq", iq["type"] == "set", let id = iq["id"], let from = iq["from"] else { continue }
                let item = iq.first(local: "pubsub", namespace: NS.pubsub)?.first(local: "publish", namespace: NS.pubsub)?
                    .first(local: "item", namespace: NS.pubsub)?.first(local: "notification", namespace: NS.push)
                let form = try #require(item?.first(DataForm.name).flatMap { DataForm($0) })
                var fields: [String: String] = [:]
                for field in form.fields { if let name = field.name, name != "FORM_TYPE" { fields[name] = field.value } }
                all.append(fields)
                let answer =
                    error.map { "<iq type='error' id='\(id)' from='push.capulet.lit' to='\(from)'>\($0)</iq>" }
                    ?? "<iq type='result' id='\(id)' from='push.capulet.lit' to='\(from)'/>"
                try service.post(answer)
            }
            cluster.run()
            return all
        }

        func services() throws -> Int {
            let jid = try JID("juliet@capulet.lit")
            let shards = cluster.nodes[cluster.keeper].shards
            return shards.lazy.compactMap { $0.accounts[jid] }.first?.items(.push).count ?? -1
        }
    }

    @Test func whatComesMeanwhileIsToldInOne() throws {
        let scene = try Scene()
        scene.phone.end(.closedByPeer)
        for text in ["a", "b", "c"] { try scene.say(text) }
        #expect(try scene.pushes() == [["message-count": "1"]])
        #expect(try scene.pushes().isEmpty)
        scene.cluster.advance(seconds: 6)
        #expect(try scene.pushes() == [["message-count": "3"]])
        scene.cluster.advance(seconds: 60)
        #expect(try scene.pushes().isEmpty)
    }

    /// The client came back and saw all of it: there is nothing to tell any more.
    @Test func whatWasSeenMeanwhileIsNotTold() throws {
        let scene = try Scene()
        scene.phone.end(.closedByPeer)
        for text in ["a", "b"] { try scene.say(text) }
        #expect(try scene.pushes().count == 1)
        let again = try scene.cluster.connect("juliet", resource: "phone", node: 0)
        try again.post("<presence/>")
        scene.cluster.run()
        scene.cluster.advance(seconds: 6)
        #expect(try scene.pushes().isEmpty)
    }

    @Test func aSleepingClientIsCalled() throws {
        let scene = try Scene { $0.push.coalesceSeconds = 0 }
        try scene.say("awake")
        #expect(try scene.pushes().isEmpty)
        scene.phone.session?.setActive(false)
        scene.cluster.run()
        try scene.say("asleep")
        #expect(try scene.pushes().count == 1)
        scene.phone.session?.setActive(true)
        scene.cluster.run()
        try scene.say("awake again")
        #expect(try scene.pushes().isEmpty)
        #expect(scene.phone.takeReceived().count { $0.contains("<body>") } == 3)
    }

    /// The phone sleeps, and somebody attends to the desktop: the phone gets a copy, so it is called.
    @Test func theClientThatAskedIsCalledBesidesOthers() throws {
        let scene = try Scene { $0.push.coalesceSeconds = 0 }
        let desktop = try scene.cluster.connect("juliet", resource: "desktop", node: 0)
        try desktop.post("<presence><priority>5</priority></presence>")
        scene.phone.session?.setActive(false)
        scene.cluster.run()
        try scene.say("to the desktop alone")
        #expect(try scene.pushes().isEmpty)
        try scene.phone.post("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        scene.cluster.run()
        try scene.say("with a copy")
        #expect(try scene.pushes().count == 1)
        // Her own words are no news to her.
        try desktop.post("<message to='juliet@capulet.lit' type='chat'><body>a note</body></message>")
        scene.cluster.run()
        #expect(try scene.pushes().isEmpty)
    }

    /// A session dies with what its client has not taken.
    @Test func whatADeadSessionHeldIsTold() throws {
        let scene = try Scene()
        scene.phone.isStalled = true
        try scene.say("under way")
        #expect(try scene.pushes().isEmpty)
        scene.phone.end(.lost)
        scene.cluster.run()
        #expect(try scene.pushes() == [["message-count": "1"]])
    }

    @Test func senderAndTextAreToldOnlyWhereTheSettingsSaySo() throws {
        let scene = try Scene {
            $0.push.coalesceSeconds = 0
            $0.push.includeSender = true
            $0.push.includeBody = true
        }
        scene.phone.end(.closedByPeer)
        try scene.say("Wherefore?")
        #expect(
            try scene.pushes() == [
                ["message-count": "1", "last-message-sender": "romeo@capulet.lit/orchard", "last-message-body": "Wherefore?"]
            ])
        try scene.say("This message is encrypted", more: "<encrypted xmlns='eu.siacs.conversations.axolotl'/>")
        #expect(try scene.pushes() == [["message-count": "2", "last-message-sender": "romeo@capulet.lit/orchard"]])
    }

    /// A lasting error disables at once, a passing one after so many in a row.
    @Test func errorsDisableTheService() throws {
        let scene = try Scene {
            $0.push.coalesceSeconds = 0
            $0.push.failures = 3
        }
        let passing = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        scene.phone.end(.closedByPeer)
        for _ in 0..<2 {
            try scene.say("one")
            #expect(try scene.pushes(error: passing).count == 1)
        }
        #expect(try scene.services() == 1)
        try scene.say("taken")
        #expect(try scene.pushes().count == 1)
        for _ in 0..<3 {
            try scene.say("one")
            #expect(try scene.pushes(error: passing).count == 1)
        }
        #expect(try scene.services() == 0)
    }

    /// The service is away for a while, then for ever.
    @Test func aServiceThatIsAwayIsForgivenForAWhile() throws {
        let scene = try Scene {
            $0.push.coalesceSeconds = 0
            $0.push.failures = 3
        }
        scene.phone.end(.closedByPeer)
        scene.service.end(.lost)
        scene.cluster.run()
        try scene.say("one")
        try scene.say("two")
        #expect(try scene.services() == 1)
        try scene.say("three")
        #expect(try scene.services() == 0)
    }

    @Test func aServiceThatNeverAnswersIsToldAgainAfterAWhile() throws {
        let scene = try Scene {
            $0.push.coalesceSeconds = 0
            $0.push.failures = 2
            $0.push.answerSeconds = 30
        }
        scene.phone.end(.closedByPeer)
        try scene.say("one")
        #expect(scene.service.takeReceived().count == 1)
        try scene.say("two")
        #expect(scene.service.takeReceived().isEmpty)
        scene.cluster.advance(seconds: 31)
        #expect(scene.service.takeReceived().count == 1)
        scene.cluster.advance(seconds: 31)
        #expect(try scene.services() == 0)
    }

    @Test func anAnswerFromAnotherIsNone() throws {
        let scene = try Scene {
            $0.push.coalesceSeconds = 0
            $0.push.failures = 1
        }
        scene.phone.end(.closedByPeer)
        try scene.say("one")
        let request = try Element.parse(Array(try #require(scene.service.takeReceived().first).utf8))
        let id = try #require(request["id"])
        let forged = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        try scene.romeo.post("<iq type='error' id='\(id)' to='juliet@capulet.lit'>\(forged)</iq>")
        try scene.service.post("<iq type='error' id='\(id)' from='x@push.capulet.lit' to='juliet@capulet.lit'>\(forged)</iq>")
        scene.cluster.run()
        #expect(try scene.services() == 1)
    }

    /// The registration outlives its home, and the new one tells.
    @Test func aNewHomeTells() throws {
        let scene = try Scene(nodes: 3)
        scene.phone.end(.closedByPeer)
        scene.cluster.run()
        try scene.say("before")
        #expect(try scene.pushes().count == 1)
        scene.cluster.kill(0)
        scene.cluster.takeOver(by: 1)
        scene.cluster.run()
        try scene.say("after")
        #expect(try scene.pushes() == [["message-count": "2"]])
    }

    /// A new home knows who sleeps.
    @Test func aNewHomeKnowsWhoSleeps() throws {
        let scene = try Scene(nodes: 3) { $0.push.coalesceSeconds = 0 }
        scene.phone.session?.setActive(false)
        scene.cluster.run()
        scene.cluster.kill(0)
        scene.cluster.takeOver(by: 1)
        scene.cluster.run()
        try scene.say("asleep")
        #expect(try scene.pushes().count == 1)
    }

    @Test func servicesAreBounded() throws {
        let scene = try Scene { $0.push.servicesPerAccount = 2 }
        try scene.enable("m")
        #expect(scene.phone.takeReceived().last?.contains("result") == true)
        try scene.enable("o")
        #expect(scene.phone.takeReceived().last?.contains("resource-constraint") == true)
        // The same again is no other.
        try scene.enable("m")
        #expect(scene.phone.takeReceived().last?.contains("result") == true)
        #expect(try scene.services() == 2)
    }

    @Test func switchedOffItIsNotThere() throws {
        let scene = try Scene { $0.push.enabled = false }
        try scene.enable("n")
        #expect(scene.phone.takeReceived().last?.contains("service-unavailable") == true)
        try scene.phone.post("<iq type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        scene.cluster.run()
        #expect(scene.phone.takeReceived().last?.contains("urn:xmpp:push") == false)
    }
}
