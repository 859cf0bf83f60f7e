import Bus
import BusProtocol
import ServerCore
import Synchronization

/// Between the bus, which moves bytes, and the shards, which read letters.
final class BusBridge: BusDelegate, StanzaBus {
    private let links = Mutex<StanzaLinks?>(nil)
    private let shards = Mutex<[Shard]>([])
    /// Called when a node is gone, before the shards hear of it: reader slots may have to be cleared.
    private let nodeLost: @Sendable () -> Void

    init(nodeLost: @escaping @Sendable () -> Void) {
        self.nodeLost = nodeLost
    }

    /// Both ends are known: once, before the links start.
    func connect(_ links: StanzaLinks, _ shards: [Shard]) {
        self.links.withLock { $0 = links }
        self.shards.withLock { $0 = shards }
    }

    func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane) {
        let links = links.withLock { $0 }
        links?.post(batch, toIncarnation: node, fromLoop: fromLoop, toLoop: toLoop, lane: lane == .bulk ? .bulk : .stanza)
    }

    func busNodeUp(_ node: NodeInfo) {
        let incarnation = node.id.incarnation
        let loops = UInt16(clamping: node.loops)
        for shard in shards.withLock({ $0 }) { shard.enter { $0.nodeUp(incarnation, loops: loops) } }
    }

    func busNodeDown(_ node: NodeID, reason: NodeDownReason) {
        nodeLost()
        let incarnation = node.incarnation
        for shard in shards.withLock({ $0 }) { shard.enter { $0.nodeDown(incarnation) } }
    }

    func busReceived(_ payload: [UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        let shard = shards.withLock { Int(toLoop) < $0.count ? $0[Int(toLoop)] : nil }
        guard let shard else { return }
        let sender = ShardAddress(node: from.incarnation, loop: fromLoop)
        shard.loop.execute { shard.receiveBatch(payload, from: sender) }
    }
}
