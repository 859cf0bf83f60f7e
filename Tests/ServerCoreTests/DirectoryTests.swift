import Modules
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// The directory of a host (XEP-0055): many entries, and accounts that are gone.
@Suite struct DirectoryTests {
    private func cluster(_ people: [String], results: Int = 50) throws -> MemoryCluster {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        settings.search.enabled = true
        settings.search.results = results
        let cluster = try MemoryCluster(nodes: 1, loops: 2, modules: ModuleList.all, settings: settings)
        for person in people { try cluster.addAccount(person) }
        return cluster
    }

    private static let listed =
        "<iq type='set' id='l'><query xmlns='jabber:iq:search'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:iq:search</value></field><field var='x-listed'><value>1</value></field></x></query></iq>"

    private func list(_ name: String, _ cluster: MemoryCluster) throws {
        let client = try cluster.connect(name, resource: "l", node: 0)
        try client.post(
            "<iq type='set' id='v'><vCard xmlns='vcard-temp'><N><FAMILY>Capulet</FAMILY><GIVEN>\(name)</GIVEN></N></vCard></iq>")
        try client.post(Self.listed)
        cluster.run()
        client.end(.closedByPeer)
        cluster.run()
    }

    private func find(_ client: MemoryClient, _ cluster: MemoryCluster, _ fields: String = "<last>Capulet</last>") throws -> [String] {
        try client.post("<iq to='capulet.lit' type='set' id='s'><query xmlns='jabber:iq:search'>\(fields)</query></iq>")
        cluster.run()
        let answer = try #require(try client.elements().last)
        #expect(answer["type"] == "result")
        return answer.children.flatMap { $0.children.compactMap { $0["jid"] } }
    }

    /// Rows of the directory.
    private func entries(_ cluster: MemoryCluster) throws -> [String] {
        let identity = cluster.volume.identity
        return try cluster.volume.read { snapshot in
            guard let host = try AccountRecord.find("capulet.lit", in: snapshot, identity: identity) else { return [] }
            let rows = AccountRows(partition: identity.partition(of: "capulet.lit"), number: host.number, identity: identity)
            return try rows.items(.directory, in: snapshot).map(\.name).sorted()
        }
    }

    private func command(_ command: AccountCommand, _ name: String, _ cluster: MemoryCluster) throws {
        let jid = try JID("\(name)@capulet.lit")
        cluster.nodes[0].shards[0].enter { $0.command(command, for: jid) { _ in } }
        cluster.run()
    }

    @Test func anAccountThatIsRemovedLeavesNothing() throws {
        let cluster = try cluster(["romeo", "juliet", "tybalt"])
        for name in ["juliet", "tybalt"] { try list(name, cluster) }
        #expect(try entries(cluster) == ["juliet@capulet.lit", "tybalt@capulet.lit"])
        try command(.delete, "juliet", cluster)
        #expect(try entries(cluster) == ["tybalt@capulet.lit"])
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        #expect(try find(romeo, cluster) == ["tybalt@capulet.lit"])
        // A disabled account is not shown, and is there again when it is enabled.
        try command(.disable(reason: "x"), "tybalt", cluster)
        #expect(try find(romeo, cluster).isEmpty)
        try command(.enable, "tybalt", cluster)
        #expect(try find(romeo, cluster) == ["tybalt@capulet.lit"])
    }

    /// The host did not hear of a removal: the entry is that of an account that is no more, even when somebody else has the name now.
    @Test func whatWasNotTakenAwayIsSeenToBeOld() throws {
        let cluster = try cluster(["romeo", "juliet"])
        try list("juliet", cluster)
        let host = try JID("capulet.lit")
        try command(.delete, "juliet", cluster)
        try cluster.addAccount("juliet")
        var argument = ByteWriter()
        argument.string("juliet@capulet.lit")
        var entry = ByteWriter()
        entry.uint64(1)
        for value in ["Juliet", "Capulet", "", ""] { entry.string(value) }
        argument.bytes(entry.bytes)
        let call = AccountCommand.call("search.list", argument.bytes)
        cluster.nodes[0].shards[0].enter { $0.command(call, for: host) { _ in } }
        cluster.run()
        #expect(try entries(cluster) == ["juliet@capulet.lit"])
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        #expect(try find(romeo, cluster).isEmpty)
        #expect(try entries(cluster).isEmpty)
    }

    /// More than a page, and more than the bound.
    @Test func allPagesAreSearched() throws {
        let cluster = try cluster(["romeo", "juliet"], results: 3)
        try list("juliet", cluster)
        let host = try JID("capulet.lit")
        let number = try #require(
            try cluster.volume.read { try AccountRecord.find("juliet@capulet.lit", in: $0, identity: cluster.volume.identity) }?.number)
        for index in 0..<2_500 {
            var argument = ByteWriter()
            // Entries of nobody, but for the last name they could be anybody's.
            argument.string(index == 2_499 ? "juliet@capulet.lit" : "nobody\(index)@capulet.lit")
            var entry = ByteWriter()
            entry.uint64(number)
            for value in [index == 2_499 ? "needle" : "hay", "Capulet", "", ""] { entry.string(value) }
            argument.bytes(entry.bytes)
            let call = AccountCommand.call("search.list", argument.bytes)
            cluster.nodes[0].shards[0].enter { $0.command(call, for: host) { _ in } }
        }
        cluster.run()
        #expect(try entries(cluster).count == 2_500)
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        #expect(try find(romeo, cluster, "<first>needle</first>") == ["juliet@capulet.lit"])
        // One search of an account at a time.
        for id in ["one", "two"] {
            try romeo.post("<iq to='capulet.lit' type='set' id='\(id)'><query xmlns='jabber:iq:search'><first>needle</first></query></iq>")
        }
        cluster.run()
        let answers = try romeo.elements()
        #expect(answers.count == 2)
        let refused = try #require(answers.first { $0["id"] == "two" })
        #expect(StanzaError(refused).condition == .resourceConstraint)
        #expect(answers.first { $0["id"] == "one" }?["type"] == "result")
        // And the next one is taken again.
        #expect(try find(romeo, cluster, "<first>needle</first>") == ["juliet@capulet.lit"])
    }

    @Test func switchedOffItIsNotThere() throws {
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all)
        try cluster.addAccount("romeo")
        let info = cluster.nodes[0].shards[0].catalogue.info(of: .server, host: "capulet.lit")
        #expect(!info.features.contains(NS.search) && !info.identities.contains { $0.category == "directory" })
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        for to in ["", "to='capulet.lit'"] {
            try romeo.post("<iq \(to) type='get' id='s'><query xmlns='jabber:iq:search'/></iq>")
            cluster.run()
            let answer = try #require(try romeo.elements().last)
            #expect(StanzaError(answer).condition == .serviceUnavailable)
        }
    }
}
