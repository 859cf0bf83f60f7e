public import Authentication
public import Logging
internal import NIOCore
public import ServerCore
public import Settings
internal import StreamLogic
import Synchronization
internal import Telemetry

/// Clients over TCP: the listeners of a node, their connections, and the certificates they are shown.
public final class ClientTransports: Sendable {
    private let service: ClientService
    let loops: [ClientLoop]
    private let listeners = Mutex<[Listener]>([])
    private let shortage: AcceptShortage

    /// Loads the certificates; nothing listens yet.
    ///
    /// - Parameters:
    ///   - shards: by loop, as many as `loops`.
    ///   - census: what the accounts of each host can log in with.
    ///   - log: gets warnings about certificates at once.
    /// - Throws: `TLSConfigurationError` for a certificate, a key or a TLS setting that cannot be used.
    public init(
        core: Core, shards: [Shard], loops: [NIOLoop], sasl: SASLService, passwords: PasswordPool,
        census: LoginCensus, credentials: any CredentialSource, metrics: ClientMetrics, log: Logger
    ) throws(TLSConfigurationError) {
        let service = try ClientService(
            live: core.live, sasl: sasl, passwords: passwords, census: census, source: credentials, clock: core.clock,
            metrics: metrics, log: log)
        self.service = service
        shortage = AcceptShortage(log)
        self.loops = zip(shards, loops).map { ClientLoop(service: service, shard: $0, loop: $1) }
        for warning in certificateWarnings { log.warning("\(warning)", metadata: ["event": "\(Event.certificateWarning)"]) }
    }

    /// What the operator should know of the certificates in use, one sentence each.
    public var certificateWarnings: [String] { service.unreachableHosts + (service.view.table?.warnings ?? []) }

    /// When the certificate of each host that has one ends, in seconds since 1970.
    public var certificateExpiries: [(domain: String, timestamp: Int)] { service.view.table?.expiries ?? [] }

    /// Client connections of this process.
    public var connections: Int { service.limits.connections }

    /// Certificates and rules for settings that are not in force yet.
    public struct Prepared: Sendable {
        let view: ClientService.View
        /// What the operator should know of the certificates, one sentence each.
        public var warnings: [String] { view.table?.warnings ?? [] }
    }

    /// Reads certificates and keys for other settings.
    ///
    /// - Throws: `TLSConfigurationError`, which names the file.
    public func prepare(_ settings: Settings) throws(TLSConfigurationError) -> Prepared { Prepared(view: try service.prepare(settings)) }

    /// The core has other settings, for which this was prepared; logs a line a host. Connections that stand keep their certificates.
    public func take(_ prepared: Prepared) {
        service.take(prepared.view)
        guard let table = service.view.table else { return }
        for domain in table.domains {
            let days = (table.context(of: domain)?.secondsToExpiry ?? 0) / 86_400
            service.log.notice("certificate loaded", metadata: ["host": "\(domain)", "days_left": "\(days)"])
        }
        for warning in certificateWarnings { service.log.warning("\(warning)", metadata: ["event": "\(Event.certificateWarning)"]) }
    }

    // MARK: Start

    /// Listens on every address of this node, once on each loop.
    ///
    /// - Throws: `ListenError`; nothing listens then.
    public func start() async throws(ListenError) {
        service.drain(nil)
        do throws(ListenError) {
            for (address, isDirect) in try addresses() {
                for clients in loops {
                    let listener = try await Listener.start(
                        address, backlog: service.settings.listen.backlog, on: clients.loop.eventLoop, shortage: shortage
                    ) { channel in
                        try Self.begin(channel, clients: clients, address: address, isDirect: isDirect)
                    }
                    listeners.withLock { $0.append(listener) }
                }
                service.log.info("listening", metadata: ["address": "\(address)", "tls": isDirect ? "direct" : "starttls"])
            }
        } catch {
            await stopListeners()
            throw error
        }
    }

    private func addresses() throws(ListenError) -> [(ListenAddress, isDirect: Bool)] {
        let listen = service.settings.listen
        var all: [(String, isDirect: Bool)] = listen.c2s.map { ($0, false) } + listen.c2sDirectTLS.map { ($0, true) }
        all += (listen.c2sOfNode[service.settings.node.name] ?? []).map { ($0, false) }
        let hasTLS = service.view.table != nil
        var addresses: [(ListenAddress, isDirect: Bool)] = []
        for (text, isDirect) in all {
            guard let address = ListenAddress(text) else {
                throw ListenError("\"\(text)\" is no address to listen on: write it as \"127.0.0.1:5222\" or \"[::1]:5222\".")
            }
            guard hasTLS || !isDirect else { throw ListenError("Cannot listen on \(address) for direct TLS: no host has a certificate.") }
            guard hasTLS || address.isLoopback else {
                throw ListenError("Will not listen on \(address): without a certificate only loopback addresses are safe.")
            }
            addresses.append((address, isDirect))
        }
        return addresses
    }

    private static func begin(_ channel: any Channel, clients: ClientLoop, address: ListenAddress, isDirect: Bool) throws {
        let service = clients.service
        let remote = channel.remoteAddress
        let prefix = remote?.ipAddress.flatMap { AddressPrefix($0) }
        let admission = service.limits.entered(prefix)
        service.metrics.connected(admission)
        let origin = ClientHandler.Origin(
            remote: remote.map(Self.text) ?? "", prefix: prefix, localPort: address.port, isLoopback: address.isLoopback,
            admission: admission)
        var tls: TLSHandler?
        if isDirect, let table = service.view.table {
            let handler = try TLSHandler(table: table, host: nil, direct: true, memory: clients.memory)
            try channel.pipeline.syncOperations.addHandler(handler)
            tls = handler
        }
        try channel.pipeline.syncOperations.addHandler(ClientHandler(clients: clients, origin: origin, tls: tls))
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
        return ip.utf8.contains(UInt8(ascii: ":")) ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }

    // MARK: Stop

    /// Stops listening and turns new streams away; sessions that stand are left to their shards.
    ///
    /// - Parameter redirect: where clients should go instead (`see-other-host`, RFC 6120 §4.9.3.19); nil: their sockets are closed.
    public func stopListening(redirect: String? = nil) async {
        service.drain(redirect.map(Draining.redirect) ?? .shutdown)
        await stopListeners()
    }

    private func stopListeners() async {
        let open = listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in open { await listener.stop() }
    }

    /// Closes every connection and waits a bounded time until all are gone.
    public func stop() async {
        await stopListening()
        await withTaskGroup(of: Void.self) { group in
            for clients in loops {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        clients.loop.execute { clients.closeAll(patience: .seconds(5)) { continuation.resume() } }
                    }
                }
            }
        }
    }
}
