import Stanzas
import Testing

@testable import Authentication

@Suite(.bothEngines) struct SCRAMTests {
    let server: TestServer

    init() throws { server = try TestServer(("juliet", "r0m30myr0m30"), ("c,o=m", "x"), ("st\u{DF}e", "p\u{E9}")) }

    private func client(_ hash: SCRAMHash = .sha256, _ user: String = "juliet", _ password: String = "r0m30myr0m30") -> SCRAMClient {
        SCRAMClient(hash, user, password)
    }

    private func plus(_ type: ChannelBindingType, _ hash: SCRAMHash = .sha256) throws -> SCRAMClient {
        var client = client(hash)
        client.gs2 = "p=\(type.rawValue),,"
        client.binding = try #require(TestServer.bindings[type])
        return client
    }

    // MARK: Success

    @Test(arguments: SCRAMHash.allCases) func logsIn(_ hash: SCRAMHash) throws {
        let result = try server.login(client(hash))
        #expect(result.steps == ["challenge", "success"])
        #expect(result.last.user == "juliet" && result.verified)
    }

    @Test(arguments: SCRAMHash.allCases, [ChannelBindingType.tlsExporter, .tlsServerEndPoint])
    func logsInBound(_ hash: SCRAMHash, _ type: ChannelBindingType) throws {
        let result = try server.login(plus(type, hash), plus: true)
        #expect(result.steps == ["challenge", "success"])
        #expect(result.last.user == "juliet" && result.verified)
    }

    @Test func bindsToTheFirstFinishedMessageOfOldTLS() throws {
        var server = server
        server.bindings = ChannelBindings(tlsUnique: Array(1...12))
        var client = client()
        client.gs2 = "p=tls-unique,,"
        client.binding = Array(1...12)
        #expect(try server.login(client, plus: true).verified)
    }

    @Test func asksForTheFirstMessage() throws {
        var client = client()
        let exchange = server.exchange("SCRAM-SHA-256")
        guard case .challenge(let prompt) = exchange.begin(initial: nil) else { throw SCRAMClient.Failure.challenge }
        #expect(prompt.isEmpty)
        guard case .challenge(let challenge) = server.settle(exchange.respond(client.first), exchange) else {
            throw SCRAMClient.Failure.challenge
        }
        guard case .success("juliet", let data) = exchange.respond(try client.final(challenge)) else { throw SCRAMClient.Failure.signature }
        #expect(try client.accepts(data))
    }

    @Test func everyLoginHasItsOwnNonce() throws {
        var nonces: Set<[UInt8]> = []
        for _ in 0..<50 {
            let exchange = server.exchange("SCRAM-SHA-1")
            guard case .challenge(let challenge) = server.settle(exchange.begin(initial: client(.sha1).first), exchange) else { continue }
            nonces.insert(challenge)
        }
        #expect(nonces.count == 50)
    }

    @Test func takesKeysOfAnyShape() throws {
        for (iterations, salt) in [(4096, 1), (1_000_000, 16), (70_000, SCRAMKey.maximumSaltLength)] {
            var server = server
            server.accounts["juliet"] = try Credentials.derive(
                password: "r0m30myr0m30", iterations: iterations, hashes: [.sha1], salts: { _ in [UInt8](repeating: 0xFF, count: salt) })
            #expect(try server.login(client(.sha1)).verified, "\(iterations) iterations, \(salt) bytes of salt")
        }
    }

    // MARK: Names

    @Test(arguments: [
        ("juliet", "juliet"), ("JULIET", "juliet"), ("juliet@example.com", "juliet"), ("Juliet@EXAMPLE.com", "juliet"),
        ("\u{FF4A}uliet", "juliet"),
    ]) func preparesNames(_ sent: String, _ user: String) throws {
        let result = try server.login(client(.sha256, sent))
        #expect(result.last.user == user && result.verified)
    }

