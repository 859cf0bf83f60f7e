import AdminLanguage
import TestKit
import Testing

/// The rule of the house for commands, kept by looking at the suites themselves.
@Suite struct CommandTests {
    /// A command that no suite here names is one whose reply nobody has read from a real cluster.
    @Test func everyCommandIsAskedOfARealCluster() throws {
        let folder = ProcessMonitoring.repository() + "/Tests/ClusterTests"
        let suites = try ScriptFolder.list(folder, suffix: ".swift").filter { $0 != "CommandTests.swift" }
            .map { try ProcessMonitoring.text(of: folder + "/" + $0) }
        #expect(suites.count > 10)
        for command in CommandTable.all {
            let words = command.path
            // As words of a request, as a line typed into the console, or word by word where one suite goes through a family.
            let isAsked = suites.contains { text in
                text.contains(words.map { "\"\($0)\"" }.joined(separator: ", ")) || text.contains("\"" + words.joined(separator: " "))
                    || words.allSatisfy { text.contains("\"\($0)\"") } && text.contains("\"\(words[0])\"]")
            }
            #expect(isAsked, "no suite asks \(command.name)")
        }
    }
}
