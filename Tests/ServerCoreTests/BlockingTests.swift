@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

/// Blocking (XEP-0191) where a store, a node or a bound decides. What it does to stanzas is told by scripts.
@Suite struct BlockingTests {
    private func block(_ addresses: [String], _ stage: Stage, isRepeat: Bool = false) throws {
        let jids = try addresses.map { try JID($0) }
        let outcome = Outcome()
        try atHome(stage) { account in
            do throws(Account.BlockRefusal) { try account.block(jids, isRepeat: isRepeat) } catch { outcome.refusal = error }
        }
        if let refusal = outcome.refusal { throw refusal }
    }

    private final class Outcome: @unchecked Sendable { var refusal: Account.BlockRefusal? }

    /// Does something with Juliet's account, on its loop.
    private func atHome(_ stage: Stage, _ body: @escaping @Sendable (Account) -> Void) throws {
        let account = try #require(try stage.account("juliet"))
        let jid = account.jid
        account.shard.enter { shard in if let account = shard.accounts[jid] { body(account) } }
        stage.cluster.run()
    }

    private func types(_ client: MemoryClient) throws -> [String] {
        try client.elements().filter { $0.local == "presence" }.map { "\($0["from"] ?? "") \($0["type"] ?? "")" }
    }

    @Test(arguments: [
        (["romeo@montague.lit"], "romeo@montague.lit/orchard", true),
        (["romeo@montague.lit"], "romeo@montague.lit", true),
        (["romeo@montague.lit/orchard"], "romeo@montague.lit/orchard", true),
        (["romeo@montague.lit/orchard"], "romeo@montague.lit/garden", false),
        (["romeo@montague.lit/orchard"], "romeo@montague.lit", false),
        (["montague.lit"], "romeo@montague.lit/orchard", true),
        (["montague.lit"], "montague.lit", true),
        (["montague.lit"], "montague.lit/stage", true),
        (["montague.lit"], "rooms.montague.lit", false),
        (["montague.lit/stage"], "montague.lit/stage", true),
        (["montague.lit/stage"], "montague.lit", false),
        (["montague.lit/stage"], "romeo@montague.lit/stage", false),
        (["ROMEO@Montague.LIT"], "romeo@montague.lit", true),
        (["tybalt@capulet.lit"], "juliet@capulet.lit/balcony", false),
    ])
    func formsOfAddresses(_ list: [String], _ address: String, _ isBlocked: Bool) throws {
        let stage = try Stage()
        _ = try stage.online("juliet", "balcony")
        try block(list, stage)
        #expect(try stage.account("juliet")?.isBlocked(try JID(address)) == isBlocked)
    }

    @Test func theListIsBoundedAndTakenWholeOrNotAtAll() throws {
        let stage = try Stage { $0.limits.blockedAddresses = 3 }
        _ = try stage.online("juliet", "balcony")
        try block(["a@x.lit", "b@x.lit"], stage)
        #expect(throws: Account.BlockRefusal.self) { try block(["c@x.lit", "d@x.lit"], stage) }
        #expect(throws: Account.BlockRefusal.self) { try block(["c@x.lit", "juliet@capulet.lit"], stage) }
        #expect(try stage.account("juliet")?.blockedAddresses == ["a@x.lit", "b@x.lit"])
        // What stands there does not count twice.
        try block(["a@x.lit", "b@x.lit", "c@x.lit", "c@x.lit"], stage)
        #expect(try stage.account("juliet")?.blockedAddresses == ["a@x.lit", "b@x.lit", "c@x.lit"])
    }

