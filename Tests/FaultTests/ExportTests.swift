import Glibc
import Testing

@testable import martletctl

extension AllFaults {
    /// An export with every call failing once: a whole file, or one sentence and no file.
    @Suite struct ExportTests {
        private static let lines = (0..<6).map { "<user name='\($0)'>" + String(repeating: "x", count: 100_000) + "</user>\n" }

        @Test func anExportIsWholeOrNotThere() throws {
            let whole = try Scratch()
            let calls = try Drill.count { try Self.export(whole) }
            #expect(calls.contains(.write) && calls.contains(.sync))
            Drill.all("export", calls, share: 1, prepare: { _ in try Scratch() }) { trial, scratch in
                do {
                    try Self.export(scratch)
                    Drill.pause()
                    #expect(Self.text(scratch) == Self.lines.joined(), "\(trial)")
                } catch let failure as Failure {
                    Drill.pause()
                    let sentence = failure.sentence
                    #expect(sentence.contains(scratch.path) && !sentence.contains("\n"), "\(trial): \(sentence)")
                    #expect(Scratch.names(scratch.path).isEmpty, "\(trial): nothing half is left")
                    // And nothing is in the way of the next.
                    try Self.export(scratch)
                    #expect(Self.text(scratch) == Self.lines.joined())
                }
            }
        }

        private static func export(_ scratch: Scratch) throws {
            let file = try ExportFile(scratch.path + "/export.xml")
            for line in lines { try file.write(line) }
            try file.finish()
        }

        private static func text(_ scratch: Scratch) -> String {
            let descriptor = open(scratch.path + "/export.xml", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return "" }
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = read(descriptor, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }
    }
}
