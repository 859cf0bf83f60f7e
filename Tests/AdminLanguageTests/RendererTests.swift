import Testing

@testable import AdminLanguage

@Suite struct RendererTests {
    private func text(_ lines: [ReplyLine]) -> Rendered {
        var renderer = TextRenderer()
        return lines.reduce(into: Rendered()) { all, line in
            let rendered = renderer.take(line)
            all.out += rendered.out
            all.err += rendered.err
        }
    }

    private func json(_ lines: [ReplyLine]) -> Rendered {
        var renderer = JSONRenderer()
        return lines.reduce(into: Rendered()) { all, line in
            let rendered = renderer.take(line)
            all.out += rendered.out
            all.err += rendered.err
        }
    }

    private let sessions: [ReplyLine] = [
        .table(name: "sessions", columns: ["jid", "queue", "tls"]), .row(["juliet@example.org/x", 7, "1.3"]), .row(["r@a/y", 1024, nil]),
    ]

    @Test func tablesAreAligned() {
        #expect(
            text(sessions + [.ok("2 sessions")]).out == """
                JID                   QUEUE  TLS
                juliet@example.org/x      7  1.3
                r@a/y                  1024  -
                2 sessions

                """)
    }

    @Test func blocksAreSetOff() {
        let lines: [ReplyLine] = [.fact(key: "node", value: "a"), .fact(key: "keeper", value: true)] + sessions + [.ok("")]
        #expect(
            text(lines).out == """
                node    a
                keeper  yes

                JID                   QUEUE  TLS
                juliet@example.org/x      7  1.3
                r@a/y                  1024  -

                """)
    }

    @Test func anEmptyTableShowsItsHead() {
        #expect(text([sessions[0], .ok("no sessions")]).out == "JID  QUEUE  TLS\nno sessions\n")
    }

    @Test func aLongTableGoesOnLineByLine() {
        let rows = (0..<2500).map { ReplyLine.row([.text("r\($0)"), .integer(Int64($0)), .none]) }
        let lines = text([sessions[0]] + rows + [.ok("")]).out.split(separator: "\n")
        #expect(lines.count == 2501)
        #expect(lines[0] == "JID   QUEUE  TLS")
        #expect(lines[2500] == "r2499   2499  -")
        // Exactly one window, and then the end: the head is not printed again.
        #expect(text([sessions[0]] + rows.prefix(1000) + [.ok("")]).out.split(separator: "\n").count == 1001)
    }

    @Test func sentencesGoWhereTheyBelongAndNothingReachesTheTerminalRaw() {
        let shown = text([.warning("w\u{1B}"), .prose("p\u{202E}"), .error(.failed, "e\n")])
        #expect(shown.out == "p\\u{202e}\n")
        #expect(shown.err == "warning: w\\u{1b}\nmartletctl: e\\u{a}\n")
    }

    @Test func oneTableIsAnArray() {
        #expect(
            json(sessions + [.ok("2 sessions")]).out
                == #"[{"jid":"juliet@example.org/x","queue":7,"tls":"1.3"},{"jid":"r@a/y","queue":1024,"tls":null}]"# + "\n")
        #expect(json([sessions[0], .ok("")]).out == "[]\n")
    }

    @Test func factsAndTablesAreAnObject() {
        let lines: [ReplyLine] = [.fact(key: "node", value: "a"), .fact(key: "load", value: .number(0.5)), .fact(key: "up", value: true)]
        #expect(json(lines + [.ok("")]).out == #"{"node":"a","load":0.5,"up":true}"# + "\n")
        #expect(
            json(lines + [sessions[0], .table(name: "links", columns: ["to"]), .row(["b"]), .ok("")]).out
                == #"{"node":"a","load":0.5,"up":true,"sessions":[],"links":[{"to":"b"}]}"# + "\n")
    }

    @Test func aNameThatComesAgainMakesAList() {
        #expect(json([.fact(key: "a", value: 1), .fact(key: "a", value: 2), .ok("")]).out == #"{"a":[1,2]}"# + "\n")
        #expect(json([.table(name: "t", columns: ["x", "x"]), .row([1, 2]), .ok("")]).out == #"[{"x":1,"x_2":2}]"# + "\n")
    }

    @Test func aReplyWithoutDataSaysHowItEnded() {
        #expect(json([.ok("")]).out == #"{"ok":true}"# + "\n")
        #expect(json([.ok("made")]).out == #"{"ok":true,"message":"made"}"# + "\n")
        let failed = json([.error(.notFound, "no such \"user\"")])
        #expect(failed.out == #"{"error":{"code":"not-found","message":"no such \"user\""}}"# + "\n")
        #expect(failed.err == "martletctl: no such \"user\"\n")
        #expect(json([sessions[0], .error(.partial, "node c is silent")]) == Rendered(out: "[]\n", err: "martletctl: node c is silent\n"))
    }

    @Test func stringsAreEscaped() {
        #expect(JSONRenderer.string("\"\\\n\r\t\u{0}\u{1B}\u{2028}é") == #""\"\\\n\r\t\u0000\u001b\u2028é""#)
    }

    /// A reader of RFC 8259 that says only whether a text is one value.
    private func isJSON(_ text: String) -> Bool {
        var rest = Array(text.unicodeScalars)[...]
        func literal(_ word: String) -> Bool {
            guard rest.starts(with: Array(word.unicodeScalars)) else { return false }
            rest = rest.dropFirst(word.unicodeScalars.count)
            return true
        }
        func string() -> Bool {
            guard literal("\"") else { return false }
            while let scalar = rest.popFirst() {
                switch scalar {
                case "\"": return true
                case "\\":
                    guard let escape = rest.popFirst(), "\"\\/bfnrtu".unicodeScalars.contains(escape) else { return false }
                    if escape == "u" {
                        guard rest.prefix(4).count == 4, rest.prefix(4).allSatisfy({ $0.properties.isASCIIHexDigit }) else { return false }
                        rest = rest.dropFirst(4)
                    }
                default: if scalar.value < 0x20 { return false }
                }
            }
            return false
        }
        func list(_ close: String, _ item: () -> Bool) -> Bool {
            if literal(close) { return true }
            repeat { guard item() else { return false } } while literal(",")
            return literal(close)
        }
        func value() -> Bool {
            switch rest.first {
            case "{":
                rest = rest.dropFirst()
                return list("}") { string() && literal(":") && value() }
            case "[":
                rest = rest.dropFirst()
                return list("]", value)
            case "\"": return string()
            case "t": return literal("true")
            case "f": return literal("false")
            case "n": return literal("null")
            default:
                let number = rest.prefix { "0123456789+-.eE".unicodeScalars.contains($0) }
                rest = rest.dropFirst(number.count)
                var text = String.UnicodeScalarView()
                text.append(contentsOf: number)
                return NumberShape(String(text)) != .none
            }
        }
        return value() && rest.elementsEqual("\n".unicodeScalars)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func everyReplyIsOneJSONValue(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<50 {
            var lines: [ReplyLine] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                switch Int.random(in: 0...3, using: &random) {
                case 0: lines.append(.fact(key: random.text(upTo: 2), value: .text(random.text(upTo: 9))))
                case 1: lines.append(.fact(key: random.text(upTo: 2), value: .number(Double(bitPattern: random.next()))))
                case 2: lines.append(.prose(random.text(upTo: 9)))
                default:
                    lines += [
                        .table(name: random.text(upTo: 2), columns: ["a", "a", random.text(upTo: 2)]),
                        .row([1, nil, .text(random.text(upTo: 9))]),
                    ]
                }
            }
            lines.append(Bool.random(using: &random) ? .ok(random.text(upTo: 5)) : .error(.failed, random.text(upTo: 5)))
            let shown = json(lines).out
            #expect(isJSON(shown), "seed \(seed): \(shown)")
        }
    }

    /// Also what only the server itself names: a key, a column.
    @Test func nothingHiddenReachesATerminal() {
        let shown = text([.fact(key: "a\u{1B}[2J\r", value: 1), .table(name: "t", columns: ["b\u{202E}c"]), .row([2]), .ok("")]).out
        #expect(shown.hasPrefix("a\\u{1b}[2J\\u{d}  1\n") && !shown.unicodeScalars.contains { $0 != "\n" && Words.isHidden($0) })
        var live = LiveRenderer(isJSON: false)
        _ = live.take(.fact(key: "\u{1B}c", value: 1))
        #expect(live.take(.table(name: "t", columns: ["a"])).err == "\\u{1b}c 1; ctrl-c ends it\n")
    }

    @Test func theJudgeOfJSONCanSayNo() {
        for text in ["{}\n", "[1,-2.5e+3,\"\\u00e9\"]\n", "{\"a\":[]}\n"] { #expect(isJSON(text)) }
        for text in ["", "{}", "{a:1}\n", "[1,]\n", "\"\n", "01\n", "[1] \n", "{\"a\":1 \"b\":2}\n", "\"\\x\"\n"] { #expect(!isJSON(text)) }
    }
}
