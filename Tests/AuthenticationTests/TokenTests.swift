import Stanzas
import Testing

@testable import Authentication

@Suite("Hashed tokens (draft-schmaus-kitten-sasl-ht-09)") struct TokenTests {
    let server: TestServer
    private let token = LoginToken(secret: "WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm", mechanism: "HT-SHA-256-NONE", expires: 1_000)

    init() throws { server = try TestServer(("juliet", "r0m30myr0m30")) }

    private func exchange(_ mechanism: String, _ bindings: ChannelBindings? = nil) -> SASLExchange {
        SASLExchange(
            service: server.service, host: "example.com", mechanism: mechanism, offered: TokenMechanism.allCases.map(\.rawValue),
            encrypted: true, bindings: bindings, fake: server.fake)
    }

    private func proof(_ role: String, _ token: LoginToken, _ binding: [UInt8] = []) throws -> [UInt8] {
        SCRAMHash.sha256.hmac(key: Array(token.secret.utf8), Array(role.utf8) + binding)
    }

    private func message(_ user: String, _ token: LoginToken, _ binding: [UInt8] = []) throws -> [UInt8] {
        try Array("\(user)\0".utf8) + proof("Initiator", token, binding)
    }

    /// Of a known answer: computed by another implementation of HMAC.
    @Test func provesByHMAC() throws {
        let expected = Base64.encode(try proof("Initiator", token))
        #expect(expected == "kJd4dGGhhOD6hOwAwTgRkLbE0WqOxEU8eyrF5/z5Ne0=")
    }

    @Test func theFirstThatIsProvedCounts() throws {
        let other = LoginToken(secret: "other", mechanism: "HT-SHA-256-NONE", expires: 1_000)
        for tokens in [[token], [other, token], [token, other]] {
            let exchange = exchange("HT-SHA-256-NONE")
            guard case .needCredentials("juliet") = exchange.begin(initial: try message("juliet", token)) else {
                Issue.record("not asked for")
                return
            }
            let step = exchange.credentials(server.accounts["juliet"], disabled: false, tokens: tokens, now: 999)
            guard case .success("juliet", let data) = step else {
                Issue.record("\(step.name)")
                continue
            }
            #expect(try data == proof("Responder", token))
            #expect(exchange.token == token.secret)
        }
    }

    @Test func bindsToTheConnection() throws {
        let bindings = ChannelBindings(tlsExporter: [1, 2], tlsServerEndPoint: [3])
        for (mechanism, right) in [("HT-SHA-256-EXPR", [1, 2]), ("HT-SHA-256-ENDP", [3])] as [(String, [UInt8])] {
            var bound = token
            bound.mechanism = mechanism
            for (binding, isRight) in [(right, true), ([], false), ([9], false)] as [([UInt8], Bool)] {
                let exchange = exchange(mechanism, bindings)
                _ = exchange.begin(initial: try message("juliet", bound, binding))
                let step = exchange.credentials(server.accounts["juliet"], disabled: false, tokens: [bound], now: 0)
                #expect(isRight ? step.user == "juliet" : step.failure == .notAuthorized)
            }
            #expect(self.exchange(mechanism, nil).begin(initial: try message("juliet", bound)).failure == .notAuthorized)
        }
    }

    @Test func whatIsWrongIsTold() throws {
        func step(_ account: String?, _ tokens: [LoginToken], disabled: Bool = false, now: Int64 = 0) throws -> SASLExchange.Step {
            let exchange = exchange("HT-SHA-256-NONE")
            _ = exchange.begin(initial: try message("juliet", token))
            return exchange.credentials(account.flatMap { server.accounts[$0] }, disabled: disabled, tokens: tokens, now: now)
        }
        #expect(try step(nil, []).failure == .notAuthorized)
        #expect(try step(nil, [token]).failure == .notAuthorized)
        #expect(try step("juliet", []).failure == .notAuthorized)
        #expect(try step("juliet", [LoginToken(secret: "x", mechanism: token.mechanism, expires: 1)]).failure == .notAuthorized)
        #expect(try step("juliet", [LoginToken(secret: token.secret, mechanism: "HT-SHA-256-EXPR", expires: 1)]).failure == .notAuthorized)
        #expect(try step("juliet", [token], now: 1_000).failure == .credentialsExpired)
        #expect(try step("juliet", [token], disabled: true).failure == .accountDisabled)
        // A device has two at most: a third is not looked at.
        #expect(
            try step(
                "juliet", [LoginToken(secret: "x", mechanism: "", expires: 1), LoginToken(secret: "y", mechanism: "", expires: 1), token]
            ).failure == .notAuthorized)
    }

    @Test func formsThatAreNone() throws {
        let hash = try proof("Initiator", token)
        for message in [
            [], [0], [0] + hash, Array("juliet".utf8), Array("juliet\0".utf8), Array("juliet\0".utf8) + hash.dropLast(),
            Array("juliet\0".utf8) + hash + [0], [0xFF, 0] + hash,
        ] {
            #expect(exchange("HT-SHA-256-NONE").begin(initial: message).failure == .malformedRequest)
        }
        #expect(exchange("HT-SHA-256-NONE").begin(initial: Array("ju liet\0".utf8) + hash).failure == .notAuthorized)
        // What is asked for its message may give it.
        let prompted = exchange("HT-SHA-256-NONE")
        guard case .challenge([]) = prompted.begin(initial: nil),
            case .needCredentials("juliet") = prompted.respond(try message("juliet", token))
        else {
            Issue.record("not prompted")
            return
        }
    }

    @Test func isOfferedByWhatTheConnectionHas() {
        #expect(TokenMechanism.offered([], unbound: false) == [])
        #expect(TokenMechanism.offered([.tlsServerEndPoint], unbound: true) == [.endPoint, .unbound])
        #expect(TokenMechanism.offered([.tlsExporter, .tlsServerEndPoint], unbound: false) == [.exporter, .endPoint])
    }

    @Test func secretsAreNotShown() {
        #expect(!"\(token) \(String(reflecting: token))".contains(token.secret))
        var shown = ""
        dump(token, to: &shown)
        #expect(!shown.contains(token.secret))
    }
}