    @Test func whoIsBlockedIsToldWhenItIsTrue() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try stage.befriend(romeo, juliet)
        stage.cluster.doChores()
        // The store refuses: nobody is blocked, and nobody saw anything.
        stage.cluster.volume.failNext(1)
        try block(["romeo@capulet.lit"], stage)
        #expect(try types(romeo).isEmpty)
        #expect(try stage.account("juliet")?.blockedAddresses.isEmpty == true)
        try romeo.post(Stage.say("heard", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try juliet.bodies() == ["heard"])
        stage.cluster.volume.holdsCommits = true
        try block(["romeo@capulet.lit"], stage)
        #expect(try types(romeo).isEmpty)
        stage.cluster.volume.holdsCommits = false
        stage.cluster.volume.releaseCommits()
        stage.cluster.run()
        #expect(try types(romeo) == ["juliet@capulet.lit/balcony unavailable"])
        // Asked again by a session whose home died: it may not have been told.
        try block(["romeo@capulet.lit"], stage)
        #expect(try types(romeo).isEmpty)
        try block(["romeo@capulet.lit"], stage, isRepeat: true)
        #expect(try types(romeo) == ["juliet@capulet.lit/balcony unavailable"])
    }

    @Test func theListOutlivesTheKeeperAndItsFollowersDo() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard", node: 1)
        let juliet = try stage.online("juliet", "balcony", node: 2)
        try stage.befriend(romeo, juliet)
        // The core claims no requests here; the session remembers what was asked all the same.
        try juliet.post("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
        stage.cluster.run()
        try block(["romeo@capulet.lit"], stage)
        _ = juliet.takeReceived()
        stage.cluster.kill(0)
        stage.cluster.takeOver(by: 1)
        stage.cluster.run()
        // A new home tells presence again where it may not have arrived: to whom it is blocked, it does not.
        _ = romeo.takeReceived()
        try juliet.post("<presence><show>away</show></presence>")
        try romeo.post(Stage.say("no", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try romeo.elements().filter { $0["from"]?.hasPrefix("juliet") == true }.map { $0["type"] ?? "" } == ["error"])
        #expect(try juliet.bodies().isEmpty)
        let account = try #require(try stage.account("juliet"))
        #expect(account.resources.first?.flags.contains(.blocklist) == true)
    }

    /// What waited of somebody who is blocked since is owed no more, and does not stand in the way of others.
    @Test func whatWaitsOfTheBlockedIsSettled() throws {
        let stage = try Stage(people: ["romeo", "juliet", "tybalt"])
        let romeo = try stage.online("romeo", "orchard")
        let tybalt = try stage.online("tybalt", "square")
        for number in 0..<3 {
            try romeo.post(Stage.say("r\(number)", to: "juliet@capulet.lit"))
            try tybalt.post(Stage.say("t\(number)", to: "juliet@capulet.lit"))
            stage.cluster.run()
        }
        let juliet = try stage.cluster.connect("juliet", resource: "balcony", node: 0)
        try block(["romeo@capulet.lit"], stage)
        try juliet.post("<presence/>")
        stage.cluster.run()
        #expect(try juliet.bodies() == ["t0", "t1", "t2"])
        stage.cluster.doChores()
        #expect(try stage.account("juliet")?.inbox.owed == 0)
        #expect(try stage.account("juliet")?.resources.first?.inFlight.isEmpty == true)
    }

    /// A domain covers a contact after the contact itself was unblocked.
    @Test func unblockingOneItemLeavesWhatOthersCover() throws {
        let stage = try Stage()
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        try stage.befriend(romeo, juliet)
        try block(["romeo@capulet.lit", "romeo@capulet.lit/orchard"], stage)
        _ = romeo.takeReceived()
        let account = try #require(try stage.account("juliet"))
        let orchard = try JID("romeo@capulet.lit/orchard")
        try atHome(stage) { $0.unblock([orchard], isRepeat: false) }
        #expect(account.isBlocked(orchard))
        #expect(try types(romeo).isEmpty)
        try atHome(stage) { $0.unblock([orchard.bare], isRepeat: false) }
        #expect(!account.isBlocked(orchard))
        #expect(try types(romeo) == ["juliet@capulet.lit/balcony "])
    }
}
