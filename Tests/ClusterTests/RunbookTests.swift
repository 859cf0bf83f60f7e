import AdminLanguage
import TestKit
import Testing

/// The pages of `ops/runbook` and the alarms of `ops/deploy/alerts.yml` say the same.
@Suite struct RunbookTests {
    private struct Alarm: Equatable {
        var name = ""
        var expression = ""
        var severity = ""
    }

    private static func alarms() throws -> [Alarm] {
        var alarms: [Alarm] = []
        for line in try ProcessMonitoring.file("ops/deploy/alerts.yml").split(separator: "\n") {
            if let range = line.firstRange(of: "- alert: ") { alarms.append(Alarm(name: String(line[range.upperBound...]))) }
            guard !alarms.isEmpty else { continue }
            let last = alarms.count - 1
            if let range = line.firstRange(of: "expr: '") { alarms[last].expression = String(line[range.upperBound...].dropLast()) }
            if let range = line.firstRange(of: "severity: ") {
                alarms[last].severity = String(line[range.upperBound...].prefix { $0.isLetter })
            }
        }
        return alarms
    }

    @Test func everyAlarmHasAPageWithItsExpression() throws {
        let alarms = try Self.alarms()
        #expect(alarms.count > 20 && Set(alarms.map(\.name)).count == alarms.count)
        let index = try ProcessMonitoring.file("ops/runbook/README.md")
        for alarm in alarms {
            let page = try ProcessMonitoring.file("ops/runbook/\(alarm.name).md")
            #expect(page.hasPrefix("# \(alarm.name)\n"))
            #expect(page.contains("```promql\n\(alarm.expression)\n```\n"), "\(alarm.name): page and alerts.yml differ")
            #expect(page.contains("Severity: \(alarm.severity)."), "\(alarm.name)")
            #expect(page.contains("## What it means\n") && page.contains("## Look\n") && page.contains("## What to do\n"))
            #expect(index.contains("| [\(alarm.name)](\(alarm.name).md) | \(alarm.severity) |"))
        }
        let listed = index.split(separator: "\n").filter { $0.hasPrefix("| [") }.count
        #expect(listed == alarms.count)
    }

    @Test func everyCommandInItIsOne() throws {
        for alarm in try Self.alarms() {
            let page = try ProcessMonitoring.file("ops/runbook/\(alarm.name).md")
            for line in page.split(separator: "\n") where line.hasPrefix("    martletctl ") {
                // Names that stand for others are given one that has their shape.
                let words = line.dropFirst(4 + "martletctl ".count).split(separator: " ").map { word in
                    ["NAME": "a", "JID": "juliet@example.org", "FULLJID": "juliet@example.org/balcony"][String(word)] ?? String(word)
                }
                #expect(throws: Never.self, "\(alarm.name): \(line)") { try CommandTable.parse(words.joined(separator: " ")) }
            }
        }
    }

    @Test(
        .enabled(
            if: ProcessMonitoring.program("promtool") != nil, "promtool is not installed (Debian: prometheus): rules are not checked"))
    func prometheusReadsTheRules() throws {
        let promtool = try #require(ProcessMonitoring.program("promtool"))
        for words in [["check", "rules", "ops/deploy/alerts.yml"], ["check", "config", "ops/deploy/prometheus.yml"]] {
            let (status, text) = try ProcessMonitoring.run([promtool] + words, in: ProcessMonitoring.repository())
            #expect(status == 0, "\(text)")
        }
    }
}
