import Modules
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// What accounts learn of their clients (XEP-0115).
@Suite struct CapabilitiesTests {
    private static let ver = "QgayPKawpkPSDYmwT/WM94uAlu0="
    private static let announcement = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://exodus' ver='\(ver)'/>"
    private static let honest = """
        <query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' name='Exodus 0.9.1' type='pc'/>\
        <feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>\
        <feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/></query>
        """

    private func cluster(nodes: Int = 1) throws -> MemoryCluster {
        let cluster = try MemoryCluster(nodes: nodes, modules: ModuleList.all)
        for person in ["romeo", "juliet", "tybalt"] { try cluster.addAccount(person) }
        return cluster
    }

    private func announce(_ name: String, _ cluster: MemoryCluster, node: Int = 0, _ c: String = announcement) throws -> MemoryClient {
        let client = try cluster.connect(name, resource: "r", node: node)
        try client.post("<presence>\(c)</presence>")
        cluster.run()
        return client
    }

    /// The ids of the questions that a client got.
    private func questions(_ client: MemoryClient) throws -> [String] {
        try client.takeReceived().map { try Element.parse(Array($0.utf8)) }.filter { $0.local == "iq" && $0["type"] == "get" }.compactMap {
            $0["id"]
        }
    }

    private func capabilities(_ name: String, _ cluster: MemoryCluster) throws -> DiscoInfo? {
        let session = try JID("\(name)@\(cluster.domain)/r")
        return cluster.nodes[cluster.keeper].shards.lazy.compactMap { $0.accounts[session.bare]?.capabilities(of: session) }.first
    }

    @Test func oneIsAskedForAll() throws {
        let cluster = try cluster()
        let romeo = try announce("romeo", cluster)
        let juliet = try announce("juliet", cluster)
        let ids = try questions(romeo)
        #expect(ids.count == 1)
        #expect(try questions(juliet).isEmpty)
        #expect(try capabilities("romeo", cluster) == nil)
        try romeo.post("<iq type='result' id='\(try #require(ids.first))'>\(Self.honest)</iq>")
        cluster.run()
        for name in ["romeo", "juliet"] {
            let info = try #require(try capabilities(name, cluster))
            #expect(info.features.contains("http://jabber.org/protocol/muc"))
        }
        // Who comes later is not asked.
        let tybalt = try announce("tybalt", cluster)
        #expect(try questions(tybalt).isEmpty)
        #expect(try capabilities("tybalt", cluster) != nil)
        // Gone with the presence.
        try tybalt.post("<presence type='unavailable'/>")
        cluster.run()
        #expect(try capabilities("tybalt", cluster) == nil)
    }

