public import ServerCore
public import Settings
import Stanzas
public import Store
import StreamLogic
import Synchronization
import Telemetry
import XMLStream

/// A whole cluster in one thread on a manual clock: nodes with loops, a loopback bus, one volume in memory. Nothing happens
/// until `run` is called, and then everything does.
public final class MemoryCluster {
    /// One process.
    public final class Node {
        public let id: UInt64
        public internal(set) var shards: [Shard] = []
        let loops: [ManualLoop]
        fileprivate(set) public var isAlive = true
        /// It stands still, as after SIGSTOP: nothing of it runs, what is sent to it waits.
        public var isHung = false
        /// What it takes for the time of day.
        public let clock: WallClock
        init(id: UInt64, loops: [ManualLoop], clock: WallClock) {
            self.id = id
            self.loops = loops
            self.clock = clock
        }
    }

    public let domain: String
    public let volume: MemoryVolume
    public private(set) var nodes: [Node] = []
    public let clock = WallClock(standingAt: 1_700_000_000_000_000)
    let time = ManualTime()
    let readers: QueueReaders
    let switchboard = Switchboard()
    /// Deaths that a node has not heard of, in their order for each.
    var news: [(to: Int, dead: UInt64)] = []
    private var epoch: UInt64 = 0
    public private(set) var keeper = 0
    private let settings: Settings
    private let random: RandomNumbers
    private let hasOwnClocks: Bool
    private let modules: [any Module.Type]
    private let store: any Volume
    private var nextNode: UInt64 = 1

    /// - Parameters:
    ///   - seed: of what the core leaves to chance: names, numbers, whose turn it is.
    ///   - store: used instead of `volume`. Its commits are to be answered before they return.
    ///   - hasOwnClocks: each node has a clock of its own (`Node.clock`), which may be set.
    public init(
        nodes count: Int, loops: Int = 1, domain: String = "capulet.lit", modules: [any Module.Type] = [], settings: Settings = Settings(),
        seed: UInt64 = 1, store: (any Volume)? = nil, hasOwnClocks: Bool = false
    ) throws {
        self.hasOwnClocks = hasOwnClocks
        let chance = Mutex(Chance(seed: seed))
        random = RandomNumbers { chance.withLock { $0.next() } }
        self.domain = domain
        self.modules = modules
        var settings = settings
        if settings.hosts.isEmpty { settings.hosts = [Settings.Host(domain: domain)] }
        if settings.components.isEmpty { settings.components = Self.components(domain) }
        self.settings = settings
        // The same partitions in every run.
        volume = MemoryVolume(
            identity: VolumeIdentity(
                volumeID: [UInt8](repeating: 7, count: 16), partitions: VolumeIdentity.defaultPartitions, hashKey: SipKey(1, 2),
                featureLevel: VolumeIdentity.currentFeatureLevel, created: 0, unicodeVersion: ""))
        self.store = store ?? volume
        readers = QueueReaders(self.store)
        for _ in 0..<count { try addNode(loops: loops) }
        takeOver(by: 0)
        run()
    }

    /// Lets go of everything in it, which holds itself and this: for those who make thousands of them in one process.
    public func dismantle() {
        for node in nodes {
            for loop in node.loops { loop.stop() }
            for shard in node.shards {
                shard.core.install([])
                shard.dismantle()
            }
            switchboard.remove(node)
        }
    }

    /// A cluster as a script asks for it.
    public convenience init(nodes: Int, loops: Int, modules: [any Module.Type], script: [Script.Setting]) throws {
        let domain = "capulet.lit"
        var text = ""
        for (table, lines) in Script.tables(script, domain: domain) { text += table + "\n" + lines.joined(separator: "\n") + "\n" }
        try self.init(
            nodes: nodes, loops: loops, domain: domain, modules: modules, settings: try Settings.parse(text, file: "script").settings)
    }

    /// The components that may connect in every theatre.
    static func components(_ domain: String) -> [Settings.Component] {
        ["plays", "push"].map { name in
            var component = Settings.Component(domain: "\(name).\(domain)")
            component.name = name == "plays" ? "Plays" : ""
            return component
        }
    }

