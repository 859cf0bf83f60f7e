import Logging
import ServerCore
import Settings
import Synchronization
import Telemetry
import Transports

/// How far a node is on its way out.
enum NodePhase: String, Sendable {
    /// It takes clients.
    case serving
    /// It takes none, and its sessions go to other nodes.
    case draining
    /// It has no session left.
    case drained
    /// Its process is about to end, or to begin anew.
    case stopping
}

/// A node leaves, or comes back.
extension Node {
    /// Takes no more clients, and gives the sessions away: those that can be resumed go on at other nodes, the rest ends with
    /// `system-shutdown`. The store, if this node keeps it, stays with it until it stops.
    ///
    /// Returns when no session is left, or a moment after `cluster.drain_seconds`. Called again it waits for the same.
    func drain() async {
        let (transports, components, begins) = parts.withLock { parts in
            let begins = parts.phase == .serving
            if begins { parts.phase = .draining }
            return (parts.transports, parts.components, begins)
        }
        watching.standing.leave()
        if begins { log.notice("takes no more clients", metadata: ["sessions": "\(core.metrics.sessions.value)"]) }
        // Listeners first: the kernel gives new connections to other nodes.
        await transports?.stopListening(redirect: otherLocation)
        await components?.stopListening()
        let cluster = settings.cluster
        let perSecond = cluster.drainSessionsPerSecond / max(1, shards.count)
        await onEveryShard { shard, done in
            shard.drain(patience: .seconds(cluster.drainSeconds), perSecond: max(1, perSecond), done: done)
        }
        let left = core.metrics.sessions.value
        parts.withLock { if $0.phase == .draining { $0.phase = .drained } }
        log.notice("no session is left to give away", metadata: ["sessions": "\(left)"])
    }

    /// Takes clients again.
    ///
    /// - Throws: `ListenError` when the addresses are not to be had any more; the node then stays as it is.
    func undrain() async throws {
        let (transports, components, isAway) = parts.withLock { parts in
            let isAway = parts.phase == .draining || parts.phase == .drained
            if isAway { parts.phase = .serving }
            return (parts.transports, parts.components, isAway)
        }
        guard isAway else { return }
        await onEveryShard { shard, done in
            shard.undrain()
            done()
        }
        do {
            try await transports?.start()
            try await components?.start()
        } catch {
            await drain()
            throw error
        }
        watching.standing.comeBack()
        log.notice("takes clients again")
    }

    /// Where a client that comes meanwhile may go, if other nodes have addresses of their own.
    private var otherLocation: String? {
        settings.sessions.locationOfNode.filter { $0.key != settings.node.name && !$0.value.isEmpty }.randomElement()?.value
    }
}
