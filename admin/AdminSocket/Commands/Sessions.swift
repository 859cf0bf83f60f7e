import AdminLanguage
import NIOCore
import ServerCore
import Stanzas
import Synchronization

/// `session …`: who is connected, in the whole cluster.
extension Commands {
    /// The sessions that the options of a request name; answers itself when one of them means nothing.
    private func sessionFilter(_ invocation: Invocation, _ sink: ReplySink) -> SessionFilter? {
        var filter = SessionFilter(host: invocation.option("domain"), node: invocation.option("node"))
        if let host = filter.host, core.hosts[host] == nil {
            sink.fail(.invalid, "\(host) is not a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
            return nil
        }
        let (argument, user) = (invocation.text("JID"), invocation.option("user"))
        guard argument == nil || user == nil else {
            sink.fail(.usage, "the JID and --user are two ways to say the same: give one")
            return nil
        }
        if let text = argument ?? user {
            guard let jid = jid(text, sink) else { return nil }
            filter.jid = jid
        }
        guard !invocation.flag("tls") || !invocation.flag("no-tls") else {
            sink.fail(.usage, "--tls and --no-tls exclude each other: give one")
            return nil
        }
        filter.tls = invocation.flag("tls") ? true : invocation.flag("no-tls") ? false : nil
        if let word = invocation.option("state") {
            guard let state = SessionFilter.State.allCases.first(where: { "\($0)" == word }) else {
                sink.fail(.invalid, "\(word) is no --state: write attached or detached")
                return nil
            }
            filter.state = state
        }
        filter.pattern = invocation.option("match")
        filter.address = invocation.option("address")
        filter.client = invocation.option("client")
        filter.idleSeconds = invocation.integerOption("idle").map { UInt64(clamping: $0) }
        filter.queue = invocation.integerOption("queue").map { UInt64(clamping: $0) }
        return filter
    }

    func listSessions(_ invocation: Invocation, _ sink: ReplySink) {
        guard var filter = sessionFilter(invocation, sink) else { return }
        if let word = invocation.option("sort") {
            guard let order = SessionFilter.Order.allCases.first(where: { "\($0)" == word }) else {
                return sink.fail(.invalid, "\(word) is no --sort: write jid, idle, queue or rate")
            }
            filter.order = order
        }
        if let after = invocation.option("after") {
            guard filter.order == .jid else {
                return sink.fail(.usage, "--after goes with the order of JIDs alone: leave --sort out, or ask for more with --limit")
            }
            guard let jid = jid(after, sink) else { return }
            filter.after = jid.description
        }
        let wanted = filter
        checkNode(filter.node, sink) { list(wanted, limit: invocation.integerOption("limit") ?? CommandTable.defaultLimit, sink) }
    }

    /// Goes on when a node of this name is there, or none is named.
    private func checkNode(_ name: String?, _ sink: ReplySink, then: @escaping @Sendable () -> Void) {
        guard let name, name != core.nodeName else { return then() }
        askNodes(.facts, sink) { nodes, silent in
            guard nodes.contains(where: { Self.name(of: $0) == name }) else {
                return sink.fail(silent.isEmpty ? .notFound : .partial, "no node \(name) answered; node list shows those that do")
            }
            then()
        }
    }

    /// Asks every shard and shows the sessions in the order that is asked for.
    func list(_ filter: SessionFilter, limit: Int, _ sink: ReplySink) {
        var filter = filter
        filter.limit = UInt64(max(0, limit))
        let wanted = filter
        gather(wanted, sink) { sessions, matching, silent in
            sink.write { reply in
                reply.table(
                    "sessions",
                    [
                        "jid", "node", "address", "tls", "cipher", "mechanism", "state", "sm", "since", "idle", "in", "out", "rate",
                        "waiting",
                        "queue",
                    ])
            }
            let shown = sessions.prefix(limit)
            for start in stride(from: 0, to: shown.count, by: 500) {
                sink.write { reply in
                    for session in shown[start..<min(start + 500, shown.count)] { reply.row(Self.row(session)) }
                }
            }
            endScatter(silent, sink, ok: Self.summary(shown, matching, wanted))
        }
    }

    private static func summary(_ shown: ArraySlice<SessionInfo>, _ matching: UInt64, _ filter: SessionFilter) -> String {
        guard matching > shown.count, let last = shown.last else { return matching == 1 ? "1 session" : "\(matching) sessions" }
        let more = filter.order == .jid ? "the next page: --after \(last.jid)" : "ask for more with --limit"
        return "\(shown.count) of \(matching) sessions; \(more)"
    }

    private static func row(_ session: SessionInfo) -> [ReplyValue] {
        [
            .text(session.jid), .text(session.nodeName), .text(session.facts.remoteAddress), ReplyValue(session.facts.tlsVersion),
            ReplyValue(session.facts.tlsCipher), .text(session.facts.mechanism), .text(state(session)), .text(management(session)),
            .text(Moment.text(session.since)), ReplyValue(session.idleMilliseconds / 1000), ReplyValue(session.stanzasIn),
            ReplyValue(session.stanzasOut), tenths(session.perSecondIn + session.perSecondOut), ReplyValue(session.waiting),
            ReplyValue(session.queuedBytes),
        ]
    }

    /// A rate with one digit behind the point.
    static func tenths(_ rate: Float) -> ReplyValue {
        rate.isFinite ? .number((Double(rate) * 10).rounded() / 10) : .none
    }

    /// Asks every shard for sessions; `then` gets them in order, how many match in all, and who did not answer.
    func gather(
        _ filter: SessionFilter, _ sink: ReplySink, then: @escaping @Sendable ([SessionInfo], UInt64, Set<UInt64>) -> Void
    ) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let collected = Collected()
        let eventLoop = sink.eventLoop
        shard.enter { shard in
            shard.ask(
                filter.question,
                // Reading and sorting of many is not for a loop that serves clients.
                part: { part in eventLoop.execute { collected.add(part) } },
                done: { silent in
                    eventLoop.execute {
                        let (sessions, matching) = collected.all
                        then(SessionInfo.sorted(sessions, by: filter.order), matching, silent)
                    }
                })
        }
    }