    @Test func decodesNames() throws {
        var names: [String?] = []
        for sent in ["c=2Co=3Dm", "c=2co=3dm", "c,o=3Dm", "c=2Co=m", "c=", "c=2"] {
            let result = try server.login(client(.sha256, sent, "x"))
            names.append(result.last.user ?? result.last.failure?.rawValue)
        }
        #expect(names == ["c,o=m"] + Array(repeating: "malformed-request", count: 5))
        #expect(try server.login(client(.sha256, "st\u{DF}e", "p\u{E9}")).last.user == "st\u{DF}e")
    }

    @Test(arguments: [
        "juliet@example.org", "juliet@", "@example.com", "ju liet", " juliet", "a@b@example.com", "juliet/balcony", "\u{2603}",
    ])
    func refusesNamesNoAccountHas(_ sent: String) throws {
        #expect(try server.login(client(.sha256, sent)).last.failure == .notAuthorized)
    }

    @Test(arguments: [
        ("a=juliet@example.com", nil), ("a=JULIET@example.com", nil), ("a=romeo@example.com", SASLFailure.invalidAuthzid),
        ("a=juliet@example.org", .invalidAuthzid), ("a=juliet", .invalidAuthzid), ("a=juliet@example.com/balcony", .invalidAuthzid),
        ("a=@", .invalidAuthzid), ("a=", .malformedRequest), ("b=juliet@example.com", .malformedRequest),
        ("juliet@example.com", .malformedRequest),
    ]) func allowsOneselfOnly(_ authzid: String, _ failure: SASLFailure?) throws {
        for (bound, header) in [(false, "n"), (true, "p=tls-exporter")] {
            var client = try bound ? plus(.tlsExporter) : client()
            client.gs2 = "\(header),\(authzid),"
            let result = try server.login(client, plus: bound)
            #expect(result.last.failure == failure)
            #expect(result.verified == (failure == nil))
        }
    }

    // MARK: Refusals

    @Test(arguments: SCRAMHash.allCases) func tellsNoWrongPasswordFromNoAccount(_ hash: SCRAMHash) throws {
        let wrong = try server.login(client(hash, "juliet", "wrong"))
        let unknown = try server.login(client(hash, "nobody", "wrong"))
        #expect(wrong.steps == ["challenge", "not-authorized"])
        #expect(unknown.steps == wrong.steps)
        var without = server
        without.accounts["juliet"] = try Credentials.derive(
            password: "r0m30myr0m30", iterations: 4096, hashes: [hash == .sha1 ? .sha256 : .sha1])
        #expect(try without.login(client(hash)).steps == wrong.steps)
    }

    @Test func challengesLookAlike() throws {
        func challenge(_ user: String, bound: Bool) throws -> [Substring] {
            var client = try bound ? plus(.tlsExporter) : client()
            client.username = user
            let exchange = server.exchange("SCRAM-SHA-256" + (bound ? "-PLUS" : ""))
            guard case .challenge(let data) = server.settle(exchange.begin(initial: client.first), exchange) else { return [] }
            return String(decoding: data, as: UTF8.self).split(separator: ",")
        }
        for bound in [false, true] {
            let (known, unknown, again) = try (
                challenge("juliet", bound: bound), challenge("nobody", bound: bound), challenge("NOBODY", bound: bound)
            )
            #expect(known.count == (server.isProtected ? 4 : 3) && known.map(\.utf8.count) == unknown.map(\.utf8.count))
            // The salt of an account that does not exist stays the same, too.
            #expect(known[1] != unknown[1] && unknown[1] == again[1] && known[2] == unknown[2])
        }
    }

    @Test func refusesAnotherBinding() throws {
        var wrongData = try plus(.tlsExporter)
        wrongData.binding[31] ^= 1
        #expect(try server.login(wrongData, plus: true).steps == ["challenge", "not-authorized"])
        var short = try plus(.tlsExporter)
        short.binding.removeLast()
        #expect(try server.login(short, plus: true).steps == ["challenge", "not-authorized"])
        // The right data of another type.
        var otherType = try plus(.tlsServerEndPoint)
        otherType.gs2 = "p=tls-exporter,,"
        #expect(try server.login(otherType, plus: true).steps == ["challenge", "not-authorized"])
        for type in ["tls-unique", "tls-server-end-poin", "TLS-EXPORTER"] {
            var client = try plus(.tlsExporter)
            client.gs2 = "p=\(type),,"
            #expect(try server.login(client, plus: true).steps == ["not-authorized"])
        }
        // Binding in the first message, another header in the last.
        var client = try plus(.tlsExporter)
        let exchange = server.exchange("SCRAM-SHA-256-PLUS")
        guard case .challenge(let challenge) = server.settle(exchange.begin(initial: client.first), exchange) else {
            throw SCRAMClient.Failure.challenge
        }
        client.gs2 = "n,,"
        client.binding = []
        #expect(exchange.respond(try client.final(challenge)).failure == .notAuthorized)
    }

