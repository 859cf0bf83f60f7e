@testable import ServerCore
import Settings
import Stanzas
import Telemetry
import TestKit
import Testing
import XMLStream

/// What waits for an inactive client (XEP-0352), and for how long.
@Suite struct ClientStateTests {
    private let client = try? JID("juliet@capulet.lit/balcony")

    private func stanza(_ xml: String) throws -> Stanza {
        let bytes = Array(xml.utf8)
        let element = try Element.parse(bytes)
        return try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }
    }

    private static let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"

    private static func carbon(_ inner: String) -> String {
        "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='juliet@capulet.lit/chamber' to='romeo@montague.lit' type='chat'>\(inner)</message></forwarded></sent>"
    }

    @Test(arguments: [
        ("<presence from='romeo@montague.lit/a'/>", true),
        ("<presence from='romeo@montague.lit/a' type='unavailable'/>", true),
        ("<presence from='juliet@capulet.lit/chamber'/>", true),
        ("<presence from='juliet@capulet.lit/balcony'/>", false),
        ("<presence from='romeo@montague.lit' type='subscribe'/>", false),
        ("<presence from='romeo@montague.lit' type='unsubscribed'/>", false),
        ("<presence from='romeo@montague.lit' type='error'/>", false),
        (
            "<presence from='cave@rooms.lit/thirdwitch'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>",
            true
        ),
        (
            "<presence from='cave@rooms.lit/j' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><status code='307'/><status code='110'/></x></presence>",
            false
        ),
        ("<message from='romeo@montague.lit/a' type='chat'>\(state)</message>", true),
        ("<message from='romeo@montague.lit/a' type='chat'>\(state)<thread>t</thread><no-store xmlns='urn:xmpp:hints'/></message>", true),
        ("<message from='romeo@montague.lit/a' type='chat'>\(state)<store xmlns='urn:xmpp:hints'/></message>", false),
        ("<message from='romeo@montague.lit/a' type='chat'>\(state)<body>x</body></message>", false),
        ("<message from='cave@rooms.lit/t' type='groupchat'>\(state)</message>", true),
        ("<message from='cave@rooms.lit/t' type='groupchat'><body>x</body></message>", false),
        ("<message from='cave@rooms.lit' type='groupchat'><subject/></message>", false),
        ("<message from='romeo@montague.lit/a' type='error'>\(state)</message>", false),
        ("<message from='romeo@montague.lit/a'><received xmlns='urn:xmpp:receipts' id='x'/></message>", false),
        ("<message from='romeo@montague.lit/a' type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>", false),
        ("<message from='capulet.lit' type='headline'><body>down at noon</body></message>", false),
        ("<message from='romeo@montague.lit' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>", true),
        ("<message from='juliet@capulet.lit' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>", false),
        ("<message from='juliet@capulet.lit' type='chat'>\(carbon(state))</message>", true),
        ("<message from='juliet@capulet.lit' type='chat'>\(carbon(state + "<body>x</body>"))</message>", false),
        ("<message from='juliet@capulet.lit' type='chat'>\(carbon(""))</message>", false),
        ("<iq from='romeo@montague.lit/a' type='result' id='1'/>", false),
        ("<message type='chat'>\(state)</message>", false),
    ])
    func whatWaits(_ xml: String, _ waits: Bool) throws {
        let verdict = ClientStateHold.verdict(try stanza(xml), client: try #require(client))
        #expect((verdict != .now) == waits, "\(xml)")
    }

    /// Random stanzas of a few senders: what is let out is what came in without what was superseded, in order for each sender.
    @Test func orderIsKeptForEachSender() throws {
        let client = try #require(client)
        for seed in 0..<200 {
            var chance = Chance(seed: UInt64(seed))
            var hold = ClientStateHold()
            var came: [JID: [String]] = [:]
            var left: [JID: [String]] = [:]
            func leave(_ stanza: Stanza) throws { left[try #require(stanza.from).bare, default: []].append(stanza.id ?? "") }
            for number in 0..<60 {
                let from = "u\(chance.below(3))@montague.lit/r\(chance.below(2))"
                let kinds = ["<presence", "<message type='chat'", "<message type='chat'", "<message type='headline'"]
                let payloads = [
                    "<show>away</show>", Self.state, "<body>x</body>", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
                ]
                let kind = chance.below(4)
                let xml = "\(kinds[kind]) from='\(from)' id='n\(number)'>\(payloads[kind])" + (kind == 0 ? "</presence>" : "</message>")
                let stanza = try stanza(xml)
                let sender = try #require(stanza.from).bare
                came[sender, default: []].append("n\(number)")
                switch ClientStateHold.verdict(stanza, client: client) {
                case .now:
                    for earlier in hold.take(before: stanza) { try leave(earlier) }
                    try leave(stanza)
                case .waits(let key): _ = hold.add(stanza, of: sender, replacing: key)
                }
                if chance.below(20) == 0 { for earlier in hold.takeAll() { try leave(earlier) } }
            }
            for earlier in hold.takeAll() { try leave(earlier) }
            #expect(hold.isEmpty && hold.bytes == 0)
            for (sender, ids) in left {
                let all = try #require(came[sender])
                let places = ids.compactMap { all.firstIndex(of: $0) }
                #expect(places == places.sorted() && Set(places).count == ids.count, "seed \(seed)")
            }
        }
    }

    private func inactive(_ change: (inout Settings) -> Void = { _ in }) throws -> (Stage, MemoryClient, MemoryClient) {
        let stage = try Stage(change)
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try stage.befriend(romeo, juliet)
        try juliet.post("<inactive xmlns='urn:xmpp:csi:0'/>")
        stage.cluster.run()
        return (stage, romeo, juliet)
    }

    @Test func nothingWaitsForEver() throws {
        let (stage, romeo, juliet) = try inactive { $0.sessions.inactiveHoldSeconds = 60 }
        for text in ["a", "b"] { try romeo.post("<presence><status>\(text)</status></presence>") }
        stage.cluster.run()
        #expect(juliet.session?.stanzasHeld == 1)
        stage.cluster.advance(seconds: 59)
        #expect(try juliet.elements().isEmpty)
        stage.cluster.advance(seconds: 2)
        let came = try juliet.elements().compactMap { $0.first(local: "status", namespace: NS.client)?.text }
        #expect(came == ["b"])
        #expect(juliet.session?.isActive == false)
        // The next one waits as long again.
        try romeo.post("<presence><status>c</status></presence>")
        stage.cluster.run()
        stage.cluster.advance(seconds: 59)
        #expect(try juliet.elements().isEmpty)
        stage.cluster.advance(seconds: 2)
        #expect(try juliet.elements().count == 1)
    }

    /// Of each address the last presence and the last chat state; a message takes along what waits of its sender, but no chat state that
    /// it ends; what others sent waits on. In the end everything comes in the order of the last of each.
    @Test func onlyTheLastIsKeptAndOnlyTheSendersGoAlong() throws {
        let stage = try Stage(people: ["romeo", "juliet", "tybalt"])
        let romeo = try stage.online("romeo", "orchard")
        let tybalt = try stage.online("tybalt", "square")
        let juliet = try stage.online("juliet", "balcony")
        try stage.befriend(romeo, juliet)
        try stage.befriend(tybalt, juliet)
        func composing(_ state: String) -> String {
            "<message to='juliet@capulet.lit' type='chat'><\(state) xmlns='http://jabber.org/protocol/chatstates'/></message>"
        }
        /// What arrived: the status of presence, the body or the chat state of messages.
        func arrived() throws -> [String] {
            try juliet.elements().map { stanza in
                let who = stanza["from"].map { String($0.prefix { $0 != "@" }) } ?? ""
                let child = stanza.children.first { ["status", "body"].contains($0.local) || $0.namespace == NS.chatStates }
                return who + " " + (child.map { $0.text.isEmpty ? $0.local : $0.text } ?? "")
            }
        }
        try juliet.post("<inactive xmlns='urn:xmpp:csi:0'/>")
        stage.cluster.run()
        func play(_ lines: [(MemoryClient, String)]) throws {
            for (client, xml) in lines {
                try client.post(xml)
                stage.cluster.run()
            }
        }
        try play([
            (romeo, "<presence><status>r1</status></presence>"), (tybalt, composing("composing")), (romeo, composing("composing")),
            (tybalt, "<presence><status>t1</status></presence>"), (romeo, "<presence><status>r2</status></presence>"),
            (romeo, Stage.say("hello", to: "juliet@capulet.lit")), (romeo, composing("composing")), (romeo, composing("paused")),
            (tybalt, composing("paused")),
        ])
        #expect(try arrived() == ["romeo r2", "romeo hello"])
        #expect(juliet.session?.stanzasHeld == 3)
        try juliet.post("<active xmlns='urn:xmpp:csi:0'/>")
        stage.cluster.run()
        #expect(try arrived() == ["tybalt t1", "romeo paused", "tybalt paused"])
        try play([(romeo, composing("active"))])
        #expect(try arrived() == ["romeo active"])
    }

    @Test func aFullHoldIsEmptied() throws {
        let (stage, romeo, juliet) = try inactive { $0.sessions.inactiveHoldStanzas = 3 }
        let event =
            "<message to='juliet@capulet.lit/balcony' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>"
        for _ in 0..<3 { try romeo.post(event) }
        stage.cluster.run()
        #expect(try juliet.elements().isEmpty)
        try romeo.post(event)
        stage.cluster.run()
        #expect(try juliet.elements().count == 4)
        #expect(juliet.session?.stanzasHeld == 0)
    }

    @Test func aHeavyHoldIsEmptied() throws {
        let (stage, romeo, juliet) = try inactive { $0.sessions.inactiveHoldBytes = 4_096 }
        try romeo.post("<presence><status>\(String(repeating: "x", count: 3_000))</status></presence>")
        try romeo.post("<presence><status>\(String(repeating: "y", count: 3_000))</status></presence>")
        stage.cluster.run()
        #expect(try juliet.elements().isEmpty)
        try romeo.post("<presence><status>\(String(repeating: "z", count: 4_000))</status></presence>")
        stage.cluster.run()
        #expect(try juliet.elements().count == 1)
    }

    @Test func switchedOffNothingWaits() throws {
        let (stage, romeo, juliet) = try inactive { $0.sessions.inactiveHoldStanzas = 0 }
        try romeo.post("<presence><status>now</status></presence>")
        stage.cluster.run()
        #expect(try juliet.elements().count == 1)
    }

    /// What waits is nobody's when its session ends, and a level that counts sessions forgets it.
    @Test func theEndDropsWhatWaits() throws {
        let (stage, romeo, juliet) = try inactive()
        let metrics = stage.cluster.nodes[0].shards[0].core.metrics
        #expect(metrics.inactiveSessions.value == 1)
        try romeo.post("<presence><status>x</status></presence>")
        stage.cluster.run()
        #expect(juliet.session?.stanzasHeld == 1)
        juliet.end(.lost)
        stage.cluster.run()
        #expect(metrics.inactiveSessions.value == 0)
        #expect(juliet.session?.stanzasHeld == 0)
        stage.cluster.advance(seconds: 3_600)
        #expect(try juliet.elements().isEmpty)
    }
}
