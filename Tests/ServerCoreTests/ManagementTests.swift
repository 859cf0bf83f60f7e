@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Stream management (XEP-0198) where no script reaches: counters, bounds, timers, races.
@Suite struct ManagementTests {
    private static let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"

    private func message(_ id: Int, to: String = "juliet@capulet.lit", type: String = "chat") -> String {
        "<message to='\(to)' type='\(type)' id='\(id)'><body>\(id)</body></message>"
    }

    /// Available, with stream management, and with nothing to read.
    private func managed(_ stage: Stage, _ name: String, _ resource: String, node: Int = 0) throws -> MemoryClient {
        let client = try stage.online(name, resource, node: node)
        try client.post(Self.enable)
        stage.cluster.run()
        _ = client.takeReceived()
        return client
    }

    private func ids(_ client: MemoryClient) -> [String] {
        client.takeReceived().compactMap { text in (try? Element.parse(Array(text.utf8))).flatMap { $0.local == "message" ? $0["id"] : nil }
        }
    }

    @Test func whatIsHandledIsToldAgainAsItGrows() throws {
        let stage = try Stage()
        let romeo = try managed(stage, "romeo", "orchard")
        stage.cluster.isUnruly = true
        try romeo.post(message(1))
        try romeo.post("<r xmlns='urn:xmpp:sm:3'/>")
        for loop in stage.cluster.nodes[0].shards { loop.enter { _ in } }
        stage.cluster.volume.holdsCommits = true
        stage.cluster.run()
        #expect(romeo.management?.answers == 1, "at once")
        #expect(romeo.management?.acknowledged == 0, "nothing is kept yet")
        stage.cluster.isUnruly = false
        stage.cluster.run()
        #expect(romeo.management?.acknowledged == 1)
        #expect(romeo.management?.answers == 2, "unasked")
    }

