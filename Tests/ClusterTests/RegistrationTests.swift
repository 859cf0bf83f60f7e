import AdminLanguage
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Accounts that people make themselves, on real nodes.
    @Suite(.serialized) struct RegistrationTests {
        private static func wish(_ name: String, _ password: String) -> String {
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>\(name)</username><password>\(password)</password></query></iq>"
        }

        /// Made on one node, the account logs in on every other at once; also where there was no account before, and where all that
        /// there were have other keys: what a login is offered there must fit.
        @Test func loginOnAnotherNodeAtOnce() throws {
            let cluster = try ProcessCluster(nodes: 3, settings: "[registration]\nopen = true\nper_address_per_hour = 5")
            for (index, name) in ["ann", "bill", "will"].enumerated() {
                let visitor = try XMPPClient(visiting: cluster.ports[index], domain: cluster.domain)
                #expect(visitor.features.contains("<register xmlns='http://jabber.org/features/iq-register'/>"))
                try visitor.send(Self.wish(name, "first of \(name)"))
                #expect(try visitor.receive() == "<iq type='result' id='r'/>")
                for node in cluster.names.indices {
                    let client = try XMPPClient(
                        port: cluster.ports[node], domain: cluster.domain, user: name, resource: nil, password: "first of \(name)")
                    #expect(!client.features.contains("iq-register"))
                    try client.ping("there")
                    try client.close()
                }
                try visitor.close()
            }
            // The bound holds for all nodes together.
            for (index, name) in ["anna", "billa", "willa"].enumerated() {
                let visitor = try XMPPClient(visiting: cluster.ports[index], domain: cluster.domain)
                try visitor.send(Self.wish(name, "first of \(name)"))
                let answer = try visitor.receive()
                #expect(answer.contains("type='result'") == (index < 2), "\(answer)")
                try visitor.close()
            }
        }

        /// The new password counts on every node, the old one on none; an account that was given up is nobody's.
        @Test func changeAndRemovalCountEverywhere() throws {
            let cluster = try ProcessCluster(nodes: 2)
            try cluster.addAccounts(["bill"])
            func login(_ node: Int, _ password: String) throws -> XMPPClient {
                try XMPPClient(port: cluster.ports[node], domain: cluster.domain, user: "bill", resource: nil, password: password)
            }
            let first = try login(0, XMPPClient.password)
            try first.send(Self.wish("bill", "a second password"))
            #expect(try first.receive { $0["id"] == "r" }["type"] == "result")
            let second = try login(1, "a second password")
            #expect(throws: ProcessFailure.self) { try login(1, XMPPClient.password) }
            try first.ping("still there")
            try second.send("<iq type='set' id='u'><query xmlns='jabber:iq:register'><remove/></query></iq>")
            #expect(try second.receive { $0["id"] == "u" }["type"] == "result")
            for client in [first, second] {
                try client.waitForEnd(within: .seconds(10))
                #expect(client.end == "not-authorized")
            }
            for node in cluster.names.indices { #expect(throws: ProcessFailure.self) { try login(node, "a second password") } }
            #expect(try cluster.admin(0).ask(["user", "show", "bill@\(cluster.domain)"]).error == .notFound)
        }
    }
}
