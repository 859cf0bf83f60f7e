public import AdminLanguage
import LMDBStore
import ServerCore
public import Store
import Synchronization

/// `store verify`.
extension Commands {
    func verifyStore(_ invocation: Invocation, _ sink: ReplySink) {
        // Sessions of nodes that are gone are told by the nodes that are there.
        askNodes(.facts, sink) { nodes, silent in
            let live = nodes.compactMap { node in
                if case .text(let incarnation) = node["incarnation"] { UInt64(incarnation, radix: 16) } else { nil }
            }
            let state = VerifyState(
                walk: Verification(identity: core.identity, liveNodes: silent.isEmpty ? Set(live) : nil),
                total: context.volume.rowCount)
            verify(state, repairs: invocation.flag("repair"), sink)
        }
    }

    private struct VerifyState: Sendable {
        var walk: Verification
        var total: UInt64
        var findings: [Finding] = []
        var count = 0
        var pages = 0
        var repaired = 0
    }

    /// One page on a snapshot of its own, behind whatever else waits for a reader.
    private func verify(_ state: VerifyState, repairs: Bool, _ sink: ReplySink) {
        core.readers.read { snapshot in
            var state = state
            do throws(StoreFailure) {
                let found = try state.walk.step(in: snapshot)
                state.count += found.count
                state.findings += found.prefix(max(0, FindingTable.shown - state.findings.count))
                state.pages += 1
            } catch {
                return sink.fail(.failed, "the store cannot be read to its end: \(error)")
            }
            guard state.walk.isDone else {
                if state.pages % 25 == 0 {
                    let (rows, total) = (state.walk.rows, max(state.total, state.walk.rows))
                    sink.write { $0.progress(rows, of: total) }
                }
                return verify(state, repairs: repairs, sink)
            }
            settle(state) { state in if repairs { repair(state, sink) } else { report(state, sink) } }
        }
    }

    /// The row of a session stays for ten seconds after its end, so that a new keeper can tell it once more; then the keeper removes it,
    /// as soon as it and its disk have the time. What is there after all these looks is a finding.
    private static let (grace, betweenLooks, looks) = (Duration.seconds(12), Duration.seconds(1), 12)

    private func settle(
        _ state: VerifyState, after pause: Duration = grace, looks: Int = looks, then: @escaping @Sendable (VerifyState) -> Void
    ) {
        guard looks > 0, state.findings.contains(where: { $0.kind == .stale }), let loop = core.shards.first?.loop else {
            return then(state)
        }
        _ = loop.schedule(after: pause) {
            core.readers.read { snapshot in
                var left = state
                left.findings.removeAll { finding in
                    guard finding.kind == .stale, let key = Key(hex: finding.key) else { return false }
                    return (try? snapshot.get(key)) == .some(nil)
                }
                left.count -= state.findings.count - left.findings.count
                settle(left, after: Self.betweenLooks, looks: looks - 1, then: then)
            }
        }
    }

    // MARK: Repair

    /// Looks at what was repaired before it is given up.
    private static let patience = 50
    private static let pause = Duration.milliseconds(100)

    private func repair(_ state: VerifyState, _ sink: ReplySink) {
        repair(state, state.findings.compactMap(\.repair)[...], sink)
    }

    /// One after the other: the node that keeps the store looks again before it writes.
    private func repair(_ state: VerifyState, _ orphans: ArraySlice<OrphanRepair>, _ sink: ReplySink) {
        guard let orphan = orphans.first else {
            var left = state
            left.findings.removeAll { $0.repair != nil }
            left.count -= state.findings.count - left.findings.count
            left.repaired = state.findings.count - left.findings.count
            return report(left, sink)
        }
        askKeeper(.repair(orphan), sink) { _ in wait(for: orphan, looks: 0, sink) { repair(state, orphans.dropFirst(), sink) } }
    }

    private func wait(for orphan: OrphanRepair, looks: Int, _ sink: ReplySink, then: @escaping @Sendable () -> Void) {
        core.readers.read { snapshot in
            if (try? orphan.isDone(in: snapshot)) == true { return then() }
            guard looks < Self.patience, let loop = core.shards.first?.loop else {
                return sink.fail(.failed, "the rows of account number \(orphan.account) were not removed; see the log of the keeper")
            }
            _ = loop.schedule(after: Self.pause) { wait(for: orphan, looks: looks + 1, sink, then: then) }
        }
    }

    private func report(_ state: VerifyState, _ sink: ReplySink) {
        sink.end { reply in
            reply.fact("rows", ReplyValue(state.walk.rows))
            reply.fact("findings", ReplyValue(state.count))
            if state.repaired > 0 { reply.fact("repaired", ReplyValue(state.repaired)) }
            FindingTable.show(state.findings, &reply)
            if state.count == 0 {
                reply.ok(
                    state.repaired > 0
                        ? "what was found is given to the purge, which removes it in steps"
                        : "all \(state.walk.rows) rows are as they must be")
            } else {
                reply.error(.failed, "\(state.count) findings in \(state.walk.rows) rows")
            }
        }
    }
}

/// How findings are shown, of a running store and of a copy alike.
public enum FindingTable {
    /// Findings shown one by one; the rest is only counted.
    public static let shown = 1_000

    public static func show(_ findings: [Finding], _ reply: inout Reply) {
        guard !findings.isEmpty else { return }
        reply.table("findings", ["kind", "row", "finding", "advice"])
        for finding in findings.prefix(shown) {
            reply.row(.text(finding.kind.rawValue), .text(finding.key), .text(finding.sentence), .text(finding.advice))
        }
        if findings.count > shown { reply.warning("\(findings.count - shown) more findings are not shown") }
    }
}
