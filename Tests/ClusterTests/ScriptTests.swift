import TestKit
import Testing

/// Every suite here runs real processes on few cores: one after the other.
@Suite(.serialized) struct ClusterTests {}

extension ClusterTests {
    /// The scripts in the second and third theatre.
    @Suite(.serialized) struct ScriptTests {
        @Test func inOneProcess() async throws { try await playAll(nodes: 1) }
        @Test func inThreeProcesses() async throws { try await playAll(nodes: 3) }

        private func playAll(nodes: Int) async throws {
            let cluster = try ProcessCluster(nodes: nodes, tables: ScriptFolder.tables)
            #expect(!ScriptFolder.names.isEmpty)
            for (number, name) in ScriptFolder.names.enumerated() {
                let suffix = "-\(number)"
                do {
                    let theatre = try ProcessTheatre(cluster, suffix: suffix)
                    try await Play(try ScriptFolder.script(name), in: theatre, suffix: suffix).run()
                    try theatre.close()
                } catch {
                    Issue.record("\(error)")
                }
            }
        }
    }
}
