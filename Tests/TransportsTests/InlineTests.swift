import COpenSSL
import Glibc
import Settings
import Testing

@testable import Transports

/// Stream management inside of SASL2 and Bind 2 (XEP-0198 §9), and what a reconnect costs.
@Suite("Resumption inline", .serialized)
struct InlineTests {
    private func withServer(_ body: (TestServer) async throws -> Void) async throws {
        let certificates = try TestCertificates()
        try certificates.make("tls", domain: "tls.example")
        let server = try await TestServer(certificates: certificates)
        do {
            try await server.start()
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private let agent = "<user-agent id='\(TestClient.agent)'/>"
    private let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>A</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"

    private func value(_ name: String, in text: String) throws -> String {
        String(try #require(text.split(separator: " \(name)='").dropFirst().first).prefix { $0 != "'" })
    }

    private func resume(_ id: String, _ h: String = "0") -> String { "<resume xmlns='urn:xmpp:sm:3' previd='\(id)' h='\(h)'/>" }

    @Test func managementIsOfferedAndEnabledWithTheResource() async throws {
        try await withServer { server in
            let (client, features) = try TestClient.secure(server)
            #expect(features.contains("<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>"))
            #expect(features.contains("<feature var='urn:xmpp:sm:3'/>") && features.contains("<feature var='urn:xmpp:csi:0'/>"))
            client.send(client.plainRequest("juliet", agent + bind))
            let success = try client.success()
            #expect(success.contains("<metadata xmlns='urn:xmpp:mam:2'/><enabled xmlns='urn:xmpp:sm:3' id='"))
            client.send("<presence/><r xmlns='urn:xmpp:sm:3'/>")
            try client.expect("<a xmlns='urn:xmpp:sm:3' h='")
            // It is enabled: not twice.
            client.send("<enable xmlns='urn:xmpp:sm:3'/>")
            #expect(try client.expect("</failed>").contains("unexpected-request"))
        }
    }

    /// XEP-0386 §3.2: the state of the archive comes with the resource, and what is in it does not come again.
    @Test func theArchiveIsToldWithTheResource() async throws {
        try await withServer { server in
            let (romeo, _) = try TestClient.secure(server)
            romeo.send(romeo.plainRequest("romeo", bind))
            _ = try romeo.success()
            let (first, _) = try TestClient.secure(server)
            first.send(first.plainRequest("juliet", agent + bind))
            #expect(try first.success().contains("<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'/><enabled "))
            first.send("</stream:stream>")
            romeo.send(
                "<message type='chat' to='juliet@tls.example'><body>known</body></message><r xmlns='urn:xmpp:sm:3'/>")
            try romeo.expect("<a xmlns='urn:xmpp:sm:3' h='1'/>")
            let (second, _) = try TestClient.secure(server)
            second.send(second.plainRequest("juliet", agent + bind))
            let success = try second.success()
            let metadata = try #require(success.split(separator: "<metadata xmlns='urn:xmpp:mam:2'>").dropFirst().first)
            let id = try value("id", in: String(metadata))
            let stamp = try value("timestamp", in: String(metadata))
            #expect(
                metadata.hasPrefix("<start id='\(id)' timestamp='\(stamp)'/><end id='\(id)' timestamp='\(stamp)'/></metadata><enabled "))
            #expect(id.utf8.count == 16 && stamp.hasSuffix("Z"))
            second.send("<presence/>")
            romeo.send("<message type='chat' to='juliet@tls.example'><body>new</body></message>")
            #expect(!(try second.expect("<body>new</body>")).contains("known"))
        }
    }

    @Test func aSessionGoesOnBehindSuccess() async throws {
        try await withServer { server in
            let (first, _) = try TestClient.secure(server)
            first.send(first.plainRequest("juliet", agent + bind))
            let success = try first.success()
            let jid = success.split(separator: "authorization-identifier>")[1].dropLast(2)
            let id = try value("id", in: success)
            // The old connection still looks alive.
            let (second, _) = try TestClient.secure(server)
            second.send(
                second.plainRequest("juliet", agent + resume(id) + bind) + "<message type='chat' to='\(jid)'><body>again</body></message>")
            let resumed = try second.expect("</success>")
            #expect(resumed.contains("<authorization-identifier>\(jid)</authorization-identifier>"))
            #expect(resumed.contains("<resumed xmlns='urn:xmpp:sm:3' h='0' previd='\(id)'/>"))
            // Neither a resource nor features (XEP-0198 §9.2).
            #expect(!resumed.contains("<bound"))
            #expect(!(try second.expect("<body>again</body>")).contains("features"))
            #expect(try first.expectEnd().contains("<conflict"))
        }
    }

    @Test func whatCannotBeResumedIsBound() async throws {
        try await withServer { server in
            for (wish, condition) in [(resume("unknown"), "item-not-found"), (resume("unknown", "x"), "bad-request")] {
                let (client, _) = try TestClient.secure(server)
                client.send(client.plainRequest("juliet", agent + wish + bind))
                let success = try client.success()
                let failed = try #require(success.firstRange(of: "<failed xmlns='urn:xmpp:sm:3'"))
                #expect(success[failed.lowerBound...].contains("<\(condition) ") && success[failed.lowerBound...].contains("<bound"))
            }
            // Nobody resumes another's session.
            let (mine, _) = try TestClient.secure(server)
            mine.send(mine.plainRequest("juliet", agent + bind))
            let id = try value("id", in: mine.success())
            let (other, _) = try TestClient.secure(server)
            other.send(other.plainRequest("romeo", resume(id)))
            let success = try other.expect("</success>")
            #expect(success.contains("<item-not-found") && success.contains("<authorization-identifier>romeo@tls.example<"))
            #expect(try other.expect("</stream:features>").contains("xmpp-bind"))
        }
    }

    /// Everything that the client says leaves in one piece behind the handshake of TLS, and one answer of the server has all of it:
    /// one round trip. The pieces are counted as the socket has them.
    @Test func aKnownDeviceIsBackInOneRoundTrip() async throws {
        try await withServer { server in
            let (first, _) = try TestClient.secure(server)
            first.send(
                first.plainRequest("juliet", agent + bind + "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>"))
            let success = try first.success()
            let token = try value("token", in: success)
            var id = try value("id", in: success)
            for round in 0..<2 {
                let client = try TestClient(port: server.directPort)
                try client.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
                var hash = [UInt8](repeating: 0, count: 32)
                let proof = Array("Initiator".utf8) + (client.tls?.exporter ?? [])
                HMAC(EVP_sha256(), Array(token.utf8), CInt(token.utf8.count), proof, proof.count, &hash, nil)
                // The second time the session is gone: a resource is bound instead, in the same round trip.
                client.send(
                    TestClient.header(from: "juliet@tls.example")
                        + "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-EXPR'><initial-response>\(client.base64(Array("juliet\0".utf8) + hash))</initial-response>\(agent)<fast xmlns='urn:xmpp:fast:0' count='\(round + 1)'/>\(resume(round == 0 ? id : "gone"))\(bind)</authenticate><r xmlns='urn:xmpp:sm:3'/>"
                )
                let answer = try client.expect("</success>")
                #expect(answer.contains(round == 0 ? "<resumed " : "<enabled "))
                try client.expect("<a xmlns='urn:xmpp:sm:3' h='0'/>")
                if round == 1 { id = try value("id", in: answer) }
            }
        }
    }
}
