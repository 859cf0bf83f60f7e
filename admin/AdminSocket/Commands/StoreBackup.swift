import AdminLanguage
import LMDBStore
import ServerCore
import Stanzas
import Store

/// `store backup …`.
extension Commands {
    /// Milliseconds between two looks at a backup that runs.
    private static let lookMilliseconds = 200
    /// Looks without an answer after which nobody waits any more.
    private static let patience = 5

    func backUp(_ invocation: Invocation, _ sink: ReplySink) {
        switch (invocation.flag("status"), invocation.flag("abort")) {
        case (true, true): return sink.fail(.usage, "--status and --abort are two different things: give one")
        case (true, false): return showBackup(sink)
        case (false, true): return abortBackup(sink)
        case (false, false): break
        }
        let directory = invocation.text("DIR")
        if let directory, let refusal = Self.refusal(ofPath: directory) { return sink.fail(.invalid, refusal) }
        let waits = !invocation.flag("detach")
        askKeeper(.begin(directory: directory), sink) { facts in
            if case .text(let reason) = facts["refused"] { return sink.fail(.refused, reason) }
            guard case .integer(let number) = facts["run"] else { return sink.fail(.failed, "the node that keeps the store did not begin") }
            guard waits else { return sink.end { $0.ok("the backup has begun; store backup --status shows how far it is") } }
            follow(UInt64(clamping: number), missed: 0, sink)
        }
    }

    /// What is wrong with a path on the machine of the cluster; nil: nothing.
    static func refusal(ofPath path: String) -> String? {
        guard path.utf8.first == UInt8(ascii: "/") else {
            return "\(path) is not an absolute path: the server writes it, and its working directory is not yours"
        }
        return path.utf8.count > 2_000 || path.utf8.contains(0) ? "the path is longer than 2000 bytes" : nil
    }

    /// Asks the node that keeps the store. Answers itself when there is none.
    func askKeeper(_ question: StoreQuestion, _ sink: ReplySink, then: @escaping @Sendable (NodeFacts) -> Void) {
        askNodes(.store(question), sink) { nodes, silent in
            if let facts = nodes.first { return then(facts) }
            sink.fail(
                silent.isEmpty ? .unavailable : .partial,
                silent.isEmpty
                    ? "no node keeps the store now; try again when status says that the cluster serves"
                    : "the node that keeps the store did not answer in time; look with store backup --status")
        }
    }

    /// Looks again and again, and says how far it is, to its end.
    private func follow(_ run: UInt64, missed: Int, _ sink: ReplySink) {
        askNodes(.store(.look(run: run)), sink) { nodes, silent in
            guard let facts = nodes.first else {
                guard missed < Self.patience else {
                    return sink.fail(
                        .failed, "the node that took the backup does not answer any more; if it died, nothing is left that looks whole")
                }
                return followLater(run, missed: missed + 1, sink)
            }
            switch facts["state"] {
            case "running":
                if case .integer(let bytes) = facts["bytes"], case .integer(let expected) = facts["expected"], expected > 0 {
                    sink.write { $0.progress(bytes, of: expected) }
                }
                followLater(run, missed: 0, sink)
            case "done":
                sink.end { reply in
                    Self.show(facts, &reply)
                    reply.ok("the backup is whole")
                }
            case "failed":
                if case .text(let reason) = facts["reason"] { sink.fail(.failed, "the backup was not taken: \(reason)") }
            default:
                sink.fail(.failed, "the node that took the backup is gone, and the backup with it; nothing is left that looks whole")
            }
        }
    }

    private func followLater(_ run: UInt64, missed: Int, _ sink: ReplySink) {
        guard let loop = core.shards.first?.loop else { return sink.fail(.unavailable, "the node is stopping") }
        _ = loop.schedule(after: .milliseconds(Self.lookMilliseconds)) { follow(run, missed: missed, sink) }
    }

    private static func show(_ facts: NodeFacts, _ reply: inout Reply) {
        for (key, value) in facts.facts where key != "run" && key != "expected" { reply.fact(key, value) }
    }

    private func showBackup(_ sink: ReplySink) {
        askKeeper(.look(run: nil), sink) { facts in
            sink.end { reply in
                Self.show(facts, &reply)
                if facts["state"] == .none {
                    reply.ok("this node has taken no backup since it began to keep the store; store backups shows those there are")
                } else {
                    reply.ok()
                }
            }
        }
    }

    private func abortBackup(_ sink: ReplySink) {
        askKeeper(.abort, sink) { facts in
            if facts["aborted"] == .flag(true) {
                sink.end { $0.ok("the backup is being ended; nothing of it stays") }
            } else {
                sink.fail(.notFound, "no backup is running")
            }
        }
    }

    // MARK: List

    func listBackups(_ invocation: Invocation, _ sink: ReplySink) {
        let directory = invocation.text("DIR") ?? context.backups
        if let refusal = Self.refusal(ofPath: directory) { return sink.fail(.invalid, refusal) }
        // On a thread that may wait for the disk.
        core.readers.read { _ in
            do throws(StoreFailure) {
                let (whole, broken) = try Backups.list(in: directory)
                sink.end { reply in
                    reply.table(
                        "backups", ["path", "started", "seconds", "bytes", "rows", "accounts", "epoch", "commit", "server", "volume"])
                    for backup in whole {
                        let manifest = backup.manifest
                        reply.row(
                            .text(backup.path), .text(Moment.text(manifest.started)),
                            ReplyValue((manifest.finished - manifest.started) / 1_000_000), ReplyValue(manifest.bytes),
                            ReplyValue(manifest.rows), ReplyValue(manifest.accounts), ReplyValue(manifest.epoch),
                            ReplyValue(manifest.commit), .text(manifest.server), .text(manifest.volume))
                    }
                    for (name, reason) in broken { reply.warning("\(directory)/\(name) is no whole backup: \(reason)") }
                    reply.ok(whole.count == 1 ? "1 backup in \(directory)" : "\(whole.count) backups in \(directory)")
                }
            } catch {
                sink.fail(.failed, "\(error)")
            }
        }
    }
}
