import AdminSocket
import AdminLanguage
import Authentication
import Bus
import BusProtocol
import Dispatch
import Glibc
import LMDBStore
import Logging
import Modules
import Monitoring
import NIOCore
import NIOPosix
import ServerCore
public import Settings
import Stanzas
import Store
import Synchronization
import Telemetry
import Transports

/// One `martletd` process: assembly in the reading order of start, and of stop.
public final class Node: Sendable {
    let log: Logger
    private let logLevels: LogLevels
    private let group: MultiThreadedEventLoopGroup
    private let adminGroup: MultiThreadedEventLoopGroup
    let volume: LMDBVolume
    let core: Core
    let shards: [Shard]
    private let links: StanzaLinks
    private let passwords: PasswordPool
    private let bridge: BusBridge
    private let census: AccountCensus
    private let backups: BackupKeeper
    private let configuration: Configuration
    let watching: Watching
    let parts = Mutex(Parts())
    private let leaveRequested: @Sendable (Leave) -> Void
    private let registry: Registry
    private let started: Int64

    /// What an administrator wants of the process.
    public enum Leave: Sendable {
        /// It ends.
        case stop
        /// It ends and begins anew (`NewProcess`).
        case restart
    }

    struct Parts {
        var claim: KeeperLock.Claim?
        var transports: ClientTransports?
        var components: ComponentTransports?
        var admin: AdminListener?
        var epoch: UInt64 = 0
        var phase = NodePhase.serving
    }

    /// Builds everything; nothing runs yet.
    ///
    /// - Parameters:
    ///   - file: where the settings were read, and are read again.
    ///   - leaveRequested: called when an administrator asks the node to stop or to begin anew, and when it cannot go on.
    /// - Throws: `StartFailure`, `BusError`, `StoreFailure`, … each with one sentence that says what to do.
    public init(_ settings: Settings, from file: ConfigurationFile, leaveRequested: @escaping @Sendable (Leave) -> Void) throws {
        let settings = try Self.prepared(settings)
        self.leaveRequested = leaveRequested
        let writer = try LogWriter(settings.log)
        let levels = LogLevels(settings.log)
        logLevels = levels
        LoggingSystem.bootstrap { LogLines(label: $0, writer: writer, level: levels.cell($0)) }
        log = Logger(label: LogArea.node.rawValue)
        let log = log
        // Names are interned by the tables themselves; a library without SCRAM must not reach a client.
        let sasl = try SASLService()

        try StoreOpening.makeDirectory(settings.node.directory)
        let storeLog = Logger(label: LogArea.store.rawValue)
        registry = Registry()
        let commits = try CommitMetrics(registry)
        volume = try StoreOpening.open(settings.node.directory + "/store", settings.store, commits) { state in
            switch state {
            case .keeping: storeLog.notice("the store takes writes", metadata: ["event": "\(Event.storeOpen)"])
            case .following, .closed: storeLog.debug("the store takes no writes from this node")
            case .readOnly:
                storeLog.critical(
                    "the store takes no writes; a probe is tried every second",
                    metadata: ["event": "\(Event.storeShut)", "state": "\(state)"])
            }
        }

        let loops = settings.node.loops > 0 ? settings.node.loops : System.coreCount
        group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        adminGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let me = NodeInfo.ofThisProcess(
            name: settings.node.name, featureLevel: UInt16(clamping: VolumeIdentity.currentFeatureLevel), loops: loops,
            volumeID: volume.identity.volumeID, product: "Martlet \(Version.text)")
        let volume = volume
        bridge = BusBridge { DispatchQueue.global().async { _ = try? volume.checkReaders() } }
        let nioLoops = group.makeIterator().enumerated().map { NIOLoop(index: $0.offset, eventLoop: $0.element) }
        passwords = try PasswordPool(threads: max(1, loops), capacity: 1_024)
        started = WallClock().now
        let live = Replaceable(settings)
        core = Core(
            settings: settings, live: live, node: me.id.incarnation, nodeName: settings.node.name, loops: nioLoops, volume: volume,
            readers: volume.readers,
            bus: bridge, passwords: NewKeys(pool: passwords, live: live), clock: WallClock(),
            software: Software(version: Version.text, system: Version.system),
            metrics: try CoreMetrics(registry))
        let core = core
        shards = try nioLoops.indices.map { try Shard(core: core, index: $0, modules: ModuleList.all) }
        core.install(shards)
        links = StanzaLinks(
            directory: settings.node.directory + "/run", me: me, settings: settings.cluster, delegate: bridge,
            logger: Logger(label: LogArea.bus.rawValue),
            metrics: try BusMetrics(registry))
        bridge.connect(links, shards)
        census = AccountCensus(logins: try Self.logins(volume, settings), core: core, log: Logger(label: LogArea.store.rawValue))
        let transports = try ClientTransports(
            core: core, shards: shards, loops: nioLoops, sasl: sasl, passwords: passwords,
            census: census.logins, credentials: StoreCredentials(core: core), metrics: try ClientMetrics(registry),
            log: Logger(label: LogArea.c2s.rawValue))
        backups = try BackupKeeper(
            volume: volume, core: core, settings: settings, registry: registry, log: Logger(label: LogArea.backup.rawValue))
        let components = try ComponentTransports(
            core: core, shards: shards, loops: nioLoops, metrics: try ComponentMetrics(registry),
            log: Logger(label: LogArea.components.rawValue))
        watching = try Watching(
            core: core, loops: nioLoops, volume: volume, links: links, transports: transports, backups: backups, registry: registry,
            log: Logger(label: LogArea.watch.rawValue))
        parts.withLock {
            $0.transports = transports
            $0.components = components
        }
        configuration = Configuration(
            file, core: core, clients: transports, components: components, logins: census.logins, levels: levels, log: log)
        log.info("assembled", metadata: ["node": "\(me.id)", "loops": "\(loops)"])
    }

