@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// What happens when the store, a node or a client fails in the middle of a conversation.
@Suite struct ConversationTests {
    /// The row that the grant of a resource waits for is all that a login writes.
    @Test func aLoginIsOneCommitOfOneRow() throws {
        let stage = try Stage()
        let before = stage.cluster.volume.statistics
        let romeo = try stage.online("romeo", "orchard")
        let after = stage.cluster.volume.statistics
        #expect(after.commits == before.commits + 1 && after.operations == before.operations + 1)
        // Nor does further presence; an address that must hear of its end is written down.
        try romeo.post("<presence><show>away</show></presence>")
        stage.cluster.run()
        #expect(stage.cluster.volume.statistics.operations == after.operations)
        try romeo.post("<presence to='juliet@capulet.lit'/>")
        stage.cluster.run()
        #expect(stage.cluster.volume.statistics.operations == after.operations + 1)
    }

    @Test func aFailedCommitIsAnErrorToTheSenderAndNothingElse() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.doChores()
        stage.cluster.volume.failNext(1)
        try romeo.post(Stage.say("lost", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies().isEmpty)
        let answer = try #require(try romeo.elements().first)
        #expect(answer["type"] == "error")
        #expect(answer["id"] == "lost")
        let error = try #require(answer.first(local: "error", namespace: "jabber:client"))
        #expect(error["type"] == "wait")
        #expect(error.children.contains { $0.local == "resource-constraint" })
        // The session lives on, and so does the account.
        for text in ["one", "two"] { try romeo.post(Stage.say(text, to: "juliet@capulet.lit")) }
        stage.cluster.run()
        #expect(try juliet.bodies() == ["one", "two"])
        #expect(romeo.session?.unhandled == 0)
        #expect(romeo.isReading)
    }

    @Test func severalFailuresShutNothingForEver() throws {
        let stage = try Stage(nodes: 2, loops: 2)
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony", node: 1)
        stage.cluster.volume.holdsCommits = true
        for number in 0..<6 {
            try romeo.post(Stage.say("a\(number)", to: "juliet@capulet.lit"))
            stage.cluster.run()
        }
        stage.cluster.volume.failNext(stage.cluster.volume.statistics.waiting)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(try juliet.bodies().isEmpty)
        #expect(try romeo.elements().filter { $0["type"] == "error" }.compactMap { $0["id"] } == (0..<6).map { "a\($0)" })
        try romeo.post(Stage.say("after", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["after"])
        #expect(try stage.account("juliet")?.resources.count == 1)
    }

    /// A full disk refuses one commit after the other, and with each the account is read anew.
    @Test(arguments: [true, false]) func whatWasAcknowledgedStaysSoHoweverManyCommitsFail(isArchived: Bool) throws {
        let stage = try Stage { $0.hosts[0].archive = isArchived }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try romeo.post(Stage.say("had", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["had"])
        for _ in 0..<4 {
            // What is acknowledged is written, or what is no longer needed removed, together with a message, and alone.
            stage.cluster.volume.failNext(1)
            try romeo.post(Stage.say("lost", to: "juliet@capulet.lit"))
            stage.cluster.run()
            stage.cluster.volume.failNext(1)
            stage.cluster.doChores()
            stage.cluster.advance(seconds: 2)
        }
        #expect(try juliet.bodies().isEmpty)
        stage.cluster.doChores()
        stage.cluster.run()
        let other = try stage.online("juliet", "chamber", priority: 5)
        #expect(try other.bodies().isEmpty && juliet.bodies().isEmpty)
        #expect(try stage.account("juliet")?.inbox.isEmpty == true)
    }

    @Test func nothingIsDeliveredBeforeItIsDurable() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.volume.holdsCommits = true
        try romeo.post(Stage.say("kept", to: "juliet@capulet.lit"))
        try romeo.post("<message to='juliet@capulet.lit' type='headline'><body>news</body></message>")
        stage.cluster.run()
        #expect(try juliet.bodies().isEmpty)
        #expect(romeo.session?.unhandled == 2)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(try juliet.bodies() == ["kept", "news"])
        #expect(romeo.session?.unhandled == 0)
    }

    /// A conversation of three nodes, with its keeper killed after every number of steps.
    @Test func theKeeperMayDieAtAnyPoint() throws {
        for point in stride(from: 0, to: 90, by: 1) {
            let stage = try Stage(nodes: 3)
            let romeo = try stage.online("romeo", "orchard", node: 1)
            let juliet = try stage.online("juliet", "balcony", node: 2)
            try stage.befriend(romeo, juliet)
            var chance = Chance(seed: UInt64(point))
            stage.cluster.isUnruly = true
            for number in 0..<5 { try romeo.post(Stage.say("a\(number)", to: "juliet@capulet.lit")) }
            try juliet.post("<presence><show>away</show></presence>")
            for number in 0..<5 { try juliet.post(Stage.say("b\(number)", to: "romeo@capulet.lit")) }
            for _ in 0..<point { stage.cluster.step(&chance) }
            stage.cluster.killUnruly(0, &chance)
            stage.cluster.takeOver(by: 1 + point % 2)
            stage.cluster.isUnruly = false
            stage.cluster.run()
            for (client, letter) in [(romeo, "b"), (juliet, "a")] {
                var seen: Set<String> = []
                let elements = try client.elements()
                let bodies = elements.compactMap { $0.first(local: "body", namespace: "jabber:client")?.text }
                #expect(bodies.filter { seen.insert($0).inserted } == (0..<5).map { "\(letter)\($0)" }, "point \(point)")
                #expect(client.session?.unhandled == 0, "point \(point)")
                if letter == "b" {
                    #expect(elements.contains { $0.first(local: "show", namespace: "jabber:client")?.text == "away" }, "point \(point)")
                }
            }
        }
    }

    @Test(arguments: [0, 2])
    func aDeadNodeTakesItsSessionsAlong(_ dead: Int) throws {
        let stage = try Stage(nodes: 3, people: ["romeo", "juliet", "tybalt"])
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: dead)
        let tybalt = try stage.online("tybalt", "square", node: 1)
        try stage.befriend(romeo, juliet)
        try juliet.post("<presence to='tybalt@capulet.lit/square'/>")
        stage.cluster.run()
        for client in [romeo, tybalt] { _ = client.takeReceived() }
        stage.cluster.kill(dead)
        if dead == stage.cluster.keeper { stage.cluster.takeOver(by: 1) }
        stage.cluster.run()
        for client in [romeo, tybalt] {
            let gone = try client.elements().filter { $0["from"] == "juliet@capulet.lit/balcony" }
            #expect(gone.map { $0["type"] } == ["unavailable"])
        }
        try romeo.post(Stage.say("later", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 1)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try again.bodies() == ["later"])
    }

