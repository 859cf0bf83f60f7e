import Modules
import Stanzas
import Store
import Telemetry
import Synchronization
import TestKit
import Testing

@testable import ServerCore

/// A new keeper that cannot read which sessions there were says nothing of them until it can (DESIGN: a session that no living node claims
/// is ended properly, and its contacts hear so).
@Suite struct SessionRowTests {
    /// A volume whose session rows cannot be read for a while.
    private final class Unreadable: Volume {
        struct Trouble: Sendable {
            var partitions: Set<UInt16> = []
            /// Also those of single accounts, so that they cannot be loaded.
            var isWide = false
        }

        private struct View: Snapshot {
            let whole: any Snapshot
            let trouble: Trouble

            func get(_ key: Key) throws(StoreFailure) -> [UInt8]? { try whole.get(key) }
            func scan(
                prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
                _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
            ) throws(StoreFailure) {
                for partition in trouble.partitions {
                    let rows = Keys.prefix(partition, .sessionRow)
                    if trouble.isWide ? prefix.starts(with: rows) : prefix == rows { throw .io("reading: simulated") }
                }
                try whole.scan(prefix: prefix, from: from, through: through, reverse: reverse, body)
            }
        }

        let rows = MemoryVolume()
        let trouble = Mutex(Trouble())
        var identity: VolumeIdentity { rows.identity }
        var statistics: VolumeStatistics { rows.statistics }
        func read<T>(_ body: (any Snapshot) throws -> T) throws -> T {
            let trouble = trouble.withLock { $0 }
            return try rows.read { try body(View(whole: $0, trouble: trouble)) }
        }
        func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
            rows.commit(effects, completion: completion)
        }
    }

    /// What two friends of the watcher showed him: one dies with the keeper, the other lives.
    private struct Seen {
        var gone = [0, 0]
        mutating func add(_ stanzas: [String]) {
            for number in 0...1 {
                gone[number] += stanzas.filter { $0.contains("from='pulse\(number)@") && $0.contains("unavailable") }.count
            }
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func whatCannotBeReadIsNotGone(_ seed: UInt64) throws {
        var chance = Chance(seed: seed)
        let store = Unreadable()
        let loops = 1 + chance.below(2)
        let cluster = try MemoryCluster(nodes: 3, loops: loops, modules: ModuleList.all, seed: seed, store: store)
        for name in ["pulse0", "pulse1", "watch"] { try cluster.addAccount(name) }
        let watch = try cluster.connect("watch", resource: "w", node: 2)
        let pulses = try (0...1).map { try cluster.connect("pulse\($0)", resource: "p", node: $0) }
        for type in ["subscribe", "subscribed"] {
            for (number, pulse) in pulses.enumerated() {
                try pulse.post("<presence type='\(type)' to='watch@capulet.lit'/>")
                try watch.post("<presence type='\(type)' to='pulse\(number)@capulet.lit'/>")
                cluster.run()
            }
        }
        for client in pulses + [watch] { try client.post("<presence/>") }
        cluster.run()
        _ = watch.takeReceived()
        var seen = Seen()

        // All partitions or some, for listing or for everything.
        let mine = cluster.nodes[0].shards[0].placement.partition(of: try JID("pulse0@capulet.lit"))
        let partitions = Set((0..<UInt16(store.identity.partitions)).filter { _ in chance.one(in: 2) } + [mine])
        let isWide = chance.one(in: 3)
        store.trouble.withLock { $0 = .init(partitions: partitions, isWide: isWide) }
        let sentences = Mutex<[String]>([])
        for node in cluster.nodes.dropFirst() {
            for shard in node.shards { shard.enter { $0.unreadable = { sentence in sentences.withLock { $0.append(sentence) } } } }
        }
        cluster.kill(0)
        cluster.takeOver(by: 1)
        for _ in 0..<chance.below(60) { cluster.step(&chance) }
        let isHeirKilled = chance.one(in: 4)
        if isHeirKilled { cluster.takeOver(by: 2) }
        cluster.run()
        for _ in 0..<(1 + chance.below(4)) { cluster.advance(seconds: 1) }
        seen.add(watch.takeReceived())
        #expect(seen.gone == [0, 0], "nobody is said to be gone before it is known")
        if !isWide {
            // Served meanwhile.
            try pulses[1].post("<message to='watch@capulet.lit' type='chat' id='m'><body>meanwhile</body></message>")
            cluster.run()
            #expect(watch.takeReceived().contains { $0.contains("meanwhile") })
        }
        let told = sentences.withLock { $0 }
        #expect(told.count >= 1 && told.count <= 2 * loops + 2 * loops, "\(told)")
        #expect(told.contains { $0.contains("sessions") && $0.contains("tried again") && !$0.contains("\n") }, "\(told)")
        let heir = isHeirKilled ? 2 : 1
        let failed = cluster.nodes[heir].shards[0].core.metrics.failedLoads.value
        #expect(failed >= 1)

        store.trouble.withLock { $0 = .init() }
        for _ in 0..<3 { cluster.advance(seconds: 1) }
        seen.add(watch.takeReceived())
        #expect(seen.gone == [1, 0], "who died with the keeper is gone, once; the other is not")
        // It is over: nothing is read again, nobody goes again, and the next keeper knows no more of the dead.
        for _ in 0..<20 { cluster.advance(seconds: 1) }
        cluster.doChores()
        #expect(cluster.nodes[heir].shards[0].core.metrics.failedLoads.value == failed || isWide)
        cluster.takeOver(by: heir == 1 ? 2 : 1)
        cluster.run()
        seen.add(watch.takeReceived())
        #expect(seen.gone == [1, 0])
    }

    /// A read that was asked for by a home that is none any more changes nothing.
    @Test func anOldHomeDoesNotAskAgain() throws {
        let store = Unreadable()
        let cluster = try MemoryCluster(nodes: 2, modules: ModuleList.all, store: store)
        try cluster.addAccount("juliet")
        let juliet = try cluster.connect("juliet", resource: "here", node: 1)
        store.trouble.withLock { $0.partitions = Set(0..<64) }
        cluster.takeOver(by: 1)
        cluster.run()
        store.trouble.withLock { $0.partitions = [] }
        cluster.takeOver(by: 0)
        cluster.run()
        let failed = cluster.nodes[1].shards[0].core.metrics.failedLoads.value
        store.trouble.withLock { $0.partitions = Set(0..<64) }
        for _ in 0..<5 { cluster.advance(seconds: 1) }
        #expect(cluster.nodes[1].shards[0].core.metrics.failedLoads.value == failed)
        #expect(juliet.closedWith == nil)
    }
}
