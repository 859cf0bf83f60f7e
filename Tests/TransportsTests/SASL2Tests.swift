import Authentication
import COpenSSL
import Glibc
import ServerCore
import Settings
import StreamLogic
import Testing

@testable import Transports

extension TestClient {
    static let agent = "d4565fa7-4d72-4749-b3d3-740edbf87770"

    /// A connection that begins with TLS, with its features.
    static func secure(_ server: TestServer) throws -> (client: TestClient, features: String) {
        let client = try TestClient(port: server.directPort)
        try client.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
        client.send(header())
        return (client, try client.expect("</stream:features>"))
    }

    static func header(from: String? = nil) -> String {
        "<stream:stream \(from.map { "from='\($0)' " } ?? "")to='tls.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    }

    /// `<authenticate/>` with PLAIN.
    func plainRequest(_ user: String, password: String = TestServer.password, _ inline: String = "") -> String {
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>\(base64(Array("\0\(user)\0\(password)".utf8)))</initial-response>\(inline)</authenticate>"
    }

    /// Everything up to the features behind `<success/>`.
    func success() throws -> String {
        let success = try expect("</success>")
        try expect("</stream:features>")
        return success
    }
}

@Suite("SASL2 and Bind 2 over TLS", .serialized)
struct SASL2Tests {
    private func withServer(adjust: (inout Settings) -> Void = { _ in }, _ body: (TestServer) async throws -> Void) async throws {
        let certificates = try TestCertificates()
        try certificates.make("tls", domain: "tls.example")
        let server = try await TestServer(certificates: certificates, adjust: adjust)
        do {
            try await server.start()
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private let agent = "<user-agent id='\(TestClient.agent)'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>"

    @Test func isOfferedUnderTLSAlone() async throws {
        try await withServer { server in
            let (_, features) = try TestClient.secure(server)
            #expect(features.contains("<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-512-PLUS</mechanism>"))
            #expect(features.contains("<bind xmlns='urn:xmpp:bind:0'>") && features.contains("<mechanisms xmlns='urn:ietf"))
            #expect(
                features.contains("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes><idle-seconds>30</idle-seconds>"))
            let plain = try TestClient(port: server.port)
            plain.send(
                "<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            let open = try plain.expect("</stream:features>")
            #expect(!open.contains("urn:xmpp:sasl:2") && open.contains("stream-limits"))
        }
    }

    @Test func scramWithChannelBindingAndLaterBind() async throws {
        try await withServer { server in
            let (client, _) = try TestClient.secure(server)
            let first = "n=juliet,r=clientnonce"
            client.send(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256-PLUS'><initial-response>\(client.base64(Array("p=tls-exporter,,\(first)".utf8)))</initial-response>\(agent)</authenticate>"
            )
            try client.expect("<challenge xmlns='urn:xmpp:sasl:2'>")
            let challenge = String(decoding: try client.decoded(String(try client.expect("</challenge>").dropLast(12))), as: UTF8.self)
            let final = try client.scramFinal(
                first: first, header: "p=tls-exporter,,", challenge: challenge, password: TestServer.password, binding: nil)
            client.send("<response xmlns='urn:xmpp:sasl:2'>\(client.base64(final))</response>")
            let success = try client.expect("</success>")
            #expect(success.contains("<additional-data>dj") && !success.contains("<bound"))
            #expect(success.contains("<authorization-identifier>juliet@tls.example</authorization-identifier>"))
            // No other header: the stream goes on.
            let features = try client.expect("</stream:features>")
            #expect(features.contains("xmpp-bind") && features.contains("<max-bytes>262144</max-bytes>") && !features.contains("sasl"))
            try client.bind("balcony")
            client.send(
                "<message type='chat' to='juliet@tls.example/balcony'><body>\(String(repeating: "x", count: 20_000))</body></message>")
            try client.expect("</body>")
        }
    }

    /// XEP-0474 §6.1, with a client that reads the offer off the wire.
    @Test func theOfferIsSignedInBothProfiles() async throws {
        func names(_ text: Substring, after start: String, until end: Character) -> [String] {
            var names: [String] = []
            var rest = text
            while let found = rest.firstRange(of: start) {
                rest = rest[found.upperBound...]
                names.append(String(rest.prefix { $0 != end }))
            }
            return names.sorted()
        }
        func part(_ text: String, _ start: String, _ end: String) throws -> Substring {
            let from = try #require(text.firstRange(of: start)).upperBound
            return text[from..<(try #require(text[from...].firstRange(of: end)).lowerBound)]
        }
        for isProtected in [true, false] {
            try await withServer(adjust: { $0.authentication.downgradeProtection = isProtected }) { server in
                for profile in [SASLProfile.rfc6120, .extensible] {
                    let (client, features) = try TestClient.secure(server)
                    let first = "n=juliet,r=clientnonce"
                    let initial = client.base64(Array("p=tls-exporter,,\(first)".utf8))
                    let listed: Substring
                    let namespace: String
                    if profile == .extensible {
                        // The mechanisms for tokens have a list of their own.
                        listed = try part(features, "<authentication xmlns='urn:xmpp:sasl:2'>", "<inline>")
                        namespace = "urn:xmpp:sasl:2"
                        client.send(
                            "<authenticate xmlns='\(namespace)' mechanism='SCRAM-SHA-256-PLUS'><initial-response>\(initial)</initial-response></authenticate>"
                        )
                    } else {
                        listed = try part(features, "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "</mechanisms>")
                        namespace = "urn:ietf:params:xml:ns:xmpp-sasl"
                        client.send("<auth xmlns='\(namespace)' mechanism='SCRAM-SHA-256-PLUS'>\(initial)</auth>")
                    }
                    try client.expect("<challenge xmlns='\(namespace)'>")
                    let challenge = String(
                        decoding: try client.decoded(String(try client.expect("</challenge>").dropLast(12))), as: UTF8.self)
                    let mechanisms = names(listed, after: "<mechanism>", until: "<")
                    let types = names(features[...], after: "<channel-binding type='", until: "'")
                    #expect(mechanisms.count == 7 && types == ["tls-exporter", "tls-server-end-point"])
                    let offer = mechanisms.joined(separator: "\u{1E}") + "\u{1F}" + types.joined(separator: "\u{1E}")
                    var hash = [UInt8](repeating: 0, count: 32)
                    EVP_Digest(offer, offer.utf8.count, &hash, nil, EVP_sha256(), nil)
                    #expect(challenge.hasSuffix(",h=" + client.base64(hash)) == isProtected)
                    #expect(challenge.contains(",h=") == isProtected)
                    let final = try client.scramFinal(
                        first: first, header: "p=tls-exporter,,", challenge: challenge, password: TestServer.password, binding: nil)
                    client.send("<response xmlns='\(namespace)'>\(client.base64(final))</response>")
                    try client.expect("<success xmlns='\(namespace)'")
                }
            }
        }
    }

    @Test func bindsInlineWithAStableName() async throws {
        try await withServer { server in
            func login(_ inline: String) throws -> (TestClient, String) {
                let (client, _) = try TestClient.secure(server)
                client.send(client.plainRequest("juliet", agent + inline))
                let success = try client.success()
                #expect(success.contains("<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'/></bound>"))
                let jid = success.split(separator: "authorization-identifier>")[1].dropLast(2)
                return (client, String(jid))
            }
            let (first, jid) = try login("<bind xmlns='urn:xmpp:bind:0'><tag>Awesome</tag></bind>")
            #expect(jid.hasPrefix("juliet@tls.example/Awesome/") && !jid.contains(TestClient.agent))
            first.send("<presence/>")
            try first.expect("<presence from='\(jid)'")
            // The same client again: the same name, and the session before ends.
            let (second, again) = try login("<bind xmlns='urn:xmpp:bind:0'><tag>Awesome</tag></bind>")
            #expect(again == jid)
            #expect(try first.expectEnd().contains("<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"))
            // Under another tag as well.
            let (_, other) = try login("<bind xmlns='urn:xmpp:bind:0'><tag>Other</tag></bind>")
            #expect(other.hasPrefix("juliet@tls.example/Other/") && other.hasSuffix(jid.suffix(16)))
            #expect(try second.expectEnd().contains("<conflict"))
            // A tag that no resource can have is left out.
            let (_, bare) = try login("<bind xmlns='urn:xmpp:bind:0'><tag>\(String(repeating: "t", count: 1_020))</tag></bind>")
            #expect(bare == "juliet@tls.example/\(jid.suffix(16))")
        }
    }

    @Test func withoutAnAgentNamesDiffer() async throws {
        try await withServer { server in
            var names: Set<Substring> = []
            var clients: [TestClient] = []
            for _ in 0..<2 {
                let (client, _) = try TestClient.secure(server)
                client.send(client.plainRequest("juliet", "<bind xmlns='urn:xmpp:bind:0'/>"))
                names.insert(try client.success().split(separator: "authorization-identifier>")[1])
                clients.append(client)
            }
            #expect(names.count == 2)
            for client in clients {
                client.send("<iq type='get' id='p'><query xmlns='jabber:iq:roster'/></iq>")
                try client.expect("id='p'")
            }
        }
    }

    @Test func aResourceThatIsRefusedLeavesTheClientAuthenticated() async throws {
        try await withServer(adjust: { $0.sessions.resourcesPerAccount = 1 }) { server in
            let (first, _) = try TestClient.secure(server)
            first.send(first.plainRequest("juliet", "<bind xmlns='urn:xmpp:bind:0'/>"))
            _ = try first.success()
            let (second, _) = try TestClient.secure(server)
            second.send(second.plainRequest("juliet", "<bind xmlns='urn:xmpp:bind:0'/>"))
            let success = try second.expect("</success>")
            #expect(
                success.contains("<authorization-identifier>juliet@tls.example</authorization-identifier>") && !success.contains("bound"))
            #expect(try second.expect("</stream:features>").contains("xmpp-bind"))
            second.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            #expect(try second.expect("</iq>").contains("<resource-constraint"))
        }
    }

    @Test func failuresCountAndTellNothing() async throws {
        try await withServer(adjust: { $0.authentication.failuresPerStream = 4 }) { server in
            let (client, _) = try TestClient.secure(server)
            for (user, password, condition) in [
                ("juliet", "wrong", "not-authorized"), ("nobody", "wrong", "not-authorized"),
                ("broken", TestServer.password, "temporary-auth-failure"), ("disabled", TestServer.password, "account-disabled"),
            ] {
                client.send(client.plainRequest(user, password: password, "<bind xmlns='urn:xmpp:bind:0'/>"))
                #expect(
                    try client.expect("</failure>")
                        == "<failure xmlns='urn:xmpp:sasl:2'><\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>")
            }
            #expect(try client.expectEnd().contains("<policy-violation"))
        }
    }

    @Test func backsOffAsWithTheOlderProfile() async throws {
        try await withServer(adjust: { $0.authentication.failuresBeforeBackoff = 2 }) { server in
            let (client, _) = try TestClient.secure(server)
            for _ in 0..<2 {
                client.send(client.plainRequest("juliet", password: "wrong"))
                #expect(try client.expect("</failure>").contains("not-authorized"))
            }
            client.send(client.plainRequest("juliet"))
            #expect(try client.expect("</failure>").contains("temporary-auth-failure"))
            let (other, _) = try TestClient.secure(server)
            #expect(try other.plain("juliet") == "temporary-auth-failure")
        }
    }

    /// The client knows the features: header and request leave together, behind the handshake of TLS.
    @Test func oneRoundTripBehindTLS() async throws {
        try await withServer { server in
            let client = try TestClient(port: server.directPort)
            try client.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
            client.send(
                TestClient.header(from: "juliet@tls.example")
                    + client.plainRequest("juliet", agent + "<bind xmlns='urn:xmpp:bind:0'><tag>A</tag></bind>")
                    + "<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            #expect(try client.success().contains("<bound"))
            try client.expect("id='roster'")
        }
    }

    // MARK: Upgrades (XEP-0480)

    /// A server with one account that has keys of SHA-1 alone.
    private func withOldAccount(_ body: (TestServer) async throws -> Void) async throws {
        try await withServer { server in
            let keys = try Credentials.derive(password: TestServer.password, iterations: 4_096, hashes: [.sha1])
            #expect(try await server.command(.create(credentials: keys.encode()), "old@tls.example") == .done(1))
            server.census.add(keys, to: "tls.example")
            try await body(server)
        }
    }

    private func upgrade(_ tasks: String...) -> String {
        tasks.map { "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-\($0)</upgrade>" }.joined()
    }

    /// Does the task that was just offered.
    private func answer(_ client: TestClient, _ task: String, _ function: OpaquePointer?, _ length: Int) throws {
        client.send("<next xmlns='urn:xmpp:sasl:2' task='\(task)'/>")
        try client.expect("<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>")
        let salt = try client.decoded(String(try client.expect("</salt></task-data>").dropLast("</salt></task-data>".utf8.count)))
        var salted = [UInt8](repeating: 0, count: length)
        PKCS5_PBKDF2_HMAC(
            TestServer.password, CInt(TestServer.password.utf8.count), salt, CInt(salt.count), 4_096, function, CInt(length), &salted)
        client.send("<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>\(client.base64(salted))</hash></task-data>")
    }

    @Test func accountsGetTheHashesTheyLack() async throws {
        try await withOldAccount { server in
            let (client, features) = try TestClient.secure(server)
            #expect(features.contains("<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade><upgrade"))
            #expect(features.contains("UPGR-SCRAM-SHA-256<") && !features.contains("UPGR-SCRAM-SHA-1<"))
            client.send(
                client.plainRequest(
                    "old", upgrade("SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1", "BLOOP") + "<bind xmlns='urn:xmpp:bind:0'/>"))
            #expect(try client.expect("</continue>").contains("<tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>"))
            try answer(client, "UPGR-SCRAM-SHA-256", EVP_sha256(), 32)
            #expect(try client.expect("</continue>").contains("<tasks><task>UPGR-SCRAM-SHA-512</task></tasks></continue>"))
            try answer(client, "UPGR-SCRAM-SHA-512", EVP_sha512(), 64)
            #expect(try client.success().contains("<bound"))
            // Whoever has them all is not asked.
            let (again, _) = try TestClient.secure(server)
            again.send(again.plainRequest("old", upgrade("SCRAM-SHA-256")))
            _ = try again.success()
            let (juliet, _) = try TestClient.secure(server)
            juliet.send(juliet.plainRequest("juliet", upgrade("SCRAM-SHA-256")))
            _ = try juliet.success()
            // The new keys are those of the password.
            let keys = try await server.credentials("old@tls.example")
            #expect(keys.keys.count == 3 && keys.verify(TestServer.password))
            #expect(try Credentials([#require(keys.keys[.sha256])]).verify(TestServer.password))
        }
    }

    @Test func upgradesThatFailChangeNothing() async throws {
        try await withOldAccount { server in
            for (task, data, condition) in [
                ("UPGR-SCRAM-SHA-512", "", "malformed-request"), ("UPGR-SCRAM-SHA-256", "AAAA", "malformed-request"),
            ] {
                let (client, _) = try TestClient.secure(server)
                client.send(client.plainRequest("old", upgrade("SCRAM-SHA-256")))
                try client.expect("</continue>")
                client.send("<next xmlns='urn:xmpp:sasl:2' task='\(task)'/>")
                if !data.isEmpty {
                    try client.expect("</task-data>")
                    client.send(
                        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>\(data)</hash></task-data>")
                }
                #expect(try client.expect("</failure>").contains("<\(condition)"))
            }
            // The password was changed meanwhile.
            let (client, _) = try TestClient.secure(server)
            client.send(client.plainRequest("old", upgrade("SCRAM-SHA-256")))
            try client.expect("</continue>")
            let other = try Credentials.derive(password: "other", iterations: 4_096, hashes: [.sha1])
            #expect(try await server.command(.setCredentials(other.encode()), "old@tls.example") == .done(1))
            try answer(client, "UPGR-SCRAM-SHA-256", EVP_sha256(), 32)
            #expect(try client.expect("</failure>").contains("temporary-auth-failure"))
            #expect(try await server.credentials("old@tls.example") == other)
        }
    }

    /// `channel_binding = false`: no -PLUS, and a client that could and sees none is no victim of anybody.
    @Test func bindingCanBeLeftOut() async throws {
        for isOffered in [true, false] {
            try await withServer {
                $0.authentication.channelBinding = isOffered
            } _: { server in
                let (client, features) = try TestClient.secure(server)
                #expect(features.contains("-PLUS</mechanism>") == isOffered && features.contains("<channel-binding") == isOffered)
                #expect(try client.scram("juliet", flag: "y") == (isOffered ? "not-authorized" : nil))
            }
        }
    }

    @Test func somethingElseMeanwhileDisconnects() async throws {
        try await withServer { server in
            let (client, _) = try TestClient.secure(server)
            client.send(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><initial-response>\(client.base64(Array("y,,n=juliet,r=abc".utf8)))</initial-response></authenticate>"
            )
            // Said to be able to bind, with -PLUS on offer: a downgrade.
            try client.expect("</failure>")
            client.send(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><initial-response>\(client.base64(Array("n,,n=juliet,r=abc".utf8)))</initial-response></authenticate>"
            )
            try client.expect("</challenge>")
            client.send("<presence/>")
            #expect(try client.expectEnd().contains("<not-authorized"))
        }
    }
}