    @Test func bindsExactlyWithPlus() throws {
        for header in ["n,,", "y,,"] {
            var client = client()
            client.gs2 = header
            #expect(try server.login(client, plus: true).steps == ["malformed-request"])
        }
        #expect(try server.login(plus(.tlsExporter)).steps == ["malformed-request"])
    }

    @Test func noticesADowngrade() throws {
        var client = client()
        client.gs2 = "y,,"
        #expect(try server.login(client).steps == ["not-authorized"])
        // Where nothing can be bound, the client is right.
        var unbound = server
        unbound.bindings = nil
        #expect(try unbound.login(client).verified)
    }

    @Test func tellsOfDisabledAccountsWhoKnowsThePassword() throws {
        var server = server
        server.disabled = ["juliet"]
        #expect(try server.login(client()).steps == ["challenge", "account-disabled"])
        #expect(try server.login(client(.sha256, "juliet", "wrong")).steps == ["challenge", "not-authorized"])
    }

    @Test func takesOfferedMechanismsOnly() throws {
        for mechanism in ["SCRAM-SHA-224", "scram-sha-256", "DIGEST-MD5", "EXTERNAL", "ANONYMOUS", "", "SCRAM-SHA-256-PLUS-PLUS", "X\0Y"] {
            #expect(server.exchange(mechanism).begin(initial: client().first).failure == .invalidMechanism)
        }
        var server = server
        server.bindings = nil
        #expect(server.exchange("SCRAM-SHA-256-PLUS").begin(initial: try plus(.tlsExporter).first).failure == .invalidMechanism)
        server.policy.hashes = [.sha1]
        #expect(server.exchange("SCRAM-SHA-256").begin(initial: client().first).failure == .invalidMechanism)
        server.encrypted = false
        #expect(server.exchange("SCRAM-SHA-1").begin(initial: client().first).failure == .invalidMechanism)
        server.policy.scramWithoutTLS = true
        #expect(try server.login(client(.sha1)).verified)
    }

    // MARK: Malformed

    @Test(arguments: [
        "", "n", "n,", "n,,", "n,,n=juliet", "n,,n=juliet,", "n,,n=juliet,r=", "n,,r=abc,n=juliet", "n,,n=,r=abc", "n,,m=1,n=juliet,r=abc",
        "x,,n=juliet,r=abc", "N,,n=juliet,r=abc", "p,,n=juliet,r=abc", "p=,,n=juliet,r=abc", "p=tls exporter,,n=juliet,r=abc",
        "n=,,n=juliet,r=abc", "n,,n=juliet,r=a\u{7F}c", "n,,n=juliet,r=a c", "n,,n=juliet,r=ab\u{E9}", "n,,n=juliet,r=abc,",
        "n,,n=juliet,r=abc,1=x",
        "n,,n=juliet,r=abc,x", "n,,n=juliet\0,r=abc", "\u{FEFF}n,,n=juliet,r=abc", "n,,n=jul=iet,r=abc", "n,,a=juliet,r=abc",
    ]) func refusesMalformedFirstMessages(_ message: String) {
        let exchange = server.exchange("SCRAM-SHA-256")
        #expect(exchange.begin(initial: Array(message.utf8)).failure == .malformedRequest)
        let prompted = server.exchange("SCRAM-SHA-256")
        _ = prompted.begin(initial: nil)
        #expect(prompted.respond(Array(message.utf8)).failure == .malformedRequest)
    }

