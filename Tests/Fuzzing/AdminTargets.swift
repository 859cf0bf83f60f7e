internal import AdminLanguage

extension FuzzTarget {
    private static let adminWords =
        CommandTable.all.map(\.name) + CommandTable.all.flatMap { $0.options.map { "--" + $0.name } } + [
            "\"", "\\", "\\n", "\\u{202e}", "\\u{110000}", "\\u{}", " ", "\t", "-", "--", "juliet@example.com", "1d",
            "2026-11-21T00:00:00Z", "-1",
            "9223372036854775808", "= ", "# ", "| ", "% ", "! ", ": ", "? password", "ok", "error ", "error not-found ", "true", "false",
            "1e400",
            "0.1", "-0", "\u{301}", "\u{200F}", "ä", "\n", "\r\n", "\u{0}", "😀", "e\u{301}",
        ]

    /// Lines of an administrator.
    static let requests = FuzzTarget(
        "requests", "A request is understood or refused with its place; its words come back from the line that says them", longest: 9_000,
        words: adminWords,
        seeds: {
            let examples = CommandTable.all.flatMap { [$0.usage] + $0.examples }
            return examples.map { Array($0.utf8) } + [
                Array("user add juliet@example.com".utf8), Array("session kick \"a b\" --reason \"x\\\"y\\u{e4}\"".utf8),
                Array("juliet@example.com SCRAM-SHA-1$4096:AAAA$AAAA:AAAA".utf8),
            ]
        }
    ) { (input) throws(Breach) in
        let splits = [lines(input) { _ in input.count }, lines(input) { $0 % 7 + 1 }, lines(input) { _ in 1 }]
        try hold(splits[0] == splits[1] && splits[0] == splits[2], "lines depend on how their bytes come")
        let text = String(decoding: input, as: UTF8.self)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).prefix(20) { try request(String(line)) }
    }

    private static func lines(_ bytes: [UInt8], piece: (Int) -> Int) -> [LineFramer.Line] {
        var framer = LineFramer(longest: 40)
        var found: [LineFramer.Line] = []
        var offset = 0
        while offset < bytes.count {
            let end = min(bytes.count, offset + max(1, piece(offset)))
            framer.append(bytes[offset..<end])
            offset = end
            while let line = framer.next() { found.append(line) }
        }
        return found
    }

    private static func request(_ line: String) throws(Breach) {
        var words: [Word] = []
        do throws(LineError) { words = try Words.split(line) } catch {
            if let column = error.column { try hold(column >= 1 && column <= line.unicodeScalars.count + 1, "column \(column) of \(line)") }
            try printable(error.sentence)
        }
        let again = (try? Words.split(Words.line(words.map(\.text)), longest: .max))?.map(\.text) ?? []
        try hold(sameTexts(again, words.map(\.text)), "the words of a line do not come back: \(Words.visible(line))")
        do throws(LineError) {
            let invocation = try CommandTable.parse(line, debug: true)
            _ = (invocation.wanted, invocation.changes, invocation.isAboutFiles)
        } catch {
            try printable(error.sentence)
        }
        for keys in [false, true] {
            do throws(ImportLine.Refusal) { _ = try ImportLine.parse(line, keys: keys) } catch { try printable(error.sentence) }
        }
        let partial = PartialLine(Array(line))
        _ = Completer(after: partial.words, word: partial.word, in: CommandTable.all).request()
        try hold(!Words.visible(line).unicodeScalars.contains(where: Words.isHidden), "what may be shown hides something")
    }

    private static func sameTexts(_ one: [String], _ other: [String]) -> Bool {
        one.map { Array($0.utf8) } == other.map { Array($0.utf8) }
    }

    private static func printable(_ sentence: String) throws(Breach) {
        try hold(!sentence.isEmpty && !sentence.unicodeScalars.contains(where: Words.isHidden), "a sentence cannot be shown: \(sentence)")
    }

    /// `0 | lines of a reply` or `1 | what a reply is made of`.
    static let replies = FuzzTarget(
        "replies", "Whatever a reply says is one line that says it, one JSON value, and text that a terminal shows as it is",
        longest: 3_000,
        words: adminWords,
        seeds: {
            [
                "= key value\nok done", "# t a b\n| 1 2\n| - \"x y\"\nok", "% 1 -\n! careful\n: prose\n? password\nerror partial not all",
                "= a true\n= a 1.5\n= b \"-\"\n# t c\n| 9223372036854775807\n: x\nok", "error not-found there is none",
            ].map { [0] + Array($0.utf8) } + [[1] + Array(0...120), [1] + Array((0...200).reversed())]
        }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        var parser = ReplyParser()
        var shown = Renderers()
        guard choices.flag() else {
            for line in String(decoding: choices.rest(), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
                guard let read = try? parser.next(String(line)) else { continue }
                try reads(read)
                try shown.take(read)
            }
            return try shown.finish()
        }
        var columns = 0
        while !choices.isAtEnd {
            guard let line = made(&choices, &columns) else { continue }
            do throws(ReplyError) { _ = try parser.next(line.text) } catch { throw Breach("a line of the server is refused: \(error)") }
            try reads(line)
            try shown.take(line)
        }
        try shown.finish()
    }

    /// A line comes back as what it says.
    private static func reads(_ line: ReplyLine) throws(Breach) {
        try hold(!line.text.unicodeScalars.contains(where: Words.isHidden), "a line has a hidden character: \(line)")
        var parser = ReplyParser()
        if case .row(let values) = line {
            _ = try? parser.next(ReplyLine.table(name: "t", columns: values.map { _ in "c" }).text)
            if values.isEmpty { return }
        }
        let again: ReplyLine
        do throws(ReplyError) { again = try parser.next(line.text) } catch { throw Breach("\(line.text) is refused: \(error)") }
        try hold(again.text.utf8.elementsEqual(line.text.utf8), "\(line) comes back as \(again)")
    }

    private static func made(_ choices: inout Choices, _ columns: inout Int) -> ReplyLine? {
        switch choices.below(10) {
        case 0: return .fact(key: choices.text(), value: value(&choices))
        case 1, 2:
            columns = 1 + choices.below(4)
            return .table(name: choices.text(), columns: (0..<columns).map { _ in choices.text() })
        case 3, 4: return columns == 0 ? nil : .row((0..<columns).map { _ in value(&choices) })
        case 5: return .progress(done: Int64(choices.number() >> 1), total: choices.flag() ? Int64(choices.number() >> 1) : nil)
        case 6: return .warning(choices.text())
        case 7: return .prose(choices.text())
        case 8: return .prompt(Prompt.allCases[choices.below(Prompt.allCases.count)])
        default:
            columns = 0
            return choices.flag()
                ? .ok(choices.text()) : .error(ReplyCode.allCases[choices.below(ReplyCode.allCases.count)], choices.text())
        }
    }

    private static func value(_ choices: inout Choices) -> ReplyValue {
        switch choices.below(6) {
        case 0: .none
        case 1: .flag(choices.flag())
        case 2: .integer(Int64(bitPattern: choices.number()))
        case 3: .number(Double(bitPattern: choices.number()))
        default: .text(choices.text())
        }
    }
}

