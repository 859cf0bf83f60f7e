import AdminSocket
import Bus
import Dispatch
import LMDBStore
import Logging
import Monitoring
import NIOCore
import ServerCore
import Settings
import Synchronization
import Telemetry
import Transports

/// What others see of this node from outside: metrics, health, readiness.
final class Watching: Sendable {
    let standing: Standing
    let loops: LoopWatch
    private let registry: Registry
    private let store: StoreMetrics
    private let backups: BackupKeeper
    /// Where metrics are gathered and written: what is read for them may wait for the disk.
    private let queue = DispatchQueue(label: "metrics")
    private let waiting = Mutex<[@Sendable (String) -> Void]>([])
    private let listener = Mutex<MonitoringListener?>(nil)

    /// Registers what no room registers by itself.
    ///
    /// - Throws: `RegistrationError` when a name is taken.
    init(
        core: Core, loops: [any Loop], volume: LMDBVolume, links: StanzaLinks, transports: ClientTransports, backups: BackupKeeper,
        registry: Registry, log: Logger
    ) throws(RegistrationError) {
        self.registry = registry
        self.backups = backups
        try ProcessMetrics.register(in: registry)
        self.loops = try LoopWatch(loops: loops, registry: registry, log: log)
        standing = try Standing(core, registry)
        store = try StoreMetrics(volume, registry)
        try links.register(in: registry)
        let (name, software, count) = (core.nodeName, core.software, core.loopCount)
        try registry.samples("martlet_build_info", help: "Always 1: which Martlet this is, on what it runs, and as which node.") {
            [Registry.Sample([("version", software.version), ("system", software.system), ("node", name)], 1)]
        }
        try registry.reading("martlet_loops", help: "Event loops of this node.") { Double(count) }
        try registry.samples(
            "martlet_certificate_expiry_timestamp_seconds", help: "When the certificate of a host ends, in seconds since 1970."
        ) { [weak transports] in
            (transports?.certificateExpiries ?? []).map { Registry.Sample([("host", $0.domain)], Double($0.timestamp)) }
        }
    }

    /// Begins to watch the loops, and serves the pages.
    func start(_ addresses: [MonitoringAddress], on group: any EventLoopGroup, log: Logger) async {
        loops.start()
        guard !addresses.isEmpty else { return }
        let pages = MonitoringPages(
            metrics: { [weak self] done in if let self { metrics(done) } else { done("") } },
            health: { [weak self] done in done(self?.loops.health() ?? Health()) },
            readiness: { [weak self] done in
                if let self { standing.readiness(done) } else { done(Health(["this node is stopping"])) }
            })
        let listener = await MonitoringListener.start(addresses, on: group, pages: pages, log: log)
        self.listener.withLock { $0 = listener }
    }

    func stop() async {
        loops.stop()
        let listener = self.listener.withLock { $0.take() }
        await listener?.stop()
    }

    /// What `top` shows, as numbers; `done` is called on another thread.
    func measure(_ done: @escaping @Sendable (Measurements) -> Void) {
        standing.refresh { [self] in
            queue.async { [self] in
                store.refresh()
                done(registry.measure(NodeLoad.families))
            }
        }
    }

    /// All metrics as text. Who asks while they are gathered gets what is gathered next, together with all others who asked.
    func metrics(_ done: @escaping @Sendable (String) -> Void) {
        let isFirst = waiting.withLock { waiting in
            waiting.append(done)
            return waiting.count == 1
        }
        guard isFirst else { return }
        standing.refresh { [self] in
            queue.async { [self] in
                store.refresh()
                backups.refreshNewest()
                let asked = waiting.withLock { waiting in
                    defer { waiting = [] }
                    return waiting
                }
                let text = Exposition.text(of: registry)
                for done in asked { done(text) }
            }
        }
    }
}