    private final class Collected: Sendable {
        private let parts = Mutex<(sessions: [SessionInfo], matching: UInt64)>(([], 0))
        func add(_ bytes: [UInt8]) {
            guard let part = try? SessionPart(bytes) else { return }
            parts.withLock {
                $0.sessions += part.sessions
                $0.matching += part.matching
            }
        }
        var all: ([SessionInfo], UInt64) { parts.withLock { $0 } }
    }

    /// "detached 34 s" for a session that waits for its client, else what the client said of its state.
    private static func state(_ session: SessionInfo) -> String {
        if let seconds = session.management?.detachedSeconds { return "detached \(seconds) s" }
        return session.isActive ? "active" : "inactive"
    }

    /// Stream management in one word.
    private static func management(_ session: SessionInfo) -> String {
        guard let management = session.management else { return "off" }
        return management.isResumable ? "resumable" : "on"
    }

    // MARK: One session

    func showSession(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = jid(invocation.text("FULLJID"), sink) else { return }
        var filter = SessionFilter(jid: jid)
        filter.isDetailed = true
        gather(filter, sink) { sessions, _, silent in
            guard let session = sessions.first(where: { $0.jid == jid.description }) else {
                return sink.fail(
                    silent.isEmpty ? .notFound : .partial,
                    "there is no session \(jid)\(silent.isEmpty ? "" : " on the nodes that answered")")
            }
            sink.write { Self.show(session, &$0) }
            showCapabilities(of: jid, sink) { endScatter(silent, sink, ok: "") }
        }
    }

    private static func show(_ session: SessionInfo, _ reply: inout Reply) {
        reply.fact("jid", .text(session.jid))
        reply.fact("node", .text(session.nodeName))
        reply.fact("loop", ReplyValue(session.loop))
        reply.fact("address", .text(session.facts.remoteAddress))
        reply.fact("port", ReplyValue(session.facts.localPort))
        reply.fact("tls", ReplyValue(session.facts.tlsVersion))
        reply.fact("cipher", ReplyValue(session.facts.tlsCipher))
        reply.fact("compressed", .flag(session.facts.isCompressed))
        reply.fact("mechanism", .text(session.facts.mechanism))
        reply.fact("software", ReplyValue(session.client))
        reply.fact("device", ReplyValue(session.device))
        reply.fact("connected", .text(Moment.text(session.facts.since)))
        reply.fact("since", .text(Moment.text(session.since)))
        reply.fact("idle_seconds", ReplyValue(session.idleMilliseconds / 1000))
        reply.fact("available", ReplyValue(session.isAvailable))
        reply.fact("presence", ReplyValue(session.presence?.show))
        reply.fact("priority", session.presence.map { ReplyValue($0.priority) } ?? .none)
        reply.fact("state", .text(state(session)))
        reply.fact("carbons", .flag(session.hasCarbons))
        reply.fact("sm", .text(management(session)))
        if let management = session.management {
            reply.fact("resume_seconds", ReplyValue(management.seconds))
            reply.fact("detached_seconds", management.detachedSeconds.map { ReplyValue($0) } ?? .none)
            reply.fact("resume_seconds_left", management.secondsLeft.map { ReplyValue($0) } ?? .none)
            reply.fact("unacked", ReplyValue(management.unacked))
            reply.fact("unacked_bytes", ReplyValue(management.unackedBytes))
            reply.fact("h_in", ReplyValue(management.handled))
            reply.fact("h_out", ReplyValue(management.acknowledged))
        }
        reply.fact("held", ReplyValue(session.held))
        reply.fact("held_bytes", ReplyValue(session.heldBytes))
        reply.fact("stanzas_in", ReplyValue(session.stanzasIn))
        reply.fact("stanzas_out", ReplyValue(session.stanzasOut))
        reply.fact("rate_in", tenths(session.perSecondIn))
        reply.fact("rate_out", tenths(session.perSecondOut))
        reply.fact("bytes_in", ReplyValue(session.facts.bytesIn))
        reply.fact("bytes_out", ReplyValue(session.facts.bytesOut))
        reply.fact("reading", .flag(session.isReading))
        reply.fact("unhandled", ReplyValue(session.unhandled))
        reply.fact("unhandled_bytes", ReplyValue(session.unhandledBytes))
        reply.fact("waiting", ReplyValue(session.waiting))
        reply.fact("queue_bytes", ReplyValue(session.queuedBytes))
        reply.fact("memory_bytes", ReplyValue(session.memory))
        if let presence = session.presence, !presence.capabilities.isEmpty {
            reply.fact("announces", .text(presence.capabilities))
        }
    }

