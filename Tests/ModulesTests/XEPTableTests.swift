import Glibc
import Modules
import ServerCore
import TestKit
import Testing

/// What the server says it follows: in the README as in the code, and each with a script that shows it.
@Suite struct XEPTableTests {
    /// Extensions without a script of their own number, each with the place of its proof.
    private static let provenElsewhere: [Int: String] = [
        128: "Tests/Scripts/0030-disco.xmpp",
        203: "Tests/Scripts/6121-offline.xmpp",
        334: "Tests/Scripts/6121-offline.xmpp",
        297: "Tests/Scripts/0280-carbons.xmpp",
        227: "Tests/ClusterTests/MovingTests.swift",
        78: "Tests/TransportsTests/NonSASLTests.swift",
        138: "Tests/TransportsTests/CompressionTests.swift",
        // A script begins with a bound session; these are over by then.
        368: "Tests/StreamLogicTests/HeaderTests.swift",
        386: "Tests/TransportsTests/SASL2Tests.swift",
        388: "Tests/TransportsTests/SASL2Tests.swift",
        440: "Tests/StreamLogicTests/HeaderTests.swift",
        474: "Tests/AuthenticationTests/SCRAMServerTests.swift",
        478: "Tests/TransportsTests/SASL2Tests.swift",
        480: "Tests/TransportsTests/SASL2Tests.swift",
        484: "Tests/TransportsTests/TokenTests.swift",
    ]
    private static let begin = "<!-- xep-table: what martletd --xep-table prints -->\n"
    private static let end = "<!-- /xep-table -->"

    @Test func readmeHasTheTableOfTheModules() throws {
        let readme = try text(of: "README.md")
        let behind = try #require(readme.firstRange(of: Self.begin)?.upperBound, "README.md has lost the line \(Self.begin)")
        let before = try #require(readme[behind...].firstRange(of: Self.end)?.lowerBound, "README.md has lost the line \(Self.end)")
        #expect(
            String(readme[behind..<before]) == XEPTable.markdown,
            "put what martletd --xep-table prints between the two marks of README.md")
    }

    @Test func everyExtensionStandsOnceInTheTable() {
        let numbers = XEPTable.rows.map(\.xep.number)
        #expect(numbers == numbers.sorted())
        #expect(Set(numbers).count == numbers.count, "two places say that they follow the same extension")
        for module in ModuleList.all {
            for xep in module.implements { #expect(XEPTable.rows.contains { $0.xep == xep && $0.place == module.name }) }
        }
        for row in XEPTable.rows {
            let page = "https://xmpp.org/extensions/\(row.xep.label.lowercased()).html"
            #expect(XEPTable.markdown.contains("| [\(row.xep.label)](\(page)) | \(row.xep.version) | \(row.xep.title) | \(row.place) |\n"))
        }
    }

    @Test(arguments: XEPTable.rows.map(\.xep.number))
    func extensionHasItsProof(_ number: Int) throws {
        let digits = String(number)
        let prefix = String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "-"
        let hasScript = ScriptFolder.names.contains { $0.hasPrefix(prefix) }
        if let place = Self.provenElsewhere[number] {
            #expect(!hasScript, "XEP \(number) has a script now: take it off the list here")
            #expect(try !text(of: place).isEmpty)
        } else {
            #expect(hasScript, "XEP \(number) needs a script Tests/Scripts/\(prefix)….xmpp")
        }
    }

    @Test func listHereNamesOnlyWhatIsFollowed() {
        #expect(Set(Self.provenElsewhere.keys).isSubset(of: XEPTable.rows.map(\.xep.number)))
    }

    /// A file of the repository, by its path from the top.
    private func text(of path: String) throws -> String {
        struct Unreadable: Error { var path: String }
        let top = String(#filePath.dropLast("Tests/ModulesTests/XEPTableTests.swift".count))
        guard let file = fopen(top + path, "r") else { throw Unreadable(path: path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
