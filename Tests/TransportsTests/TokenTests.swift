import Authentication
import COpenSSL
import Glibc
import ServerCore
import Settings
import Testing

@testable import Transports

@Suite("Tokens (XEP-0484)", .serialized)
struct TokenTests {
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

    private let agent = "<user-agent id='\(TestClient.agent)'><software>AwesomeXMPP</software></user-agent>"
    private func request(_ mechanism: String = "HT-SHA-256-EXPR") -> String {
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='\(mechanism)'/>"
    }

    /// Logs in with the password; answers what stands in `<success/>`.
    private func password(_ server: TestServer, _ inline: String, agent: String? = nil) throws -> String {
        let (client, _) = try TestClient.secure(server)
        client.send(client.plainRequest("juliet", (agent ?? self.agent) + inline))
        return try client.success()
    }

    /// Logs in with a token on a new connection; answers what stands in `<success/>`, or the condition.
    private func login(
        _ server: TestServer, _ token: String, _ mechanism: String = "HT-SHA-256-EXPR", user: String = "juliet", fast: String = "",
        agent: String? = nil, inline: String = "", wrong: Bool = false
    ) throws -> String {
        let (client, _) = try TestClient.secure(server)
        let binding: [UInt8] =
            switch mechanism {
            case "HT-SHA-256-EXPR": wrong ? [1] : try #require(client.tls?.exporter)
            case "HT-SHA-256-ENDP": try #require(client.tls?.certificateHash)
            default: []
            }
        let hash = hmac(token, Array("Initiator".utf8) + binding)
        let initial = client.base64(Array("\(user)\0".utf8) + hash)
        client.send(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='\(mechanism)'><initial-response>\(initial)</initial-response>\(agent ?? self.agent)<fast xmlns='urn:xmpp:fast:0'\(fast)/>\(inline)</authenticate>"
        )
        let answer = try client.expect("urn:xmpp:sasl:2'>")
        guard answer.hasPrefix("<success") else {
            let failure = try client.expect("</failure>")
            return String(failure.dropFirst().prefix { $0 != " " })
        }
        let success = try client.success()
        // The server proves that it has the token, too.
        #expect(success.contains("<additional-data>\(client.base64(hmac(token, Array("Responder".utf8) + binding)))</additional-data>"))
        return success
    }

    private func token(_ success: String) throws -> String {
        #expect(success.contains("<token xmlns='urn:xmpp:fast:0' expiry='"))
        return String(try #require(success.split(separator: " token='").dropFirst().first).prefix { $0 != "'" })
    }

    private func hmac(_ key: String, _ text: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        HMAC(EVP_sha256(), Array(key.utf8), CInt(key.utf8.count), text, text.count, &out, nil)
        return out
    }

    // MARK: Offers

    @Test func mechanismsAreOfferedAsTheConnectionAndThePolicyHaveIt() async throws {
        try await withServer { server in
            let (_, features) = try TestClient.secure(server)
            #expect(
                features.contains(
                    "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-ENDP</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast>"
                ))
            // Early data is not taken, so it is not offered.
            #expect(!features.contains("0rtt"))
        }
        try await withServer(adjust: { $0.authentication.unboundTokens = false }) { server in
            let (_, features) = try TestClient.secure(server)
            #expect(features.contains("HT-SHA-256-ENDP") && !features.contains("HT-SHA-256-NONE"))
            #expect(!(try password(server, request("HT-SHA-256-NONE"))).contains("<token"))
        }
        try await withServer(adjust: { $0.authentication.tokenDays = 0 }) { server in
            let (client, features) = try TestClient.secure(server)
            #expect(!features.contains("fast"))
            client.send(client.plainRequest("juliet", agent + request()))
            #expect(!(try client.success()).contains("<token"))
        }
    }

    // MARK: The life of a token

    @Test(arguments: ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"])
    func aTokenStandsForThePassword(mechanism: String) async throws {
        try await withServer { server in
            let token = try token(password(server, request(mechanism)))
            #expect(token.utf8.count == 44)
            let success = try login(server, token, mechanism, inline: "<bind xmlns='urn:xmpp:bind:0'><tag>A</tag></bind>")
            #expect(success.contains("<authorization-identifier>juliet@tls.example/A/") && success.contains("<bound"))
            #expect(!success.contains("<token"))
            // For one mechanism alone.
            for other in ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] where other != mechanism {
                #expect(try login(server, token, other) == "not-authorized")
            }
            // And only as a token.
            let (client, _) = try TestClient.secure(server)
            #expect(try client.plain("juliet", password: token) == "not-authorized")
        }
    }

    @Test func whatIsWrongIsToldByOneWord() async throws {
        try await withServer { server in
            let token = try token(password(server, request()))
            let other = "<user-agent id='00000000-0000-4000-8000-000000000000'/>"
            #expect(try login(server, token, wrong: true) == "not-authorized")
            #expect(try login(server, token + "x") == "not-authorized")
            #expect(try login(server, token, agent: other) == "not-authorized")
            #expect(try login(server, token, agent: "") == "not-authorized")
            #expect(try login(server, token, user: "romeo") == "not-authorized")
            #expect(try login(server, token, user: "nobody") == "not-authorized")
            #expect(try login(server, token, user: "broken") == "temporary-auth-failure")
            #expect(try login(server, token).contains("authorization-identifier"))
        }
    }