/// All that show a reply.
private struct Renderers {
    var text = TextRenderer()
    var narrow = TextRenderer(width: 23)
    var json = JSONRenderer()
    var live = LiveRenderer(isJSON: true)
    var hasEnded = true

    mutating func take(_ line: ReplyLine) throws(Breach) {
        for rendered in [text.take(line), narrow.take(line)] {
            for part in [rendered.out, rendered.err] {
                try hold(
                    !part.unicodeScalars.contains { $0 != "\n" && Words.isHidden($0) }, "a terminal is shown something hidden: \(part)")
                try hold(part.isEmpty || part.utf8.last == UInt8(ascii: "\n"), "a line is not whole: \(part)")
            }
        }
        let value = json.take(line).out
        if line.isEnd {
            try hold(JSONText.isValue(Array(value.utf8)), "that is no JSON: \(value)")
            try hold(value.utf8.filter { $0 == 0x0A }.count == 1 && value.utf8.last == 0x0A, "that is not one line: \(value)")
        } else {
            try hold(value.isEmpty, "the value comes before the end: \(value)")
        }
        for line in live.take(line).out.split(separator: "\n") { try hold(JSONText.isValue(Array(line.utf8)), "that is no JSON: \(line)") }
        hasEnded = line.isEnd
    }

    mutating func finish() throws(Breach) { if !hasEnded { try take(.ok("")) } }
}

/// A judge of JSON (RFC 8259).
enum JSONText {
    static func isValue(_ bytes: [UInt8]) -> Bool {
        var reader = Reader(rest: bytes[...])
        guard String(validating: bytes, as: UTF8.self) != nil, reader.value(0) else { return false }
        reader.space()
        return reader.rest.isEmpty
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func space() { rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 } }

        mutating func take(_ text: StaticString) -> Bool {
            space()
            let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
            guard rest.starts(with: wanted) else { return false }
            rest = rest.dropFirst(wanted.count)
            return true
        }

        mutating func value(_ depth: Int) -> Bool {
            guard depth < 8 else { return false }
            if take("null") || take("true") || take("false") { return true }
            if take("[") { return list("]") { $0.value(depth + 1) } }
            if take("{") { return list("}") { $0.string() && $0.take(":") && $0.value(depth + 1) } }
            space()
            return rest.first == UInt8(ascii: "\"") ? string() : number()
        }

        mutating func list(_ end: StaticString, _ one: (inout Reader) -> Bool) -> Bool {
            if take(end) { return true }
            repeat { if !one(&self) { return false } } while take(",")
            return take(end)
        }

        mutating func digits() -> Int {
            let count = rest.prefix { (0x30...0x39).contains($0) }.count
            rest = rest.dropFirst(count)
            return count
        }

        mutating func number() -> Bool {
            if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            let isZero = rest.first == UInt8(ascii: "0")
            let whole = digits()
            guard whole > 0, !isZero || whole == 1 else { return false }
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                guard digits() > 0 else { return false }
            }
            if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
                rest = rest.dropFirst()
                if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
                guard digits() > 0 else { return false }
            }
            return true
        }

        mutating func string() -> Bool {
            guard take("\"") else { return false }
            while let byte = rest.popFirst() {
                switch byte {
                case UInt8(ascii: "\""): return true
                case UInt8(ascii: "\\"):
                    guard let kind = rest.popFirst() else { return false }
                    if kind == UInt8(ascii: "u") {
                        let hex = rest.prefix(4)
                        rest = rest.dropFirst(4)
                        guard hex.count == 4, hex.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }) else { return false }
                    } else if !Array("\"\\/bfnrt".utf8).contains(kind) {
                        return false
                    }
                case 0..<0x20: return false
                default: break
                }
            }
            return false
        }
    }
}