    @Test func aBindingThatItsHomeDidNotSurviveIsAskedForAgain() throws {
        for steps in 0..<12 {
            let stage = try Stage(nodes: 2)
            var chance = Chance(seed: UInt64(steps))
            stage.cluster.isUnruly = true
            let client = try stage.cluster.begin("juliet", resource: "balcony", node: 1)
            for _ in 0..<steps { stage.cluster.step(&chance) }
            stage.cluster.killUnruly(0, &chance)
            stage.cluster.takeOver(by: 1)
            stage.cluster.isUnruly = false
            stage.cluster.run()
            #expect(client.jid == "juliet@capulet.lit/balcony", "\(steps) steps")
            #expect(try stage.account("juliet")?.resources.count == 1, "\(steps) steps")
            client.end(.lost)
            stage.cluster.run()
            #expect(try stage.account("juliet")?.resources.isEmpty == true, "\(steps) steps")
        }
    }

    @Test func floodsBothWaysArriveInOrder() throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony", node: 1)
        let count = 3_000
        var got: [[String]] = [[], []]
        for number in 0..<count {
            try romeo.post(Stage.say("a\(number)", to: "juliet@capulet.lit"))
            try juliet.post(Stage.say("b\(number)", to: "romeo@capulet.lit"))
            if number % 50 == 49 {
                stage.cluster.run()
                got[0] += try juliet.bodies()
                got[1] += try romeo.bodies()
            }
            if number % 500 == 499 { stage.cluster.doChores() }
        }
        stage.cluster.run()
        stage.cluster.doChores()
        #expect(got[0] == (0..<count).map { "a\($0)" })
        #expect(got[1] == (0..<count).map { "b\($0)" })
        #expect(romeo.isReading && juliet.isReading)
        // What is settled does not stay in the store.
        #expect(try stage.account("juliet")?.spent.count ?? .max < 200)
    }
}
