public import AdminLanguage
public import ServerCore
public import Settings
import Synchronization

/// `config reload`: every node reads the file and what it names; when all could, and read the same, all put it in force.
public struct Reload: Sendable {
    /// How it came out.
    public enum Outcome: Sendable {
        /// Nothing was changed anywhere, and why.
        case refused([String])
        /// Nothing was changed anywhere, since another reload is under way.
        case busy
        /// What was, or with a dry run would be, put in force; certificates and secrets were read again besides.
        case done(changes: [SettingsChange], warnings: [String])
        /// Some nodes did not say that they have it.
        case partial(changes: [SettingsChange], sentences: [String])
    }

    /// What reading files, certificates among them, may take.
    private static let patience = Duration.seconds(20)

    private let core: Core
    private let isDry: Bool
    private let run = UInt64.random(in: 1 ... .max)

    private init(core: Core, isDry: Bool) {
        self.core = core
        self.isDry = isDry
    }

    /// Runs it once.
    ///
    /// - Parameter done: called once, on a loop.
    public static func run(core: Core, isDry: Bool, done: @escaping @Sendable (Outcome) -> Void) {
        let reload = Reload(core: core, isDry: isDry)
        reload.ask(.facts) { nodes, silent in
            // A node that cannot answer cannot take it either, and would go on with what was.
            guard silent == 0 else {
                return done(.refused(["\(silent) of the nodes did not answer; see node list"]))
            }
            let names = Dictionary(nodes.compactMap { node in node.text("incarnation").map { ($0, node.text("node") ?? $0) } }) { $1 }
            reload.prepare(names, done)
        }
    }

    private func prepare(_ names: [String: String], _ done: @escaping @Sendable (Outcome) -> Void) {
        ask(.configuration(.prepare(run: run))) { answers, silent in
            var refusals: [String] = []
            for answer in answers {
                let name = answer.text("node") ?? "?"
                for case ("refused", .text(let sentence)) in answer.facts { refusals.append("node \(name): \(sentence)") }
            }
            guard !answers.contains(where: { $0["busy"] == .flag(true) }) else {
                return ask(.configuration(.drop(run: run))) { _, _ in done(.busy) }
            }
            if refusals.isEmpty, silent > 0 || answers.count != names.count {
                let answered = Set(answers.compactMap { $0.text("node") })
                let missing = names.values.filter { !answered.contains($0) }.sorted()
                refusals.append("no answer from \(missing.isEmpty ? "some node" : missing.map { "node \($0)" }.joined(separator: ", "))")
            }
            if refusals.isEmpty, Set(answers.map { $0.text("digest") ?? "" }).count > 1 {
                refusals.append(
                    "the nodes read different configurations: the file or a certificate was being changed, or they were started with different files; try again"
                )
            }
            guard refusals.isEmpty else {
                let sentences = refusals.sorted()
                return ask(.configuration(.drop(run: run))) { _, _ in done(.refused(sentences)) }
            }
            let changes = answers.first?.changes ?? []
            let warnings = Set(answers.flatMap { $0.texts("warning") }).sorted()
            if isDry {
                return ask(.configuration(.drop(run: run))) { _, _ in done(.done(changes: changes, warnings: warnings)) }
            }
            apply(names, changes, warnings, done)
        }
    }

    private func apply(
        _ names: [String: String], _ changes: [SettingsChange], _ warnings: [String], _ done: @escaping @Sendable (Outcome) -> Void
    ) {
        ask(.configuration(.apply(run: run))) { answers, _ in
            let taken = Set(answers.filter { $0["applied"] == .flag(true) }.compactMap { $0.text("node") })
            let missing = names.values.filter { !taken.contains($0) }.sorted()
            guard !missing.isEmpty else { return done(.done(changes: changes, warnings: warnings)) }
            // All could a moment ago: it died, and reads the file when it starts, or it is silent and about to be killed.
            done(
                .partial(
                    changes: changes,
                    sentences: missing.map { "node \($0) did not say that it took the configuration: look at node list, and restart it" }))
        }
    }

    /// Asks all nodes; `then` gets one answer a node, and how many kept silent.
    private func ask(_ question: NodeQuestion, then: @escaping @Sendable ([NodeFacts], Int) -> Void) {
        guard let shard = core.shards.first else { return then([], 1) }
        let answers = Answers()
        shard.enter { shard in
            shard.ask(
                question.bytes, deadline: Self.patience, part: { part in answers.add(NodeFacts(part)) },
                done: { silent in then(answers.all, silent.count) })
        }
    }

    private final class Answers: Sendable {
        private let list = Mutex<[NodeFacts]>([])
        func add(_ facts: NodeFacts) { if !facts.facts.isEmpty { list.withLock { $0.append(facts) } } }
        var all: [NodeFacts] { list.withLock { $0 } }
    }
}

extension NodeFacts {
    /// What a node would put in force, as facts.
    public static func facts(of changes: [SettingsChange]) -> [(key: String, value: ReplyValue)] {
        changes.flatMap { change in
            [
                ("change", ReplyValue.text(change.key)), ("old", .text(change.old)), ("new", .text(change.new)),
                ("effect", .text(change.effect.rawValue)),
            ]
        }
    }

    fileprivate var changes: [SettingsChange] {
        var all: [SettingsChange] = []
        for case (let key, .text(let text)) in facts {
            switch key {
            case "change": all.append(SettingsChange(key: text, old: "", new: "", effect: .live))
            case "old" where !all.isEmpty: all[all.count - 1].old = text
            case "new" where !all.isEmpty: all[all.count - 1].new = text
            case "effect" where !all.isEmpty: all[all.count - 1].effect = SettingsChange.Effect(rawValue: text) ?? .restart
            default: break
            }
        }
        return all
    }

    fileprivate func text(_ key: String) -> String? { if case .text(let text) = self[key] { text } else { nil } }

    fileprivate func texts(_ wanted: String) -> [String] {
        facts.compactMap { key, value in if key == wanted, case .text(let text) = value { text } else { nil } }
    }
}
