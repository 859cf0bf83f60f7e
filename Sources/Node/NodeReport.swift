import AdminLanguage
import AdminSocket
import Bus
import BusProtocol
import Glibc
import LMDBStore
import ServerCore
import Stanzas
import Store
import Telemetry

/// What `node show` and `status` tell of a node.
struct NodeReport: Sendable {
    let name: String
    let core: Core
    let volume: LMDBVolume
    let links: StanzaLinks
    let started: Int64

    func facts(isKeeper: Bool, serves: Bool, epoch: UInt64, phase: NodePhase) -> NodeFacts {
        let store = volume.statistics
        var facts: [(key: String, value: ReplyValue)] = [
            ("node", .text(name)),
            ("incarnation", .text(String(core.node, radix: 16))),
            ("state", .text(phase.rawValue)),
            ("role", .text(isKeeper ? "keeper" : "node")),
            ("serving", .flag(serves)),
            ("epoch", ReplyValue(epoch)),
            ("pid", ReplyValue(getpid())),
            ("loops", ReplyValue(core.loopCount)),
            ("sessions", ReplyValue(core.metrics.sessions.value)),
            ("started", .text(DateTime(microseconds: started - started % 1_000_000).description)),
            ("clock", .text(DateTime(microseconds: core.clock.now).description)),
            ("memory_mib", ReplyValue(ProcessMetrics.ownBytes >> 20)),
            ("version", .text(core.software.version)),
            ("stanzas_in", ReplyValue(core.metrics.stanzasReceived)),
            ("stanzas_out", ReplyValue(core.metrics.stanzasSent)),
            ("store_state", .text(Self.word(for: store.state))),
            ("commits", ReplyValue(store.commits)),
            ("commits_failed", ReplyValue(store.failures)),
            ("commits_waiting", ReplyValue(store.waiting)),
            ("commit_submissions", ReplyValue(store.submissions)),
            ("commit_operations", ReplyValue(store.operations)),
            ("commit_microseconds", ReplyValue(store.commitNanoseconds / 1_000)),
            ("store_map_mib", ReplyValue(store.mapBytes >> 20)),
            ("store_used_mib", ReplyValue(store.usedBytes >> 20)),
        ]
        if case .readOnly(let reason) = store.state { facts.append(("store_reason", .text("\(reason)"))) }
        for link in links.statistics {
            facts.append(
                (
                    "link",
                    .text(
                        "\(link.node.id.name) \(link.isConnected ? "up" : "down") sent=\(link.framesSent) received=\(link.framesReceived) queued=\(link.queuedBytes.reduce(0, +))"
                    )
                ))
        }
        return NodeFacts(facts)
    }

    private static func word(for state: VolumeState) -> String {
        switch state {
        case .following: "following"
        case .keeping: "writing"
        case .readOnly: "read-only"
        case .closed: "closed"
        }
    }
}
