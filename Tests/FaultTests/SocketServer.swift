import Authentication
import Logging
import NIOCore
import NIOPosix
import ServerCore
import Settings
import Stanzas
import Store
import Telemetry
import TestKit
import Transports

/// A node without a disk and without others: loops, shards, a volume in memory, clients over TCP on loopback.
final class SocketServer {
    static let domain = "plain.example"
    let port: Int
    private let metrics: CoreMetrics
    private let transports: ClientTransports
    private let group: MultiThreadedEventLoopGroup
    private let passwords: PasswordPool

    init(accounts: [String]) throws {
        port = try freePort()
        var settings = Settings()
        settings.listen.c2s = ["127.0.0.1:\(port)"]
        var host = Settings.Host(domain: Self.domain)
        host.requireTLS = false
        settings.hosts = [host]
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        self.group = group
        let loops = group.makeIterator().enumerated().map { NIOLoop(index: $0.offset, eventLoop: $0.element) }
        let volume = MemoryVolume()
        let registry = Registry()
        metrics = try CoreMetrics(registry)
        let core = Core(
            settings: settings, node: 1, nodeName: "a", loops: loops, volume: volume, readers: Readers(volume), bus: Nobody(),
            passwords: NoKeys(), clock: WallClock(), software: Software(version: "test", system: "test"), metrics: metrics)
        let shards = try loops.indices.map { try Shard(core: core, index: $0, modules: []) }
        core.install(shards)
        for shard in shards.reversed() { shard.enter { $0.becomeHome(epoch: 1) } }
        passwords = try PasswordPool(threads: 1, capacity: 64)
        let credentials = try Credentials.derive(password: XMPPClient.password, iterations: 4_096)
        var log = Logger(label: "test")
        log.logLevel = .critical
        transports = try ClientTransports(
            core: core, shards: shards, loops: loops, sasl: SASLService(), passwords: passwords,
            census: LoginCensus(secret: [1, 2, 3], iterations: 4_096, mechanisms: settings.authentication.mechanisms),
            credentials: Known(credentials: credentials), metrics: try ClientMetrics(registry), log: log)
        for name in accounts {
            let jid = try JID(local: name, domain: Self.domain, resource: nil)
            let made = Semaphore()
            let bytes = credentials.encode()
            shards[0].enter { $0.command(.create(credentials: bytes), for: jid) { _ in made.signal() } }
            made.wait()
        }
    }

    /// Connections that are open.
    var connections: Int { transports.connections }
    /// Sessions that have a resource, connected or not.
    var sessions: Int64 { metrics.sessions.value }

    func start() async throws { try await transports.start() }

    func stop() async {
        await transports.stop()
        passwords.stop()
        try? await group.shutdownGracefully()
    }

    private final class Readers: StoreReaders {
        private let volume: MemoryVolume
        init(_ volume: MemoryVolume) { self.volume = volume }
        func read(_ body: @escaping @Sendable (any Snapshot) -> Void) {
            do { try volume.read { body($0) } } catch { body(UnreadableSnapshot(.closed)) }
        }
    }

    private final class Nobody: StanzaBus {
        func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane) {}
    }

    private struct Known: CredentialSource {
        let credentials: Credentials
        func credentials(of user: JID, device: String?, on loop: any Loop, completion: @escaping @Sendable (CredentialLookup) -> Void) {
            let credentials = credentials
            loop.execute { completion(.account(credentials, isEnabled: true)) }
        }
    }

    private struct NoKeys: PasswordKeys {
        func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool { false }
    }
}
