import AdminLanguage
import ServerCore
import Settings
import Synchronization

/// `node drain`, `stop`, `start`, `restart`: what is asked of a node is followed through the answers of all.
extension Commands {
    /// Milliseconds between two looks.
    private static let lookMilliseconds = 200
    /// Seconds for which a process may take to end, or to serve, besides what draining takes.
    private static let graceSeconds = 60

    /// A node as it was when it was asked for something.
    private struct Subject: Sendable {
        let name: String
        let incarnation: UInt64
        let sessions: Int64
        /// Whether it is the node that answers.
        let isThis: Bool
        let isAlone: Bool
    }

    /// Finds the node that a request names; answers itself when it is not there.
    private func subject(_ invocation: Invocation, _ sink: ReplySink, then: @escaping @Sendable (Subject) -> Void) {
        let wanted = invocation.text("NODE") ?? core.nodeName
        let own = core.node
        askNodes(.facts, sink) { nodes, silent in
            guard let node = nodes.first(where: { Self.name(of: $0) == wanted }), let incarnation = Self.incarnation(of: node) else {
                return sink.fail(silent.isEmpty ? .notFound : .partial, "no node \(wanted) answered; node list shows those that do")
            }
            let sessions = if case .integer(let count) = node["sessions"] { count } else { Int64(0) }
            then(
                Subject(
                    name: wanted, incarnation: incarnation, sessions: sessions, isThis: incarnation == own, isAlone: nodes.count == 1))
        }
    }

    private static func incarnation(of facts: NodeFacts) -> UInt64? {
        if case .text(let text) = facts["incarnation"] { UInt64(text, radix: 16) } else { nil }
    }

    private func tell(_ question: NodeQuestion, _ node: Subject) {
        core.shards.first?.enter { $0.tell(question.bytes, node: node.incarnation) }
    }

    // MARK: Asked for

    func drainNode(_ invocation: Invocation, _ sink: ReplySink) {
        subject(invocation, sink) { node in
            if node.isAlone { sink.write { $0.warning("there is no other node: sessions end and cannot be resumed") } }
            tell(.drain, node)
            follow(node, sink) { facts in
                guard let facts else { return .fail("node \(node.name) does not answer any more; node list shows those that do") }
                guard facts["state"] == .text("drained") else { return .wait }
                return .done("node \(node.name) has no sessions left; node undrain lets it take clients again, node stop ends it")
            }
        }
    }

    func undrainNode(_ invocation: Invocation, _ sink: ReplySink) {
        subject(invocation, sink) { node in
            tell(.undrain, node)
            follow(node, sink) { facts in
                guard let facts else { return .fail("node \(node.name) does not answer any more; node list shows those that do") }
                return facts["state"] == .text("serving") ? .done("node \(node.name) takes clients") : .wait
            }
        }
    }

    func stopNode(_ invocation: Invocation, _ sink: ReplySink) {
        subject(invocation, sink) { node in
            if node.isThis {
                sink.end { $0.ok("node \(node.name) is stopping") }
                return tell(.stop, node)
            }
            tell(.stop, node)
            follow(node, sink) { $0 == nil ? .done("node \(node.name) has stopped") : .wait }
        }
    }

    func restartNode(_ invocation: Invocation, _ sink: ReplySink) {
        subject(invocation, sink) { node in
            if node.isThis {
                sink.end { $0.ok("node \(node.name) is restarting") }
                return tell(.restart, node)
            }
            tell(.restart, node)
            let seen = Seen()
            follow(node, sink) { facts in
                guard let facts, Self.incarnation(of: facts) != node.incarnation else {
                    if facts == nil { seen.isGone.store(true, ordering: .relaxed) }
                    return .wait
                }
                return facts["serving"] == .flag(true) ? .done("node \(node.name) serves again") : .wait
            } late: {
                seen.isGone.load(ordering: .relaxed)
                    ? "node \(node.name) has stopped and does not come back: look at its log, and start it with node start \(node.name)"
                    : "node \(node.name) has not left in time: look at its log, and at node show \(node.name)"
            }
        }
    }

    func startNode(_ invocation: Invocation, _ sink: ReplySink) {
        guard let name = invocation.text("NODE") else { return sink.fail(.usage, "name the node that is to be started") }
        let starter = NodeStarter(directory: core.settings.node.directory, own: core.nodeName)
        askNodes(.facts, sink) { nodes, silent in
            if let node = nodes.first(where: { Self.name(of: $0) == name }) {
                let pid = if case .integer(let pid) = node["pid"] { " as process \(pid)" } else { "" }
                return sink.fail(.exists, "node \(name) runs already\(pid); node restart begins it anew")
            }
            starter.start(name) { refusal in
                if let refusal { return sink.fail(.failed, refusal) }
                let node = Subject(name: name, incarnation: 0, sessions: 0, isThis: false, isAlone: false)
                follow(node, sink) { facts in
                    facts?["serving"] == .flag(true) ? .done("node \(name) serves") : .wait
                } late: {
                    "node \(name) was started and does not serve yet: look at its log"
                }
            }
        }
    }

    // MARK: Followed

    private final class Seen: Sendable {
        let isGone = Atomic<Bool>(false)
    }

    private enum Verdict {
        case wait
        case done(String)
        case fail(String)
    }

    /// Looks at the node again and again until `verdict` says that it is done. Given nil while no node of its name answers.
    private func follow(
        _ node: Subject, _ sink: ReplySink, verdict: @escaping @Sendable (NodeFacts?) -> Verdict,
        late: (@Sendable () -> String)? = nil
    ) {
        let seconds = core.settings.cluster.drainSeconds + Self.graceSeconds
        follow(
            node, sink, looks: seconds * 1_000 / Self.lookMilliseconds, verdict,
            late ?? { "node \(node.name) is not done after \(seconds) s: look at its log, and at node show \(node.name)" })
    }

    private func follow(
        _ node: Subject, _ sink: ReplySink, looks: Int, _ verdict: @escaping @Sendable (NodeFacts?) -> Verdict,
        _ late: @escaping @Sendable () -> String
    ) {
        askNodes(.facts, sink) { nodes, silent in
            let facts = nodes.first { Self.name(of: $0) == node.name }
            // A node that is silent for a moment has not gone.
            if facts == nil, silent.contains(node.incarnation) { return followLater(node, sink, looks: looks, verdict, late) }
            switch verdict(facts) {
            case .done(let sentence): sink.end { $0.ok(sentence) }
            case .fail(let sentence): sink.fail(.failed, sentence)
            case .wait:
                guard looks > 0 else { return sink.fail(.failed, late()) }
                var left: Int64 = 0
                if let facts, Self.incarnation(of: facts) == node.incarnation, case .integer(let count) = facts["sessions"] { left = count }
                sink.write { $0.progress(max(0, node.sessions - left), of: node.sessions) }
                followLater(node, sink, looks: looks, verdict, late)
            }
        }
    }

    private func followLater(
        _ node: Subject, _ sink: ReplySink, looks: Int, _ verdict: @escaping @Sendable (NodeFacts?) -> Verdict,
        _ late: @escaping @Sendable () -> String
    ) {
        guard let loop = core.shards.first?.loop else { return sink.fail(.unavailable, "the node is stopping") }
        _ = loop.schedule(after: .milliseconds(Self.lookMilliseconds)) { follow(node, sink, looks: looks - 1, verdict, late) }
    }
}
