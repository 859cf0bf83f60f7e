import AdminLanguage
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Components (XEP-0114) of a cluster whose nodes die.
    @Suite(.serialized) struct ComponentTests {
        private static func row(_ cluster: ProcessCluster, _ node: Int, _ name: String) throws -> [String: ReplyValue] {
            let rows = try cluster.admin(node).demand("component", "list").rows
            return try #require(rows.first { $0["domain"] == .text("\(name).\(cluster.domain)") })
        }

        @Test func isReachedFromEveryNodeAndOutlivesTheKeeper() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo"])
            let component = try cluster.connectComponent("plays")
            for node in cluster.names.indices {
                #expect(try Self.row(cluster, node, "push")["node"] == ReplyValue.none)
                guard case .text(let name)? = try Self.row(cluster, node, "plays")["node"] else {
                    Issue.record("no node")
                    continue
                }
                #expect(cluster.names.contains(name))
            }
            guard case .text(let name)? = try Self.row(cluster, 0, "plays")["node"], let holder = cluster.names.firstIndex(of: name) else {
                return
            }
            let keeper = try cluster.keeper()
            // A client on a node that is neither, where there is one.
            let spared = try #require(cluster.names.indices.first { $0 != keeper && $0 != holder })
            let romeo = try cluster.connect("romeo", resource: "orchard", node: spared)
            try romeo.enableManagement()
            try romeo.send("<message to='puck@\(component.jid)' type='chat' id='one'><body>one</body></message>")
            #expect(try component.receive { $0.local == "message" }["id"] == "one")
            // Handled, it does not come again. That it came alone does not say that the keeper knows.
            try romeo.waitUntilHandled()
            try cluster.kill9(keeper)
            try romeo.send("<message to='puck@\(component.jid)' type='chat' id='two'><body>two</body></message>")
            if holder == keeper {
                let again = try cluster.connectComponent("plays")
                try again.send("<message to='\(romeo.jid)' from='\(again.jid)' type='chat' id='back'><body>back</body></message>")
            } else {
                #expect(try component.receive { $0.local == "message" }["id"] == "two")
                try component.send("<message to='\(romeo.jid)' from='\(component.jid)' type='chat' id='back'><body>back</body></message>")
            }
            try romeo.receive { $0["id"] == "back" }
            try romeo.close()
        }

        @Test func isEndedByTheAdministrator() throws {
            let cluster = try ProcessCluster(nodes: 2)
            let component = try cluster.connectComponent("plays")
            try cluster.admin(1).demand("component", "kick", "plays.\(cluster.domain)", "--reason", "enough")
            try component.waitForEnd()
            #expect(component.end == "policy-violation")
            #expect(try cluster.admin(0).ask(["component", "kick", "plays.\(cluster.domain)"]).error == .notFound)
            #expect(try cluster.admin(0).ask(["component", "kick", cluster.domain]).error == .invalid)
        }

        @Test func showsAndForgetsPushServices() throws {
            let cluster = try ProcessCluster(nodes: 2)
            try cluster.addAccounts(["juliet"])
            let jid = "juliet@\(cluster.domain)"
            let juliet = try cluster.connect("juliet", resource: "phone", node: 1)
            try juliet.send("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.\(cluster.domain)' node='n&#9;1'/></iq>")
            try juliet.receive { $0["id"] == "e" && $0["type"] == "result" }
            let rows = try cluster.admin(0).demand("push", "list", jid).rows
            #expect(rows.count == 1)
            #expect(rows.first?["service"] == .text("push.\(cluster.domain)"))
            #expect(rows.first?["node"] == .text("n 1"))
            #expect(rows.first?["enabled_by"] == .text("phone"))
            try cluster.admin(1).demand("push", "disable", jid, "--service", "push.\(cluster.domain)")
            #expect(try cluster.admin(0).demand("push", "list", jid).rows.isEmpty)
            #expect(try cluster.admin(0).ask(["push", "disable", jid]).error == .notFound)
            try juliet.close()
        }
    }
}
