import Settings
import Telemetry
import Testing

@testable import Transports

/// Authentication without SASL over real sockets (XEP-0078).
@Suite("Authentication without SASL", .serialized)
struct NonSASLTests {
    private static let feature = "<auth xmlns='http://jabber.org/features/iq-auth'/>"

    private func withServer(
        adjust: (inout Settings) -> Void = { $0.authentication.nonSASL = true }, _ body: (TestServer) async throws -> Void
    )
        async throws
    {
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

    private func logIn(_ client: TestClient, _ user: String, password: String = TestServer.password, resource: String = "globe") {
        client.send(
            "<iq type='set' id='auth2'><query xmlns='jabber:iq:auth'><username>\(user)</username><password>\(password)</password><resource>\(resource)</resource></query></iq>"
        )
    }

    @Test func aClientWithoutVersion() async throws {
        try await withServer { server in
            let client = try TestClient(port: server.directPort)
            try client.startTLS(try TestTLSClient(serverName: "tls.example"))
            client.send("<stream:stream to='tls.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            client.send("<iq type='get' to='tls.example' id='auth1'><query xmlns='jabber:iq:auth'/></iq>")
            let opening = try client.expect("</iq>")
            #expect(!opening.contains("features") && !opening.contains("version='1.0' xml:lang"))
            #expect(
                opening.contains(
                    "<iq type='result' id='auth1'><query xmlns='jabber:iq:auth'><username/><password/><resource/></query></iq>"))
            logIn(client, "juliet")
            try client.expect("<iq type='result' id='auth2'/>")
            // The stream goes on, with the limits of who has authenticated.
            let body = String(repeating: "a", count: 100_000)
            client.send("<message to='juliet@tls.example/globe' type='chat'><body>\(body)</body></message>")
            try client.expect("<body>\(body)</body>")
            #expect(server.count("martlet_logins_total{mechanism=\"jabber:iq:auth\"}") == 1)
        }
    }

    @Test func failuresCountAsThoseOfPlain() async throws {
        try await withServer(adjust: {
            $0.authentication.nonSASL = true
            $0.authentication.failuresPerStream = 4
        }) { server in
            let (client, features) = try TestClient.secure(server)
            #expect(features.contains(Self.feature))
            logIn(client, "juliet", password: "wrong")
            let wrong = try client.expect("</iq>")
            #expect(
                wrong
                    == "<iq type='error' id='auth2'><error type='auth'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
            logIn(client, "nobody")
            #expect(try client.expect("</iq>") == wrong)
            logIn(client, "disabled")
            #expect(try client.expect("</iq>").contains("<forbidden "))
            logIn(client, "juliet", resource: "")
            let end = try client.expect("</stream:stream>")
            #expect(end.contains("<not-acceptable ") && end.contains("<policy-violation "))
            #expect(server.count("martlet_login_failures_total{condition=\"not-authorized\"}") == 2)
            #expect(server.count("martlet_login_failures_total{condition=\"account-disabled\"}") == 1)
        }
    }

    @Test func guessesAreSlowedDown() async throws {
        try await withServer(adjust: {
            $0.authentication.nonSASL = true
            $0.authentication.failuresBeforeBackoff = 2
        }) { server in
            let (client, _) = try TestClient.secure(server)
            for _ in 0..<2 {
                logIn(client, "juliet", password: "wrong")
                #expect(try client.expect("</iq>").contains("<not-authorized "))
            }
            logIn(client, "juliet")
            #expect(try client.expect("</iq>").contains("<error type='wait'><resource-constraint "))
        }
    }

    @Test func aResourceThatIsTaken() async throws {
        try await withServer(adjust: {
            $0.authentication.nonSASL = true
            $0.sessions.conflict = .refuse
        }) { server in
            let (first, _) = try TestClient.secure(server)
            logIn(first, "juliet")
            try first.expect("<iq type='result' id='auth2'/>")
            let (second, _) = try TestClient.secure(server)
            logIn(second, "juliet")
            #expect(try second.expect("</iq>").contains("<conflict "))
            logIn(second, "juliet", resource: "other")
            try second.expect("<iq type='result' id='auth2'/>")
            first.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            try first.expect("id='p'")
        }
    }

    @Test func notAfterSASLFailed() async throws {
        try await withServer { server in
            let (client, _) = try TestClient.secure(server)
            #expect(try client.scram("juliet", password: "wrong") == "not-authorized")
            logIn(client, "juliet")
            #expect(try client.expect("</stream:stream>").contains("<policy-violation "))
        }
    }

    @Test func withoutTLSItIsNotThere() async throws {
        try await withServer { server in
            let client = try TestClient(port: server.port)
            client.send(
                "<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            #expect(!(try client.expect("</stream:features>")).contains("iq-auth"))
            logIn(client, "juliet")
            #expect(try client.expect("</iq>").contains("<service-unavailable "))
        }
    }

    @Test func offIsNotOfferedAndRefused() async throws {
        try await withServer(adjust: { _ in }) { server in
            let (client, features) = try TestClient.secure(server)
            #expect(!features.contains("iq-auth"))
            logIn(client, "juliet")
            #expect(try client.expect("</stream:stream>").contains("<not-authorized "))
        }
    }
}
