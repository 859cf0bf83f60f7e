import AdminLanguage
import ServerCore
import Stanzas
import Synchronization

/// `session …`: who is connected, in the whole cluster.
extension Commands {
    func listSessions(_ invocation: Invocation, _ sink: ReplySink) {
        var filter = SessionFilter(host: invocation.option("host"), node: invocation.option("node"))
        if let user = invocation.option("user") {
            guard let jid = jid(user, sink) else { return }
            filter.jid = jid
        }
        list(filter, limit: invocation.integerOption("limit") ?? CommandTable.defaultLimit, sink)
    }

    /// Asks every shard and shows the sessions in the order of their JIDs.
    func list(_ filter: SessionFilter, limit: Int, _ sink: ReplySink) {
        gather(filter, sink) { sessions, silent in
            sink.write { reply in
                reply.table(
                    "sessions",
                    ["jid", "node", "address", "tls", "cipher", "mechanism", "state", "sm", "since", "in", "out", "queue"])
                for session in sessions.prefix(limit) {
                    reply.row(
                        .text(session.jid), .text(session.nodeName), .text(session.facts.remoteAddress),
                        ReplyValue(session.facts.tlsVersion),
                        ReplyValue(session.facts.tlsCipher), .text(session.facts.mechanism),
                        .text(Self.state(session)), .text(Self.management(session)), .text(Moment.text(session.since)),
                        ReplyValue(session.stanzasIn), ReplyValue(session.stanzasOut), ReplyValue(session.queuedBytes))
                }
            }
            let shown =
                sessions.count > limit ? "\(limit) of \(sessions.count) sessions; ask for more with --limit" : "\(sessions.count) sessions"
            endScatter(silent, sink, ok: shown)
        }
    }

    private func gather(_ filter: SessionFilter, _ sink: ReplySink, then: @escaping @Sendable ([SessionInfo], Set<UInt64>) -> Void) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let collected = Collected()
        shard.enter { shard in
            shard.ask(
                filter.question,
                part: { part in collected.add((try? SessionInfo.decode(part)) ?? []) },
                done: { silent in then(collected.sorted, silent) })
        }
    }

    private final class Collected: Sendable {
        private let sessions = Mutex<[SessionInfo]>([])
        func add(_ more: [SessionInfo]) { sessions.withLock { $0 += more } }
        var sorted: [SessionInfo] { sessions.withLock { $0.sorted { $0.jid < $1.jid } } }
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

    func showSession(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = jid(invocation.text("FULLJID"), sink) else { return }
        gather(SessionFilter(jid: jid), sink) { sessions, silent in
            guard let session = sessions.first(where: { $0.jid == jid.description }) else {
                return sink.fail(
                    silent.isEmpty ? .notFound : .partial,
                    "there is no session \(jid)\(silent.isEmpty ? "" : " on the nodes that answered")")
            }
            sink.write { reply in
                reply.fact("jid", .text(session.jid))
                reply.fact("node", .text(session.nodeName))
                reply.fact("loop", ReplyValue(session.loop))
                reply.fact("address", .text(session.facts.remoteAddress))
                reply.fact("port", ReplyValue(session.facts.localPort))
                reply.fact("tls", ReplyValue(session.facts.tlsVersion))
                reply.fact("cipher", ReplyValue(session.facts.tlsCipher))
                reply.fact("compressed", .flag(session.facts.isCompressed))
                reply.fact("mechanism", .text(session.facts.mechanism))
                reply.fact("connected", .text(Moment.text(session.facts.since)))
                reply.fact("since", .text(Moment.text(session.since)))
                reply.fact("available", ReplyValue(session.isAvailable))
                reply.fact("state", .text(Self.state(session)))
                reply.fact("sm", .text(Self.management(session)))
                if let management = session.management {
                    reply.fact("detached_seconds", management.detachedSeconds.map { ReplyValue($0) } ?? .none)
                    reply.fact("unacked", ReplyValue(management.unacked))
                    reply.fact("h_in", ReplyValue(management.handled))
                    reply.fact("h_out", ReplyValue(management.acknowledged))
                }
                reply.fact("held", ReplyValue(session.held))
                reply.fact("idle_seconds", ReplyValue(session.idleMilliseconds / 1000))
                reply.fact("stanzas_in", ReplyValue(session.stanzasIn))
                reply.fact("stanzas_out", ReplyValue(session.stanzasOut))
                reply.fact("bytes_in", ReplyValue(session.facts.bytesIn))
                reply.fact("bytes_out", ReplyValue(session.facts.bytesOut))
                reply.fact("unhandled", ReplyValue(session.unhandled))
                reply.fact("queue_bytes", ReplyValue(session.queuedBytes))
            }
            showCapabilities(of: jid, sink) { endScatter(silent, sink, ok: "") }
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

    func kick(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = jid(invocation.text("JID"), sink) else { return }
        guard jid.local != nil, core.hosts[jid.domain] != nil else {
            return sink.fail(.invalid, "\(jid) is not a user of this server; write user@host or user@host/resource")
        }
        send(.kick(resource: jid.resource, text: invocation.option("reason")), to: jid) { result in
            switch result {
            case .done(let count): sink.end { $0.ok(count == 1 ? "1 session ended" : "\(count) sessions ended") }
            case .exists, .notFound, .value: sink.fail(.notFound, "there is no session \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            }
        }
    }
}
