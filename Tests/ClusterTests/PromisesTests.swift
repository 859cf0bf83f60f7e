import Glibc
import TestKit
import Testing

/// `ops/promises.md` names tests that exist.
@Suite struct PromisesTests {
    @Test func everyTestOnThePageOfPromisesExists() throws {
        let page = try ProcessMonitoring.file("ops/promises.md")
        var named = 0
        for word in page.split(whereSeparator: { $0 == "`" || $0.isWhitespace }) {
            let parts = word.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].hasSuffix("Tests"), parts[0] != "Tests", parts[1].allSatisfy(\.isLetter), !parts[1].isEmpty
            else { continue }
            named += 1
            let texts = try Self.sources(of: String(parts[0]))
            #expect(texts.contains { $0.contains("func \(parts[1])(") }, "\(word) is no test")
        }
        #expect(named > 50)
    }

    private static func sources(of room: String) throws -> [String] {
        let folder = "Tests/\(room)"
        guard let directory = opendir(ProcessMonitoring.repository() + "/" + folder) else { throw ProcessFailure("there is no \(folder)") }
        defer { closedir(directory) }
        var texts: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".swift") { texts.append(try ProcessMonitoring.file("\(folder)/\(name)")) }
        }
        return texts
    }
}
