import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// What accounts write into their archives, whatever fails meanwhile.
@Suite struct ArchiveTests {
    /// Everything archived of an account: id and body.
    private func archive(_ stage: Stage, _ name: String) throws -> [(id: String, body: String)] {
        let jid = "\(name)@capulet.lit"
        let identity = stage.cluster.volume.identity
        return try stage.cluster.volume.read { snapshot in
            guard let record = try AccountRecord.find(jid, in: snapshot, identity: identity) else { return [] }
            let rows = AccountRows(partition: identity.partition(of: jid), number: record.number, identity: identity)
            let ids = ArchiveIDs(key: record.archiveKey)
            var all: [(id: String, body: String)] = []
            _ = try rows.scanArchive(0...UInt64.max, peer: nil, reverse: false, rows: .max, in: snapshot) { message in
                let text = String(decoding: message.stanza.payload, as: UTF8.self)
                all.append(
                    (ids.id(message.sequence), text.split(separator: "body>").dropFirst().first.map { String($0.dropLast(2)) } ?? text))
                return true
            }
            return all
        }
    }

    /// Rows of the table of messages.
    private func messageRows(_ stage: Stage) throws -> Int {
        var count = 0
        try stage.cluster.volume.read { snapshot in
            try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { key, _ in
                if key.count > 2, key[2] == Keys.Table.message.rawValue { count += 1 }
                return true
            }
        }
        return count
    }

    private func stanzaIDs(_ client: MemoryClient) throws -> [String] {
        try client.elements().compactMap { $0.first(local: "stanza-id", namespace: NS.stanzaID)?["id"] }
    }

