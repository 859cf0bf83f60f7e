internal import Glibc
public import Settings
internal import Stanzas

/// `check dns`: whether clients find the hosts (RFC 6120 §3.2, XEP-0368).
public struct DNSCheck {
    private let settings: Settings
    private let resolver: Resolver
    private var findings: [CheckFinding] = []
    /// Nobody answered: further questions would only take as long again.
    private var isSilent = false

    /// Whom to ask could not be understood, or there is no way to ask.
    public struct Unusable: Error { public let sentence: String }

    /// - Parameter server: whom to ask, "address" or "address:port"; nil: as the machine is configured.
    public init(_ settings: Settings, resolver server: String?, milliseconds: Int32 = 2_000) throws(Unusable) {
        self.settings = settings
        do throws(Resolver.Failure) {
            resolver = try Resolver(server: server, milliseconds: milliseconds)
        } catch {
            switch error {
            case .none: throw Unusable(sentence: "the DNS cannot be asked")
            case .failed(let why): throw Unusable(sentence: why)
            }
        }
    }

    /// Looks at one domain, or at all hosts of the configuration.
    public mutating func run(_ domain: String? = nil) -> [CheckFinding] {
        findings = []
        isSilent = false
        for domain in domain.map({ [$0] }) ?? settings.hosts.map(\.domain) { check(domain) }
        return findings
    }

    private mutating func add(_ subject: String, _ state: CheckFinding.State, _ says: String, mend: String = "") {
        findings.append(CheckFinding("dns", subject, state, says, mend: mend))
    }

    private var startTLS: [ListenAddress] {
        (settings.listen.c2s + settings.listen.c2sOfNode.values.flatMap { $0 }).compactMap { ListenAddress($0) }
    }
    private var directTLS: [ListenAddress] { settings.listen.c2sDirectTLS.compactMap { ListenAddress($0) } }

    private mutating func check(_ domain: String) {
        guard let name = try? JID.asciiDomain(domain) else {
            return add(domain, .mend, "it is no domain that the DNS could have", mend: "choose another domain for the host")
        }
        let all = startTLS + directTLS
        if all.allSatisfy(\.isLoopback) {
            add(
                domain, .note, "the server listens only on loopback, so that nobody outside can connect whatever the DNS says",
                mend: "for the outside, listen on 0.0.0.0:5222 and [::]:5222 (listen.c2s)")
        }
        checkClients(domain, name)
        if !isSilent { checkDirect(domain, name) }
        if !isSilent { checkServers(domain, name) }
    }

    // MARK: Clients

    private mutating func checkClients(_ domain: String, _ name: String) {
        let question = "_xmpp-client._tcp.\(name)"
        let ports = Set(startTLS.map(\.port))
        let port = ports.contains(5222) ? 5222 : ports.min() ?? 5222
        let record = "\(question). 86400 IN SRV 0 5 \(port) HOST."
        guard let services = look(question) else { return }
        guard !services.isEmpty else { return checkFallback(domain, name, question, record, ports) }
        if services.contains(where: { $0.target.isEmpty }) {
            return add(question, .mend, "it says that \(domain) has no XMPP service", mend: "replace it with: \(record)")
        }
        for service in services { check(service, of: question, ports, "listen.c2s") }
    }

    /// Without records clients try the domain itself, at the standard port (RFC 6120 §3.2.2).
    private mutating func checkFallback(_ domain: String, _ name: String, _ question: String, _ record: String, _ ports: Set<Int>) {
        guard let found = addresses(name) else { return }
        if found.addresses.isEmpty {
            add(
                question, .mend, "there is no such record and \(domain) has no address: clients do not find the server",
                mend: "publish: \(record)")
        } else if ports.contains(5222) {
            add(
                question, .note,
                "there is no such record: clients try \(domain) itself at port 5222, which is \(found.addresses.joined(separator: ", "))",
                mend: "if that is this server, all is well; else publish: \(record)")
        } else {
            add(
                question, .mend, "there is no such record, so clients try \(domain) at port 5222, where nothing listens",
                mend: "publish: \(record)")
        }
    }

