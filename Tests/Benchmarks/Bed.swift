import Modules
import ServerCore
import Settings
import Stanzas
import Store
import StreamLogic
import Synchronization
import Telemetry
import XMLStream

/// A loop that does what it is told when it is told so. Its time stands still: no timer is ever due.
final class BenchLoop: Loop, @unchecked Sendable {
    // @unchecked: a benchmark of the routing has one thread.
    private struct Timer: LoopTimer {
        func cancel() {}
    }
    private var waiting: [@Sendable () -> Void] = []

    let index = 0
    let now = MonotonicTime(nanoseconds: 1_000_000_000)
    let inLoop = true
    func execute(_ body: @escaping @Sendable () -> Void) { waiting.append(body) }
    func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> any LoopTimer { Timer() }

    /// Works until nothing is left.
    func run() {
        while !waiting.isEmpty {
            let bodies = waiting
            waiting.removeAll(keepingCapacity: true)
            for body in bodies { body() }
        }
    }
}

/// Keeps in memory what is written until it is sealed; from then on takes all and keeps nothing, so that neither memory nor the store's
/// part of the work grows with the rounds.
final class BenchVolume: Volume, StoreReaders, @unchecked Sendable {
    // @unchecked: see `BenchLoop`.
    private let memory = MemoryVolume(
        identity: VolumeIdentity(
            volumeID: [UInt8](repeating: 7, count: 16), partitions: VolumeIdentity.defaultPartitions, hashKey: SipKey(1, 2),
            featureLevel: VolumeIdentity.currentFeatureLevel, created: 0, unicodeVersion: ""))
    var isSealed = false
    /// Rows that were written since.
    private(set) var rows = 0

    var identity: VolumeIdentity { memory.identity }
    var statistics: VolumeStatistics { memory.statistics }
    func read<T>(_ body: (any Snapshot) throws -> T) throws -> T { try memory.read(body) }
    func read(_ body: @escaping @Sendable (any Snapshot) -> Void) {
        do {
            try memory.read { body($0) }
        } catch {
            body(UnreadableSnapshot(error as? StoreFailure ?? .closed))
        }
    }
    func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        guard isSealed else { return memory.commit(effects, completion: completion) }
        rows += effects.operations.count
        completion(.success(()))
    }
}

/// There is one node.
private final class NoBus: StanzaBus {
    func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane) {}
}

private struct NoKeys: PasswordKeys {
    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool { false }
}

/// Numbers that look like chance (SplitMix64).
private final class Counting: Sendable {
    private let state = Atomic<UInt64>(1)
    func next() -> UInt64 {
        var mixed = state.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A server of one loop without sockets, as a node assembles it.
final class Bed {
    static let domain = "martlet.example"
    let volume = BenchVolume()
    /// One for all connections of a loop, as in the transport.
    let parser = XMLStreamParser(namespace: .client)
    let shard: Shard
    private let loop = BenchLoop()

    init(_ change: (inout Settings.Host) -> Void = { _ in }) throws {
        var settings = Settings()
        var host = Settings.Host(domain: Self.domain)
        change(&host)
        settings.hosts = [host]
        let core = Core(
            settings: settings, node: 1, nodeName: "a", loops: [loop], volume: volume, readers: volume, bus: NoBus(),
            passwords: NoKeys(), clock: WallClock(standingAt: 1_700_000_000_000_000), software: Software(version: "1", system: "bench"),
            metrics: try CoreMetrics(Registry()), random: Self.numbers())
        shard = try Shard(core: core, index: 0, modules: ModuleList.all)
        core.install([shard])
        shard.enter { $0.becomeHome(epoch: 1) }
        loop.run()
    }

    /// The same in every run.
    private static func numbers() -> RandomNumbers {
        let drawn = Counting()
        return RandomNumbers { drawn.next() }
    }

    /// Ends the tick as a transport does, and all that comes of it.
    func settle() {
        shard.endTick()
        loop.run()
    }

    func jid(_ name: String) throws -> JID { try JID(local: name, domain: Self.domain, resource: nil) }

    /// A session that is available, of an account that is made for it.
    func online(_ name: String) throws -> BenchClient {
        let account = try jid(name)
        shard.enter { $0.command(.create(credentials: [1]), for: account) { _ in } }
        loop.run()
        let client = try connect(account)
        client.receive("<presence/>")
        settle()
        client.written = 0
        return client
    }

    /// A session that is bound and has not sent presence.
    func connect(_ account: JID) throws -> BenchClient {
        let client = try BenchClient(self, account: account)
        client.bind()
        settle()
        guard client.session != nil else { throw Broken("\(account) is not bound") }
        return client
    }

    /// Everybody sees everybody else of `others`, and is seen.
    func befriend(_ client: BenchClient, _ others: [BenchClient]) {
        for type in ["subscribe", "subscribed"] {
            for other in others {
                client.receive("<presence to='\(other.account)' type='\(type)'/>")
                other.receive("<presence to='\(client.account)' type='\(type)'/>")
                settle()
            }
        }
    }
}
