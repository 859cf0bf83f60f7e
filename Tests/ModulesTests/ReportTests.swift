import Modules
import ServerCore
import Settings
import Stanzas
import TestKit
import Testing

/// Reports of abuse (XEP-0377), as the host keeps them.
@Suite struct ReportTests {
    private func cluster(nodes: Int = 1, _ change: (inout Settings) -> Void = { _ in }) throws -> MemoryCluster {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        change(&settings)
        let cluster = try MemoryCluster(nodes: nodes, modules: ModuleList.all, settings: settings)
        for name in ["juliet", "romeo"] { try cluster.addAccount(name) }
        return cluster
    }

    private func call(_ name: String, _ argument: [UInt8], _ cluster: MemoryCluster) throws -> CommandResult? {
        final class Box: @unchecked Sendable { var result: CommandResult? }
        let box = Box()
        let host = try JID("capulet.lit")
        cluster.nodes[cluster.keeper].shards[0].enter { $0.command(.call(name, argument), for: host) { box.result = $0 } }
        cluster.run()
        return box.result
    }

    private func list(_ cluster: MemoryCluster) throws -> [ReportCalls.Entry] {
        guard case .value(let bytes)? = try call(ReportCalls.list, ReportCalls.encode(ReportCalls.Cursor()), cluster) else { return [] }
        return try ReportCalls.page(bytes).entries
    }

    private func report(_ address: String, _ content: String = "", reason: String = "urn:xmpp:reporting:spam", id: String = "b") -> String {
        "<iq type='set' id='\(id)'><block xmlns='urn:xmpp:blocking'><item jid='\(address)'><report xmlns='urn:xmpp:reporting:1' reason='\(reason)'>\(content)</report></item></block></iq>"
    }