    private mutating func checkDirect(_ domain: String, _ name: String) {
        let question = "_xmpps-client._tcp.\(name)"
        guard let services = look(question) else { return }
        let ports = Set(directTLS.map(\.port))
        let named = services.filter { !$0.target.isEmpty }
        switch (named.isEmpty, directTLS.isEmpty) {
        case (true, true): add(question, .good, "there is no such record, and nothing listens for direct TLS")
        case (true, false):
            let record = "\(question). 86400 IN SRV 0 5 \(ports.min() ?? 5223) HOST."
            add(
                question, directTLS.allSatisfy(\.isLoopback) ? .note : .mend,
                "there is no such record: clients do not find the listeners for direct TLS (XEP-0368)", mend: "publish: \(record)")
        case (false, true):
            add(
                question, .mend,
                "it names \(named.map { "\($0.target):\($0.port)" }.joined(separator: ", ")), and nothing listens for direct TLS",
                mend: "take it away, or set listen.c2s_direct_tls")
        case (false, false): for service in named { check(service, of: question, ports, "listen.c2s_direct_tls") }
        }
    }

    private mutating func check(_ service: Resolver.Service, of question: String, _ ports: Set<Int>, _ setting: String) {
        let place = "\(service.target):\(service.port)"
        guard let found = addresses(service.target) else { return }
        if found.addresses.isEmpty {
            return add(
                question, .mend, "it names \(place), and \(service.target) has no address",
                mend: "publish an A or AAAA record of \(service.target), or name another host")
        }
        if found.isAlias {
            return add(
                question, .mend, "it names \(place), which is an alias; RFC 2782 forbids that, and some clients give up",
                mend: "name the host that the alias stands for")
        }
        if !ports.contains(service.port) {
            return add(
                question, .mend, "it names \(place), and \(setting) has no port \(service.port)",
                mend: "name a port of \(setting), or listen on \(service.port); leave it where a router or proxy passes it on")
        }
        let own = Self.ownAddresses
        let isHere = found.addresses.contains { own.contains($0) }
        add(
            question, isHere ? .good : .note, "it names \(place), which is \(found.addresses.joined(separator: ", "))",
            mend: isHere ? "" : "none of these is an address of this machine: right behind a router or proxy, and for another node's host")
    }

    // MARK: Servers

    private mutating func checkServers(_ domain: String, _ name: String) {
        for question in ["_xmpp-server._tcp.\(name)", "_xmpps-server._tcp.\(name)"] {
            guard let services = look(question) else { return }
            let named = services.filter { !$0.target.isEmpty }
            guard !named.isEmpty else { continue }
            add(
                question, .note,
                "it names \(named.map { "\($0.target):\($0.port)" }.joined(separator: ", ")), and this server does not speak with others yet",
                mend: "take it away until it does, or other servers try in vain")
        }
    }

    // MARK: Questions

    /// The records of a service, none as an empty list; nil after a failure, which is told.
    private mutating func look(_ question: String) -> [Resolver.Service]? {
        do throws(Resolver.Failure) {
            return try resolver.services(question)
        } catch {
            return failed(question, error, none: [])
        }
    }

    private mutating func addresses(_ name: String) -> Resolver.Addresses? {
        do throws(Resolver.Failure) {
            return try resolver.addresses(name)
        } catch {
            return failed(name, error, none: Resolver.Addresses())
        }
    }

    private mutating func failed<T>(_ question: String, _ failure: Resolver.Failure, none: T) -> T? {
        switch failure {
        case .none: return none
        case .failed(let why):
            isSilent = true
            add(question, .mend, "the DNS gives no answer: \(why)", mend: "look at /etc/resolv.conf and at the name servers of the domain")
            return nil
        }
    }

    /// The addresses of this machine's interfaces.
    private static var ownAddresses: Set<String> {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var found: Set<String> = []
        var next = first
        while let interface = next?.pointee {
            next = interface.ifa_next
            guard let address = interface.ifa_addr else { continue }
            let family = Int32(address.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            var text = [CChar](repeating: 0, count: 128)
            guard getnameinfo(address, socklen_t(size), &text, 128, nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let words = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            found.insert(String(words.prefix { $0 != "%" }))
        }
        return found
    }
}
