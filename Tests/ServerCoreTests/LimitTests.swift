@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Bounds, and what happens at them.
@Suite struct LimitTests {
    @Test func aSlowClientGetsTheRestInOrder() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        juliet.isStalled = true
        for number in 0..<1_200 {
            try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit"))
            if number % 100 == 0 { stage.cluster.run() }
        }
        stage.cluster.run()
        let waiting = try #require(juliet.session?.stanzasWaiting)
        #expect(waiting <= 2 * Resource.flightBound)
        juliet.unstall()
        stage.cluster.run()
        #expect(try juliet.bodies() == (0..<1_200).map { "\($0)" })
        #expect(try stage.account("juliet")?.inbox.isEmpty == true)
    }

    @Test func whatWaitsComesBeforeWhatIsNew() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        for number in 0..<350 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        var chance = Chance(seed: 11)
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        stage.cluster.isUnruly = true
        try juliet.post("<presence/>")
        for number in 350..<450 {
            for _ in 0..<4 { stage.cluster.step(&chance) }
            try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit"))
        }
        stage.cluster.isUnruly = false
        stage.cluster.run()
        #expect(try juliet.bodies() == (0..<450).map { "\($0)" })
    }

    @Test func twoSessionsOfOnePriorityBothGetIt() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let two = try [stage.online("juliet", "balcony"), stage.online("juliet", "chamber")]
        let low = try stage.online("juliet", "attic", priority: -1)
        try romeo.post(Stage.say("hi", to: "juliet@capulet.lit"))
        stage.cluster.run()
        for client in two { #expect(try client.bodies() == ["hi"]) }
        #expect(try low.bodies().isEmpty)
        #expect(try stage.account("juliet")?.inbox.isEmpty == true)
    }

    @Test(arguments: [Settings.Sessions.Conflict.replace, .refuse, .rename])
    func aResourceThatIsTaken(_ policy: Settings.Sessions.Conflict) throws {
        let stage = try Stage { $0.sessions.conflict = policy }
        let first = try stage.online("juliet", "balcony")
        let second = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        switch policy {
        case .replace:
            #expect(first.closedWith == "conflict")
            #expect(second.jid == "juliet@capulet.lit/balcony")
        case .refuse:
            #expect(first.closedWith == nil)
            #expect(second.bindError?.condition == .conflict)
        case .rename:
            #expect(first.closedWith == nil)
            #expect(second.jid.hasPrefix("juliet@capulet.lit/balcony."))
        }
    }

    @Test func anAccountHasNoMoreSessionsThanAllowed() throws {
        let stage = try Stage { $0.sessions.resourcesPerAccount = 2 }
        _ = try stage.online("juliet", "one")
        _ = try stage.online("juliet", "two")
        #expect(try stage.cluster.connect("juliet", resource: "three", node: 0).bindError?.condition == .resourceConstraint)
        // One that takes another's place needs no place of its own.
        #expect(try stage.cluster.connect("juliet", resource: "two", node: 0).bindError == nil)
    }

    @Test func disabledAndDeletedAccountsAreGone() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        // Only who asked for the roster hears of subscriptions (RFC 6121 §2.2).
        try romeo.post("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        try stage.befriend(romeo, juliet)
        try stage.command(.disable(reason: "abuse"), "juliet")
        #expect(juliet.closedWith == "not-authorized")
        #expect(try romeo.elements().contains { $0["type"] == "unavailable" && $0["from"] == "juliet@capulet.lit/balcony" })
        try romeo.post(Stage.say("x", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try romeo.elements().first?["type"] == "error")
        #expect(try stage.cluster.connect("juliet", resource: "r", node: 0).bindError?.condition == .notAllowed)
        try stage.command(.enable, "juliet")
        try romeo.post(Stage.say("kept", to: "juliet@capulet.lit"))
        stage.cluster.run()
        try stage.command(.delete, "juliet")
        #expect(try romeo.elements().filter { $0["type"] == "unsubscribed" || $0["type"] == "unsubscribe" }.count == 2)
        // Whoever gets the name gets nothing else.
        try stage.cluster.addAccount("juliet")
        let heir = try stage.online("juliet", "balcony")
        #expect(try heir.elements().isEmpty)
        try heir.post("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        stage.cluster.run()
        let roster = try #require(try heir.elements().first?.first(local: "query", namespace: "jabber:iq:roster"))
        #expect(Array(roster.children).isEmpty)
    }

    @Test func rowsOfDeletedAccountsArePurged() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        for number in 0..<40 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        let number = try #require(try stage.account("juliet")?.record?.number)
        let partition = try #require(try stage.account("juliet")?.partition)
        try stage.command(.delete, "juliet")
        func rows() throws -> Int {
            try stage.cluster.volume.read { snapshot in
                var count = try snapshot.get(Keys.tombstone(partition, number)) == nil ? 0 : 1
                for table in [Keys.Table.message, .inbox] {
                    try snapshot.scan(prefix: Keys.prefix(partition, table, account: number), from: nil, through: nil, reverse: false) {
                        (_, _) throws(StoreFailure) in
                        count += 1
                        return true
                    }
                }
                return count
            }
        }
        #expect(try rows() >= 41)
        for _ in 0..<(8 * 70) where try rows() > 0 { stage.cluster.doChores() }
        #expect(try rows() == 0)
    }

    @Test func aRosterIsBounded() throws {
        let stage = try Stage { $0.limits.rosterItems = 2 }
        let romeo = try stage.online("romeo", "orchard")
        for contact in ["a", "b", "c"] {
            try romeo.post(
                "<iq type='set' id='\(contact)'><query xmlns='jabber:iq:roster'><item jid='\(contact)@capulet.lit'/></query></iq>")
        }
        try romeo.post("<presence to='d@capulet.lit' type='subscribe'/>")
        stage.cluster.run()
        let answers = try romeo.elements().filter { $0["type"] == "result" || $0["type"] == "error" }
        #expect(answers.map { $0["type"] } == ["result", "result", "error", "error"])
    }

    @Test func aClientThatSendsTooFastIsReadLater() throws {
        let stage = try Stage { $0.limits.stanzasPerSecond = 5 }
        let romeo = try stage.online("romeo", "orchard")
        for number in 0..<8 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        #expect(!romeo.isReading)
        stage.cluster.advance(seconds: 2)
        #expect(romeo.isReading)
    }

    @Test func aFullQueueKeepsTheLastPresenceOfEach() throws {
        let stage = try Stage { $0.limits.sessionQueueStanzas = 20 }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try stage.befriend(romeo, juliet)
        juliet.isStalled = true
        for number in 0..<200 { try romeo.post("<presence><status>\(number)</status></presence>") }
        stage.cluster.run()
        try romeo.post("<iq type='get' id='q' to='juliet@capulet.lit/balcony'><ping xmlns='urn:xmpp:ping'/></iq>")
        stage.cluster.run()
        #expect(try romeo.elements().contains { $0["id"] == "q" && $0["type"] == "error" })
        #expect(juliet.closedWith == nil)
        juliet.unstall()
        stage.cluster.run()
        let seen = try juliet.elements()
        #expect(seen.count < 60)
        #expect(seen.last?.first(local: "status", namespace: "jabber:client")?.text == "199")
    }

    @Test func anOverrunEndsTheSessionAndLosesNothing() throws {
        let stage = try Stage { $0.limits.sessionQueueStanzas = 150 }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        juliet.isStalled = true
        for number in 0..<400 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        #expect(juliet.closedWith == "policy-violation")
        let again = try stage.cluster.connect("juliet", resource: "chamber", node: 0)
        try again.post("<presence><priority>1</priority></presence>")
        stage.cluster.run()
        #expect(try again.bodies().sorted() == (0..<400).map { "\($0)" }.sorted())
    }

    /// Relay: handed on at once, and kept when the session could not hand it to its client.
    @Test func relayedMessagesOfALostSessionAreKept() throws {
        let stage = try Stage { $0.hosts[0].durability = .relay }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try romeo.post(Stage.say("direct", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["direct"])
        juliet.isStalled = true
        try romeo.post(Stage.say("stuck", to: "juliet@capulet.lit"))
        try romeo.post("<message to='juliet@capulet.lit/balcony' id='full'><body>full</body></message>")
        stage.cluster.run()
        #expect(romeo.session?.unhandled == 0)
        juliet.end(.lost)
        stage.cluster.run()
        // A normal message to a resource that is gone is bounced (RFC 6121 §8.5.3.2.1).
        #expect(try romeo.elements().filter { $0["type"] == "error" }.compactMap { $0["id"] } == ["full"])
        let again = try stage.cluster.connect("juliet", resource: "chamber", node: 0)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try again.bodies() == ["stuck"])
    }

    @Test func whatADrainedNodeKnowsIsWrittenDown() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try romeo.post(Stage.say("once", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["once"])
        stage.cluster.nodes[0].shards[0].enter { $0.drain(patience: .seconds(5)) {} }
        stage.cluster.run()
        #expect(juliet.closedWith == "system-shutdown")
        #expect(try stage.cluster.connect("juliet", resource: "late", node: 0).closedWith == "system-shutdown")
        try stage.cluster.addNode()
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 1)
        let again = try stage.cluster.connect("juliet", resource: "chamber", node: 1)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try again.bodies().isEmpty)
    }
}
