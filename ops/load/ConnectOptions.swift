import ArgumentParser

/// Where the server is, and how sessions come to it.
struct ConnectOptions: ParsableArguments {
    @Option(help: "Where the server listens, ADDRESS:PORT; given several times, or several with commas, sessions are spread over them.")
    var target: [String] = ["127.0.0.1:5222"]

    @Option(help: "TLS: starttls, direct (from the first byte), or none.")
    var tls = Protection.starttls

    @Option(help: "A PEM file with what the server's certificate must lead to. Without it certificates are checked beyond loopback alone.")
    var ca: String?

    @Option(help: "SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN.")
    var mechanism = Mechanism.scramSHA256

    @Flag(name: .customLong("sm"), help: "Sessions enable stream management, and resume what was lost.")
    var management = false

    @Option(help: "Logins that are under way at once.")
    var concurrency = 32

    @Option(help: "Seconds after which a login, an answer, or whatever else is waited for has not come.")
    var patience = 60

    @Flag(help: "Allows targets that are not this machine. Load on a server that is not yours is an attack.")
    var thisIsMyServer = false

    enum Protection: String, ExpressibleByArgument, CaseIterable { case starttls, direct, none }

    enum Mechanism: String, ExpressibleByArgument, CaseIterable {
        case scramSHA1 = "SCRAM-SHA-1"
        case scramSHA256 = "SCRAM-SHA-256"
        case scramSHA512 = "SCRAM-SHA-512"
        case plain = "PLAIN"
    }

    func validate() throws {
        for target in try targets where !target.isLoopback && !thisIsMyServer {
            throw ValidationError("\(target) is not this machine. If it is a server of yours, say --this-is-my-server.")
        }
        guard mechanism != .plain || tls != .none else {
            throw ValidationError("PLAIN shows passwords to everybody where there is no TLS.")
        }
        guard concurrency > 0, patience > 0 else { throw ValidationError("--concurrency and --patience are at least 1.") }
    }

    var targets: [Target] {
        get throws {
            let all = target.flatMap { $0.split(separator: ",") }
            guard !all.isEmpty else { throw ValidationError("There is no target.") }
            return try all.map { text in
                guard let target = Target(text) else {
                    throw ValidationError("“\(text)” is no ADDRESS:PORT, as 127.0.0.1:5222 or [::1]:5222.")
                }
                return target
            }
        }
    }
}

/// An address and a port.
struct Target: Equatable, CustomStringConvertible {
    let host: String
    let port: Int

    init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.host = String(host)
        self.port = Int(port)
    }

    /// Whether it is this machine, by the address alone: no name is looked up for it.
    var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