    @Test func aMessageIsOneRecordOfEach() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        for number in 0..<5 {
            let puts = stage.cluster.volume.statistics.operations
            try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit"))
            stage.cluster.run()
            #expect(stage.cluster.volume.statistics.operations == puts + 2)
            #expect(try messageRows(stage) == 2 * (number + 1))
        }
        let ids = try stanzaIDs(juliet)
        #expect(try archive(stage, "juliet").map(\.id) == ids)
        #expect(try archive(stage, "juliet").map(\.body) == (0..<5).map { "\($0)" })
        #expect(try archive(stage, "romeo").map(\.body) == (0..<5).map { "\($0)" })
        // What is acknowledged stays.
        for _ in 0..<100 { stage.cluster.doChores() }
        stage.cluster.advance(seconds: 1_000)
        for _ in 0..<100 { stage.cluster.doChores() }
        #expect(try messageRows(stage) == 10)
    }

    /// Owed and archived, read from the inbox: the same id, after a lost socket and after a new home.
    @Test func theIDStaysTheSame() throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 1)
        juliet.isStalled = true
        try romeo.post(Stage.say("hi", to: "juliet@capulet.lit"))
        stage.cluster.run()
        juliet.end(.lost)
        stage.cluster.run()
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 1)
        try again.post("<presence/>")
        stage.cluster.run()
        let message = try #require(try again.elements().first { $0.local == "message" })
        #expect(message.first(local: "delay", namespace: NS.delay) != nil)
        #expect(message.first(local: "stanza-id", namespace: NS.stanzaID)?["id"] == (try archive(stage, "juliet").first?.id))
        #expect(message.children.filter { $0.local == "stanza-id" }.count == 1)
    }

    /// A home that dies between its commits and their completions: what is submitted again stands in both archives once.
    @Test(arguments: [0, 1, 2]) func whatIsSubmittedAgainIsArchivedOnce(_ commits: Int) throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 1)
        stage.cluster.volume.holdsCommits = true
        for text in ["one", "two"] {
            try romeo.post(Stage.say(text, to: "juliet@capulet.lit"))
            stage.cluster.run()
        }
        // Durable, and nobody hears of it.
        stage.cluster.kill(0, arrives: 0)
        stage.cluster.volume.releaseCommits(commits)
        stage.cluster.volume.dropCommits()
        stage.cluster.volume.holdsCommits = false
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        #expect(try archive(stage, "juliet").map(\.body) == ["one", "two"])
        #expect(try archive(stage, "romeo").map(\.body) == ["one", "two"])
        let bodies = try juliet.bodies()
        #expect(bodies == ["one", "two"])
    }

    /// A client that heard no acknowledgement sends again with the same origin-id.
    @Test func whatAClientSendsAgainIsArchivedOnce() throws {
        let stage = try Stage(people: ["romeo", "juliet", "nurse"])
        let romeo = try stage.online("romeo", "orchard")
        let text = "<origin-id xmlns='\(NS.stanzaID)' id='o1'/><body>x</body>"
        for to in ["juliet", "juliet", "nurse"] { try romeo.post("<message type='chat' to='\(to)@capulet.lit'>\(text)</message>") }
        stage.cluster.run()
        #expect(try archive(stage, "juliet").count == 1)
        // The same id to somebody else is another message.
        #expect(try archive(stage, "romeo").count == 2)
        #expect(try archive(stage, "nurse").count == 1)
    }

    /// However much it is that a client sends again, and whoever is the home by then.
    @Test(arguments: [false, true]) func muchThatIsSentAgainIsArchivedOnce(_ homeDies: Bool) throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        func sendAll(_ client: MemoryClient) throws {
            for number in 0..<600 {
                try client.post(
                    "<message type='chat' to='juliet@capulet.lit'><origin-id xmlns='\(NS.stanzaID)' id='o\(number)'/><body>\(number)</body></message>"
                )
                if number % 50 == 0 { stage.cluster.run() }
            }
            stage.cluster.run()
        }
        try sendAll(romeo)
        if homeDies {
            stage.cluster.kill(stage.cluster.keeper)
            stage.cluster.takeOver(by: 1)
            stage.cluster.run()
        }
        let again = try stage.online("romeo", "garden", node: 1)
        try sendAll(again)
        #expect(try archive(stage, "juliet").map(\.body) == (0..<600).map { "\($0)" })
        #expect(try archive(stage, "romeo").count == 600)
    }

    @Test func whatWasAcknowledgedStaysSoAfterAFailedCommit() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try romeo.post(Stage.say("had", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["had"])
        // Once before the acknowledgement is written, once while it is.
        for isFlushed in [false, true] {
            if isFlushed {
                stage.cluster.volume.failNext(1)
                stage.cluster.doChores()
            } else {
                stage.cluster.volume.failNext(1)
                try romeo.post(Stage.say("lost", to: "juliet@capulet.lit"))
                stage.cluster.run()
            }
            stage.cluster.advance(seconds: 2)
            let other = try stage.online("juliet", "chamber\(isFlushed)", priority: 5)
            stage.cluster.run()
            #expect(try other.bodies().isEmpty && juliet.bodies().isEmpty)
            #expect(try stage.account("juliet")?.inbox.isEmpty == true)
        }
        #expect(try archive(stage, "juliet").map(\.body) == ["had"])
    }

    /// Of who only sends nothing is ever acknowledged: yet what stands above the mark stays short.
    @Test func theMarkFollowsWhoOnlySends() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        for number in 0..<1_100 {
            try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit"))
            stage.cluster.run()
            _ = romeo.takeReceived()
        }
        stage.cluster.doChores()
        let account = try #require(try stage.account("romeo"))
        let mark: InboxRecord? = try stage.cluster.volume.read { snapshot in
            let key = Keys.inbox(account.partition, account.record?.number ?? 0)
            return try snapshot.get(key).map { try InboxRecord.decode($0, key: key) }
        }
        #expect(try #require(mark).ackedThrough >= 1_700_000_000_000_000)

    }

    // MARK: Bounds

    private func refusals(_ client: MemoryClient) throws -> [String] {
        try client.elements().filter { $0["type"] == "error" }.map { error in
            let cause = error.first(local: "error", namespace: NS.client)
            return cause?.children.first { $0.local == "service-unavailable" } == nil
                ? "another" : cause?.first(local: "text", namespace: "urn:ietf:params:xml:ns:xmpp-stanzas")?.text ?? ""
        }
    }

    @Test(arguments: [true, false]) func aFullInboxRefusesAndIsArchivedNot(_ byBytes: Bool) throws {
        let stage = try Stage { if byBytes { $0.offline.bytes = 2_000 } else { $0.offline.messages = 3 } }
        let romeo = try stage.online("romeo", "orchard")
        let text = String(repeating: "x", count: 400)
        for _ in 0..<6 {
            try romeo.post(Stage.say(text, to: "juliet@capulet.lit"))
            stage.cluster.run()
        }
        let kept = 3
        #expect(try refusals(romeo) == Array(repeating: "The recipient's inbox is full", count: 6 - kept))
        #expect(try archive(stage, "juliet").count == kept)
        #expect(try archive(stage, "romeo").count == 6)
        // Loaded anew the size is the same, and what is fetched makes room.
        stage.cluster.doChores()
        let before = try #require(try stage.account("juliet")?.inbox.bytes)
        #expect(before > 1_800)
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.doChores()
        #expect(try stage.account("juliet")?.inbox.bytes == 0)
        juliet.end(.closedByPeer)
        stage.cluster.run()
        try romeo.post(Stage.say("room", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try refusals(romeo).isEmpty)
    }

    @Test func theSizeOfAnInboxIsLoadedWithIt() throws {
        let stage = try Stage(nodes: 2) { $0.offline.bytes = 100_000 }
        let romeo = try stage.online("romeo", "orchard", node: 1)
        for number in 0..<20 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        // Some below the mark, some above: one session takes some, and the mark is written.
        let juliet = try stage.online("juliet", "balcony", node: 1)
        juliet.isStalled = true
        for number in 20..<40 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        stage.cluster.doChores()
        for number in 40..<45 { try romeo.post(Stage.say("\(number)", to: "juliet@capulet.lit")) }
        stage.cluster.run()
        let before = try #require(try stage.account("juliet")?.inbox)
        #expect(before.owed == 25 && before.bytes > 0)
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        let after = try #require(try stage.account("juliet")?.inbox)
        #expect(after.all == before.all && after.bytes == before.bytes)
    }

    // MARK: Relay

    @Test func aHostThatRelaysArchivesWithoutWaiting() throws {
        let stage = try Stage { $0.hosts[0].durability = .relay }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.volume.holdsCommits = true
        try romeo.post(Stage.say("fast", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let message = try #require(try juliet.elements().first)
        #expect(romeo.session?.unhandled == 0)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(message.first(local: "stanza-id", namespace: NS.stanzaID)?["id"] == (try archive(stage, "juliet").first?.id))
        #expect(try archive(stage, "romeo").count == 1)
        // Given back by a session that could not hand it over, it is archived already, and owed now.
        juliet.isStalled = true
        try romeo.post(Stage.say("back", to: "juliet@capulet.lit"))
        stage.cluster.run()
        juliet.end(.lost)
        stage.cluster.run()
        #expect(try archive(stage, "juliet").map(\.body) == ["fast", "back"])
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try stanzaIDs(again) == archive(stage, "juliet").suffix(1).map(\.id))
    }

    @Test func aHostWithoutArchiveKeepsNone() throws {
        let stage = try Stage { $0.hosts[0].archive = false }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try romeo.post(Stage.say("hi", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try stanzaIDs(juliet).isEmpty)
        stage.cluster.advance(seconds: 1_000)
        for _ in 0..<100 { stage.cluster.doChores() }
        #expect(try messageRows(stage) == 0)
    }

    // MARK: Retraction

    /// Nobody can pile up searches, and what waits for them goes on when the last is done, or never.
    @Test func searchesWaitForEachOtherAndAreBounded() throws {
        var queue = RetractionQueue()
        var ran = 0
        func search(_ number: Int) throws -> RetractionSearch {
            RetractionSearch(
                from: try JID("a@x"), to: try JID("b@x"), peer: 1, id: "\(number)", originIDHash: 0, tombstone: .empty, below: 10)
        }
        #expect(queue.add(try search(0)))
        for number in 1..<100 { #expect(!queue.add(try search(number))) }
        queue.waiting.append { ran += 1 }
        var left = 0
        while !queue.isEmpty {
            #expect(ran == 0)
            for body in queue.removeFirst() { body() }
            left += 1
        }
        #expect(ran == 1 && left == 64)
        #expect(queue.removeFirst().isEmpty)
        let generation = queue.generation
        #expect(queue.add(try search(1)))
        queue.waiting.append { ran += 1 }
        queue.forgetAll()
        #expect(queue.isEmpty && queue.waiting.isEmpty && queue.generation > generation && ran == 1)
    }

    /// A commit that fails while a search is under way: the account goes on, and the next retraction is honoured.
    @Test func aRetractionSurvivesAFailedCommit() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        func retract(_ id: String) throws {
            try romeo.post(
                "<message type='chat' to='juliet@capulet.lit' id='r\(id)'><retract xmlns='\(NS.retraction)' id='\(id)'/></message>")
        }
        for text in ["one", "two"] { try romeo.post(Stage.say(text, to: "juliet@capulet.lit")) }
        stage.cluster.run()
        stage.cluster.volume.failNext(1)
        try retract("one")
        stage.cluster.run()
        stage.cluster.advance(seconds: 2)
        try retract("two")
        stage.cluster.run()
        for name in ["romeo", "juliet"] {
            let bodies = try archive(stage, name).map(\.body)
            #expect(bodies.first == "one")
            #expect(bodies.dropFirst().first?.hasPrefix("<retracted ") == true)
        }
        juliet.end(.closedByPeer)
        stage.cluster.run()
        // What waits for searches goes on.
        try romeo.post(Stage.say("three", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let again = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try again.bodies() == ["three"])
    }

    // MARK: Retention

    @Test func whatIsTooOldGoesInItsTime() throws {
        let stage = try Stage(nodes: 2, loops: 2) {
            $0.archive.days = 10
            $0.hosts[0].archiveDays = 3
        }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony", node: 1)
        for day in 0..<6 {
            try romeo.post(Stage.say("\(day)", to: "juliet@capulet.lit"))
            stage.cluster.run()
            stage.cluster.advance(seconds: 86_400)
            for _ in 0..<4 { stage.cluster.doChores() }
            stage.cluster.advance(seconds: 0)
        }
        #expect(try juliet.bodies().count == 6)
        for name in ["romeo", "juliet"] { #expect(try archive(stage, name).map(\.body) == ["4", "5"]) }
    }
}
