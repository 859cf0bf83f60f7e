import AdminLanguage
import Foundation
import Testing

/// The rule of the house for commands, kept by looking at the suites themselves.
@Suite struct CommandTests {
    /// A command that no suite here names is one whose reply nobody has read from a real cluster.
    @Test func everyCommandIsAskedOfARealCluster() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let suites = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "swift" && $0.path() != #filePath }
            .map { try String(contentsOf: $0, encoding: .utf8) }
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
