public import Settings
import Stanzas
public import Store
import Synchronization

/// What all loops of a process share. Immutable but for the few things behind their own locks.
public final class Core: Sendable {
    /// The settings in force; replaced as a whole (`Shard.settingsChanged`).
    public let live: Replaceable<Settings>
    public var settings: Settings {
        unsafeAddress { live.pointer }
    }
    /// This process's life on the bus.
    public let node: UInt64
    public let nodeName: String
    public let loopCount: UInt16
    public let volume: any Volume
    public let identity: VolumeIdentity
    public let readers: any StoreReaders
    public let bus: any StanzaBus
    public let passwords: any PasswordKeys
    public let clock: WallClock
    public let software: Software
    public let started: Int64
    public let metrics: CoreMetrics
    public let random: RandomNumbers
    /// Domain → settings of the host.
    public var hosts: [String: Settings.Host] {
        unsafeAddress { liveHosts.pointer }
    }
    private let liveHosts: Replaceable<[String: Settings.Host]>
    /// Their domains, where they are few: compared one after the other they cost less than a string to look up.
    private let fewHosts: Replaceable<[String]>
    private static let few = 8
    /// Domain → settings of the component that speaks for it.
    public let components: [String: Settings.Component]
    let mailboxes: [Mailbox]
    let loops: [any Loop]
    let shardTable = Mutex<[Shard]>([])
    private let servingLoops = Mutex<(epoch: UInt64, loops: Int)>((0, 0))

    /// - Parameter live: what others of the process hold as well; nil: `settings` alone.
    public init(
        settings: Settings, live: Replaceable<Settings>? = nil, node: UInt64, nodeName: String, loops: [any Loop], volume: any Volume,
        readers: any StoreReaders,
        bus: any StanzaBus, passwords: any PasswordKeys,
        clock: WallClock, software: Software, metrics: CoreMetrics, random: RandomNumbers = RandomNumbers()
    ) {
        self.live = live ?? Replaceable(settings)
        self.node = node
        self.nodeName = nodeName
        self.loops = loops
        self.loopCount = UInt16(truncatingIfNeeded: loops.count)
        self.volume = volume
        self.identity = volume.identity
        self.readers = readers
        self.bus = bus
        self.passwords = passwords
        self.clock = clock
        self.software = software
        self.started = clock.now
        self.metrics = metrics
        self.random = random
        self.mailboxes = loops.map { _ in Mailbox() }
        let hosts = Self.byDomain(settings.hosts)
        liveHosts = Replaceable(hosts)
        fewHosts = Replaceable(Self.fewDomains(hosts))
        var components: [String: Settings.Component] = [:]
        for component in settings.components where hosts[component.domain] == nil { components[component.domain] = component }
        self.components = components
    }

    private static func byDomain(_ hosts: [Settings.Host]) -> [String: Settings.Host] {
        Dictionary(hosts.map { ($0.domain, $0) }) { $1 }
    }

    private static func fewDomains(_ hosts: [String: Settings.Host]) -> [String] { hosts.count <= few ? hosts.keys.sorted() : [] }

    /// Whether the address is one of a host served here, or the host's own.
    func isOfHost(_ jid: JID) -> Bool {
        let few = fewHosts.value
        return few.isEmpty ? hosts.index(forKey: jid.domain) != nil : few.contains { jid.hasDomain($0) }
    }

    /// Whether the address is one of a component, or the component's own.
    func isOfComponent(_ jid: JID) -> Bool { !components.isEmpty && components.index(forKey: jid.domain) != nil }

    /// Puts other settings in force. What is not live must be as it was; then every shard is told (`Shard.settingsChanged`).
    public func replace(_ settings: Settings) {
        live.replace(settings)
        let hosts = Self.byDomain(settings.hosts)
        liveHosts.replace(hosts)
        fewHosts.replace(Self.fewDomains(hosts))
    }
}

/// Runs short reads of the store on threads that may wait for the disk.
public protocol StoreReaders: AnyObject, Sendable {
    /// Runs `body` with a fresh snapshot on a reader thread. The snapshot is valid only inside.
    func read(_ body: @escaping @Sendable (any Snapshot) -> Void)
}

extension Core {
    /// A loop of this process serves as home. When all do, every shard of the cluster is told.
    func shardServes(_ shard: Shard, epoch: UInt64) {
        let complete = servingLoops.withLock { serving in
            if serving.epoch != epoch { serving = (epoch, 0) }
            serving.loops += 1
            return serving.loops == Int(loopCount)
        }
        guard complete, let first = shards.first else { return }
        let node = node
        first.enter { shard in
            for (member, loops) in shard.members {
                for loop in 0..<loops { shard.post(.serves(owner: node, epoch: epoch), to: ShardAddress(node: member, loop: loop)) }
            }
        }
    }
}
