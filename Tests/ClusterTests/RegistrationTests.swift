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
                try client.waitForEnd()
                #expect(client.end == "not-authorized")
            }
            for node in cluster.names.indices { #expect(throws: ProcessFailure.self) { try login(node, "a second password") } }
            #expect(try cluster.admin(0).ask(["user", "show", "bill@\(cluster.domain)"]).error == .notFound)
        }

        /// Made at the console of one node, used on another while registration is closed; once, and not after it was taken back.
        @Test func invitationsOfTheConsole() throws {
            let cluster = try ProcessCluster(
                nodes: 2, settings: "[invitations]\nenabled = true\nlanding = \"https://capulet.lit/i/{host}/#{token}\"")
            try cluster.addAccounts(["nurse"])
            let admin = try cluster.admin(0)
            func made(_ words: String...) throws -> (name: String, token: String, answer: ProcessAdmin.Answer) {
                let answer = try admin.ask(["invite", "create"] + words)
                guard case .text(let name)? = answer.fact("invitation"), case .text(let link)? = answer.fact("link"),
                    let at = link.firstIndex(of: "#")
                else { throw ProcessFailure("no invitation: \(answer.sentence)") }
                return (name, String(link[link.index(after: at)...]), answer)
            }
            func use(_ token: String, _ name: String, node: Int) throws -> [String] {
                let visitor = try XMPPClient(visiting: cluster.ports[node], domain: cluster.domain)
                defer { visitor.drop() }
                #expect(visitor.features.contains("<register xmlns='urn:xmpp:ibr-token:0'/>"))
                try visitor.send("<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='\(token)'/></iq>")
                try visitor.send(Self.wish(name, XMPPClient.password))
                return try (0..<2).map { _ in try Element.parse(Array(visitor.receive().utf8))["type"] ?? "" }
            }
            let own = try made("--user", "Juliet", "--contact", "nurse@\(cluster.domain)", "--expires", "2d")
            #expect(own.answer.fact("uri") == .text("xmpp:juliet@capulet.lit?register;preauth=\(own.token)"))
            #expect(own.answer.fact("link") == .text("https://capulet.lit/i/capulet.lit/#\(own.token)"))
            #expect(try admin.ask(["invite", "create", "--user", "juliet"]).error == .exists)
            #expect(try admin.ask(["invite", "create", "--user", "nurse"]).error == .exists)
            #expect(try admin.ask(["invite", "create", "--user", "a@b"]).error == .invalid)
            #expect(try use(own.token, "tybalt", node: 1) == ["result", "error"])
            #expect(try use(own.token, "juliet", node: 1) == ["result", "result"])
            #expect(try use(own.token, "juliet", node: 0) == ["error", "error"])
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 0)
            try juliet.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            let roster = try juliet.receive { $0["id"] == "r" }
            #expect(String(decoding: roster.xml, as: UTF8.self).contains("nurse@capulet.lit"))

            let many = try made("--uses", "2")
            let revoked = try made()
            #expect(try cluster.admin(1).demand("invite", "list").rows.compactMap { $0["name"] }.count == 2)
            try cluster.admin(1).demand("invite", "revoke", revoked.name)
            #expect(try admin.ask(["invite", "revoke", revoked.name]).error == .notFound)
            #expect(try use(revoked.token, "paris", node: 0) == ["error", "error"])
            for (name, becomes) in [("ann", "result"), ("bill", "result"), ("will", "error")] {
                #expect(try use(many.token, name, node: 1).last == becomes)
            }
            #expect(try admin.demand("invite", "list").rows.isEmpty)
        }

        /// What is promised survives the death of who keeps it, and an account that goes takes its promises along.
        @Test func invitationsSurviveTheKeeper() throws {
            let cluster = try ProcessCluster(nodes: 3, settings: "[invitations]\nenabled = true\nby_users = \"accounts\"")
            try cluster.addAccounts(["nurse"])
            let nurse = try cluster.connect("nurse", resource: "here", node: (try cluster.keeper() + 1) % 3)
            try nurse.send(
                "<iq type='set' to='\(cluster.domain)' id='i'><command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite'/></iq>"
            )
            let answer = String(decoding: try nurse.receive { $0["id"] == "i" }.xml, as: UTF8.self)
            let mark = try #require(answer.firstRange(of: "preauth="))
            let token = String(answer[mark.upperBound...].prefix { $0.isLetter || $0.isNumber })
            let keeper = try cluster.keeper()
            try cluster.kill9(keeper)
            let alive = (keeper + 2) % 3
            let visitor = try XMPPClient(visiting: cluster.ports[alive], domain: cluster.domain)
            try visitor.send("<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='\(token)'/></iq>")
            #expect(try visitor.receive() == "<iq type='result' id='p'/>")
            try nurse.send("<iq type='set' id='u'><query xmlns='jabber:iq:register'><remove/></query></iq>")
            #expect(try nurse.receive { $0["id"] == "u" }["type"] == "result")
            // The word of it reaches the host's account behind the result: a first look may come before it.
            let deadline = Deadline(in: .patient)
            while try !cluster.admin(alive).demand("invite", "list").rows.isEmpty, !deadline.isOver {}
            #expect(try cluster.admin(alive).demand("invite", "list").rows.isEmpty)
            try visitor.send(Self.wish("juliet", XMPPClient.password))
            #expect(try Element.parse(Array(visitor.receive().utf8))["type"] == "error")
        }
    }
}
