internal import Authentication
internal import Stanzas

/// What the server's side of a login needs.
private enum Logins {
    static let service = try? SASLService()
    static let known = try? Credentials.derive(
        password: "r0m30myr0m30", iterations: 4_096, salts: { _ in [UInt8](repeating: 9, count: 16) })
    static let bindings = ChannelBindings(tlsExporter: [UInt8](repeating: 0xE1, count: 32), tlsServerEndPoint: Array(0..<32))
    static let fake = FakeCredentials(secret: Array("a secret of the cluster".utf8), iterations: 4_096)
    static let token = LoginToken(secret: "secret-token:fast-123456", mechanism: "HT-SHA-256-NONE", expires: .max)
    static let mechanisms = [
        "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS", "PLAIN",
        "HT-SHA-256-NONE", "HT-SHA-256-EXPR", "ANONYMOUS",
    ]
}

extension FuzzTarget {
    /// `mechanism u8 | engine u8 | messages with FF between them`; 01 in a message stands for the nonce of the challenge before it.
    static let sasl = FuzzTarget(
        "sasl", "No message logs anybody in without the password, and none tells whether an account exists", longest: 2_500,
        words: [
            "n,,", "y,,", "p=tls-exporter,,", "p=tls-server-end-point,,", "n,a=juliet@example.com,", "n=juliet", "n=romeo", ",r=",
            "r=\u{1}", ",c=biws",
            "c=biws,r=\u{1},p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "=2C", "=3D", "=", ",m=x", ",x=y", "\u{0}", "\u{0}juliet\u{0}",
            "juliet@example.com",
            "ä", "\u{AD}", "p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ],
        seeds: {
            let first = Array("n,,n=juliet,r=fyko+d2lbbFgONRv9qkxdawL".utf8)
            let last = Array("c=biws,r=\u{1},p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=".utf8)
            let last256 = Array("c=biws,r=\u{1},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".utf8)
            let bound = Array("p=tls-exporter,,n=juliet,r=fyko+d2lbbFgONRv9qkxdawL".utf8)
            return [
                [0, 0] + first + [0xFF] + last, [0, 1] + first + [0xFF] + last, [1, 0] + first + [0xFF] + last256,
                [1, 1] + first + [0xFF] + last256, [4, 1] + bound + [0xFF] + last256, [6, 0] + Array("\0juliet\0wrong".utf8),
                [6, 1] + Array("juliet@example.com\0juliet\0wrong".utf8),
                [7, 0] + Array("juliet\0".utf8) + [UInt8](repeating: 7, count: 32),
                [0, 2] + [0xFF] + first + [0xFF] + last,
            ]
        }
    ) { (input) throws(Breach) in
        guard let service = Logins.service, let known = Logins.known else { throw Breach("libsasl2 cannot be used") }
        let there = try login(input, service, known)
        let missing = try login(input, service, nil)
        try hold(there == missing, "one who exists is told \(there), one who does not \(missing)")
    }

    /// The steps as the client sees them.
    private static func login(_ input: [UInt8], _ service: SASLService, _ account: Credentials?) throws(Breach) -> [String] {
        var choices = Choices(input)
        let mechanism = Logins.mechanisms[choices.below(Logins.mechanisms.count)]
        let flags = choices.byte()
        let exchange = SASLExchange(
            service: service, host: "example.com", mechanism: mechanism, offered: Logins.mechanisms.dropLast(), encrypted: true,
            bindings: Logins.bindings, fake: Logins.fake,
            advertised: flags & 1 == 1 ? AdvertisedMechanisms(mechanisms: ["SCRAM-SHA-1"], channelBindings: ["tls-exporter"]) : nil)
        var steps: [String] = []
        var nonce: [UInt8] = []
        let messages = choices.rest().split(separator: 0xFF, omittingEmptySubsequences: false)
        for (number, message) in messages.prefix(6).enumerated() {
            let message = message.flatMap { $0 == 1 ? nonce : [$0] }
            // An empty first message is none.
            var step = number == 0 ? exchange.begin(initial: message.isEmpty && flags & 2 == 2 ? nil : message) : exchange.respond(message)
            if case .needCredentials = step { step = exchange.credentials(account, disabled: false, tokens: [Logins.token], now: 1) }
            if case .verifyPassword = step { step = exchange.passwordVerified(false) }
            switch step {
            case .challenge(let challenge):
                steps.append("challenge")
                guard !challenge.isEmpty else { continue }
                let text = String(decoding: challenge, as: UTF8.self)
                let parts = text.split(separator: ",")
                try hold(
                    parts.count >= 3 && parts[0].hasPrefix("r=") && parts[1].hasPrefix("s=") && parts[2].hasPrefix("i=")
                        && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }, "a challenge is \(text)")
                try hold(parts[0].utf8.count > 10, "the server's nonce is short: \(text)")
                nonce = Array(parts[0].utf8.dropFirst(2))
            case .success(let user, _): throw Breach("\(user) is in")
            case .failure(let failure): steps.append(failure.rawValue)
            case .needCredentials, .verifyPassword: throw Breach("it asks twice")
            }
        }
        return steps
    }
}