    @discardableResult
    public func addNode(loops count: Int = 1) throws -> Node {
        let loops = (0..<count).map { ManualLoop(index: $0, time: time) }
        let node = Node(id: nextNode, loops: loops, clock: hasOwnClocks ? WallClock(standingAt: clock.now) : clock)
        nextNode += 1
        let core = Core(
            settings: settings, node: node.id, nodeName: "node\(node.id)", loops: loops, volume: store, readers: readers,
            bus: LoopbackBus(from: node.id, switchboard), passwords: PlainKeys(), clock: node.clock,
            software: Software(version: "test", system: "memory"), metrics: try CoreMetrics(Registry()), random: random)
        for index in 0..<count { node.shards.append(try Shard(core: core, index: index, modules: modules)) }
        core.install(node.shards)
        switchboard.add(node)
        for other in nodes where other.isAlive {
            let (new, old) = (node.id, other.id)
            let oldLoops = UInt16(other.shards.count)
            for shard in other.shards { shard.enter { $0.nodeUp(new, loops: UInt16(count)) } }
            for shard in node.shards { shard.enter { $0.nodeUp(old, loops: oldLoops) } }
        }
        nodes.append(node)
        return node
    }

    /// Makes a node the keeper, as the lock would.
    public func takeOver(by index: Int) {
        epoch += 1
        keeper = index
        let epoch = epoch
        for shard in nodes[index].shards { shard.enter { $0.becomeHome(epoch: epoch) } }
    }

    /// Kills a node: nothing of it runs any more, the others hear that it is gone. Of what it sent the first `arrives` batches of each
    /// link have arrived.
    ///
    /// - Parameter isToldLater: the others hear of it one by one, when `step` or `run` tells them.
    public func kill(_ index: Int, arrives: Int = .max, isToldLater: Bool = false) {
        let dead = nodes[index]
        dead.isHung = false
        dead.isAlive = false
        switchboard.cut(dead.id, arrives: arrives)
        switchboard.remove(dead)
        for loop in dead.loops { loop.stop() }
        news.removeAll { $0.to == index }
        for other in nodes.indices where nodes[other].isAlive { news.append((to: other, dead: dead.id)) }
        if !isToldLater { while !news.isEmpty { tellNews(0) } }
    }

    /// Lets a node hear of a death.
    func tellNews(_ index: Int) {
        let (to, dead) = news.remove(at: index)
        for shard in nodes[to].shards { shard.enter { $0.nodeDown(dead) } }
    }

    /// Runs until nobody has anything left to do.
    public func run() {
        var busy = true
        while busy {
            busy = false
            while !news.isEmpty { tellNews(0) }
            for node in nodes where node.isAlive && !node.isHung {
                for loop in node.loops { if loop.runOne() { busy = true } }
            }
            if readers.runOne() { busy = true }
            if switchboard.deliverAll() { busy = true }
        }
    }

    /// Runs some of the nodes, and what they send each other, as if the others stood still.
    public func run(nodes some: [Int]) {
        let ids = Set(some.map { nodes[$0].id })
        var busy = true
        while busy {
            busy = false
            for index in some where nodes[index].isAlive {
                for loop in nodes[index].loops { if loop.runOne() { busy = true } }
            }
            if readers.runOne() { busy = true }
            if switchboard.deliverAll(among: ids) { busy = true }
            volume.releaseCommits()
        }
    }

    /// Does the regular chores once on every loop, as if their time had come.
    public func doChores() {
        for node in nodes where node.isAlive { for shard in node.shards { shard.enter { $0.doChores() } } }
        run()
    }

    /// Lets time pass; what is due is done when its turn comes.
    public func tick(seconds: UInt64) { time.advance(seconds: seconds) }

    public func advance(seconds: Int64) {
        clock.advance(seconds: seconds)
        if hasOwnClocks { for node in nodes { node.clock.advance(seconds: seconds) } }
        time.advance(seconds: UInt64(max(0, seconds)))
        run()
    }

    /// Makes an account.
    public func addAccount(_ name: String) throws {
        let jid = try JID(local: name, domain: domain, resource: nil)
        let shard = nodes[nodes.firstIndex { $0.isAlive } ?? 0].shards[0]
        shard.enter { $0.command(.create(credentials: [1]), for: jid) { _ in } }
        run()
    }

    /// Connects a client to a node.
    public func connect(
        _ name: String, resource: String?, node: Int, loop: Int = 0, terms: BindTerms = BindTerms()
    ) throws -> MemoryClient {
        let client = try begin(name, resource: resource, node: node, loop: loop, terms: terms)
        run()
        return client
    }

    /// Resumes the session of another client at a node.
    public func resume(_ name: String, from other: MemoryClient, node: Int, loop: Int = 0, h: UInt32? = nil) throws -> MemoryClient {
        let client = try beginResume(name, other.management?.id ?? "", continuing: other.management, node: node, loop: loop, h: h)
        run()
        return client
    }

