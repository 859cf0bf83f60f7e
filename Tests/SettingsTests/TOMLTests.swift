import Testing

@testable import Settings

@Suite struct TOMLTests {
    /// A document as one text, so that whole trees can be compared: keys in their order, strings in quotes.
    private func shown(_ text: String) throws -> String { show(try TOMLParser.parse(text)) }

    private func show(_ table: TOMLTable) -> String {
        "{" + table.entries.map { "\($0.key):\(show($0.node))" }.joined(separator: ",") + "}"
    }

    private func show(_ node: TOMLNode) -> String {
        switch node.value {
        case .string(let text): "\"\(text)\""
        case .integer(let integer): "\(integer)"
        case .float(let float): "\(float)f"
        case .boolean(let flag): "\(flag)"
        case .date(let date): "<\(date)>"
        case .array(let elements): "[\(elements.map(show).joined(separator: ","))]"
        case .table(let table): show(table)
        }
    }

    @Test(arguments: [
        ("", "{}"),
        ("\u{FEFF}a = 1", "{a:1}"),
        ("# only\r\n\t # comments", "{}"),
        ("a = 1 # one\nb-c_9 = true\r\n\"d e\" = false\n'f\"' = 2\n\"\" = 3", "{a:1,b-c_9:true,d e:false,f\":2,:3}"),
        ("a.b.c = 1\na.b.d = 2\na . e = 3", "{a:{b:{c:1,d:2},e:3}}"),
        ("3.14 = 1", "{3:{14:1}}"),
        ("[a.b]\nc = 1\n[a]\nd = 2\n[a.e.f]\n[a.e]", "{a:{b:{c:1},d:2,e:{f:{}}}}"),
        ("[[h]]\na = 1\n[h.x]\nb = 2\n[[h]]\n[[h.l]]\n[[h.l]]\nc = 3", "{h:[{a:1,x:{b:2}},{l:[{},{c:3}]}]}"),
        ("[f]\na.b = 1\n[f.a.c]\nd = 2", "{f:{a:{b:1,c:{d:2}}}}"),
        ("t = { a = 1, b.c = 2, d = { } }", "{t:{a:1,b:{c:2},d:{}}}"),
        ("a = [ 1, 'x', [true,], # note\n {b=1}, \n]", "{a:[1,\"x\",[true],{b:1}]}"),
        ("a = [\n# nothing\n]", "{a:[]}"),
        (#"a = "\b\t\n\f\r\"\\\u00e9\U0001F600""#, "{a:\"\u{8}\t\n\u{C}\r\"\\é\u{1F600}\"}"),
        (#"a = 'C:\x'"#, #"{a:"C:\x"}"#),
        ("a = \"\"\"\nx\\\n  \r\n  y\nz\\tq\"\"\"", "{a:\"xy\nz\tq\"}"),
        ("a = \"\"\"\"q\"\"\"\"\"", "{a:\"\"q\"\"\"}"),
        ("a = '''\r\nx\\y\n'''''", "{a:\"x\\y\n''\"}"),
        (
            "a = +1_000\nb = -0\nc = 0xDEAD_beef\nd = 0o17\ne = 0b101\nf = -9223372036854775808",
            "{a:1000,b:0,c:3735928559,d:15,e:5,f:-9223372036854775808}"
        ),
        ("a = 1.5\nb = -2e3\nc = +1_0.5E-1\nd = -inf\ne = 0.0", "{a:1.5f,b:-2000.0f,c:1.05f,d:-inff,e:0.0f}"),
        (
            "a = 1979-05-27T07:32:00Z\nb = 1979-05-27 07:32:00.5-07:00\nc = 1979-05-27\nd = 07:32:00",
            "{a:<1979-05-27T07:32:00Z>,b:<1979-05-27 07:32:00.5-07:00>,c:<1979-05-27>,d:<07:32:00>}"
        ),
    ])
    func goodDocuments(text: String, expected: String) throws {
        #expect(try shown(text) == expected)
    }

    @Test(arguments: [
        ("a", 1, 2, "a key without a value: write key = value"),
        ("a = ", 1, 5, "a value is missing: a string stands in quotes"),
        ("a = b", 1, 5, "b is no value: a string stands in quotes"),
        ("a = 01", 1, 5, "01 is no value: a string stands in quotes"),
        ("a = 1__0", 1, 5, "1__0 is no value: a string stands in quotes"),
        ("a = 1.", 1, 5, "1. is no value: a string stands in quotes"),
        ("a = .5", 1, 5, ".5 is no value: a string stands in quotes"),
        ("a = 1e", 1, 5, "1e is no value: a string stands in quotes"),
        ("a = 0x", 1, 5, "0x is no value: a string stands in quotes"),
        ("a = 9223372036854775808", 1, 5, "9223372036854775808 does not fit 64 bits"),
        ("a = 1979-05-27T07:32", 1, 5, "1979-05-27T07:32 is no value: a string stands in quotes"),
        ("a = 1 b = 2", 1, 7, "something stands behind the end of this: begin a new line"),
        ("= 1", 1, 1, "a key is expected here: letters, digits, '_' and '-'"),
        ("a. = 1", 1, 4, "a key is expected here: letters, digits, '_' and '-'"),
        ("é = 1", 1, 1, "a key is expected here: letters, digits, '_' and '-'"),
        ("a = \"é\" x", 1, 9, "something stands behind the end of this: begin a new line"),
        ("a = 1\na = 2", 2, 1, "\"a\" stands already in line 1: keep one"),
        ("a = 1\na.b = 2", 2, 1, "\"a\" is an integer in line 1: write the key there"),
        ("[a]\n[a]", 2, 2, "\"a\" stands already in line 1: write everything of it there"),
        ("a.b = 1\n[a]", 2, 2, "\"a\" stands already in line 1: write everything of it there"),
        ("[a]\nb.c = 1\n[a.b]", 3, 4, "\"b\" stands already in line 2: write everything of it there"),
        ("[a.b]\n[a]\nb.c = 1", 3, 1, "\"b\" is a table in line 1: write the key there"),
        ("a = {b = 1}\n[a.c]", 2, 2, "\"a\" is a table in line 1: nothing can be put into it"),
        ("a = {b.c = 1}\na.b.d = 1", 2, 1, "\"a\" is a table in line 1: write the key there"),
        ("a = {b.c = 1, b = 2}", 1, 15, "\"b\" stands already in line 1: keep one"),
        ("a = []\n[[a]]", 2, 3, "\"a\" is something else already: it cannot become an array of tables"),
        ("[[a]]\n[a]", 2, 2, "\"a\" stands already in line 1: write everything of it there"),
        ("a = 1\n[a.b]", 2, 2, "\"a\" is an integer in line 1: nothing can be put into it"),
        ("[a", 1, 3, "the header is not closed: write ]"),
        ("[[a]", 1, 5, "the header is not closed: write ]]"),
        ("a = [1 2]", 1, 8, "the array goes on or ends here: write , or ]"),
        ("a = {b = 1,}", 1, 12, "a key is expected here: letters, digits, '_' and '-'"),
        ("a = {b = 1 c = 2}", 1, 12, "the inline table goes on or ends here: write , or }"),
        ("a = \"x", 1, 5, "the string is not closed on its line: add \""),
        ("a = \"x\ny\"", 1, 5, "the string is not closed on its line: add \""),
        ("a = 'x\ny'", 1, 5, "the string is not closed on its line: add '"),
        ("b = 1\na = \"\"\"x\n", 2, 5, "the string is not closed: add three quotes"),
        ("a = \"\"\"\n\"\"\"\"\"\"", 2, 7, "too many quotes at the end of the string"),
        ("a = \"C:\\x\"", 1, 8, "the escape is not known: a backslash itself is written \\\\, or the string in single quotes"),
        ("a = \"\\ud800\"", 1, 6, "the escape is not known: a backslash itself is written \\\\, or the string in single quotes"),
        ("a = \"\\u12", 1, 6, "the escape is not known: a backslash itself is written \\\\, or the string in single quotes"),
        ("a = \"\u{1}\"", 1, 6, "a control character in a string: write it as \\uXXXX in double quotes"),
        ("# \u{0}", 1, 3, "a control character in a comment: remove it"),
        ("a = 1\rb = 2", 1, 6, "something stands behind the end of this: begin a new line"),
    ])
    func badDocumentsNameTheirPlace(text: String, line: Int, column: Int, sentence: String) {
        #expect(throws: TOMLError(position: Position(line: line, column: column), sentence: sentence)) { try TOMLParser.parse(text) }
    }

    @Test func nestingIsBounded() {
        #expect(throws: TOMLError(position: Position(line: 1, column: 21), sentence: "values nested deeper than 16")) {
            try TOMLParser.parse("a = " + String(repeating: "[", count: 100_000))
        }
        #expect(throws: TOMLError.self) { try TOMLParser.parse("a = " + String(repeating: "{b=", count: 100_000)) }
        #expect(throws: TOMLError.self) { try TOMLParser.parse(String(repeating: "a.", count: 100_000) + "a = 1") }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func noTextTraps(seed: UInt64) {
        let pieces = [
            "[", "]", "[[", "]]", "a", "b", "host", ".", "=", " ", "\n", "\r\n", "\r", "\"", "'", "\"\"\"", "'''", "\\", "\\u", "00e9", "{",
            "}", ",", "#",
            "1", "0x", "_", "-", "+", "e", "1979-05-27", "T", "07:32:00", "true", "inf", "é", "\u{0}", "\u{FEFF}", "[limits]\n", "depth = ",
        ]
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        for _ in 0..<500 {
            var text = ""
            for _ in 0..<Int(state % 25) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text += pieces[Int((state >> 33) % UInt64(pieces.count))]
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if case .failure(let error) = Result(catching: { try Settings.parse(text, file: "f") }) {
                #expect((error as? SettingsError)?.problems.isEmpty == false)
            }
        }
    }

    /// A key in quotes may hold what moves a terminal's cursor.
    @Test func aProblemIsOneLineThatShowsAllOfIt() throws {
        let error = try #require(throws: SettingsError.self) { try Settings.parse("\"a\\u001b[2J\\n\\u202eb\" = 1\n", file: "f") }
        let problem = try #require(error.problems.first { $0.line == 1 })
        #expect(problem.description.hasPrefix("f:1: a\\u{1b}[2J\\u{a}\\u{202e}b: ") && !problem.description.contains("\n"))
    }
}
