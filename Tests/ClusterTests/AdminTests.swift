import AdminLanguage
import TestKit
import Testing

extension ClusterTests {
    /// The administrator's view, from any node.
    @Suite(.serialized) struct AdminTests {
        @Test func showsAndEndsSessionsFromAnyNode() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            let users = cluster.names.indices.map { "user\($0)" }
            try cluster.addAccounts(users)
            let clients = try users.enumerated().map { try cluster.connect($1, resource: "here", node: $0) }
            try clients[2].send("<inactive xmlns='urn:xmpp:csi:0'/>")
            for (number, client) in clients.enumerated() { for ping in 0...number { try client.ping("ping\(ping)") } }
            for node in cluster.names.indices {
                let answer = try cluster.admin(node).demand("session", "list")
                #expect(answer.rows.count == 3)
                for (number, user) in users.enumerated() {
                    let row = try #require(answer.rows.first { $0["jid"] == .text("\(user)@\(cluster.domain)/here") })
                    #expect(row["node"] == .text(cluster.names[number]))
                    #expect(row["mechanism"] == .text(SCRAMClient.mechanism))
                    #expect(row["state"] == .text(number == 2 ? "inactive" : "active"))
                    #expect(row["tls"] == ReplyValue.none)
                    #expect(row["in"] == .integer(Int64(number + 1)))
                    #expect(row["out"] == .integer(Int64(number + 1)))
                    guard case .text(let address)? = row["address"] else {
                        Issue.record("no address")
                        continue
                    }
                    #expect(address.hasPrefix("127.0.0.1"))
                }
            }
            let other = try cluster.admin(1)
            try other.demand("session", "kick", "user0@\(cluster.domain)/here", "--reason", "go home")
            try clients[0].waitForEnd()
            #expect(clients[0].end == "policy-violation")
            #expect(try other.ask(["session", "kick", "user0@\(cluster.domain)/here"]).error == .notFound)
            #expect(try other.demand("session", "list").rows.count == 2)
            try clients[1].ping("still here")

            // What the node speaks, a row for each standard a module carries out.
            let modules = try other.demand("module", "list").rows
            #expect(
                modules.contains { $0["module"] == .text("archive") && $0["xep"] == .text("XEP-0313") && $0["title"] != ReplyValue.none })
            #expect(try other.ask(["module", "list", "more"]).error == .usage)
        }

        @Test func sharesOnePortAmongTheNodes() throws {
            let cluster = try ProcessCluster(nodes: 3)
            try cluster.addAccounts(["romeo"])
            // The kernel spreads by a hash of the addresses: that twenty fall on one of three nodes happens once in 10^9.
            let clients = try (0..<20).map { try XMPPClient(port: cluster.port, domain: cluster.domain, user: "romeo", resource: "r\($0)") }
            defer { for client in clients { client.drop() } }
            let rows = try cluster.admin(2).demand("session", "list", "--user", "romeo@\(cluster.domain)").rows
            #expect(Set(rows.compactMap { $0["node"].map { "\($0)" } }).count > 1)
        }

        @Test func managesAccountsEndToEnd() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            let jid = "juliet@\(cluster.domain)"
            let admin = try cluster.admin(1)
            try admin.demand("user", "add", jid, secret: ["first"])
            #expect(try admin.ask(["user", "add", jid], secret: ["other"]).error == .exists)
            // Without TLS nobody names a device; what is done with those there are is told beside the logins themselves.
            #expect(try admin.demand("user", "devices", jid).rows.isEmpty)
            #expect(try admin.ask(["user", "devices", jid, "--revoke", "d4565fa7-4d72-4749-b3d3-740edbf87770"]).error == .notFound)
            #expect(try admin.ask(["user", "devices", jid, "--revoke", "x", "--revoke-all"]).error == .usage)
            #expect(try admin.ask(["user", "devices", "nobody@\(cluster.domain)"]).error == .notFound)
            try admin.demand("user", "devices", jid, "--revoke-all")
            let login = { (node: Int, password: String) in
                try XMPPClient(port: cluster.ports[node], domain: cluster.domain, user: "juliet", resource: nil, password: password)
            }
            try login(0, "first").close()
            #expect(throws: ProcessFailure.self) { try login(0, "second") }

            try admin.demand("user", "passwd", jid, secret: ["second"])
            #expect(throws: ProcessFailure.self) { try login(2, "first") }
            let client = try login(2, "second")

            try admin.demand("user", "disable", jid, "--reason", "a test")
            try client.waitForEnd()
            #expect(client.end == "not-authorized")
            #expect(throws: ProcessFailure.self) { try login(0, "second") }
            #expect(try cluster.admin(0).demand("user", "show", jid).fact("state") == .text("disabled"))

            try admin.demand("user", "enable", jid)
            let again = try login(0, "second")
            try admin.demand("user", "delete", jid)
            try again.waitForEnd()
            #expect(again.end == "not-authorized")
            #expect(throws: ProcessFailure.self) { try login(1, "second") }
            #expect(try cluster.admin(2).ask(["user", "show", jid]).error == .notFound)
        }

        @Test func importsAThousandKeys() throws {
            let cluster = try ProcessCluster(nodes: 1)
            let users = (0..<1000).map { "user\($0)" }
            let lines = users.map { "\($0)@\(cluster.domain) \(SCRAMClient.importKeys(password: XMPPClient.password))" }
            let admin = try cluster.admin(0)
            try admin.demand("user", "import", "--keys", secret: lines)
            #expect(try admin.demand("user", "list", "--limit", "2000").rows.count == 1000)
            try cluster.connect("user999", resource: nil, node: 0).close()
            // A second time every line is refused by name, and nothing else happens.
            let answer = try admin.ask(["user", "import", "--keys"], secret: Array(lines.prefix(3)))
            #expect(answer.error == .partial)
        }
    }
}