    /// As `resume`, but the cluster does not run, and the SM-ID is said.
    public func beginResume(
        _ name: String, _ previd: String, continuing management: ClientManagement? = nil, node: Int, loop: Int = 0, h: UInt32? = nil
    ) throws -> MemoryClient {
        let client = MemoryClient(shard: nodes[node].shards[loop], cluster: self)
        client.resume(try JID(local: name, domain: domain, resource: nil), previd, continuing: management, h: h)
        return client
    }

    /// As `connect`, but the cluster does not run: the binding is under way.
    public func begin(
        _ name: String, resource: String?, node: Int, loop: Int = 0, terms: BindTerms = BindTerms()
    ) throws -> MemoryClient {
        let jid = try JID(local: name, domain: domain, resource: nil)
        let client = MemoryClient(shard: nodes[node].shards[loop], cluster: self)
        client.bind(jid, resource, terms)
        return client
    }
}

/// Time that stands still until it is moved.
final class ManualTime: Sendable {
    private let nanoseconds = Atomic<UInt64>(1_000_000_000)
    var now: MonotonicTime { MonotonicTime(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
    func advance(seconds: UInt64) { nanoseconds.wrappingAdd(seconds &* 1_000_000_000, ordering: .relaxed) }
}

/// A loop whose work is done when the test says so.
final class ManualLoop: Loop {
    private struct State {
        var queue: [@Sendable () -> Void] = []
        var timers: [(at: MonotonicTime, id: Int, body: @Sendable () -> Void)] = []
        var nextTimer = 0
        var isStopped = false
    }
    private final class Timer: LoopTimer {
        let loop: ManualLoop
        let id: Int
        init(loop: ManualLoop, id: Int) {
            self.loop = loop
            self.id = id
        }
        func cancel() { loop.state.withLock { state in state.timers.removeAll { $0.id == id } } }
    }

    let index: Int
    private let time: ManualTime
    private let state = Mutex(State())

    init(index: Int, time: ManualTime) {
        self.index = index
        self.time = time
    }

    var now: MonotonicTime { time.now }
    var inLoop: Bool { true }

    func execute(_ body: @escaping @Sendable () -> Void) {
        state.withLock { if !$0.isStopped { $0.queue.append(body) } }
    }

    func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> any LoopTimer {
        let at = now + delay
        let id = state.withLock { state in
            state.nextTimer += 1
            if !state.isStopped { state.timers.append((at, state.nextTimer, body)) }
            return state.nextTimer
        }
        return Timer(loop: self, id: id)
    }

    func stop() {
        state.withLock { state in
            state.isStopped = true
            state.queue.removeAll()
            state.timers.removeAll()
        }
    }

    /// Whether there is something to do now.
    var isBusy: Bool {
        let now = time.now
        return state.withLock { state in !state.queue.isEmpty || state.timers.contains { $0.at <= now } }
    }

    /// Does the oldest piece of work, due timers first. Returns false when there was none.
    func runOne() -> Bool {
        let body: (@Sendable () -> Void)? = state.withLock { state in
            if let due = state.timers.indices.filter({ state.timers[$0].at <= time.now }).min(by: {
                state.timers[$0].at < state.timers[$1].at
            }) {
                return state.timers.remove(at: due).body
            }
            return state.queue.isEmpty ? nil : state.queue.removeFirst()
        }
        body?()
        return body != nil
    }
}

/// Reads when the test says so, one after the other.
final class QueueReaders: StoreReaders {
    private let volume: any Volume
    private let queue = Mutex<[@Sendable (any Snapshot) -> Void]>([])
    init(_ volume: any Volume) { self.volume = volume }

    func read(_ body: @escaping @Sendable (any Snapshot) -> Void) { queue.withLock { $0.append(body) } }

    var isBusy: Bool { queue.withLock { !$0.isEmpty } }

    func runOne() -> Bool {
        guard let body = queue.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return false }
        do {
            try volume.read { body($0) }
        } catch {
            body(UnreadableSnapshot(error as? StoreFailure ?? .closed))
        }
        return true
    }
}

/// Keys that are the password itself: the memory cluster has no logins.
struct PlainKeys: PasswordKeys {
    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool {
        completion(password.utf8.contains(0) ? .failure(.unusable("It has a control character.")) : .success(Array(password.utf8)))
        return true
    }
}
