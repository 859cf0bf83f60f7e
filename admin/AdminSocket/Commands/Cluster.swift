import AdminLanguage
import ServerCore
import Synchronization

/// `node …`, `status` and the few commands about the server itself.
extension Commands {
    /// Asks every node as a whole; `then` gets one answer a node, in the order of their names.
    func askNodes(_ question: NodeQuestion, _ sink: ReplySink, then: @escaping @Sendable ([NodeFacts], Set<UInt64>) -> Void) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let collected = Shared<[NodeFacts]>([])
        shard.enter { shard in
            shard.ask(
                question.bytes,
                part: { part in collected.change { $0.append(NodeFacts(part)) } },
                done: { silent in
                    // Only the first loop of a node answers for it.
                    let all = collected.value.filter { !$0.facts.isEmpty }
                    then(all.sorted { Self.name(of: $0) < Self.name(of: $1) }, silent)
                })
        }
    }

    static func name(of facts: NodeFacts) -> String {
        if case .text(let name) = facts["node"] { name } else { "" }
    }

    func listNodes(_ sink: ReplySink) {
        askNodes(.facts, sink) { nodes, silent in
            sink.write { reply in
                let columns = ["node", "state", "role", "pid", "loops", "sessions", "started", "memory_mib", "version"]
                reply.table("nodes", columns)
                for node in nodes { reply.row(columns.map { node[$0] }) }
            }
            endScatter(silent, sink, ok: "\(nodes.count) nodes")
        }
    }

    func showNode(_ invocation: Invocation, _ sink: ReplySink) {
        let wanted = invocation.text("NODE") ?? core.nodeName
        askNodes(.facts, sink) { nodes, silent in
            guard let node = nodes.first(where: { Self.name(of: $0) == wanted }) else {
                return sink.fail(silent.isEmpty ? .notFound : .partial, "no node \(wanted) answered; node list shows those that do")
            }
            sink.end { reply in
                for (key, value) in node.facts { reply.fact(key, value) }
                reply.ok()
            }
        }
    }

    func status(_ sink: ReplySink) {
        askNodes(.facts, sink) { nodes, silent in
            let sessions = nodes.reduce(Int64(0)) { sum, node in if case .integer(let count) = node["sessions"] { sum + count } else { sum }
            }
            let keeper = nodes.first { $0["role"] == .text("keeper") }
            sink.write { reply in
                reply.fact("nodes", ReplyValue(nodes.count))
                reply.fact("keeper", keeper.map { $0["node"] } ?? .none)
                reply.fact("sessions", .integer(sessions))
                for key in ["epoch", "commits", "store_state", "store_used_mib"] { reply.fact(key, keeper?[key] ?? .none) }
                if keeper == nil { reply.warning("no node keeps the store; logins and writes wait until one does") }
                if let keeper, keeper["store_state"] != .text("writing") {
                    reply.warning("the store takes no writes; see the log of the keeper")
                }
                if case .integer(let used)? = keeper?["store_used_mib"], case .integer(let map)? = keeper?["store_map_mib"],
                    used > map / 10 * 8
                {
                    reply.warning(
                        "the store uses \(used) of the \(map) MiB it may ever have; look at store stats, and raise [store] map_gib")
                }
            }
            let mine = nodes.first { Self.name(of: $0) == core.nodeName }
            if keeper == nil || mine?["serving"] != .flag(true) {
                return sink.fail(.unavailable, "the cluster does not serve yet")
            }
            endScatter(silent, sink, ok: "the cluster serves")
        }
    }

    func listModules(_ sink: ReplySink) {
        sink.end { reply in
            reply.table("modules", ["module", "xep", "version", "title"])
            for module in context.modules {
                for xep in module.implements { reply.row(.text(module.name), .text(xep.label), .text(xep.version), .text(xep.title)) }
            }
            reply.ok("\(context.modules.count) modules")
        }
    }

    func version(_ sink: ReplySink) {
        sink.end { reply in
            reply.fact("martlet", .text(core.software.version))
            reply.fact("system", .text(core.software.system))
            reply.fact("admin_language", ReplyValue(Greeting.currentVersion))
            reply.ok()
        }
    }

    func help(_ invocation: Invocation, _ sink: ReplySink) {
        do throws(LineError) {
            let lines = try Help.lines(for: invocation.texts("COMMAND"), debug: context.debug)
            sink.end { reply in
                for line in lines { reply.prose(line) }
                reply.ok()
            }
        } catch {
            sink.fail(.usage, error.sentence)
        }
    }

    func advanceClock(_ invocation: Invocation, _ sink: ReplySink) {
        guard let seconds = invocation.integer("DURATION") else { return sink.fail(.usage, "write how far, as +300s") }
        askNodes(.advanceClock(seconds: Int64(seconds)), sink) { _, silent in
            endScatter(silent, sink, ok: "the clock is \(seconds) s ahead of where it was")
        }
    }
}

/// A value behind a lock that closures share.
private final class Shared<Value: Sendable>: Sendable {
    private let lock: Mutex<Value>
    init(_ value: Value) { lock = Mutex(value) }
    var value: Value { lock.withLock { $0 } }
    func change(_ body: (inout Value) -> Void) { lock.withLock { body(&$0) } }
}
