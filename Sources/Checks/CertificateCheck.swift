internal import Glibc
public import Settings
internal import Stanzas

/// `check certificates`: the files of the hosts, and what the nodes that run show to clients.
public struct CertificateCheck {
    private let settings: Settings
    private let anchors: String?
    private let milliseconds: Int64
    private var findings: [CheckFinding] = []

    /// Days before its end from which on a certificate has to be renewed, and from which on that is said.
    private static let urgentDays = 14
    private static let soonDays = 30

    /// - Parameter anchors: a PEM file of certificates that clients trust; nil: those that this machine trusts.
    public init(_ settings: Settings, anchors: String?, milliseconds: Int64 = 5_000) {
        self.settings = settings
        self.anchors = anchors
        self.milliseconds = milliseconds
    }

    /// Looks at one host, or at all.
    public mutating func run(_ domain: String? = nil) -> [CheckFinding] {
        findings = []
        for host in settings.hosts where domain == nil || host.domain == domain { check(host) }
        return findings
    }

    private mutating func add(_ subject: String, _ state: CheckFinding.State, _ says: String, mend: String = "") {
        findings.append(CheckFinding("certificates", subject, state, says, mend: mend))
    }

    private mutating func check(_ host: Settings.Host) {
        guard !host.certificate.isEmpty, !host.key.isEmpty else {
            return add(
                host.domain, .mend, "the host has no certificate, so that clients cannot encrypt",
                mend: "set certificate and key of its [[host]] block")
        }
        let chain = Certificate.read(host.certificate)
        guard let leaf = chain.first else {
            let reason =
                access(host.certificate, R_OK) == 0
                ? "it holds no PEM certificate" : "it cannot be read (\(String(cString: strerror(errno))))"
            return add(host.certificate, .mend, reason, mend: "put the certificate of \(host.domain) and its issuers there, as PEM")
        }
        checkKey(host, leaf)
        checkTime(host, chain)
        checkNames(host, leaf)
        checkChain(host, chain)
        checkStrength(host, chain)
        checkServed(host, leaf)
    }

    // MARK: Files

    private mutating func checkKey(_ host: Settings.Host, _ leaf: Certificate) {
        var status = stat()
        guard stat(host.key, &status) == 0, access(host.key, R_OK) == 0 else {
            return add(
                host.key, .mend, "it cannot be read (\(String(cString: strerror(errno))))",
                mend: "give it to the user of the server, chmod 600")
        }
        if status.st_mode & 0o077 != 0 {
            add(
                host.key, .mend, "the private key can be read by others (mode \(String(status.st_mode & 0o777, radix: 8)))",
                mend: "chmod 600 \(host.key)")
        } else if status.st_uid != geteuid(), geteuid() != 0 {
            add(host.key, .note, "the private key belongs to another user", mend: "chown it to the user of the server")
        }
        switch leaf.fits(key: host.key) {
        case true?: add(host.key, .good, "it is the key of the certificate")
        case false?:
            add(
                host.key, .mend, "it is the key of another certificate than the first in \(host.certificate)",
                mend: "put the two of one issue there; the host's own certificate comes first")
        case nil: add(host.key, .mend, "it holds no unencrypted PEM key", mend: "write the key without a passphrase; mode 600 protects it")
        }
    }

    // MARK: What stands in it

    private mutating func checkTime(_ host: Settings.Host, _ chain: [Certificate]) {
        for (index, certificate) in chain.enumerated() {
            let which = index == 0 ? "the certificate" : "certificate \(index + 1) of the chain"
            if certificate.isNotYetValid {
                add(host.certificate, .mend, "\(which) is not valid yet", mend: "look at the clock of this machine (check clocks)")
            }
            guard let days = certificate.daysLeft else {
                add(host.certificate, .mend, "\(which) has no readable end", mend: "get another certificate")
                continue
            }
            switch days {
            case ..<0: add(host.certificate, .mend, "\(which) expired \(-days) days ago", mend: "renew it, then: martletctl config reload")
            case ..<Self.urgentDays:
                add(host.certificate, .mend, "\(which) expires in \(days) days", mend: "renew it, then: martletctl config reload")
            case ..<Self.soonDays where index == 0:
                add(host.certificate, .note, "\(which) expires in \(days) days", mend: "see that it is renewed by itself")
            case _ where index == 0: add(host.certificate, .good, "\(which) is good for \(days) days")
            default: break
            }
        }
    }

