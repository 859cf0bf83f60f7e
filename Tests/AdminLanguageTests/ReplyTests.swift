import Testing

@testable import AdminLanguage

@Suite struct ReplyTests {
    /// Reads all lines of a reply that a server wrote.
    private func read(_ reply: inout Reply) throws -> [ReplyLine] {
        var framer = LineFramer(longest: Words.longestReply)
        var parser = ReplyParser()
        var lines: [ReplyLine] = []
        framer.append(reply.take())
        while let line = framer.next() {
            guard case .text(let text) = line else { throw ReplyError("not a line", "\(line)") }
            lines.append(try parser.next(text))
        }
        #expect(framer.pending == 0)
        return lines
    }

    @Test func theGrammarOnOnePage() throws {
        var reply = Reply()
        reply.fact("node", "a")
        reply.fact("keeper", true)
        reply.table("sessions", ["jid", "tls", "since", "queue", "load"])
        reply.row("juliet@example.org/on the balcony", "1.3", nil, 17, .number(0.25))
        reply.progress(3, of: 10)
        reply.progress(4, of: Int?.none)
        reply.warning("node c\ndid not answer")
        reply.prose("")
        reply.prose("  user add JID")
        reply.prompt(.password)
        reply.ok()
        reply.error(.partial, "node c did not answer")
        let text = String(decoding: reply.take(), as: UTF8.self)
        #expect(
            text == #"""
                = node a
                = keeper true
                # sessions jid tls since queue load
                | "juliet@example.org/on the balcony" "1.3" - 17 0.25
                % 3 10
                % 4 -
                ! node c\ndid not answer
                :
                :   user add JID
                ? password
                ok
                error partial node c did not answer

                """#)
    }

    @Test func valuesKeepTheirTypes() throws {
        let values: [ReplyValue] = [
            nil, true, false, 0, -1, .integer(.max), .integer(.min), .number(0.5), .number(-1e-30), .number(1e300), "", "-", "true",
            "false", "0",
            "007", "-5", "1.5", "1e5", "1e999", "99999999999999999999", "a b", "\"", "\\", "\u{1B}[31m", "é",
        ]
        var reply = Reply()
        reply.table("t", values.indices.map { "c\($0)" })
        reply.row(values)
        let lines = try read(&reply)
        #expect(lines.last == .row(values))
        #expect(ReplyValue.number(.nan).word == "-")
        #expect(ReplyValue(UInt64.max) == .integer(.max))
        #expect(ReplyValue(String?.none) == .none)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func whatIsWrittenIsReadBack(seed: UInt64) throws {
        var random = Seeded(seed)
        func value() -> ReplyValue {
            switch Int.random(in: 0...5, using: &random) {
            case 0: .none
            case 1: .flag(Bool.random(using: &random))
            case 2: .integer(Int64(truncatingIfNeeded: random.next()))
            case 3: .number(Double.random(in: -1e12...1e12, using: &random))
            default: .text(random.text(upTo: 10))
            }
        }
        var written: [ReplyLine] = []
        for _ in 0..<50 {
            let columns = Int.random(in: 1...5, using: &random)
            written += [
                .fact(key: random.text(upTo: 5), value: value()),
                .table(name: random.text(upTo: 5), columns: (0..<columns).map { "c\($0)" }),
                .row((0..<columns).map { _ in value() }), .warning(random.text(upTo: 20)), .prose(random.text(upTo: 20)),
                .progress(done: .random(in: 0 ... .max, using: &random), total: Bool.random(using: &random) ? nil : 7),
                .prompt(Bool.random(using: &random) ? .password : .lines), .ok(random.text(upTo: 20)),
                .error(ReplyCode.allCases.randomElement(using: &random) ?? .failed, random.text(upTo: 20)),
            ]
        }
        var reply = Reply()
        for line in written { reply.append(line) }
        let readBack = try read(&reply)
        // By scalars: `==` on texts would not see a lost normalization.
        #expect(readBack.map { Array("\($0)".unicodeScalars) } == written.map { Array("\($0)".unicodeScalars) }, "seed \(seed)")
    }

    @Test(arguments: [
        "", "hello", "= a", "= a b c", "# t", "% 1", "% x 2", "% -1 2", "% 1 -2", "? secret", "? password now", "error", "error oops no",
        "okay", "! \\x",
        ": \u{1B}", "= a \"b", "|",
    ])
    func whatIsNoReplyIsRefused(line: String) throws {
        var parser = ReplyParser()
        #expect(throws: ReplyError.self) { try parser.next(line) }
    }

    @Test func rowsBelongToTables() throws {
        var parser = ReplyParser()
        #expect(throws: ReplyError("a row came before its table", "| 1")) { try parser.next("| 1") }
        _ = try parser.next("# t a b")
        #expect(throws: ReplyError("a row has 1 values in a table of 2 columns", "| 1")) { try parser.next("| 1") }
        _ = try parser.next("| 1 2")
        _ = try parser.next("ok")
        #expect(throws: ReplyError("a row came before its table", "| 1 2")) { try parser.next("| 1 2") }
    }

    @Test func theGreetingNamesVersionAndNode() {
        #expect(Greeting(Greeting(node: "a").text) == Greeting(node: "a", version: 1))
        #expect(Greeting("martlet 2 b")?.version == 2)
        for line in ["", "martlet", "martlet x a", "martlet 0 a", "SSH-2.0-OpenSSH", "martlet 1 a b", "martlet 1 \"a"] {
            #expect(Greeting(line) == nil)
        }
    }

    @Test func exitStatusesFollowTheCodes() {
        #expect(ExitStatus(.usage).rawValue == 2)
        #expect(ExitStatus(.partial).rawValue == 3)
        #expect(ExitStatus(.notFound).rawValue == 1)
        #expect(ExitStatus.noConnection.rawValue == 4)
    }
}

@Suite struct LineFramerTests {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func anySplitGivesTheSameLines(seed: UInt64) {
        var random = Seeded(seed)
        let bytes =
            Array("one\r\ntwo\n\n\u{1F600}\n".utf8) + [0xFF, 0x0A] + Array((String(repeating: "x", count: 40) + "\nlast\nrest").utf8)
        var framer = LineFramer(longest: 8)
        var lines: [LineFramer.Line] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...9, using: &random))
            rest = rest.dropFirst(piece.count)
            framer.append(piece)
            while let line = framer.next() { lines.append(line) }
            #expect(framer.pending <= 9)
        }
        #expect(lines == [.text("one"), .text("two"), .text(""), .text("\u{1F600}"), .notUTF8, .tooLong, .text("last")])
        #expect(framer.pending == 4)
    }

    @Test func theBoundIsExact() {
        var framer = LineFramer(longest: 4)
        framer.append(Array("1234\r\n12345\n".utf8))
        #expect(framer.next() == .text("1234"))
        #expect(framer.next() == .tooLong)
        #expect(framer.next() == nil)
    }
}
