import Modules
import ServerCore
import Stanzas
import Store
import TestKit
import Testing

/// What the answer to a request promises about the messages before it.
@Suite struct AnswerHoldTests {
    @Test func anAnswerWaitsForTheMessagesBeforeIt() throws {
        let cluster = try MemoryCluster(nodes: 2, modules: ModuleList.all)
        for name in ["romeo", "juliet"] { try cluster.addAccount(name) }
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 1)
        cluster.volume.holdsCommits = true
        try romeo.post("<message to='juliet@capulet.lit' type='chat' id='m1'><body>keep me</body></message>")
        try romeo.post("<iq type='get' id='p1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>")
        cluster.run()
        #expect(romeo.takeReceived().isEmpty, "the message is not durable, so nothing may say that it is")
        cluster.volume.holdsCommits = false
        cluster.volume.releaseCommits()
        cluster.run()
        #expect(romeo.takeReceived().contains { $0.contains("id='p1'") })
    }

    @Test func whatComesAfterAHeldAnswerStaysBehindIt() throws {
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all)
        for name in ["romeo", "juliet"] { try cluster.addAccount(name) }
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
        let juliet = try cluster.connect("juliet", resource: "balcony", node: 0)
        cluster.volume.holdsCommits = true
        try romeo.post("<message to='nurse@capulet.lit' type='chat'><body>gone</body></message>")
        try romeo.post("<message to='juliet@capulet.lit' type='chat' id='m1'><body>keep me</body></message>")
        try romeo.post("<iq type='get' id='p1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>")
        cluster.run()
        try juliet.post("<message to='romeo@capulet.lit/orchard' type='headline' id='h1'><body>news</body></message>")
        cluster.run()
        #expect(!romeo.takeReceived().contains { $0.contains("h1") || $0.contains("p1") })
        cluster.volume.holdsCommits = false
        cluster.volume.releaseCommits()
        cluster.run()
        let ids = romeo.takeReceived().compactMap { text in ["p1", "h1"].first { text.contains("id='\($0)'") } }
        #expect(ids == ["p1", "h1"])
    }

    @Test func withoutAMessageBeforeItAnAnswerComesAtOnce() throws {
        let cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all)
        try cluster.addAccount("romeo")
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
        cluster.volume.holdsCommits = true
        try romeo.post("<iq type='get' id='p1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>")
        try romeo.post("<message to='romeo@capulet.lit' type='chat' id='m1'><body>later</body></message>")
        cluster.run()
        #expect(romeo.takeReceived().contains { $0.contains("id='p1'") })
    }

    /// Two messages to accounts of different loops, which commit each for itself: in one of the two orders the later message is
    /// kept first.
    @Test(arguments: [[0, 1], [1, 0]] as [[UInt16]])
    func anAnswerWaitsForEveryMessageBeforeIt(_ loops: [UInt16]) throws {
        let cluster = try MemoryCluster(nodes: 1, loops: 2, modules: ModuleList.all)
        try cluster.addAccount("romeo")
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
        let friends = try loops.map { try friend(onLoop: $0, of: cluster) }
        for friend in friends { try cluster.addAccount(friend) }
        cluster.volume.holdsCommits = true
        try romeo.postTogether(
            friends.map { "<message to='\($0)@capulet.lit' type='chat'><body>keep me</body></message>" }
                + ["<iq type='get' id='p1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>"])
        cluster.run()
        #expect(cluster.volume.statistics.waiting == 2)
        cluster.volume.releaseCommits(1)
        cluster.run()
        #expect(romeo.takeReceived().isEmpty, "one of the messages is not kept yet")
        cluster.volume.releaseCommits(1)
        cluster.run()
        #expect(romeo.takeReceived().contains { $0.contains("id='p1'") })
    }

    private func friend(onLoop loop: UInt16, of cluster: MemoryCluster) throws -> String {
        let placement = cluster.nodes[0].shards[0].placement
        let names = (0..<1_000).map { "friend\($0)" }
        return try #require(try names.first { try placement.partition(of: JID("\($0)@capulet.lit")) % 2 == loop })
    }
}
