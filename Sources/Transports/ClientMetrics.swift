internal import Authentication
internal import Stanzas
internal import StreamLogic
public import Telemetry

/// What the clients' side of a process counts: connections, logins, TLS, stream errors, bytes.
public final class ClientMetrics: Sendable {
    /// Open now, those on their way out among them.
    let open: Gauge
    private let loops = ClientTrafficTable()
    /// The same on the wire, of compressed streams alone.
    let compressedIn: Counter
    let compressedOut: Counter
    private let compressions: [Compression: Counter]
    private let admitted: Counter
    private let nodeIsFull: Counter
    private let addressIsFull: Counter
    private let logins: [String: Counter]
    private let otherLogins: Counter
    private let loginFailures: [SASLCondition: Counter]
    private let handshakes: [String: Counter]
    private let tlsFailures: [TLSFailure.Kind: Counter]
    private let streamErrors: [StreamError.Condition: Counter]

    /// What became of a request for compression (XEP-0138), or later of the compressed stream.
    enum Compression: String, CaseIterable { case compressed, refused, damaged, bomb }

    private static let mechanisms =
        ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"].flatMap { [$0 + "-PLUS", $0] } + ["PLAIN"]
        + TokenMechanism.allCases.map(\.rawValue) + [ClientHandler.nonSASLMechanism]

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        func connections(_ result: String) throws(RegistrationError) -> Counter {
            try registry.counter(
                "martlet_client_connections_total", help: "Connections of clients, by what became of them at once.",
                labels: [("result", result)])
        }
        open = try registry.gauge("martlet_client_connections", help: "Connections of clients that are open.")
        admitted = try connections("accepted")
        nodeIsFull = try connections("node-full")
        addressIsFull = try connections("address-full")
        try loops.register(in: registry)
        compressedIn = try registry.counter(
            "martlet_client_compressed_received_bytes_total", help: "Bytes that compressed streams of clients were received in.")
        compressedOut = try registry.counter(
            "martlet_client_compressed_sent_bytes_total", help: "Bytes that compressed streams were sent to clients in.")
        var compressions: [Compression: Counter] = [:]
        for result in Compression.allCases {
            compressions[result] = try registry.counter(
                "martlet_stream_compressions_total",
                help: "Requests for compression of a stream, and compressed streams that could not be read or expanded too far.",
                labels: [("result", result.rawValue)])
        }
        self.compressions = compressions
        func login(_ mechanism: String) throws(RegistrationError) -> Counter {
            try registry.counter("martlet_logins_total", help: "Logins that succeeded, by mechanism.", labels: [("mechanism", mechanism)])
        }
        var logins: [String: Counter] = [:]
        for mechanism in Self.mechanisms { logins[mechanism] = try login(mechanism) }
        self.logins = logins
        otherLogins = try login("other")
        var loginFailures: [SASLCondition: Counter] = [:]
        for condition in SASLCondition.allCases {
            loginFailures[condition] = try registry.counter(
                "martlet_login_failures_total", help: "Logins that failed, by the condition the client was told.",
                labels: [("condition", condition.rawValue)])
        }
        self.loginFailures = loginFailures
        var handshakes: [String: Counter] = [:]
        for version in ["TLSv1.2", "TLSv1.3"] {
            handshakes[version] = try registry.counter(
                "martlet_tls_handshakes_total", help: "TLS handshakes that were completed, by version.", labels: [("version", version)])
        }
        self.handshakes = handshakes
        var tlsFailures: [TLSFailure.Kind: Counter] = [:]
        for kind in TLSFailure.Kind.allCases {
            tlsFailures[kind] = try registry.counter(
                "martlet_tls_failures_total", help: "TLS connections that failed, in the handshake or after it, by reason.",
                labels: [("reason", kind.rawValue)])
        }
        self.tlsFailures = tlsFailures
        var streamErrors: [StreamError.Condition: Counter] = [:]
        for condition in StreamError.Condition.allCases {
            streamErrors[condition] = try registry.counter(
                "martlet_stream_errors_sent_total", help: "Streams of clients that this side ended with an error, by condition.",
                labels: [("condition", condition.rawValue)])
        }
        self.streamErrors = streamErrors
    }

    func connected(_ admission: ConnectionLimits.Admission) {
        open.add()
        switch admission {
        case .admitted: admitted.increment()
        case .nodeIsFull: nodeIsFull.increment()
        case .addressIsFull: addressIsFull.increment()
        }
    }

    /// The counters of one more loop.
    func addLoop() -> ClientTraffic { loops.add() }

    func disconnected() { open.add(-1) }
    func loggedIn(_ mechanism: String) { (logins[mechanism] ?? otherLogins).increment() }
    func loginFailed(_ condition: SASLCondition) { loginFailures[condition]?.increment() }
    func compression(_ result: Compression) { compressions[result]?.increment() }
    func secured(_ version: String) { handshakes[version]?.increment() }
    func failed(_ failure: TLSFailure.Kind) { tlsFailures[failure]?.increment() }
    func sent(_ error: StreamError) { streamErrors[error.condition]?.increment() }
}
