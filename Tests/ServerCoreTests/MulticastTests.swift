import Modules
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// One stanza to several addresses (XEP-0033): when it is handled, and what a takeover does to it.
@Suite struct MulticastTests {
    private static let people = ["romeo", "juliet", "tybalt", "mercutio", "benvolio", "nurse"]

    private func cluster(nodes: Int, loops: Int = 1, _ change: (inout Settings) -> Void = { _ in }) throws -> MemoryCluster {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        change(&settings)
        let cluster = try MemoryCluster(nodes: nodes, loops: loops, modules: ModuleList.all, settings: settings)
        for person in Self.people { try cluster.addAccount(person) }
        return cluster
    }

    private func xml(_ id: String, kind: String = "message", to: some Sequence<String> = people.dropFirst()) -> String {
        let addresses = to.map { "<address type='to' jid='\($0)@capulet.lit'/>" }.joined()
        return
            "<\(kind) to='capulet.lit' id='\(id)'><addresses xmlns='http://jabber.org/protocol/address'>\(addresses)</addresses>\(kind == "message" ? "<body>\(id)</body>" : "")</\(kind)>"
    }

    /// What waits for an account, in order.
    private func owed(_ name: String, _ cluster: MemoryCluster, node: Int) throws -> [String] {
        let client = try cluster.connect(name, resource: "reader", node: node)
        try client.post("<presence/>")
        cluster.run()
        return try client.bodies()
    }

    @Test func itIsHandledWhenEveryCopyIs() throws {
        let cluster = try cluster(nodes: 3, loops: 2)
        let romeo = try cluster.connect("romeo", resource: "r", node: 1)
        for number in 0..<5 { try romeo.post(xml("\(number)")) }
        #expect(romeo.session?.inbound.handledThrough == 0)
        cluster.run()
        #expect(romeo.session?.inbound.handledThrough == 5)
        #expect(cluster.nodes.flatMap(\.shards).allSatisfy { $0.copies.isEmpty })
        #expect(romeo.takeReceived().isEmpty)
        for name in Self.people.dropFirst() {
            let found = try owed(name, cluster, node: 2)
            #expect(found == (0..<5).map { "\($0)" })
        }
    }

    /// The keeper dies at every step of the way: each recipient has it once, in order, and the sender's session hears that it is handled.
    @Test(arguments: 0..<40)
    func aDeathOnTheWayLosesNothingAndRepeatsNothing(steps: Int) throws {
        let cluster = try cluster(nodes: 2)
        let romeo = try cluster.connect("romeo", resource: "r", node: 1)
        // Two addresses of one account are two copies.
        let names = Self.people.dropFirst() + ["juliet"]
        for number in 0..<2 { try romeo.post(xml("\(number)", to: names)) }
        var chance = Chance(seed: UInt64(steps))
        cluster.isUnruly = true
        for _ in 0..<steps { cluster.step(&chance) }
        cluster.isUnruly = false
        cluster.kill(0)
        cluster.takeOver(by: 1)
        cluster.run()
        #expect(romeo.session?.inbound.handledThrough == 2)
        #expect(cluster.nodes[1].shards.allSatisfy { $0.copies.isEmpty })
        for name in Self.people.dropFirst() {
            let found = try owed(name, cluster, node: 1)
            #expect(found == (name == "juliet" ? ["0", "0", "1", "1"] : ["0", "1"]))
        }
    }

    @Test func aNewHomeKnowsWhoGotPresence() throws {
        let cluster = try cluster(nodes: 2)
        let romeo = try cluster.connect("romeo", resource: "r", node: 1)
        let juliet = try cluster.connect("juliet", resource: "j", node: 1)
        try juliet.post("<presence/>")
        try romeo.post(xml("p", kind: "presence", to: ["juliet", "tybalt"]))
        cluster.run()
        _ = juliet.takeReceived()
        cluster.kill(0)
        cluster.takeOver(by: 1)
        cluster.run()
        romeo.end(.lost)
        cluster.run()
        let gone = try juliet.takeReceived().map { try Element.parse(Array($0.utf8)) }
        #expect(gone.contains { $0["from"] == "romeo@capulet.lit/r" && $0["type"] == "unavailable" })
    }

    @Test func switchedOffItIsNotThere() throws {
        let cluster = try cluster(nodes: 1) { $0.limits.addresses = 0 }
        #expect(!cluster.nodes[0].shards[0].catalogue.serverFeatures.contains(NS.address))
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        try romeo.post(xml("m"))
        cluster.run()
        let answer = try #require(try romeo.elements().first)
        #expect(answer["type"] == "error")
        #expect(StanzaError(answer).condition == .serviceUnavailable)
        #expect(try owed("juliet", cluster, node: 0).isEmpty)
    }

    @Test func aPartThatIsTooLargeIsRefused() throws {
        let cluster = try cluster(nodes: 1)
        let romeo = try cluster.connect("romeo", resource: "r", node: 0)
        let long = "urn:" + String(repeating: "l", count: 1_000)
        let children = String(repeating: "<l:b/>", count: 100)
        try romeo.post(
            "<message to='capulet.lit' id='m'><addresses xmlns='http://jabber.org/protocol/address' xmlns:l='\(long)'><address type='to' jid='juliet@capulet.lit'>\(children)</address></addresses><body>m</body></message>"
        )
        cluster.run()
        let answer = try #require(try romeo.elements().first)
        #expect(StanzaError(answer).condition == .notAcceptable)
    }
}
