import Glibc
import Modules
import ServerCore
import TestKit
import Testing

/// Every script, in memory: one node with one loop, and three nodes with two loops each and the players spread over them.
@Suite struct ScriptTests {
    @Test(arguments: ScriptFolder.names)
    func inMemoryOnOneNode(_ name: String) async throws {
        try await play(name, nodes: 1, loops: 1)
    }

    @Test(arguments: ScriptFolder.names)
    func inMemoryOnThreeNodes(_ name: String) async throws {
        try await play(name, nodes: 3, loops: 2)
    }

    private func play(_ name: String, nodes: Int, loops: Int) async throws {
        let script = try ScriptFolder.script(name)
        let cluster = try MemoryCluster(nodes: nodes, loops: loops, modules: ModuleList.all, script: script.settings)
        try await Play(script, in: MemoryTheatre(cluster)).run()
    }
}
