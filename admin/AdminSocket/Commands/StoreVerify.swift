import AdminLanguage
import LMDBStore
import ServerCore
import Store
import Synchronization

/// `store verify`.
extension Commands {
    /// Findings shown one by one; the rest is counted.
    private static let shownFindings = 1_000

    func verifyStore(_ invocation: Invocation, _ sink: ReplySink) {
        // Sessions of nodes that are gone are told by the nodes that are there.
        askNodes(.facts, sink) { nodes, silent in
            let live = nodes.compactMap { node in
                if case .text(let incarnation) = node["incarnation"] { UInt64(incarnation, radix: 16) } else { nil }
            }
            let state = VerifyState(
                walk: Verification(identity: core.identity, liveNodes: silent.isEmpty ? Set(live) : nil),
                total: context.volume.rowCount)
            verify(state, sink)
        }
    }

    private struct VerifyState: Sendable {
        var walk: Verification
        var total: UInt64
        var findings: [Finding] = []
        var count = 0
        var pages = 0
    }

    /// One page on a snapshot of its own, behind whatever else waits for a reader.
    private func verify(_ state: VerifyState, _ sink: ReplySink) {
        core.readers.read { snapshot in
            var state = state
            do throws(StoreFailure) {
                let found = try state.walk.step(in: snapshot)
                state.count += found.count
                state.findings += found.prefix(max(0, Self.shownFindings - state.findings.count))
                state.pages += 1
            } catch {
                return sink.fail(.failed, "the store cannot be read to its end: \(error)")
            }
            guard state.walk.isDone else {
                if state.pages % 25 == 0 {
                    let (rows, total) = (state.walk.rows, max(state.total, state.walk.rows))
                    sink.write { $0.progress(rows, of: total) }
                }
                return verify(state, sink)
            }
            report(state, sink)
        }
    }

    private func report(_ state: VerifyState, _ sink: ReplySink) {
        sink.end { reply in
            reply.fact("rows", ReplyValue(state.walk.rows))
            reply.fact("findings", ReplyValue(state.count))
            Self.show(state.findings, &reply)
            if state.count == 0 {
                reply.ok("all \(state.walk.rows) rows are as they must be")
            } else {
                reply.error(.failed, "\(state.count) findings in \(state.walk.rows) rows")
            }
        }
    }

    private static func show(_ findings: [Finding], _ reply: inout Reply) {
        guard !findings.isEmpty else { return }
        reply.table("findings", ["kind", "row", "finding", "advice"])
        for finding in findings {
            reply.row(.text(finding.kind.rawValue), .text(finding.key), .text(finding.sentence), .text(finding.advice))
        }
    }
}