    @Test func refusesFirstMessagesThatAreNotUTF8OrTooLong() throws {
        #expect(
            server.exchange("SCRAM-SHA-1").begin(initial: Array("n,,n=".utf8) + [0xFF] + Array(",r=abc".utf8)).failure == .malformedRequest)
        for length in [2048, 2049, 60_000, 1_000_000] {
            let start = "n,,n=juliet,r="
            let message = Array((start + String(repeating: "a", count: length - start.utf8.count)).utf8)
            let exchange = server.exchange("SCRAM-SHA-1")
            #expect(server.settle(exchange.begin(initial: message), exchange).name == (length == 2048 ? "challenge" : "malformed-request"))
        }
    }

    @Test func takesLongNames() throws {
        var server = server
        let name = String(repeating: "j", count: 1023)
        server.accounts[name] = server.accounts["juliet"]
        var client = try plus(.tlsExporter, .sha512)
        client.username = name
        #expect(try server.login(client, plus: true).verified)
        client.gs2 = "p=tls-exporter,a=\(name)@example.com,"
        #expect(try server.login(client, plus: true).steps == ["malformed-request"])
        client.username = name + "j"
        client.gs2 = "p=tls-exporter,,"
        #expect(try server.login(client, plus: true).steps == ["not-authorized"])
    }

    @Test func takesUnknownExtensions() throws {
        var client = client()
        client.extensions = ",x=1,Y=abc"
        client.lastExtensions = ",z=2,M=3"
        #expect(try server.login(client).verified)
        // RFC 5802 §5.1: what must be understood.
        client.lastExtensions = ",m=1"
        #expect(try server.login(client).steps == ["challenge", "malformed-request"])
        client.extensions = ",m=1"
        #expect(try server.login(client).steps == ["malformed-request"])
    }

    /// What stands for `challenge` in these is the server's nonce.
    @Test(arguments: [
        ("", SASLFailure.malformedRequest), ("c=biws", .malformedRequest), ("c=biws,r=NONCE", .malformedRequest),
        ("c=biws,r=NONCE,p=", .malformedRequest), ("c=biws,r=NONCE,p=AAAA", .malformedRequest),
        ("c=biw,r=NONCE,p=PROOF", .malformedRequest),
        ("c=,r=NONCE,p=PROOF", .malformedRequest), ("r=NONCE,c=biws,p=PROOF", .malformedRequest), ("c=biws,r=,p=PROOF", .malformedRequest),
        ("c=biws,r=NONCE,p=PROOF,x=1", .malformedRequest), ("c=biws,r=NONCE,x,p=PROOF", .malformedRequest),
        ("c=biws,r=NONCE,p=PROOF\0", .malformedRequest), ("c=biws,r=NONCE,p=PROOF", .notAuthorized),
        ("c=eSws,r=NONCE,p=PROOF", .notAuthorized),
        ("c=biws,r=NONCEx,p=PROOF", .notAuthorized), ("c=biws,r=other,p=PROOF", .notAuthorized),
        ("c=biws,r=NONCE,x=1,p=PROOF", .notAuthorized),
    ]) func refusesMalformedLastMessages(_ template: String, _ failure: SASLFailure) throws {
        for user in ["juliet", "nobody"] {
            let exchange = server.exchange("SCRAM-SHA-1")
            guard case .challenge(let challenge) = server.settle(exchange.begin(initial: client(.sha1, user).first), exchange) else {
                throw SCRAMClient.Failure.challenge
            }
            let nonce = String(decoding: challenge.dropFirst(2).prefix { $0 != UInt8(ascii: ",") }, as: UTF8.self)
            let message = template.split(separator: "NONCE", omittingEmptySubsequences: false).joined(separator: nonce)
                .split(separator: "PROOF", omittingEmptySubsequences: false).joined(
                    separator: Base64.encode([UInt8](repeating: 7, count: 20)))
            #expect(exchange.respond(Array(message.utf8)).failure == failure)
            #expect(exchange.respond(Array(message.utf8)).failure == .malformedRequest)
        }
    }

    @Test func garbageNeverTraps() throws {
        var generator = SeededGenerator(state: 6120)
        let alphabet = Array("nyp=,,arcvm=2C3D\0\u{E9}@/ =".utf8)
        for round in 0..<3000 {
            let mechanism = try #require(server.offered.randomElement(using: &generator))
            let exchange = server.exchange(mechanism)
            var message = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
            }
            if round % 2 == 0 {
                message = (mechanism.hasSuffix("-PLUS") ? Array("p=tls-exporter,,n=u,r=".utf8) : Array("n,,n=u,r=".utf8)) + message
            }
            let step = exchange.begin(initial: message)
            if case .needCredentials(let user) = step, case .challenge = exchange.credentials(server.accounts[user], disabled: false) {
                _ = exchange.respond(message)
            }
            #expect(exchange.respond(message).failure != nil)
        }
    }

    // MARK: Order

    @Test func endsWithAnAbort() throws {
        let early = server.exchange("SCRAM-SHA-256")
        early.abort()
        #expect(early.begin(initial: client().first).failure == .malformedRequest)
        let waiting = server.exchange("SCRAM-SHA-256")
        _ = waiting.begin(initial: client().first)
        waiting.abort()
        #expect(waiting.credentials(server.accounts["juliet"], disabled: false).failure == .malformedRequest)
        var client = client()
        let challenged = server.exchange("SCRAM-SHA-256")
        guard case .challenge(let challenge) = server.settle(challenged.begin(initial: client.first), challenged) else {
            throw SCRAMClient.Failure.challenge
        }
        challenged.abort()
        #expect(challenged.respond(try client.final(challenge)).failure == .malformedRequest)
    }

    @Test func refusesCallsOutOfOrder() throws {
        let idle = server.exchange("SCRAM-SHA-256")
        #expect(idle.respond(client().first).failure == .malformedRequest)
        #expect(server.exchange("SCRAM-SHA-256").credentials(nil, disabled: false).failure == .malformedRequest)
        #expect(server.exchange("PLAIN").passwordVerified(true).failure == .malformedRequest)
        let scram = server.exchange("SCRAM-SHA-256")
        _ = scram.begin(initial: client().first)
        #expect(scram.passwordVerified(true).failure == .malformedRequest)
        let twice = server.exchange("SCRAM-SHA-256")
        _ = twice.begin(initial: client().first)
        #expect(twice.begin(initial: client().first).failure == .malformedRequest)
        // A login that has succeeded is over.
        var client = client()
        let done = server.exchange("SCRAM-SHA-256")
        guard case .challenge(let challenge) = server.settle(done.begin(initial: client.first), done) else {
            throw SCRAMClient.Failure.challenge
        }
        let last = try client.final(challenge)
        #expect(done.respond(last).user == "juliet")
        #expect(done.respond(last).failure == .malformedRequest)
    }

    // MARK: Threads

    @Test func manyAtOnce() async throws {
        let server = server
        let keys = try #require(server.accounts["juliet"]).keys
        var salted: [SCRAMHash: [UInt8]] = [:]
        for (hash, key) in keys {
            salted[hash] = try Array("r0m30myr0m30".utf8).withUnsafeBytes { try hash.hi($0, salt: key.salt, iterations: key.iterations) }
        }
        let secrets = salted
        let results = try await withThrowingTaskGroup(of: (right: Int, wrong: Int).self) { group in
            for thread in 0..<2 {
                group.addTask {
                    var right = 0
                    var wrong = 0
                    for round in 0..<600 {
                        let hash = SCRAMHash.allCases[round % 3]
                        var client = try round % 2 == 0 ? plus(.tlsExporter, hash) : client(hash)
                        client.salted = secrets[hash]
                        client.nonce = "thread\(thread)round\(round)"
                        if round % 5 == 4 {
                            client.salted?[0] ^= 1
                            if try server.login(client, plus: round % 2 == 0).last.failure == .notAuthorized { wrong += 1 }
                        } else if try server.login(client, plus: round % 2 == 0).verified {
                            right += 1
                        }
                    }
                    return (right, wrong)
                }
            }
            return try await group.reduce(into: [(Int, Int)]()) { $0.append(($1.right, $1.wrong)) }
        }
        #expect(results.count == 2 && results.allSatisfy { $0 == (480, 120) })
    }
}
