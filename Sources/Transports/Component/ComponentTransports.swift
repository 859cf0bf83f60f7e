public import Logging
internal import NIOCore
public import ServerCore
public import Settings
import Stanzas
import Synchronization
internal import Telemetry

/// What all components' connections of a process share.
final class ComponentService: Sendable {
    private let live: Replaceable<Settings>
    /// The settings in force.
    var settings: Settings {
        unsafeAddress { live.pointer }
    }
    let domains: Set<String>
    let metrics: ComponentMetrics
    let clock: WallClock
    let log: Logger
    private let secrets: Mutex<ComponentSecrets>
    private let count = Atomic<Int>(0)
    private let leaving = Atomic<Bool>(false)

    init(live: Replaceable<Settings>, clock: WallClock, metrics: ComponentMetrics, log: Logger) throws(ComponentSecretError) {
        self.live = live
        let settings = live.value
        domains = Set(settings.components.map(\.domain))
        self.clock = clock
        self.metrics = metrics
        self.log = log
        secrets = Mutex(try ComponentSecrets.load(settings))
    }

    func take(_ fresh: ComponentSecrets) { secrets.withLock { $0 = fresh } }

    func proves(_ digest: String, domain: String, streamID: String) -> Bool {
        secrets.withLock { $0 }.proves(digest, domain: domain, streamID: streamID)
    }

    var isDraining: Bool { leaving.load(ordering: .relaxed) }
    func drain(_ leaves: Bool) { leaving.store(leaves, ordering: .relaxed) }

    /// Counts a connection. Each call is followed by one of `left`. Returns false for one too many.
    func entered() -> Bool {
        metrics.open.add()
        let now = count.wrappingAdd(1, ordering: .relaxed).newValue
        let bound = settings.limits.componentConnections
        return bound == 0 || now <= bound
    }

    func left() {
        metrics.open.add(-1)
        count.wrappingSubtract(1, ordering: .relaxed)
    }

    var connections: Int { count.load(ordering: .relaxed) }
}

/// Components over TCP on loopback (XEP-0114): the listeners of a node, and their connections. Nothing listens while no component is
/// configured.
public final class ComponentTransports: Sendable {
    private let service: ComponentService
    private let shards: [Shard]
    private let loops: [NIOLoop]
    private let listeners = Mutex<[Listener]>([])
    private let handlers: [ComponentLoop]
    private let shortage: AcceptShortage

    /// Reads the secrets, and makes those that are not there.
    ///
    /// - Parameter shards: by loop, as many as `loops`.
    /// - Throws: `ComponentSecretError`.
    public init(core: Core, shards: [Shard], loops: [NIOLoop], metrics: ComponentMetrics, log: Logger)
        throws(ComponentSecretError)
    {
        let service = try ComponentService(live: core.live, clock: core.clock, metrics: metrics, log: log)
        self.service = service
        self.shards = shards
        self.loops = loops
        shortage = AcceptShortage(log)
        handlers = zip(shards, loops).map { ComponentLoop(service: service, shard: $0, loop: $1) }
    }

    /// Secrets that were read and are not in force yet.
    public struct Prepared: Sendable {
        let secrets: ComponentSecrets
    }

    /// Reads the secrets again.
    public func prepare(_ settings: Settings) throws(ComponentSecretError) -> Prepared {
        Prepared(secrets: try ComponentSecrets.load(settings))
    }

    /// From now on these are to be proved; components that are connected stay.
    public func take(_ prepared: Prepared) { service.take(prepared.secrets) }

    /// Connections of components to this process.
    public var connections: Int { service.connections }

    /// Listens on every address, once on each loop.
    ///
    /// - Throws: `ListenError`; nothing listens then.
    public func start() async throws(ListenError) {
        guard !service.settings.components.isEmpty else { return }
        service.drain(false)
        do throws(ListenError) {
            for text in service.settings.listen.component {
                guard let address = ListenAddress(text) else {
                    throw ListenError("\"\(text)\" is no address to listen on: write it as \"127.0.0.1:5347\" or \"[::1]:5347\".")
                }
                guard address.isLoopback else {
                    throw ListenError("Will not listen on \(address) for components: their streams know no TLS.")
                }
                for components in handlers {
                    let listener = try await Listener.start(
                        address, backlog: service.settings.listen.backlog, on: components.loop.eventLoop, shortage: shortage
                    ) { channel in try components.begin(channel, port: address.port) }
                    listeners.withLock { $0.append(listener) }
                }
                service.log.info("listening for components", metadata: ["address": "\(address)"])
            }
        } catch {
            await stopListeners()
            throw error
        }
    }

    /// Stops listening and turns new streams away; sessions that stand are left to their shards.
    public func stopListening() async {
        service.drain(true)
        await stopListeners()
    }

    /// Closes what is left; returns when all connections are gone, or after a few seconds.
    public func stop() async {
        for components in handlers {
            await withCheckedContinuation { continuation in
                components.loop.execute { components.closeAll { continuation.resume() } }
            }
        }
    }

    private func stopListeners() async {
        let open = listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in open { await listener.stop() }
    }
}