    /// What the session's home knows of the client; nothing when it announced nothing, or the home does not answer.
    private func showCapabilities(of session: JID, _ sink: ReplySink, then: @escaping @Sendable () -> Void) {
        send(.call("capabilities.show", Array((session.resource ?? "").utf8)), to: session.bare) { result in
            if case .value(let bytes) = result, let report = try? CapabilityReport(bytes) {
                sink.write { reply in
                    reply.fact("capabilities", .text(report.announced))
                    reply.fact("client", report.client.isEmpty ? .none : .text(report.client))
                    reply.fact("client_features", ReplyValue(report.features))
                }
            }
            then()
        }
    }

    // MARK: Ending

    func kick(_ invocation: Invocation, _ sink: ReplySink) {
        let reason = invocation.option("reason")
        guard let text = invocation.text("JID"), !Self.hasFilter(invocation) else { return kickMany(invocation, reason, sink) }
        guard let jid = jid(text, sink) else { return }
        guard jid.local != nil, core.hosts[jid.domain] != nil else {
            return sink.fail(.invalid, "\(jid) is not a user of this server; write user@host or user@host/resource")
        }
        send(.kick(resource: jid.resource, text: reason), to: jid) { result in
            switch result {
            case .done(let count): sink.end { $0.ok(Self.ended(count)) }
            case .exists, .notFound, .value: sink.fail(.notFound, "there is no session \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            }
        }
    }

    private static func ended(_ count: Int) -> String { count == 1 ? "1 session ended" : "\(count) sessions ended" }

    private static func hasFilter(_ invocation: Invocation) -> Bool {
        ["user", "match", "domain", "node", "address", "client", "idle", "queue", "state"].contains { invocation.option($0) != nil }
            || invocation.flag("tls") || invocation.flag("no-tls")
    }

    /// The most that one command ends.
    private static let mostKicks = 100_000
    /// Homes that are asked at once.
    private static let kicksAtOnce = 64

    private func kickMany(_ invocation: Invocation, _ reason: String?, _ sink: ReplySink) {
        guard Self.hasFilter(invocation) else {
            return sink.fail(.usage, "say whose sessions to end: a JID, or options as --domain, --address or --idle with --yes")
        }
        guard var filter = sessionFilter(invocation, sink) else { return }
        filter.limit = UInt64(Self.mostKicks)
        let wanted = filter
        checkNode(filter.node, sink) {
            gather(wanted, sink) { sessions, matching, silent in
                guard matching > 0 else {
                    return silent.isEmpty ? sink.fail(.notFound, "there is no such session") : endScatter(silent, sink, ok: "")
                }
                guard invocation.flag("yes") else {
                    return sink.fail(
                        .refused,
                        "\(matching == 1 ? "1 session" : "\(matching) sessions") would be ended; say so with --yes, or look with session list"
                    )
                }
                let run = KickRun(sessions.compactMap { try? JID($0.jid) })
                for _ in 0..<Self.kicksAtOnce { kickNext(run, reason, silent, sink) }
            }
        }
    }

    /// Ends one after the other, each at its home.
    private func kickNext(_ run: KickRun, _ reason: String?, _ silent: Set<UInt64>, _ sink: ReplySink) {
        guard let jid = run.next() else { return }
        send(.kick(resource: jid.resource, text: reason), to: jid) { result in
            let (done, ended, failure) = run.finished(result)
            guard done else {
                if ended > 0, ended % 1_000 == 0 { sink.write { $0.progress(ended, of: run.total) } }
                return kickNext(run, reason, silent, sink)
            }
            if let failure { return sink.fail(.failed, "\(Self.ended(ended)), and then: \(failure)") }
            endScatter(silent, sink, ok: Self.ended(ended))
        }
    }

    private final class KickRun: Sendable {
        private struct State {
            var left: ArraySlice<JID>
            var open: Int
            var ended = 0
            var failure: String?
        }
        let total: Int
        private let state: Mutex<State>

        init(_ jids: [JID]) {
            total = jids.count
            state = Mutex(State(left: jids[...], open: jids.count))
        }

        func next() -> JID? { state.withLock { $0.left.popFirst() } }

        /// Whether it was the last, how many were ended, and what went wrong first. One that has ended by itself is none.
        func finished(_ result: CommandResult) -> (Bool, Int, String?) {
            state.withLock { state in
                switch result {
                case .done(let count): state.ended += count
                case .failed(let why): state.failure = state.failure ?? why
                case .exists, .notFound, .value: break
                }
                state.open -= 1
                return (state.open == 0, state.ended, state.failure)
            }
        }
    }
}
