public import Settings
internal import Stanzas

/// `check ports`: whether each configured listener answers as it should.
public struct PortCheck {
    private let settings: Settings
    private let milliseconds: Int64
    private var findings: [CheckFinding] = []

    public init(_ settings: Settings, milliseconds: Int64 = 5_000) {
        self.settings = settings
        self.milliseconds = milliseconds
    }

    public mutating func run() -> [CheckFinding] {
        findings = []
        for text in settings.listen.c2s { checkClients(text) }
        for (node, addresses) in settings.listen.c2sOfNode.sorted(by: { $0.key < $1.key }) {
            for text in addresses { checkClients(text, node: node) }
        }
        for text in settings.listen.c2sDirectTLS { checkDirect(text) }
        if let component = settings.components.first {
            for text in settings.listen.component { checkComponents(text, component.domain) }
        }
        for text in settings.listen.http { checkMonitoring(text) }
        for (node, addresses) in settings.listen.httpOfNode.sorted(by: { $0.key < $1.key }) {
            for text in addresses { checkMonitoring(text, node: node) }
        }
        return findings
    }

    private mutating func add(_ subject: String, _ state: CheckFinding.State, _ says: String, mend: String = "") {
        findings.append(CheckFinding("ports", subject, state, says, mend: mend))
    }

    /// Goes to a listener and tells what came of it.
    private mutating func go(
        _ text: String, node: String? = nil, _ body: (Probe) throws(ProbeFailure) -> (CheckFinding.State, String, String)
    ) {
        do throws(ProbeFailure) {
            let (state, says, mend) = try body(try connect(text))
            add(text, state, says, mend: mend)
        } catch {
            add(
                text, .mend, "it \(error.says)",
                mend: node.map { "start node \($0)" } ?? "start the nodes (martletctl node list), and see what uses the port: ss -ltnp")
        }
    }

    /// "address:port", or "unix:" and a path.
    private func connect(_ text: String) throws(ProbeFailure) -> Probe {
        if text.hasPrefix("unix:") { return try Probe(path: String(text.dropFirst(5)), milliseconds: milliseconds) }
        guard let address = ListenAddress(text) else { throw ProbeFailure("is no address") }
        return try Probe(address, milliseconds: milliseconds)
    }

    private mutating func checkClients(_ text: String, node: String? = nil) {
        for host in settings.hosts {
            let name = (try? JID.asciiDomain(host.domain)) ?? host.domain
            let hasTLS = !host.certificate.isEmpty
            go(text, node: node) { (probe) throws(ProbeFailure) in
                guard hasTLS else {
                    let features = try probe.features(of: name)
                    guard !features.contains("</stream:error>") else { throw ProbeFailure("refuses the stream of \(host.domain)") }
                    return (.note, "it takes clients of \(host.domain), who cannot encrypt", "give the host a certificate")
                }
                let handshake = try probe.startTLS(name, name: name)
                return (.good, "it takes clients of \(host.domain), with \(handshake.version) behind STARTTLS", "")
            }
        }
    }

    private mutating func checkDirect(_ text: String) {
        for host in settings.hosts where !host.certificate.isEmpty {
            let name = (try? JID.asciiDomain(host.domain)) ?? host.domain
            go(text) { (probe) throws(ProbeFailure) in
                let handshake = try probe.secure(name, alpn: "xmpp-client")
                guard handshake.alpn == "xmpp-client" else {
                    return (
                        .mend, "it speaks TLS and does not agree on xmpp-client (RFC 7301)",
                        "see what listens there: it is not this server"
                    )
                }
                guard try probe.features(of: name).contains("<stream:features") else {
                    throw ProbeFailure("refuses the stream of \(host.domain)")
                }
                return (.good, "it takes clients of \(host.domain), with \(handshake.version)", "")
            }
        }
    }

    private mutating func checkComponents(_ text: String, _ domain: String) {
        go(text) { (probe) throws(ProbeFailure) in
            try probe.send(
                "<stream:stream to='\(domain)' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>")
            guard try probe.receive(until: "<stream:stream", "</stream:error>").contains("<stream:stream") else {
                throw ProbeFailure("refuses the component \(domain)")
            }
            return (.good, "it takes components", "")
        }
    }

    private mutating func checkMonitoring(_ text: String, node: String? = nil) {
        go(text, node: node) { (probe) throws(ProbeFailure) in
            try probe.send("GET /readyz HTTP/1.0\r\n\r\n")
            let answer = try probe.receive(until: "\r\n\r\n")
            guard answer.hasPrefix("HTTP/1.") else { throw ProbeFailure("speaks no HTTP") }
            let code = answer.split(separator: " ", maxSplits: 2).dropFirst().first ?? ""
            guard code == "200" else {
                return (.mend, "it says that the node is not ready (status \(code))", "ask it why: martletctl status, and /readyz itself")
            }
            return (.good, "it says that the node is ready", "")
        }
    }
}