    private mutating func checkNames(_ host: Settings.Host, _ leaf: Certificate) {
        let name = (try? JID.asciiDomain(host.domain)) ?? host.domain
        if leaf.names(name) {
            add(host.certificate, .good, "it names \(host.domain)")
        } else if leaf.namesService(name, unicode: host.domain) {
            add(
                host.certificate, .note, "it names \(host.domain) only as an XMPP service or address, which many clients do not look at",
                mend: "have a dNSName \(name) in the next one")
        } else {
            add(
                host.certificate, .mend, "it does not name \(host.domain), so that clients refuse it",
                mend: "get one with the dNSName \(name)")
        }
    }

    private mutating func checkChain(_ host: Settings.Host, _ chain: [Certificate]) {
        switch Certificate.trust(chain, anchors: anchors) {
        case .trusted: add(host.certificate, .good, "its chain leads to an issuer that is trusted")
        case .noIssuer:
            add(
                host.certificate, .mend,
                chain.count == 1
                    ? "its issuer is missing: clients cannot follow the chain" : "the chain leads to nobody whom this machine trusts",
                mend: chain.count == 1
                    ? "add the certificates of the issuers behind it (often called fullchain)"
                    : "give the issuer's own certificate with --ca, if clients have it")
        case .failed(let why):
            let isAlone = chain.count == 1 && chain[0].isSelfSigned
            add(
                host.certificate, .mend,
                isAlone ? "it vouches for itself: clients trust it only when told to" : "its chain does not hold: \(why)",
                mend: isAlone ? "get one from an issuer that clients know" : "put the certificates of the issuers behind it, in order")
        }
    }

    private mutating func checkStrength(_ host: Settings.Host, _ chain: [Certificate]) {
        if let key = chain.first?.keyStrength {
            if key.security < 112 {
                add(
                    host.certificate, .mend, "its key of \(key.bits) bits is too short",
                    mend: "get one with an RSA key of 2048 bits, or with P-256")
            } else {
                add(host.certificate, .good, "its key has \(key.bits) bits")
            }
        }
        // What a root signs itself with, nobody looks at.
        if chain.contains(where: { $0.hasOldSignature && !$0.isSelfSigned }) {
            add(host.certificate, .mend, "it is signed with SHA-1 or MD5", mend: "get another one")
        }
    }

    // MARK: What is served

    private mutating func checkServed(_ host: Settings.Host, _ leaf: Certificate) {
        let name = (try? JID.asciiDomain(host.domain)) ?? host.domain
        let listeners =
            settings.listen.c2s.map { ($0, false) } + settings.listen.c2sDirectTLS.map { ($0, true) }
            + settings.listen.c2sOfNode.sorted { $0.key < $1.key }.flatMap(\.value).map { ($0, false) }
        let file = leaf.der
        for (text, isDirect) in listeners {
            guard let address = ListenAddress(text) else { continue }
            do throws(ProbeFailure) {
                let probe = try Probe(address, milliseconds: milliseconds)
                let handshake = isDirect ? try probe.secure(name, alpn: "xmpp-client") : try probe.startTLS(name, name: name)
                if handshake.certificate == file {
                    add(text, .good, "it shows clients of \(host.domain) the certificate in the file, over \(handshake.version)")
                } else {
                    add(
                        text, .mend, "it shows clients of \(host.domain) another certificate than the one in \(host.certificate)",
                        mend: "load the file: martletctl config reload")
                }
            } catch {
                add(text, .note, "what it shows clients is not known: it \(error.says)", mend: "see check ports")
            }
        }
    }
}