    /// Links, listeners, admin socket; the keeper's lock is waited for.
    public func start() async throws {
        try links.start()
        for shard in shards {
            shard.enter { [census, log] shard in
                shard.accountWritten = { census.changed($0, $1) }
                shard.unreadable = { log.error("\($0)") }
                shard.startHousekeeping()
            }
        }
        installAnswers()
        // What is offered to clients goes by the accounts there are.
        await countAccounts(within: .seconds(5))
        // Before the admin socket: a node that answers there takes clients.
        try await parts.withLock { $0.transports }?.start()
        try await parts.withLock { $0.components }?.start()
        let context = AdminContext(
            core: core, passwords: passwords,
            modules: ModuleList.all.map { ($0.name, $0.implements) }, debug: settings.debug.manualClock,
            log: Logger(label: LogArea.admin.rawValue), volume: volume, backups: backups.directory, configuration: configuration,
            changed: { [census] in census.changed($0, $1) })
        let admin = try await AdminListener.start(
            at: "\(settings.node.directory)/run/admin-\(settings.node.name).sock", on: adminGroup, context: context)
        parts.withLock { $0.admin = admin }
        await watching.start(settings.listen.http(ofNode: settings.node.name), on: adminGroup, log: Logger(label: LogArea.watch.rawValue))
        waitForLock()
        backups.startSchedule()
        log.notice("started", metadata: ["event": "\(Event.started)", "node": "\(settings.node.name)"])
    }

    /// Waits until all accounts are counted, or so long.
    private func countAccounts(within patience: Duration) async {
        let (census, shard) = (census, shards[0])
        await withCheckedContinuation { continuation in
            let once = Once { continuation.resume() }
            _ = shard.loop.schedule(after: patience) { once.run() }
            census.start { once.run() }
        }
    }

    /// The settings in force.
    var settings: Settings { core.settings }

    /// Reads the configuration again, with certificates and secrets, on all nodes of the cluster, and puts in force what can change while
    /// they run. Returns when that is over; the log says how it came out.
    public func reload() {
        let over = DispatchSemaphore(value: 0)
        configuration.reload { over.signal() }
        over.wait()
    }

    /// The lock of the volume makes this node the keeper: it may come at once, or with the death of another.
    private func waitForLock() {
        let claim = KeeperLock.acquire(directory: volume.directory, node: settings.node.name) { result in
            switch result {
            case .success(let lock): self.becomeKeeper(lock)
            case .failure(let failure):
                self.log.critical("the keeper's lock cannot be waited for", metadata: ["error": "\(failure)"])
                self.leaveRequested(.stop)
            }
        }
        parts.withLock { $0.claim = claim }
    }

    private func becomeKeeper(_ lock: KeeperLock) {
        do {
            let epoch = try volume.becomeKeeper(lock)
            parts.withLock { $0.epoch = epoch }
            log.notice("keeps the store", metadata: ["event": "\(Event.keeper)", "epoch": "\(epoch)"])
            // Loop 0 asks the cluster: the others must know before the answers come.
            for shard in shards.reversed() { shard.enter { $0.becomeHome(epoch: epoch) } }
        } catch {
            log.critical(
                "cannot become the keeper; stopping so that another node can",
                metadata: ["event": "\(Event.keeperFailed)", "error": "\(error)"])
            leaveRequested(.stop)
        }
    }