    @Test(arguments: [
        // Silence, an error, a lie, nothing.
        nil, "error", "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/></query>", "",
    ])
    func whoProvesNothingHoldsNobodyBack(answer: String?) throws {
        let cluster = try cluster()
        let romeo = try announce("romeo", cluster)
        let juliet = try announce("juliet", cluster)
        let id = try #require(try questions(romeo).first)
        switch answer {
        case nil: cluster.advance(seconds: 11)
        case "error"?:
            try romeo.post(
                "<iq type='error' id='\(id)'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        case let inner?: try romeo.post("<iq type='result' id='\(id)'>\(inner)</iq>")
        }
        cluster.run()
        let second = try questions(juliet)
        #expect(second.count == 1)
        try juliet.post("<iq type='result' id='\(try #require(second.first))'>\(Self.honest)</iq>")
        cluster.run()
        #expect(try capabilities("romeo", cluster) == nil)
        #expect(try capabilities("juliet", cluster) != nil)
    }

    @Test func anAnswerForAnotherAnnouncementCountsNothing() throws {
        let cluster = try cluster()
        let romeo = try announce("romeo", cluster)
        let id = try #require(try questions(romeo).first)
        try romeo.post("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://exodus' ver='AAAA'/></presence>")
        cluster.run()
        try romeo.post("<iq type='result' id='\(id)'>\(Self.honest)</iq>")
        cluster.run()
        #expect(try capabilities("romeo", cluster) == nil)
    }

    @Test func aClientThatChangesAllTheTimeIsNotAskedAllTheTime() throws {
        let cluster = try cluster()
        let romeo = try announce("romeo", cluster)
        for number in 0..<20 {
            try romeo.post("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='\(number)'/></presence>")
        }
        cluster.run()
        #expect(try questions(romeo).count == 3)
        // With the answers there is room again.
        cluster.advance(seconds: 11)
        try romeo.post("<presence>\(Self.announcement)</presence>")
        cluster.run()
        #expect(try questions(romeo).count == 1)
    }

    @Test func aNewHomeLearnsAgain() throws {
        let cluster = try cluster(nodes: 2)
        let romeo = try announce("romeo", cluster, node: 1)
        let id = try #require(try questions(romeo).first)
        cluster.kill(0)
        cluster.takeOver(by: 1)
        cluster.run()
        let again = try questions(romeo)
        #expect(again.count == 1)
        // What was answered to the old home means nothing to the new one.
        try romeo.post("<iq type='result' id='\(id)'>\(Self.honest)</iq>")
        cluster.run()
        #expect(try capabilities("romeo", cluster) == nil)
        try romeo.post("<iq type='result' id='\(try #require(again.first))'>\(Self.honest)</iq>")
        cluster.run()
        #expect(try capabilities("romeo", cluster) != nil)
    }

    @Test func whatIsRememberedIsBounded() throws {
        var settings = Settings()
        settings.limits.knownCapabilities = 10
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all, settings: settings)
        try cluster.addAccount("romeo")
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        var asked = 0
        func show(_ number: Int) throws {
            var info = DiscoInfo(identities: [Identity(category: "client", type: "pc")], features: ["urn:\(number)"])
            info.features.append(NS.capabilities)
            var query = XMLWriter()
            info.write(into: &query)
            try romeo.post(
                "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='\(info.verification)'/></presence>")
            cluster.run()
            for id in try questions(romeo) {
                asked += 1
                try romeo.post("<iq type='result' id='\(id)'>\(String(decoding: query.bytes, as: UTF8.self))</iq>")
            }
            cluster.run()
            #expect(try capabilities("romeo", cluster) == info)
        }
        for number in 0..<11 { try show(number) }
        #expect(asked == 11)
        for number in 1..<11 { try show(number) }
        #expect(asked == 11)
        // The one that was not used for the longest time was forgotten.
        try show(0)
        #expect(asked == 12)
    }

    @Test func theServerAnnouncesWhatItTells() throws {
        var settings = Settings()
        var other = Settings.Host(domain: "montague.lit")
        other.contacts.abuse = ["mailto:abuse@montague.lit"]
        settings.hosts = [Settings.Host(domain: "capulet.lit"), other]
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all, settings: settings)
        try cluster.addAccount("romeo")
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        let table = cluster.nodes[0].shards[0].table
        var vers: Set<String> = []
        for host in ["capulet.lit", "montague.lit"] {
            let features = try Element.parse(Array("<f>".utf8) + table.streamFeatures(of: host) + Array("</f>".utf8))
            let c = try #require(features.first(local: "c", namespace: NS.capabilities))
            let ver = try #require(c["ver"])
            let node = try #require(c["node"]) + "#" + ver
            vers.insert(ver)
            for asked in ["", " node='\(node)'"] {
                try romeo.post("<iq to='\(host)' type='get' id='i'><query xmlns='http://jabber.org/protocol/disco#info'\(asked)/></iq>")
                cluster.run()
                let answer = try Element.parse(Array(try #require(romeo.takeReceived().last).utf8))
                let query = try #require(answer.children.first { _ in true })
                #expect(query["node"] == (asked.isEmpty ? nil : node))
                let info = try #require(DiscoInfo(query))
                #expect(info.isWellFormed && info.verification == ver)
            }
        }
        #expect(vers.count == 2)
    }
}
