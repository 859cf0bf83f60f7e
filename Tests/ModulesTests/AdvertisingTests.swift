import Modules
import ServerCore
import Settings
import Stanzas
import TestKit
import Testing

/// What clients are told that they may use: only what the settings leave on.
@Suite struct AdvertisingTests {
    private func told(_ change: (inout Settings) -> Void = { _ in }) throws -> (disco: String, stream: String) {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        change(&settings)
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all, settings: settings)
        try cluster.addAccount("juliet")
        let juliet = try cluster.connect("juliet", resource: "chamber", node: 0)
        try juliet.post("<iq type='get' id='d' to='capulet.lit'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        cluster.run()
        let disco = juliet.takeReceived().first { $0.contains("id='d'") }
        return (try #require(disco), String(decoding: cluster.nodes[0].shards[0].table.streamFeatures(of: "capulet.lit"), as: UTF8.self))
    }

    @Test func whatIsOnIsTold() throws {
        let (disco, stream) = try told()
        for feature in [NS.carbons, NS.carbonRules, NS.blocking, NS.reporting] { #expect(disco.contains("var='\(feature)'"), "\(feature)") }
        #expect(stream.contains("<csi xmlns='urn:xmpp:csi:0'/>"))
    }

    @Test func whatIsOffIsNot() throws {
        let (disco, stream) = try told {
            $0.sessions.inactiveHoldStanzas = 0
            $0.limits.reports = 0
        }
        #expect(!disco.contains(NS.reporting) && disco.contains(NS.blocking))
        #expect(!stream.contains("csi"))
    }
}
