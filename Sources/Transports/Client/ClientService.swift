internal import Authentication
internal import Logging
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
import Synchronization

/// What all clients' connections of a process share, whatever their loop.
final class ClientService: Sendable {
    /// What may be replaced while the node runs. A connection takes it once, when it begins.
    final class View: Sendable {
        let table: TLSTable?
        /// For listeners that others can reach: TLS is required whatever the host says.
        let open: StreamPolicy
        /// For loopback listeners: the host decides.
        let loopback: StreamPolicy

        init(table: TLSTable?, open: StreamPolicy, loopback: StreamPolicy) {
            self.table = table
            self.open = open
            self.loopback = loopback
        }
    }

    private let live: Replaceable<Settings>
    /// The settings in force.
    var settings: Settings {
        unsafeAddress { live.pointer }
    }
    let sasl: SASLService
    let passwords: PasswordPool
    let census: LoginCensus
    let metrics: ClientMetrics
    let source: any CredentialSource
    let clock: WallClock
    let log: Logger
    let limits: ConnectionLimits
    private let backoff: Mutex<FailureBackoff>
    private let viewed: Mutex<View>
    private let leaving = Mutex<Draining?>(nil)

    init(
        live: Replaceable<Settings>, sasl: SASLService, passwords: PasswordPool, census: LoginCensus, source: any CredentialSource,
        clock: WallClock, metrics: ClientMetrics, log: Logger
    ) throws(TLSConfigurationError) {
        self.live = live
        let settings = live.value
        self.sasl = sasl
        self.passwords = passwords
        self.census = census
        self.metrics = metrics
        self.source = source
        self.clock = clock
        self.log = log
        limits = ConnectionLimits(total: settings.limits.connections, perAddress: settings.limits.connectionsPerAddress)
        let authentication = settings.authentication
        backoff = Mutex(FailureBackoff(limit: authentication.failuresBeforeBackoff, window: authentication.backoffWindow))
        viewed = Mutex(try Self.load(settings))
    }

    var view: View { viewed.withLock { $0 } }

    /// Makes what connections would see under other settings: certificates and keys are read.
    ///
    /// - Throws: `TLSConfigurationError` for what cannot be used.
    func prepare(_ settings: Settings) throws(TLSConfigurationError) -> View {
        let fresh = try Self.load(settings)
        guard fresh.table != nil || view.table == nil else {
            throw TLSConfigurationError(
                "The last certificate cannot be taken from a running node, whose listeners stand on it: restart it.")
        }
        return fresh
    }

    /// The settings in force have changed, and this is what was made of them; connections that stand keep what they have.
    func take(_ fresh: View) {
        viewed.withLock { $0 = fresh }
        limits.change(total: settings.limits.connections, perAddress: settings.limits.connectionsPerAddress)
        let authentication = settings.authentication
        backoff.withLock { $0.change(limit: authentication.failuresBeforeBackoff, window: authentication.backoffWindow) }
    }

    private static func load(_ settings: Settings) throws(TLSConfigurationError) -> View {
        var hosts = settings.hosts
        for index in hosts.indices {
            guard let domain = try? JID.prepareDomain(hosts[index].domain) else {
                throw TLSConfigurationError("\"\(hosts[index].domain)\" is no domain name that a host can have.")
            }
            hosts[index].domain = domain
        }
        let table = try TLSTable.load(hosts, settings: settings.tls)
        let names = settings.authentication.mechanisms
        let mechanisms = Set(names + names.filter { $0 != "PLAIN" }.map { $0 + "-PLUS" })
        func policy(isLoopback: Bool) -> StreamPolicy {
            var served: [String: StreamPolicy.Host] = [:]
            for host in hosts {
                served[host.domain] = .init(offersTLS: table?.covers(host.domain) ?? false, requiresTLS: !isLoopback || host.requireTLS)
            }
            var policy = StreamPolicy(
                hosts: served, domain: hosts.first?.domain ?? "", mechanisms: mechanisms,
                authenticationFailures: settings.authentication.failuresPerStream)
            policy.nonSASL = settings.authentication.nonSASL
            policy.compression = settings.listen.compression
            return policy
        }
        return View(table: table, open: policy(isLoopback: false), loopback: policy(isLoopback: true))
    }

    /// Hosts that nobody can log in to, one sentence each.
    var unreachableHosts: [String] {
        let view = view
        return view.loopback.hosts.filter { $0.value.requiresTLS && !$0.value.offersTLS }.keys.sorted().map {
            "The host \($0) requires TLS and has no certificate: nobody can log in. Write certificate and key below its [[host]]."
        }
    }

    // MARK: Leaving

    /// Why new streams are turned away, if they are.
    var draining: Draining? { leaving.withLock { $0 } }
    func drain(_ why: Draining?) { leaving.withLock { $0 = why } }

    // MARK: Guessing

    private static var now: Int64 { Int64(clamping: MonotonicTime.now.nanoseconds) }

    /// Whether a login may be tried from this address, or for this account.
    func allows(_ subject: FailureBackoff.Subject) -> Bool {
        backoff.withLock { $0.allows(subject, now: Self.now) }
    }

    func loginFailed(_ prefix: AddressPrefix?, account: String?) {
        backoff.withLock { backoff in
            if let prefix { backoff.failed(.address(prefix), now: Self.now) }
            if let account { backoff.failed(.account(account), now: Self.now) }
        }
    }

    func loginSucceeded(account: String) { backoff.withLock { $0.succeeded(account: account) } }
}
