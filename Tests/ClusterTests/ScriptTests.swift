import TestKit
import Testing

/// Every suite here runs real processes on few cores: one after the other.
@Suite(.serialized, .compactMapIssues { tellLogs(with: $0) }) struct ClusterTests {}

/// Adds the ends of the nodes' logs to an issue.
private func tellLogs(with issue: Issue) -> Issue? {
    var issue = issue
    if !"\(issue)".contains("--- a ---"), let logs = ProcessLogs.take() { issue.comments.append(Comment(rawValue: logs)) }
    return issue
}

extension ClusterTests {
    /// The scripts in the second and third theatre.
    @Suite(.serialized) struct ScriptTests {
        @Test func inOneProcess() async throws { try await playAll(nodes: 1) }
        @Test func inThreeProcesses() async throws { try await playAll(nodes: 3) }

        private func playAll(nodes: Int) async throws {
            #expect(!ScriptFolder.names.isEmpty)
            let usual = try ProcessCluster(nodes: nodes)
            for (number, name) in ScriptFolder.names.enumerated() {
                do {
                    let script = try ScriptFolder.script(name)
                    // Who asks for other settings, where names may stand, gets processes of its own.
                    let isUsual = script.settings.isEmpty
                    let cluster = isUsual ? usual : try ProcessCluster(nodes: nodes, script: script.settings)
                    let suffix = isUsual ? "-\(number)" : ""
                    let theatre = try ProcessTheatre(cluster, suffix: suffix)
                    try await Play(script, in: theatre, suffix: suffix).run()
                    try theatre.close()
                } catch {
                    Issue.record("\(error)")
                }
            }
        }
    }
}
