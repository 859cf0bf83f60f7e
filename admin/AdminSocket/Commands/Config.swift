import AdminLanguage
import Dispatch
import Settings

/// `config …`: the configuration file, and the settings in force.
extension Commands {
    /// The file that a request names, or the one the node was started with; answers itself when it is no path.
    private func file(_ invocation: Invocation, _ sink: ReplySink) -> String? {
        guard let path = invocation.text("FILE") else { return context.configuration.file }
        guard let refusal = Self.refusal(ofPath: path) else { return path }
        sink.fail(.invalid, refusal)
        return nil
    }

    func checkConfiguration(_ invocation: Invocation, _ sink: ReplySink) {
        guard let file = file(invocation, sink) else { return }
        let desk = context.configuration
        DispatchQueue.global().async {
            let (problems, warnings) = desk.check(file: file)
            sink.end { reply in
                for warning in warnings { reply.warning(warning) }
                for problem in problems { reply.prose(problem) }
                if problems.isEmpty {
                    reply.ok("\(file) is good")
                } else {
                    reply.error(.invalid, "\(file) cannot be used: \(problems.count == 1 ? "1 error" : "\(problems.count) errors")")
                }
            }
        }
    }

    func compareConfiguration(_ invocation: Invocation, _ sink: ReplySink) {
        guard let file = file(invocation, sink) else { return }
        let desk = context.configuration
        DispatchQueue.global().async {
            switch desk.differences(file: file) {
            case .failure(let refusal): Self.refuse(refusal.sentences, "\(file) cannot be used", sink)
            case .success(let changes):
                sink.end { reply in
                    Self.show(changes, &reply)
                    reply.ok(
                        changes.isEmpty ? "what is in force is what \(file) says" : "\(changes.count) keys differ\(Self.pending(changes))")
                }
            }
        }
    }

    func reloadConfiguration(_ invocation: Invocation, _ sink: ReplySink) {
        let isDry = invocation.flag("dry-run")
        Reload.run(core: core, isDry: isDry) { outcome in
            switch outcome {
            case .refused(let sentences): Self.refuse(sentences, "nothing was changed, on any node", sink)
            case .busy: sink.fail(.refused, "nothing was changed: another reload is under way; try again in a moment")
            case .done(let changes, let warnings):
                let count = changes.count { $0.effect == .live }
                sink.end { reply in
                    for warning in warnings { reply.warning(warning) }
                    Self.show(changes, &reply)
                    let what = "\(count) changes, certificates and secrets"
                    reply.ok((isDry ? "would put in force: \(what)" : "in force on all nodes: \(what)") + Self.pending(changes))
                }
            case .partial(let changes, let sentences):
                sink.end { reply in
                    Self.show(changes, &reply)
                    for sentence in sentences { reply.warning(sentence) }
                    reply.error(.partial, "in force, but not on all nodes")
                }
            }
        }
    }

    func showConfiguration(_ invocation: Invocation, _ sink: ReplySink) {
        let wanted = invocation.texts("KEY").joined(separator: " ")
        let desk = context.configuration
        DispatchQueue.global().async {
            let all = desk.entries()
            // A table, or a host with all of its keys, is named by the beginning of its keys.
            let shown = all.filter { entry in
                let key = entry.entry.key
                return wanted.isEmpty || key == wanted || key.hasPrefix(wanted + ".") || key.hasPrefix(wanted + " ")
            }
            guard !shown.isEmpty else {
                return sink.fail(.notFound, "there is no key \(wanted); config show without a key shows all of them")
            }
            sink.end { reply in
                reply.table("settings", ["key", "value", "origin", "change"])
                for (entry, origin) in shown {
                    reply.row(
                        .text(entry.key), .text(entry.value), .text(origin),
                        .text((entry.isLive ? SettingsChange.Effect.live : .restart).rawValue))
                }
                reply.ok("\(shown.count) keys")
            }
        }
    }

    // MARK: Showing

    private static func refuse(_ sentences: [String], _ summary: String, _ sink: ReplySink) {
        sink.end { reply in
            for sentence in sentences { reply.prose(sentence) }
            reply.error(.invalid, summary)
        }
    }

    private static func show(_ changes: [SettingsChange], _ reply: inout Reply) {
        guard !changes.isEmpty else { return }
        reply.table("changes", ["key", "running", "file", "effect"])
        for change in changes {
            reply.row(
                .text(change.key), change.old.isEmpty ? .none : .text(change.old), change.new.isEmpty ? .none : .text(change.new),
                .text(change.effect.rawValue))
        }
    }

    private static func pending(_ changes: [SettingsChange]) -> String {
        let count = changes.count { $0.effect == .restart }
        return count == 0 ? "" : "; \(count == 1 ? "1 key needs" : "\(count) keys need") cluster restart"
    }
}