    @Test func aCountIsUsedOnce() async throws {
        try await withServer { server in
            let token = try token(password(server, request()))
            #expect(try login(server, token, fast: " count='5'").contains("authorization-identifier"))
            #expect(try login(server, token, fast: " count='5'") == "not-authorized")
            #expect(try login(server, token, fast: " count='4'") == "not-authorized")
            #expect(try login(server, token, fast: " count='6'").contains("authorization-identifier"))
        }
    }

    @Test func theOldTokenIsGoodUntilTheNewOneIsUsed() async throws {
        try await withServer { server in
            let first = try token(password(server, request()))
            let second = try token(login(server, first, inline: request()))
            #expect(first != second)
            // Its answer was lost: the client still has the first.
            let third = try token(login(server, first, inline: request()))
            // What was given before and never used is void (§3.5).
            #expect(try login(server, second) == "not-authorized")
            #expect(try login(server, third).contains("authorization-identifier"))
            #expect(try login(server, first) == "not-authorized")
        }
    }

    @Test func tokensEndAndAreReplacedInTime() async throws {
        try await withServer(adjust: { ($0.authentication.tokenDays, $0.authentication.tokenRotationDays) = (10, 3) }) { server in
            let first = try token(password(server, request()))
            server.clock.advance(seconds: 2 * 86_400)
            #expect(!(try login(server, first)).contains("<token"))
            server.clock.advance(seconds: 2 * 86_400)
            let second = try token(login(server, first))
            server.clock.advance(seconds: 7 * 86_400)
            #expect(try login(server, first) == "credentials-expired")
            #expect(try login(server, second).contains("authorization-identifier"))
            server.clock.advance(seconds: 11 * 86_400)
            #expect(try login(server, second) == "credentials-expired")
        }
    }

    @Test func aClientLogsItselfOut() async throws {
        try await withServer(adjust: { $0.authentication.tokenRotationDays = 0 }) { server in
            let first = try token(password(server, request()))
            // Due for replacement, and not replaced.
            #expect(!(try login(server, first, fast: " invalidate='true'")).contains("<token"))
            #expect(try login(server, first) == "not-authorized")
            let second = try token(password(server, request()))
            let third = try token(login(server, second, fast: " invalidate='1'", inline: request()))
            #expect(try login(server, second) == "not-authorized")
            #expect(try login(server, third).contains("authorization-identifier"))
        }
    }

    @Test func aNewPasswordVoidsTokens() async throws {
        try await withServer { server in
            let token = try token(password(server, request()))
            let keys = try Credentials.derive(password: TestServer.password, iterations: 4_096).encode()
            #expect(try await server.command(.setCredentials(keys), "juliet@tls.example") == .done(1))
            #expect(try login(server, token) == "not-authorized")
        }
    }

    @Test func nobodyIsGivenATokenWithoutADevice() async throws {
        try await withServer { server in
            #expect(!(try password(server, request(), agent: "")).contains("<token"))
            #expect(!(try password(server, request("HT-SHA-256-UNIQ"))).contains("<token"))
            let (client, _) = try TestClient.secure(server)
            client.send(client.plainRequest("juliet", password: "wrong", agent + request()))
            #expect(!(try client.expect("</failure>")).contains("token"))
        }
    }

    // MARK: Devices

    @Test func devicesAreListedBoundedAndRevoked() async throws {
        try await withServer(adjust: { $0.authentication.devicesPerAccount = 2 }) { server in
            func devices() async throws -> [DeviceInfo] {
                guard case .value(let bytes) = try await server.command(.call(DeviceInfo.listCall, []), "juliet@tls.example") else {
                    return []
                }
                return try #require(DeviceInfo.decode(bytes))
            }
            for number in 0..<3 {
                server.clock.advance(seconds: 60)
                _ = try password(
                    server, "",
                    agent: "<user-agent id='00000000-0000-4000-8000-00000000000\(number)'><device>D\(number)</device></user-agent>")
            }
            #expect(try await devices().map(\.device) == ["D2", "D1"])
            server.clock.advance(seconds: 60)
            let token = try token(password(server, request()))
            let (client, _) = try TestClient.secure(server)
            client.send(client.plainRequest("juliet", agent + "<bind xmlns='urn:xmpp:bind:0'/>"))
            _ = try client.success()
            let all = try await devices()
            #expect(all.map(\.id) == [TestClient.agent, "00000000-0000-4000-8000-000000000002"])
            #expect(all.first?.software == "AwesomeXMPP" && all.first?.tokenMechanism == "HT-SHA-256-EXPR" && all.first?.sessions == 1)
            #expect(all.last?.tokenMechanism == nil && all.last?.sessions == 0)
            let id = Array(TestClient.agent.utf8)
            #expect(try await server.command(.call(DeviceInfo.revokeCall, id), "juliet@tls.example") == .done(1))
            #expect(try client.expectEnd().contains("This device was logged out"))
            #expect(try login(server, token) == "not-authorized")
            #expect(try await server.command(.call(DeviceInfo.revokeCall, id), "juliet@tls.example") == .done(0))
            #expect(try await server.command(.call(DeviceInfo.revokeCall, []), "juliet@tls.example") == .done(1))
            #expect(try await devices().isEmpty)
        }
    }
}
