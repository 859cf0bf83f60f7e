import Authentication
import Settings
import Telemetry
import Testing

@testable import Transports

/// What logins are offered and what is counted of them, over real sockets.
@Suite("Logins", .serialized)
struct LoginOfferTests {
    private func withServer(
        certificates: TestCertificates? = nil, adjust: (inout Settings) -> Void = { _ in }, _ body: (TestServer) async throws -> Void
    ) async throws {
        let server = try await TestServer(certificates: certificates, loops: 1, adjust: adjust)
        do {
            try await server.start()
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func mechanisms(_ server: TestServer) throws -> String {
        let client = try TestClient(port: server.port)
        client.send(
            "<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
        return try client.expect("</stream:features>")
    }

    @Test func aHashThatAnAccountLacksIsNotOffered() async throws {
        try await withServer { server in
            #expect(try mechanisms(server).contains("<mechanism>SCRAM-SHA-512</mechanism>"))
            server.census.add(
                try Credentials.derive(password: "x", iterations: 4_096, hashes: [.sha256]), to: "plain.example")
            let offer = try mechanisms(server)
            #expect(offer.contains("<mechanism>SCRAM-SHA-256</mechanism>"))
            #expect(!offer.contains("SCRAM-SHA-512") && !offer.contains("SCRAM-SHA-1<"))
            let client = try TestClient(port: server.port)
            try client.open("plain.example")
            #expect(try client.scram("romeo") == nil)
        }
    }

    @Test func whatHappensIsCounted() async throws {
        let certificates = try TestCertificates()
        try certificates.make("tls", domain: "tls.example")
        try await withServer(certificates: certificates, adjust: { $0.limits.connections = 2 }) { server in
            let romeo = try TestClient.ready(server, "romeo", "orchard")
            let other = try TestClient(port: server.directPort)
            try other.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
            try other.open("tls.example")
            #expect(try other.scram("romeo", password: "wrong") == "not-authorized")
            let third = try TestClient(port: server.port)
            #expect(try third.expectEnd().contains("resource-constraint"))
            other.send("</stream:stream>")
            try other.expect("</stream:stream>")
            try other.closeTLS()
            romeo.send("<not-well-formed")
            romeo.send("<")
            #expect(try romeo.expect("</stream:stream>").contains("not-well-formed"))
            let text = Exposition.text(of: server.registry)
            for line in [
                "martlet_client_connections_total{result=\"accepted\"} 2", "martlet_client_connections_total{result=\"node-full\"} 1",
                "martlet_logins_total{mechanism=\"SCRAM-SHA-256\"} 1", "martlet_login_failures_total{condition=\"not-authorized\"} 1",
                "martlet_tls_handshakes_total{version=\"TLSv1.3\"} 1", "martlet_stream_errors_sent_total{condition=\"not-well-formed\"} 1",
                "martlet_stream_errors_sent_total{condition=\"resource-constraint\"} 1",
            ] { #expect(text.contains(line + "\n"), "\(line)") }
        }
    }

    @Test func failuresOfTLSHaveKinds() {
        for (reason, kind) in [
            (TLSFailure.timeout, TLSFailure.Kind.timeout), (TLSFailure("unsupported protocol"), .version),
            (TLSFailure("wrong version number"), .notTLS),
            (TLSFailure("no shared cipher"), .cipher), (TLSFailure("http request"), .notTLS),
            (TLSFailure("no application protocol"), .alpn),
            (TLSFailure("sslv3 alert bad certificate"), .alert), (TLSFailure("unknown reason"), .other),
        ] { #expect(reason.kind == kind, "\(reason)") }
    }
}