    /// Drains and leaves: sessions go on elsewhere, what clients sent is handled, then the lock is given up.
    public func stop() async {
        log.notice("stopping", metadata: ["event": "\(Event.stopping)"])
        let (transports, components, admin, claim) = parts.withLock { ($0.transports, $0.components, $0.admin, $0.claim) }
        claim?.withdraw()
        census.stop()
        backups.stop()
        await drain()
        parts.withLock { $0.phase = .stopping }
        let patience = settings.cluster.drainSeconds
        // Acknowledgements of another loop's sessions may have come after a loop was done.
        await onEveryShard { shard, done in
            let once = Once(done)
            shard.settle { once.run() }
            _ = shard.loop.schedule(after: .seconds(patience)) { once.run() }
        }
        await transports?.stop()
        await components?.stop()
        for shard in shards { shard.enter { $0.stopHousekeeping() } }
        await admin?.stop()
        await watching.stop()
        links.goodbye()
        // Commits what waits, then the lock: the next keeper finds everything.
        let volume = volume
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                volume.close()
                continuation.resume()
            }
        }
        links.stop()
        passwords.stop()
        try? await adminGroup.shutdownGracefully()
        try? await group.shutdownGracefully()
        log.notice("stopped", metadata: ["event": "\(Event.stopped)"])
    }

    /// Begins something on every loop and waits until each says that it is done.
    func onEveryShard(_ body: @escaping @Sendable (Shard, @escaping @Sendable () -> Void) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for shard in shards {
                group.addTask {
                    await withCheckedContinuation { continuation in shard.enter { body($0) { continuation.resume() } } }
                }
            }
        }
    }

    // MARK: What the node says of itself

    private func installAnswers() {
        let report = NodeReport(
            name: settings.node.name, core: core, volume: volume, links: links, started: started)
        let leave = leaveRequested
        let backups = backups
        let configuration = configuration
        let queue = DispatchQueue(label: "configuration")
        let (watching, core) = (watching, core)
        shards.first?.enter { shard in
            shard.laterAnswerer = { bytes, answer in
                switch NodeQuestion(bytes) {
                case .configuration(let step)?: queue.async { answer(configuration.answer(step).bytes) }
                case .load?: watching.measure { answer(NodeLoad(node: core.nodeName, incarnation: core.node, $0).bytes) }
                default: return false
                }
                return true
            }
        }
        let (levels, name) = (logLevels, settings.node.name)
        let census = census
        for shard in shards {
            shard.enter { shard in
                let isFirst = shard.address.loop == 0
                shard.answerer = { [core = shard.core] bytes in
                    guard isFirst, let question = NodeQuestion(bytes) else { return [] }
                    switch question {
                    case .facts:
                        return report.facts(
                            isKeeper: shard.placement.owner?.node == core.node, serves: shard.placement.owner?.serves == true,
                            epoch: shard.placement.epoch, phase: self.parts.withLock { $0.phase }
                        ).bytes
                    case .stop: leave(.stop)
                    case .restart: leave(.restart)
                    case .drain: Task { await self.drain() }
                    case .undrain:
                        Task {
                            do { try await self.undrain() } catch {
                                self.log.error("takes no clients all the same", metadata: ["reason": "\(error)"])
                            }
                        }
                    case .advanceClock(let seconds):
                        core.clock.advance(seconds: seconds)
                        for other in core.shards { other.enter { $0.skipTime(seconds: seconds) } }
                    // Answered later.
                    case .configuration, .load: break
                    case .log(let question): return levels.answer(question, node: name).bytes
                    case .accountComes(let host, let keys):
                        if let account = try? JID(host) { census.changed(.create(credentials: keys), account) }
                    case .store(let question):
                        return backups.answer(question, isKeeper: shard.placement.owner?.node == core.node).bytes
                    }
                    return []
                }
            }
        }
    }

    private static func logins(_ volume: LMDBVolume, _ settings: Settings) throws -> LoginCensus {
        let secret = try volume.read { snapshot in try SecretRecord.load(.fakeCredentials, from: snapshot) }
        guard let secret else { throw StartFailure("the store in \(volume.directory) has no secrets; it was not made by martletd") }
        let authentication = settings.authentication
        return LoginCensus(secret: secret.bytes, iterations: authentication.iterations, mechanisms: authentication.mechanisms)
    }
}
