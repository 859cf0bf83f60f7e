import AdminLanguage
import NIOCore
import ServerCore
import Stanzas
import Synchronization
import Telemetry

/// `top`: how busy the cluster is, measured over a few seconds.
extension Commands {
    func top(_ invocation: Invocation, _ sink: ReplySink) {
        let seconds = invocation.integerOption("seconds") ?? CommandTable.defaultTopSeconds
        let busiest = invocation.integerOption("sessions") ?? CommandTable.defaultTopSessions
        askLoads(sink) { before, _ in
            sink.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
                askLoads(sink) { now, silent in
                    let loads = now.map { load in Interval(load, since: before.first { $0.incarnation == load.incarnation }) }
                    var filter = SessionFilter()
                    filter.order = .rate
                    filter.limit = UInt64(max(0, busiest))
                    gather(filter, sink) { sessions, _, _ in
                        sink.write { reply in
                            Self.showCluster(loads, seconds, &reply)
                            Self.showKinds(loads, &reply)
                            Self.showNodes(loads, &reply)
                            Self.showLoops(loads, &reply)
                            if busiest > 0 { Self.show(busiest: sessions.prefix(busiest), &reply) }
                        }
                        endScatter(silent, sink, ok: "")
                    }
                }
            }
        }
    }

    /// Asks every node what it counted so far, in the order of their names.
    private func askLoads(_ sink: ReplySink, then: @escaping @Sendable ([NodeLoad], Set<UInt64>) -> Void) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let loads = Loads()
        let eventLoop = sink.eventLoop
        shard.enter { shard in
            shard.ask(
                NodeQuestion.load.bytes, part: { part in eventLoop.execute { loads.add(part) } },
                done: { silent in eventLoop.execute { then(loads.sorted, silent) } })
        }
    }

    private final class Loads: Sendable {
        private let loads = Mutex<[NodeLoad]>([])
        func add(_ bytes: [UInt8]) {
            // Only the first loop of a node answers for it.
            guard let load = try? NodeLoad(bytes) else { return }
            loads.withLock { $0.append(load) }
        }
        var sorted: [NodeLoad] { loads.withLock { $0.sorted { $0.node < $1.node } } }
    }

    /// What a node did between two readings.
    private struct Interval {
        let node: String
        let seconds: Double
        let done: Measurements

        init(_ now: NodeLoad, since before: NodeLoad?) {
            node = now.node
            // A node that was not there counts from its beginning: it has no rates yet.
            seconds = before.map { Double(now.at &- $0.at) / 1e9 } ?? .infinity
            done = before.map { now.measurements.since($0.measurements) } ?? now.measurements
        }

        var isKeeper: Bool { done.sum("martlet_keeper") > 0 }
        func level(_ name: String) -> ReplyValue { .integer(Commands.whole(done.sum(name))) }
        func rate(_ name: String) -> Double { seconds > 0 ? done.sum(name) / seconds : 0 }
    }

    private static let (received, sent) = ("martlet_stanzas_received_total", "martlet_stanzas_sent_total")
    private static let (bytesIn, bytesOut) = ("martlet_client_received_bytes_total", "martlet_client_sent_bytes_total")
    private static let handled = "martlet_stanza_handled_seconds"

    fileprivate static func whole(_ number: Double) -> Int64 {
        number.isFinite ? Int64(exactly: number.rounded()) ?? (number < 0 ? .min : .max) : 0
    }

    /// A rate: whole from 100 on, with one digit below.
    private static func rate(_ number: Double) -> ReplyValue {
        guard number.isFinite else { return .none }
        return number >= 100 ? .integer(whole(number)) : .number((number * 10).rounded() / 10)
    }

    /// Milliseconds that a share of all took at most.
    private static func milliseconds(_ distribution: Distribution, _ share: Double) -> ReplyValue {
        distribution.bound(of: share).map { .number((Double($0) / 10).rounded() / 100) } ?? .none
    }

    private static func mean(_ distribution: Distribution) -> ReplyValue {
        let count = distribution.count
        return count > 0 ? .number((Double(distribution.sum) / Double(count) * 10).rounded() / 10) : .none
    }

    private static func all(_ loads: [Interval], _ name: String) -> Distribution {
        loads.reduce(into: Distribution()) { $0 += $1.done.distribution(name) }
    }

    private static func sum(_ loads: [Interval], _ name: String) -> Double { loads.reduce(0) { $0 + $1.rate(name) } }
    private static func level(_ loads: [Interval], _ name: String) -> ReplyValue {
        .integer(loads.reduce(0) { $0 &+ whole($1.done.sum(name)) })
    }

    private static func showCluster(_ loads: [Interval], _ seconds: Int, _ reply: inout Reply) {
        reply.fact("seconds", ReplyValue(seconds))
        reply.fact("nodes", ReplyValue(loads.count))
        reply.fact("sessions", level(loads, "martlet_sessions"))
        reply.fact("detached", level(loads, "martlet_sessions_detached"))
        reply.fact("paused", level(loads, "martlet_sessions_paused"))
        reply.fact("in_per_s", rate(sum(loads, received)))
        reply.fact("out_per_s", rate(sum(loads, sent)))
        reply.fact("bounced_per_s", rate(sum(loads, "martlet_bounces_total")))
        reply.fact("kib_in_per_s", rate(sum(loads, bytesIn) / 1024))
        reply.fact("kib_out_per_s", rate(sum(loads, bytesOut) / 1024))
        reply.fact("handled_p50_ms", milliseconds(all(loads, handled), 0.5))
        reply.fact("handled_p99_ms", milliseconds(all(loads, handled), 0.99))
        reply.fact("bus_p50_ms", milliseconds(all(loads, "martlet_bus_round_trip_seconds"), 0.5))
        reply.fact("bus_p99_ms", milliseconds(all(loads, "martlet_bus_round_trip_seconds"), 0.99))
        guard let keeper = loads.first(where: \.isKeeper) else {
            return reply.warning("no node keeps the store; logins and writes wait until one does")
        }
        let commits = keeper.done.distribution("martlet_commit_seconds")
        reply.fact("keeper", .text(keeper.node))
        reply.fact("commits_per_s", rate(keeper.seconds > 0 ? Double(commits.count) / keeper.seconds : 0))
        reply.fact("commit_p50_ms", milliseconds(commits, 0.5))
        reply.fact("commit_p99_ms", milliseconds(commits, 0.99))
        reply.fact("commit_wait_p50_ms", milliseconds(keeper.done.distribution("martlet_commit_wait_seconds"), 0.5))
        reply.fact("commit_wait_p99_ms", milliseconds(keeper.done.distribution("martlet_commit_wait_seconds"), 0.99))
        reply.fact("operations_per_commit", mean(keeper.done.distribution("martlet_commit_operations")))
        reply.fact("submissions_per_commit", mean(keeper.done.distribution("martlet_commit_submissions")))
        reply.fact("commits_waiting", keeper.level("martlet_commits_waiting"))
        reply.fact("store_used_mib", .integer(whole(keeper.done.sum("martlet_store_live_bytes") / 1_048_576)))
        reply.fact("store_map_mib", .integer(whole(keeper.done.sum("martlet_store_map_bytes") / 1_048_576)))
    }

    private static func showKinds(_ loads: [Interval], _ reply: inout Reply) {
        reply.table("kinds", ["kind", "in_per_s", "out_per_s", "handled_p50_ms", "handled_p99_ms"])
        for kind in StanzaKind.allCases {
            func perSecond(_ name: String) -> ReplyValue {
                rate(loads.reduce(0) { $0 + ($1.seconds > 0 ? $1.done.number(name, "kind", kind.name) / $1.seconds : 0) })
            }
            let took = loads.reduce(into: Distribution()) { $0 += $1.done.distribution(handled, "kind", kind.name) }
            reply.row(.text(kind.name), perSecond(received), perSecond(sent), milliseconds(took, 0.5), milliseconds(took, 0.99))
        }
    }

    private static func showNodes(_ loads: [Interval], _ reply: inout Reply) {
        reply.table(
            "nodes",
            [
                "node", "role", "sessions", "in_per_s", "out_per_s", "handled_p99_ms", "bus_p99_ms", "unhandled", "unacked", "queued_bytes",
                "bus_queued_bytes", "cpu_percent", "memory_mib",
            ])
        for load in loads {
            reply.row(
                .text(load.node), .text(load.isKeeper ? "keeper" : "node"), load.level("martlet_sessions"), rate(load.rate(received)),
                rate(load.rate(sent)), milliseconds(load.done.distribution(handled), 0.99),
                milliseconds(load.done.distribution("martlet_bus_round_trip_seconds"), 0.99), load.level("martlet_unhandled_stanzas"),
                load.level("martlet_session_unacknowledged_stanzas"), load.level("martlet_session_queued_bytes"),
                load.level("martlet_link_queued_bytes"), rate(load.rate("process_cpu_seconds_total") * 100),
                .integer(whole(load.done.sum("martlet_memory_bytes") / 1_048_576)))
        }
    }

    /// Event loops and the committer: the threads on which stanzas wait.
    private static func showLoops(_ loads: [Interval], _ reply: inout Reply) {
        reply.table("loops", ["node", "thread", "cpu_percent", "lag_p50_ms", "lag_max_ms"])
        for load in loads {
            let lags = load.done.distributions["martlet_loop_lag_seconds"] ?? [:]
            for loop in 0..<lags.count {
                let lag = load.done.distribution("martlet_loop_lag_seconds", "loop", "\(loop)")
                reply.row(
                    .text(load.node), .text("loop \(loop)"), busy(load, "NIO-ELT-0-#\(loop)"), milliseconds(lag, 0.5), milliseconds(lag, 1))
            }
            if load.isKeeper { reply.row(.text(load.node), .text("committer"), busy(load, "store-committer"), .none, .none) }
        }
    }

    private static func busy(_ load: Interval, _ thread: String) -> ReplyValue {
        load.seconds > 0 ? rate(load.done.number("martlet_thread_cpu_seconds_total", "thread", thread) / load.seconds * 100) : .none
    }

    private static func show(busiest sessions: ArraySlice<SessionInfo>, _ reply: inout Reply) {
        reply.table("sessions", ["jid", "node", "in_per_s", "out_per_s", "waiting", "queued_bytes", "idle"])
        for session in sessions {
            reply.row(
                .text(session.jid), .text(session.nodeName), tenths(session.perSecondIn), tenths(session.perSecondOut),
                ReplyValue(session.waiting), ReplyValue(session.queuedBytes), ReplyValue(session.idleMilliseconds / 1000))
        }
    }
}
