import AdminLanguage
import ServerCore
import Stanzas
import Synchronization

/// `component …` and `push …`: the programs that speak for domains of their own, and the services that wake clients.
extension Commands {
    func listComponents(_ sink: ReplySink) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let collected = Collected()
        let configured = core.components.keys.sorted()
        shard.enter { shard in
            shard.ask(
                ComponentInfo.question, part: { part in collected.add((try? ComponentInfo.decode(part)) ?? []) },
                done: { silent in
                    let all = collected.all
                    sink.write { reply in
                        reply.table("components", ["domain", "node", "address", "since", "in", "out", "unhandled", "queue"])
                        for domain in configured {
                            let sessions = all.filter { $0.domain == domain }.sorted { $0.since < $1.since }
                            if sessions.isEmpty { reply.row(.text(domain), .none, .none, .none, .none, .none, .none, .none) }
                            for session in sessions {
                                reply.row(
                                    .text(domain), .text(session.nodeName), .text(session.remoteAddress), .text(Moment.text(session.since)),
                                    ReplyValue(session.stanzasIn), ReplyValue(session.stanzasOut), ReplyValue(session.unhandled),
                                    ReplyValue(session.queuedBytes))
                            }
                        }
                    }
                    let connected = Set(all.map(\.domain)).count
                    endScatter(silent, sink, ok: "\(connected) of \(configured.count) components connected")
                })
        }
    }

    private final class Collected: Sendable {
        private let components = Mutex<[ComponentInfo]>([])
        func add(_ more: [ComponentInfo]) { components.withLock { $0 += more } }
        var all: [ComponentInfo] { components.withLock { $0 } }
    }

    func kickComponent(_ invocation: Invocation, _ sink: ReplySink) {
        guard let domain = jid(invocation.text("DOMAIN"), sink) else { return }
        guard domain.isDomain, core.components[domain.domain] != nil else {
            let known = core.components.keys.sorted().joined(separator: ", ")
            return sink.fail(
                .invalid,
                "\(domain) is not a component of this server; \(known.isEmpty ? "none is configured" : "the components are \(known)")")
        }
        send(.kick(resource: nil, text: invocation.option("reason")), to: domain) { result in
            switch result {
            case .done: sink.end { $0.ok("the connection of \(domain) ended") }
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .notFound, .value: sink.fail(.notFound, "\(domain) is not connected")
            }
        }
    }

    func listPushServices(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        send(.call("push.list", []), to: jid) { result in
            switch result {
            case .value(let bytes):
                let rows = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map {
                    $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
                }
                sink.write { reply in
                    reply.table("push", ["service", "node", "enabled_by", "since"])
                    for row in rows where row.count == 4 {
                        reply.row(.text(row[0]), .text(row[1]), .text(row[2]), .text(Moment.text(Int64(row[3]) ?? 0)))
                    }
                }
                sink.end { $0.ok(rows.count == 1 ? "1 push service" : "\(rows.count) push services") }
            case .failed(let why): sink.fail(.failed, why)
            case .notFound, .exists, .done: sink.fail(.notFound, "there is no account \(jid)")
            }
        }
    }

    func disablePush(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        var service = ""
        if let text = invocation.option("service") {
            guard let named = self.jid(text, sink) else { return }
            service = named.description
        }
        send(.call("push.disable", Array(service.utf8)), to: jid) { result in
            switch result {
            case .done(let count): sink.end { $0.ok(count == 1 ? "1 push service disabled" : "\(count) push services disabled") }
            case .failed(let why): sink.fail(.failed, why)
            case .notFound, .exists, .value: sink.fail(.notFound, "\(jid) has no such push service")
            }
        }
    }
}
