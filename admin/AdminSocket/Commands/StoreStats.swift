import AdminLanguage
import LMDBStore
import ServerCore
import Store

/// `store stats`.
extension Commands {
    /// Between the two looks from which rates are made.
    private static let sample = Duration.seconds(1)

    func showStoreStats(_ invocation: Invocation, _ sink: ReplySink) {
        let wantsTables = invocation.flag("tables")
        guard let loop = core.shards.first?.loop else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        askNodes(.facts, sink) { before, _ in
            _ = loop.schedule(after: Self.sample) {
                askNodes(.facts, sink) { after, silent in
                    core.readers.read { _ in
                        do throws(StoreFailure) {
                            let figures = try context.volume.figures()
                            sink.write { reply in
                                Self.show(figures, &reply)
                                Self.show(commitsOf: Self.keeper(after), since: Self.keeper(before), &reply)
                                Self.show(figures.readers, after, &reply)
                                for warning in figures.warnings { reply.warning(warning) }
                            }
                            guard wantsTables else { return endScatter(silent, sink, ok: "") }
                            countTables(Verification(identity: core.identity), total: figures.rows, silent, sink)
                        } catch {
                            sink.fail(.unavailable, "the store cannot be read: \(error)")
                        }
                    }
                }
            }
        }
    }

    private static func keeper(_ nodes: [NodeFacts]) -> NodeFacts? { nodes.first { $0["role"] == .text("keeper") } }

    private static func show(_ figures: StoreFigures, _ reply: inout Reply) {
        reply.fact("rows", ReplyValue(figures.rows))
        reply.fact("depth", ReplyValue(figures.depth))
        reply.fact("page_bytes", ReplyValue(figures.pageBytes))
        reply.fact("file_bytes", ReplyValue(figures.usedBytes))
        reply.fact("free_bytes", ReplyValue(figures.freeBytes))
        reply.fact("live_bytes", ReplyValue(figures.usedBytes - min(figures.freeBytes, figures.usedBytes)))
        reply.fact("map_bytes", ReplyValue(figures.mapBytes))
        reply.fact("quota_bytes", figures.quotaBytes == 0 ? .none : ReplyValue(figures.quotaBytes))
        reply.fact("disk_free_bytes", ReplyValue(figures.diskFreeBytes))
        reply.fact("last_commit", ReplyValue(figures.lastCommit))
    }

    /// What the keeper commits now, and what a commit holds and takes.
    private static func show(commitsOf now: NodeFacts?, since before: NodeFacts?, _ reply: inout Reply) {
        guard let now else { return reply.warning("no node keeps the store; what it commits is not known") }
        func count(_ key: String, of facts: NodeFacts?) -> Int64 { if case .integer(let count)? = facts?[key] { count } else { 0 } }
        // A keeper that changed meanwhile began at zero.
        let base = before?["incarnation"] == now["incarnation"] ? before : nil
        func since(_ key: String) -> Int64 { count(key, of: now) - count(key, of: base) }
        reply.fact("keeper", now["node"])
        reply.fact("store_state", now["store_state"])
        if now["store_reason"] != .none { reply.fact("store_reason", now["store_reason"]) }
        reply.fact("commits", now["commits"])
        reply.fact("commits_failed", now["commits_failed"])
        reply.fact("commits_waiting", now["commits_waiting"])
        let commits = since("commits")
        reply.fact("commits_per_second", .integer(commits))
        reply.fact("rows_per_second", .integer(since("commit_operations")))
        // Without a commit in the last second, the mean since the keeper began.
        let (one, of) = commits > 0 ? (base, commits) : (nil, max(1, count("commits", of: now)))
        reply.fact("commit_microseconds", .integer((count("commit_microseconds", of: now) - count("commit_microseconds", of: one)) / of))
        reply.fact("submissions_per_commit", .integer((count("commit_submissions", of: now) - count("commit_submissions", of: one)) / of))
    }

    private static func show(_ readers: [ReaderSlot], _ nodes: [NodeFacts], _ reply: inout Reply) {
        reply.table("readers", ["pid", "node", "slots", "reading", "oldest_lag_commits", "state"])
        for process in Set(readers.map(\.process)).sorted() {
            let slots = readers.filter { $0.process == process }
            let node = nodes.first { $0["pid"] == ReplyValue(process) }
            let states = Set(slots.map(\.state))
            let order: [ReaderSlot.State] = [.dead, .lagging, .reading, .idle]
            let worst = order.first { states.contains($0) }
            reply.row(
                ReplyValue(process), node?["node"] ?? .none, ReplyValue(slots.count), ReplyValue(slots.count { $0.commit != nil }),
                ReplyValue(slots.map(\.lag).max() ?? 0), .text((worst ?? .idle).rawValue))
        }
    }

    /// Rows and bytes of each table: every row is looked at, a page and a snapshot at a time.
    private func countTables(_ walk: Verification, total: UInt64, _ silent: Set<UInt64>, _ sink: ReplySink) {
        core.readers.read { snapshot in
            var walk = walk
            do throws(StoreFailure) { try walk.count(in: snapshot) } catch {
                return sink.fail(.failed, "the store cannot be read to its end: \(error)")
            }
            guard walk.isDone else {
                sink.write { $0.progress(walk.rows, of: max(total, walk.rows)) }
                return countTables(walk, total: total, silent, sink)
            }
            sink.write { reply in
                reply.table("tables", ["table", "rows", "bytes"])
                for table in Keys.Table.allCases {
                    reply.row(.text("\(table)"), ReplyValue(walk.tables[table] ?? 0), ReplyValue(walk.bytes[table] ?? 0))
                }
            }
            endScatter(silent, sink, ok: "")
        }
    }
}
