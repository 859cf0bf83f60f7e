import ServerCore
import Synchronization

/// Knows where the nodes of one thread are, and what is on its way between them.
final class Switchboard: Sendable {
    /// From one loop to another: in order.
    struct Link: Hashable {
        var from: ShardAddress
        var to: ShardAddress
        var lane: UInt8
    }

    private struct State: Sendable {
        var nodes: [UInt64: [Shard]] = [:]
        /// While true, batches wait until they are delivered one by one.
        var delays = false
        var waiting: [Link: [[UInt8]]] = [:]
        /// Links with something waiting, in the order in which they got it: the same in every run of one seed.
        var order: [Link] = []
        /// Pairs of nodes between which nothing arrives for now.
        var held: Set<Pair> = []

        var ready: [Link] { held.isEmpty ? order : order.filter { !held.contains(Pair($0.from.node, $0.to.node)) } }
    }

    /// Two nodes, whoever speaks.
    private struct Pair: Hashable {
        var low: UInt64
        var high: UInt64
        init(_ one: UInt64, _ other: UInt64) { (low, high) = (min(one, other), max(one, other)) }
    }

    /// Nothing arrives between two nodes until `releaseAll`: what is sent waits, and then arrives in order.
    func hold(_ one: UInt64, _ other: UInt64) { state.withLock { _ = $0.held.insert(Pair(one, other)) } }
    func releaseAll() { state.withLock { $0.held.removeAll() } }

    private let state = Mutex(State())

    func add(_ node: MemoryCluster.Node) { state.withLock { $0.nodes[node.id] = node.shards } }
    func remove(_ node: MemoryCluster.Node) { state.withLock { $0.nodes[node.id] = nil } }

    var delays: Bool {
        get { state.withLock { $0.delays } }
        set { state.withLock { $0.delays = newValue } }
    }

    func post(_ batch: [UInt8], _ link: Link) {
        let isDelayed = state.withLock { state in
            guard state.nodes[link.to.node] != nil else { return true }
            guard state.delays || state.waiting[link] != nil || state.held.contains(Pair(link.from.node, link.to.node)) else {
                return false
            }
            if state.waiting[link] == nil { state.order.append(link) }
            state.waiting[link, default: []].append(batch)
            return true
        }
        if !isDelayed { hand(batch, link) }
    }

    /// How many links have something that may arrive.
    var busyLinks: Int { state.withLock { $0.ready.count } }

    /// Delivers the oldest batch of one of the busy links.
    func deliver(_ index: Int) {
        let next: (Link, [UInt8])? = state.withLock { state in
            let ready = state.ready
            guard ready.indices.contains(index) else { return nil }
            let link = ready[index]
            guard var batches = state.waiting[link], !batches.isEmpty else { return nil }
            let batch = batches.removeFirst()
            if batches.isEmpty {
                state.waiting[link] = nil
                state.order.removeAll { $0 == link }
            } else {
                state.waiting[link] = batches
            }
            return (link, batch)
        }
        if let (link, batch) = next { hand(batch, link) }
    }

    /// Returns false when nothing waited.
    func deliverAll() -> Bool {
        guard busyLinks > 0 else { return false }
        while busyLinks > 0 { deliver(0) }
        return true
    }

    /// Delivers what nodes of a group sent each other. Returns false when nothing waited.
    func deliverAll(among ids: Set<UInt64>) -> Bool {
        var delivered = false
        while let index = state.withLock({ $0.ready.firstIndex { ids.contains($0.from.node) && ids.contains($0.to.node) } }) {
            deliver(index)
            delivered = true
        }
        return delivered
    }

    /// A node dies: the first `arrives` batches of each of its links are there, the rest is lost, and so is what was sent to it.
    func cut(_ node: UInt64, arrives: Int) {
        let arrived: [(Link, [UInt8])] = state.withLock { state in
            var arrived: [(Link, [UInt8])] = []
            for link in state.order where link.from.node == node {
                for batch in (state.waiting[link] ?? []).prefix(arrives) { arrived.append((link, batch)) }
            }
            let dead = state.order.filter { $0.from.node == node || $0.to.node == node }
            for link in dead { state.waiting[link] = nil }
            state.order.removeAll { dead.contains($0) }
            return arrived
        }
        for (link, batch) in arrived { hand(batch, link) }
    }

    private func hand(_ batch: [UInt8], _ link: Link) {
        let shard = state.withLock { state in
            state.nodes[link.to.node].flatMap { Int(link.to.loop) < $0.count ? $0[Int(link.to.loop)] : nil }
        }
        guard let shard else { return }
        shard.loop.execute { shard.receiveBatch(batch, from: link.from) }
    }
}

/// Carries the letters of one node.
final class LoopbackBus: StanzaBus {
    private let from: UInt64
    private let switchboard: Switchboard
    init(from: UInt64, _ switchboard: Switchboard) {
        self.from = from
        self.switchboard = switchboard
    }

    func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane) {
        let link = Switchboard.Link(
            from: ShardAddress(node: from, loop: fromLoop), to: ShardAddress(node: node, loop: toLoop), lane: lane.rawValue)
        switchboard.post(batch, link)
    }
}
