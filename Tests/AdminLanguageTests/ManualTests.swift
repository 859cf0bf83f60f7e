import Testing

@testable import AdminLanguage

@Suite struct ManualTests {
    @Test func everyCommandAndOptionIsInTheManual() {
        let page = Manual.martletctl
        for command in CommandTable.all + CommandTable.client where !command.isDebug {
            #expect(page.contains(".SS \"\(command.name.replacing("-", with: "\\-"))\""))
            for option in command.options { #expect(page.contains("\\-\\-" + option.name.replacing("-", with: "\\-"))) }
        }
        #expect(!page.contains(".SS \"clock\""))
        for section in ["OPTIONS", "CONSOLE", "SCRIPTS", "OVER SSH", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
            #expect(page.contains(".SH \"\(section)\""))
        }
    }

    @Test func everythingNamedCanBeGenerated() {
        for what in Manual.generated { #expect(Manual.generate(what)?.isEmpty == false) }
        #expect(Manual.generate("info") == nil)
    }

    /// A line of text must not be taken for one of macros.
    @Test(arguments: [Manual.martletctl, Manual.martletd])
    func onlyMacrosBeginWithDots(page: String) {
        let macros = [".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".nf", ".fi", ".RS", ".RE"]
        for line in page.split(separator: "\n") where line.hasPrefix(".") || line.hasPrefix("'") {
            #expect(macros.contains { line == $0 || line.hasPrefix($0 + " ") }, "\(line)")
        }
        #expect(page.utf8.allSatisfy { $0 < 0x80 })
    }

    @Test func helpFitsTheTerminal() throws {
        for width in [40, 60, 80] {
            for command in CommandTable.all + CommandTable.client {
                // A word that is wider than the line goes over; nothing else does.
                for line in Help.page(command, width: width) where !line.hasPrefix("  martletctl") {
                    #expect(line.count <= width || !line.drop { $0 == " " }.contains(" "), "\(width): \(line)")
                }
            }
            let wide = Help.overview(client: true, width: width).filter { $0.count > width }
            #expect(wide.isEmpty, "\(width)")
        }
    }
}
