import Stanzas
@testable import Authentication

/// A SCRAM client of RFC 5802 §3 with every part open to falsification.
struct SCRAMClient {
    enum Failure: Error { case challenge, signature }

    var hash: SCRAMHash
    /// As it stands behind `n=`, already escaped.
    var username: String
    var password: String
    var nonce = "fyko+d2lbbFgONRv9qkxdawL"
    /// `n,,`, `y,,`, `p=tls-exporter,,`, `n,a=…,`
    var gs2 = "n,,"
    var binding: [UInt8] = []
    /// Behind the nonce of the first message, e.g. `,x=1`.
    var extensions = ""
    /// Behind the nonce of the last message, e.g. `,x=1`.
    var lastExtensions = ""
    /// What PBKDF2 gave, if it is known: for tests with many logins.
    var salted: [UInt8]?

    private var authMessage = ""
    private var serverKey: [UInt8] = []

    init(_ hash: SCRAMHash, _ username: String, _ password: String) {
        self.hash = hash
        self.username = username
        self.password = password
    }

    private var firstBare: String { "n=\(username),r=\(nonce)\(extensions)" }
    var first: [UInt8] { Array((gs2 + firstBare).utf8) }

    /// The last message for a challenge `r=…,s=…,i=…`.
    mutating func final(_ challenge: [UInt8]) throws -> [UInt8] {
        let text = String(decoding: challenge, as: UTF8.self)
        let parts = text.split(separator: ",")
        guard parts.count == 3 || parts.count == 4 && parts[3].hasPrefix("h="), parts[0].hasPrefix("r=" + nonce),
            parts[0].utf8.count > nonce.utf8.count + 2, parts[1].hasPrefix("s="),
            parts[2].hasPrefix("i="), let salt = Base64.decode(parts[1].dropFirst(2).utf8), let iterations = Int(parts[2].dropFirst(2))
        else { throw Failure.challenge }
        let secret: [UInt8]
        if let salted {
            secret = salted
        } else {
            secret = try Array(password.utf8).withUnsafeBytes { try hash.hi($0, salt: salt, iterations: iterations) }
        }
        let clientKey = hash.hmac(key: secret, Array("Client Key".utf8))
        serverKey = hash.hmac(key: secret, Array("Server Key".utf8))
        let bare = "c=\(Base64.encode(Array(gs2.utf8) + binding)),\(parts[0])\(lastExtensions)"
        authMessage = "\(firstBare),\(text),\(bare)"
        let signature = hash.hmac(key: hash.digest(clientKey), Array(authMessage.utf8))
        return Array("\(bare),p=\(Base64.encode(zip(clientKey, signature).map { $0 ^ $1 }))".utf8)
    }

    /// Whether the server knew the keys: the `v=` of its last message.
    func accepts(_ success: [UInt8]?) throws -> Bool {
        let expected = "v=" + Base64.encode(hash.hmac(key: serverKey, Array(authMessage.utf8)))
        return success.map { String(decoding: $0, as: UTF8.self) } == expected
    }
}

/// A server side with a few accounts, on example.com.
struct TestServer {
    static let bindings = ChannelBindings(tlsExporter: [UInt8](repeating: 0xE1, count: 32), tlsServerEndPoint: Array(0..<32))

    let service: SASLService
    var accounts: [String: Credentials] = [:]
    var disabled: Set<String> = []
    var bindings: ChannelBindings? = TestServer.bindings
    var encrypted = true
    var policy = MechanismPolicy()
    /// Whether what is offered is told in the challenge: then libsasl2 has no part in SCRAM.
    var isProtected = Engine.isOwn
    var fake = FakeCredentials(secret: Array("a secret of the cluster".utf8), iterations: 4096)

    init(_ users: (name: String, password: String)...) throws {
        service = try SASLService()
        for user in users { accounts[user.name] = try Credentials.derive(password: user.password, iterations: 4096) }
    }

    var offered: [String] { service.mechanisms(encrypted: encrypted, bindings: bindings?.types ?? [], policy: policy) }

    func exchange(_ mechanism: String) -> SASLExchange {
        SASLExchange(
            service: service, host: "example.com", mechanism: mechanism, offered: offered, encrypted: encrypted, bindings: bindings,
            fake: fake,
            advertised: isProtected
                ? AdvertisedMechanisms(mechanisms: offered, channelBindings: bindings?.types.map(\.rawValue) ?? []) : nil)
    }

    /// Answers lookups and checks passwords until the client's turn has come.
    func settle(_ step: SASLExchange.Step, _ exchange: SASLExchange) -> SASLExchange.Step {
        switch step {
        case .needCredentials(let user): settle(exchange.credentials(accounts[user], disabled: disabled.contains(user)), exchange)
        case .verifyPassword(let check): settle(exchange.passwordVerified(check.run()), exchange)
        default: step
        }
    }

    /// A whole login; the names of its steps, as the client sees them, and the last of them.
    func login(_ client: SCRAMClient, plus: Bool = false) throws -> (steps: [String], last: SASLExchange.Step, verified: Bool) {
        var client = client
        let exchange = exchange(client.hash.mechanism + (plus ? "-PLUS" : ""))
        var step = settle(exchange.begin(initial: client.first), exchange)
        var steps = [step.name]
        if case .challenge(let challenge) = step {
            step = settle(exchange.respond(try client.final(challenge)), exchange)
            steps.append(step.name)
        }
        if case .success(_, let data) = step { return (steps, step, try client.accepts(data)) }
        return (steps, step, false)
    }

    func plain(_ message: String) -> SASLExchange.Step {
        let exchange = exchange("PLAIN")
        return settle(exchange.begin(initial: Array(message.utf8)), exchange)
    }
}

extension SASLExchange.Step {
    var name: String {
        switch self {
        case .needCredentials: "needCredentials"
        case .verifyPassword: "verifyPassword"
        case .challenge: "challenge"
        case .success: "success"
        case .failure(let failure): failure.rawValue
        }
    }
    var failure: SASLFailure? { if case .failure(let failure) = self { failure } else { nil } }
    var user: String? { if case .success(let user, _) = self { user } else { nil } }
}

/// The same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