    @Test func acknowledgementsOfMoreThanWasSentEndTheStream() throws {
        let stage = try Stage()
        let juliet = try managed(stage, "juliet", "balcony")
        try juliet.post("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        stage.cluster.run()
        #expect(juliet.closedWith == "undefined-condition")
        let error = try #require(juliet.session?.ended?.streamError)
        #expect(String(decoding: error.application ?? [], as: UTF8.self).contains("<handled-count-too-high"))
        #expect(String(decoding: error.application ?? [], as: UTF8.self).contains("h='1' send-count='0'"))
        // On resumption too.
        let again = try managed(stage, "juliet", "balcony")
        again.end(.lost)
        stage.cluster.run()
        let resumed = try stage.cluster.resume("juliet", from: again, node: 0, h: 7)
        #expect(resumed.closedWith == "undefined-condition")
        #expect(again.session?.ended != nil)
    }

    @Test func aClientIsAskedAndASilentOneIsGone() throws {
        let stage = try Stage()
        let juliet = try managed(stage, "juliet", "balcony")
        let romeo = try stage.online("romeo", "orchard")
        try romeo.post(message(1))
        stage.cluster.run()
        #expect(juliet.management?.requests == 0)
        stage.cluster.advance(seconds: 10)
        #expect(juliet.management?.requests == 1, "after a while")
        try juliet.post("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        for number in 2...11 { try romeo.post(message(number)) }
        stage.cluster.run()
        #expect(juliet.management?.requests == 2, "after ten")
        stage.cluster.advance(seconds: 59)
        #expect(juliet.closedWith == nil)
        stage.cluster.advance(seconds: 2)
        #expect(juliet.closedWith == "connection-timeout")
        #expect(juliet.session?.isDetached == true)
        #expect(ids(juliet) == (1...11).map { String($0) })
        let back = try stage.cluster.resume("juliet", from: juliet, node: 0, h: 1)
        #expect(ids(back) == (2...11).map { String($0) })
    }

    @Test func theSocketIsNoAcknowledgement() throws {
        let stage = try Stage()
        let juliet = try managed(stage, "juliet", "balcony")
        let romeo = try stage.online("romeo", "orchard")
        for number in 1...3 { try romeo.post(message(number)) }
        stage.cluster.run()
        let account = try #require(try stage.account("juliet"))
        #expect(account.inbox.owed == 3)
        try juliet.post("<a xmlns='urn:xmpp:sm:3' h='2'/>")
        stage.cluster.run()
        #expect(account.inbox.owed == 1)
        // Late, and not wrong.
        try juliet.post("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        stage.cluster.run()
        #expect(juliet.closedWith == nil)
        juliet.end(.closedByPeer)
        stage.cluster.run()
        #expect(account.inbox.owed == 1)
        let again = try stage.online("juliet", "chamber")
        stage.cluster.run()
        #expect(account.inbox.owed == 0)
        #expect(again.closedWith == nil)
    }

    @Test func theLedgerIsBounded() throws {
        let stage = try Stage { $0.sessions.unackedStanzas = 500 }
        let juliet = try managed(stage, "juliet", "balcony")
        let romeo = try stage.online("romeo", "orchard")
        juliet.end(.lost)
        stage.cluster.run()
        // What is owed waits in the store; what is not fills the ledger.
        for number in 1...100 { try romeo.post(message(number)) }
        stage.cluster.run()
        #expect(juliet.session?.unacked == 100)
        for number in 101...600 { try romeo.post(message(number, to: juliet.jid, type: "headline")) }
        stage.cluster.run()
        #expect(juliet.session?.ended == nil, "what is for the moment is dropped")
        #expect(juliet.session?.unacked == 500)
        _ = romeo.takeReceived()
        try romeo.post("<iq type='get' id='q' to='\(juliet.jid)'><query xmlns='jabber:iq:version'/></iq>")
        stage.cluster.run()
        #expect(romeo.takeReceived().contains { $0.contains("id='q'") && $0.contains("type='error'") })
        let back = try stage.cluster.resume("juliet", from: juliet, node: 0)
        while back.session?.unacked ?? 0 > 0 {
            try back.post("<a xmlns='urn:xmpp:sm:3' h='\(back.management?.received ?? 0)'/>")
            stage.cluster.run()
        }
        let seen = ids(back).compactMap { Int($0) }
        #expect(Array(seen.prefix(500)) == Array(1...500))
    }

    /// More owed messages than a session may hold wait in the store, in order.
    @Test func whatIsOwedWaitsInTheStore() throws {
        let stage = try Stage()
        let juliet = try managed(stage, "juliet", "balcony")
        let romeo = try stage.online("romeo", "orchard")
        juliet.end(.lost)
        stage.cluster.run()
        for number in 1...700 { try romeo.post(message(number)) }
        stage.cluster.run()
        #expect(juliet.session?.unacked ?? 0 <= 300)
        let back = try stage.cluster.resume("juliet", from: juliet, node: 0)
        while back.session?.unacked ?? 0 > 0 {
            try back.post("<a xmlns='urn:xmpp:sm:3' h='\(back.management?.received ?? 0)'/>")
            stage.cluster.run()
        }
        #expect(ids(back) == (1...700).map { String($0) })
    }

    @Test func waitingSessionsAreBoundedPerAccountAndNode() throws {
        let stage = try Stage { $0.sessions.detachedPerAccount = 2 }
        let clients = try (0..<4).map { try managed(stage, "juliet", "r\($0)") }
        for client in clients {
            client.end(.lost)
            stage.cluster.advance(seconds: 1)
        }
        #expect(clients.map { $0.session?.ended } == [.expired, .expired, nil, nil])
        let small = try Stage { $0.sessions.detachedPerNode = 1 }
        let others = try ["romeo", "juliet"].map { try managed(small, $0, "r") }
        for client in others {
            client.end(.lost)
            small.cluster.run()
        }
        #expect(others.map { $0.session?.ended } == [.expired, nil])
    }

    /// A client that binds again instead has given its session up: the new one gets what the old one did not acknowledge.
    @Test(arguments: [Settings.Sessions.Conflict.replace, .refuse, .rename])
    func whoBindsAgainGetsItAll(_ conflict: Settings.Sessions.Conflict) throws {
        let stage = try Stage(nodes: 2) { $0.sessions.conflict = conflict }
        let juliet = try managed(stage, "juliet", "balcony")
        let romeo = try stage.online("romeo", "orchard")
        for number in 1...3 { try romeo.post(message(number)) }
        stage.cluster.run()
        juliet.end(.lost)
        stage.cluster.run()
        for number in 4...5 { try romeo.post(message(number)) }
        stage.cluster.run()
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 1)
        #expect(again.jid == "juliet@capulet.lit/balcony")
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(ids(again) == (1...5).map { String($0) })
        #expect(juliet.session?.ended == .replaced)
    }

    /// What was not handled when the stream broke is sent again by the client, and is known.
    @Test func whatIsSentAgainIsHandledOnce() throws {
        let stage = try Stage()
        let romeo = try managed(stage, "romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.volume.holdsCommits = true
        for number in 1...3 { try romeo.post(message(number)) }
        stage.cluster.run()
        romeo.end(.lost)
        stage.cluster.run()
        let back = try stage.cluster.resume("romeo", from: romeo, node: 0)
        #expect(back.session == nil, "it waits for the commit")
        stage.cluster.advance(seconds: 1)
        #expect(back.session != nil, "but not for long")
        try back.post(message(4))
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        try back.post("<r xmlns='urn:xmpp:sm:3'/>")
        stage.cluster.run()
        #expect(back.management?.acknowledged == 4)
        #expect(ids(juliet) == ["1", "2", "3", "4"])
    }

    /// The node to which a session goes dies on the way: it stays, and can be resumed elsewhere.
    @Test func theNodeThatWantsItDies() throws {
        let stage = try Stage(nodes: 3)
        let juliet = try managed(stage, "juliet", "balcony", node: 0)
        let romeo = try stage.online("romeo", "orchard", node: 0)
        stage.cluster.volume.holdsCommits = true
        try juliet.post(message(9, to: "romeo@capulet.lit"))
        stage.cluster.run()
        let lost = try stage.cluster.beginResume(
            "juliet", juliet.management?.id ?? "", continuing: juliet.management, node: 2)
        stage.cluster.run()
        #expect(lost.session == nil && lost.resumeError == nil, "\(String(describing: lost.resumeError))")
        stage.cluster.kill(2)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        try romeo.post(message(1))
        stage.cluster.run()
        let back = try stage.cluster.resume("juliet", from: juliet, node: 1)
        #expect(back.resumeError == nil)
        #expect(ids(back) == ["1"])
        #expect(ids(romeo) == ["9"])
    }

    /// No answer of the old loop: the session ends, and its client learns what was handled as far as the home knows.
    @Test func anOldLoopThatDoesNotAnswer() throws {
        let stage = try Stage(nodes: 3)
        let juliet = try managed(stage, "juliet", "balcony", node: 1)
        try juliet.post(message(1, to: "romeo@capulet.lit"))
        stage.cluster.run()
        try juliet.post(message(2, to: "romeo@capulet.lit"))
        stage.cluster.run()
        stage.cluster.isUnruly = true
        let back = try stage.cluster.beginResume("juliet", juliet.management?.id ?? "", continuing: juliet.management, node: 2)
        // Only the new node and the home get to work.
        stage.cluster.run(nodes: [0, 2])
        #expect(back.resumeError == nil && back.session == nil)
        stage.cluster.tick(seconds: 3)
        stage.cluster.run(nodes: [0, 2])
        #expect(back.resumeError?.condition == .itemNotFound)
        #expect(back.resumeError?.h == 1)
        stage.cluster.isUnruly = false
        stage.cluster.run()
        #expect(juliet.session?.ended == .replaced)
        #expect(try stage.account("juliet")?.departing.isEmpty == true)
    }

    @Test func countersWrap() {
        var ledger = AckLedger(acknowledged: UInt64(UInt32.max) - 1, written: 0, entries: [])
        let stanza = Stanza(kind: .message, type: .chat)
        for message in 1...4 { ledger.add(stanza, message: UInt64(message), stamp: 0, isWritten: message < 4) }
        #expect(ledger.sent == 1)
        #expect(ledger.acknowledge(2) == .tooHigh(sent: 1))
        #expect(ledger.acknowledge(UInt32.max) == .acknowledged([1]))
        #expect(ledger.acknowledge(0) == .acknowledged([2]))
        #expect(ledger.acknowledge(UInt32.max) == .acknowledged([]), "late")
        #expect(ledger.acknowledge(1) == .acknowledged([3]))
        #expect(ledger.count == 1 && ledger.owed == [4])
        #expect(ledger.acknowledge(2) == .tooHigh(sent: 1), "it was never written")
        ledger.noteAllWritten()
        #expect(ledger.acknowledge(2) == .acknowledged([4]))
        #expect(ledger.bytes == 0)
        var fresh = AckLedger()
        #expect(fresh.acknowledge(UInt32.max) == .tooHigh(sent: 0))
    }

    @Test func stanzasThatComeBackCarryTheirTime() throws {
        var ledger = AckLedger()
        let domain = try JID("capulet.lit")
        ledger.add(
            Stanza(kind: .message, type: .headline, payload: Payload(written: Array("<body>a</body>".utf8), as: .body)), message: 0,
            stamp: 0, isWritten: true)
        ledger.add(Stanza(kind: .iq, type: .get, id: "1"), message: 0, stamp: 0, isWritten: true)
        let stamped = try #require(ledger.entries.first).stamped(by: domain)
        #expect(
            String(decoding: stamped.xml, as: UTF8.self).contains(
                "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='1970-01-01T00:00:00"))
        #expect(ledger.takeUnkept(from: domain).map(\.kind) == [.iq])
    }
}
