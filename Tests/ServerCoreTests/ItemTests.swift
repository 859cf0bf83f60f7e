import Settings
import Stanzas
import Store
import Synchronization
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// What modules may keep, read and be asked for at an account's home.
@Suite struct ItemTests {
    /// A module that keeps what it is told, in memory and in the store.
    final class Shelf: Module {
        static let name = "shelf"
        static let implements: [XEP] = []
        private static let query = Name("query", "urn:example:shelf")

        init(_ context: ModuleContext) {}

        func register(in registration: inout Registration) {
            registration.call("shelf.put") { argument, turn, answer in
                let name = String(decoding: argument, as: UTF8.self)
                turn.account.keep(.privateXML, name, argument)
                turn.account.keep(.push, name, argument)
                answer.reply(.value(argument))
            }
            registration.call("shelf.forgetful") { _, _, _ in }
            registration.iq(.get, Self.query, to: .ownAccount) { request, turn in
                let later = turn.later(request)
                let resident = turn.account.items(.push).keys.sorted()
                turn.account.read { (snapshot, rows) throws(StoreFailure) in
                    try rows.items(.privateXML, in: snapshot).map(\.name)
                } then: { result in
                    let stored = ((try? result.get()) ?? []).sorted()
                    later.reply(
                        .result { $0.element("query", text: "\(resident.joined(separator: ",")) \(stored.joined(separator: ","))") })
                }
                return .later
            }
        }
    }

    /// What a command at the home was answered.
    private final class Answers: Sendable {
        let all = Mutex<[CommandResult]>([])
    }

    private func call(_ name: String, _ argument: String, at jid: String, _ stage: Stage) throws -> CommandResult? {
        let answers = Answers()
        let jid = try JID(jid)
        stage.cluster.nodes[stage.cluster.keeper].shards[0].enter {
            $0.command(.call(name, Array(argument.utf8)), for: jid) { result in answers.all.withLock { $0.append(result) } }
        }
        stage.cluster.run()
        return answers.all.withLock { $0.count == 1 ? $0.first : nil }
    }

    private func shelf(_ client: MemoryClient, _ stage: Stage) throws -> String? {
        try client.post("<iq type='get' id='s'><query xmlns='urn:example:shelf'/></iq>")
        stage.cluster.run()
        return try client.elements().last { $0["id"] == "s" }?.children.first { $0.local == "query" }?.text
    }

    @Test func itemsSurviveTheHome() throws {
        let stage = try Stage(nodes: 3, modules: [Shelf.self])
        let juliet = try stage.online("juliet", "balcony", node: 1)
        #expect(try call("shelf.put", "rose", at: "juliet@capulet.lit", stage) == .value(Array("rose".utf8)))
        #expect(try shelf(juliet, stage) == "rose rose")
        let keeper = stage.cluster.keeper
        stage.cluster.kill(keeper)
        stage.cluster.takeOver(by: 2)
        stage.cluster.run()
        #expect(try shelf(juliet, stage) == "rose rose")
    }

    /// Nothing that a failed commit took away is shown, and the next attempt works.
    @Test func aFailedCommitTakesItemsBack() throws {
        let stage = try Stage(modules: [Shelf.self])
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.volume.failNext()
        guard case .failed? = try call("shelf.put", "rose", at: "juliet@capulet.lit", stage) else {
            Issue.record("a call whose commit fails was answered as done")
            return
        }
        #expect(try shelf(juliet, stage) == " ")
        #expect(try call("shelf.put", "rose", at: "juliet@capulet.lit", stage) == .value(Array("rose".utf8)))
        #expect(try shelf(juliet, stage) == "rose rose")
    }

    /// A host's account needs no making, lists with no accounts, and keeps its items like any other.
    @Test func aHostHasAnAccount() throws {
        let stage = try Stage(modules: [Shelf.self])
        #expect(try call("shelf.put", "notice", at: "capulet.lit", stage) == .value(Array("notice".utf8)))
        #expect(try call("shelf.put", "notice", at: "verona.lit", stage) == .notFound)
        let volume = stage.cluster.volume
        let (listed, kept) = try volume.read { snapshot in
            let page = try AccountRecord.page(ofHost: nil, after: nil, limit: 10, in: snapshot, identity: volume.identity)
            let host = try AccountRecord.find("capulet.lit", in: snapshot, identity: volume.identity)
            let rows = host.map {
                AccountRows(partition: volume.identity.partition(of: "capulet.lit"), number: $0.number, identity: volume.identity)
            }
            return (page.accounts.map(\.jid).sorted(), try rows?.item(.push, "notice", in: snapshot))
        }
        #expect(listed == ["juliet@capulet.lit", "romeo@capulet.lit"])
        #expect(kept == Array("notice".utf8))
    }

    /// A call that nobody answers, and one that nobody knows, still end.
    @Test func everyCallIsAnswered() throws {
        let stage = try Stage(modules: [Shelf.self])
        for name in ["shelf.forgetful", "shelf.unknown"] {
            guard case .failed? = try call(name, "", at: "juliet@capulet.lit", stage) else {
                Issue.record("\(name) was not answered")
                continue
            }
        }
    }

    /// What an account kept goes with it.
    @Test func itemsGoWithTheirAccount() throws {
        let stage = try Stage(modules: [Shelf.self])
        _ = try call("shelf.put", "rose", at: "juliet@capulet.lit", stage)
        try stage.command(.delete, "juliet")
        for _ in 0..<1_000 { stage.cluster.doChores() }
        let rows = try stage.cluster.volume.read { snapshot in
            var count = 0
            try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { (key, _) throws(StoreFailure) in
                if key[2] == Keys.Table.item.rawValue { count += 1 }
                return true
            }
            return count
        }
        #expect(rows == 0)
    }
}