    @Test func everythingIsKept() throws {
        let cluster = try cluster()
        let juliet = try cluster.connect("juliet", resource: "chamber", node: 0)
        try juliet.post(
            report(
                "romeo@example.net/home",
                "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='28482'/><text xml:lang='en'>\n  Never came trouble.\n </text><text>Nie</text><third-party/>"
            ))
        cluster.run()
        let entries = try list(cluster)
        let id = try #require(entries.first?.id)
        #expect(entries.count == 1)
        guard case .value(let bytes)? = try call(ReportCalls.show, Array(id.utf8), cluster) else {
            Issue.record("the report cannot be shown")
            return
        }
        #expect(
            try AbuseReport(bytes)
                == AbuseReport(
                    stamp: cluster.clock.now, reporter: "juliet@capulet.lit", reported: "romeo@example.net/home",
                    reason: "urn:xmpp:reporting:spam",
                    texts: [.init(language: "en", text: "Never came trouble."), .init(language: "", text: "Nie")],
                    messages: [.init(by: "romeo@example.net", id: "28482")], mayTellOrigin: false, mayTellOthers: true))
        #expect(try call(ReportCalls.show, Array("nothing".utf8), cluster) == .notFound)
        #expect(try call(ReportCalls.delete, ReportCalls.encode(ids: ["nothing", id, id]), cluster) == .done(1))
        #expect(try list(cluster).isEmpty)
        #expect(try call(ReportCalls.delete, ReportCalls.encode(ids: [id]), cluster) == .done(0))
    }

    @Test func boundsHold() throws {
        let cluster = try cluster {
            $0.limits.reports = 5
            $0.limits.reportsPerAccount = 3
        }
        let juliet = try cluster.connect("juliet", resource: "chamber", node: 0)
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
        for number in 0..<5 {
            try juliet.post(report("a\(number)@x.lit"))
            cluster.advance(seconds: 1)
        }
        // The oldest of one who reports much make room for the newest.
        #expect(try list(cluster).map(\.report.reported) == ["a2@x.lit", "a3@x.lit", "a4@x.lit"])
        for number in 0..<3 {
            try romeo.post(report("b\(number)@x.lit"))
            cluster.advance(seconds: 1)
        }
        // The host is full; whoever has reports there may still replace them.
        #expect(try list(cluster).map(\.report.reported) == ["a2@x.lit", "a3@x.lit", "a4@x.lit", "b0@x.lit", "b1@x.lit"])
        #expect(romeo.takeReceived().count { $0.contains("result") } == 3)
        try juliet.post(report("a5@x.lit"))
        cluster.run()
        #expect(try list(cluster).map(\.report.reported) == ["a3@x.lit", "a4@x.lit", "b0@x.lit", "b1@x.lit", "a5@x.lit"])
    }

    @Test func oneReportIsBounded() throws {
        let cluster = try cluster()
        let juliet = try cluster.connect("juliet", resource: "chamber", node: 0)
        let ids = (0..<50).map { "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@x.lit' id='\($0)'/>" }.joined()
        let texts = (0..<10).map { "<text xml:lang='l\($0)'>\(String(repeating: "é", count: 5_000))</text>" }.joined()
        try juliet.post(report("romeo@x.lit", "<stanza-id xmlns='urn:xmpp:sid:0' by='@' id='x'/>" + ids + texts))
        try juliet.post(report("tybalt@x.lit", reason: String(repeating: "r", count: 300), id: "long"))
        try juliet.post(report("tybalt@x.lit", reason: "", id: "empty"))
        cluster.run()
        let entries = try list(cluster)
        #expect(entries.map(\.report.reported) == ["romeo@x.lit"])
        guard case .value(let bytes)? = try call(ReportCalls.show, Array((entries.first?.id ?? "").utf8), cluster) else {
            Issue.record("the report cannot be shown")
            return
        }
        let report = try AbuseReport(bytes)
        #expect(report.texts.count == 4 && report.texts.allSatisfy { $0.text.utf8.count == 2_048 })
        #expect(report.messages.count == 19)
        // Each blocks, whatever becomes of its report.
        let answers = juliet.takeReceived()
        for id in ["b", "long", "empty"] { #expect(answers.contains { $0.contains("id='\(id)'") && $0.contains("result") }) }
    }

    @Test func switchedOffNoneIsTaken() throws {
        let cluster = try cluster { $0.limits.reports = 0 }
        let juliet = try cluster.connect("juliet", resource: "chamber", node: 0)
        try juliet.post(report("romeo@x.lit"))
        try juliet.post("<iq type='get' id='d' to='capulet.lit'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        cluster.run()
        #expect(try list(cluster).isEmpty)
        let answers = juliet.takeReceived()
        #expect(answers.contains { $0.contains("id='b'") && $0.contains("result") })
        let disco = try #require(answers.first { $0.contains("id='d'") })
        #expect(!disco.contains("urn:xmpp:reporting") && disco.contains("urn:xmpp:blocking"))
    }

    /// The home dies at any step of a block command with a report: the client hears one result, and one report is kept.
    @Test func aReportIsKeptOnceWhateverDies() throws {
        for steps in 0..<40 {
            let cluster = try cluster(nodes: 3)
            let juliet = try cluster.connect("juliet", resource: "chamber", node: 1)
            var chance = Chance(seed: UInt64(steps))
            cluster.isUnruly = true
            try juliet.post(report("romeo@x.lit"))
            for _ in 0..<steps { cluster.step(&chance) }
            cluster.killUnruly(0, &chance)
            cluster.takeOver(by: 2)
            cluster.isUnruly = false
            cluster.run()
            cluster.advance(seconds: 15)
            #expect(try list(cluster).count == 1, "\(steps) steps")
            let results = juliet.takeReceived().filter { $0.contains("id='b'") && $0.contains("result") }
            #expect(!results.isEmpty, "\(steps) steps")
        }
    }

    @Test func noBytesTrap() throws {
        var chance = Chance(seed: 9)
        let entry = ReportCalls.Entry(
            id: "x", report: AbuseReport(stamp: 1, reporter: "a@b", reported: "c@d", reason: "r", texts: [.init(language: "en", text: "t")])
        )
        let good = ReportCalls.encode([entry, entry])
        #expect(try ReportCalls.entries(good) == [entry, entry])
        for end in good.indices { #expect(throws: (any Error).self) { try ReportCalls.entries(Array(good[..<end])) } }
        for _ in 0..<2_000 {
            var bent = good
            for _ in 0...chance.below(3) { bent[chance.below(bent.count)] = UInt8(chance.below(256)) }
            _ = try? ReportCalls.entries(bent)
            _ = try? ReportCalls.page(bent)
            _ = try? ReportCalls.ids(bent)
            _ = try? ReportCalls.cursor(bent)
            _ = try? AbuseReport(bent)
        }
    }
}
