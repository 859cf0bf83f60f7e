import Testing

@testable import Console

@Suite struct LineEditorTests {
    /// Keys as they are typed; `^x` stands for control x, `~x` for alt x.
    private func type(_ keys: String, _ editor: inout LineEditor) -> LineEditor.Step {
        var step = LineEditor.Step.nothing
        var scalars = keys.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            switch scalar {
            case "^": step = editor.take(.control(Character(scalars.next() ?? "@")))
            case "~": step = editor.take(.alt(scalars.next() ?? "@"))
            case "←": step = editor.take(.left)
            case "→": step = editor.take(.right)
            case "↑": step = editor.take(.up)
            case "↓": step = editor.take(.down)
            case "⌫": step = editor.take(.backspace)
            case "⏎": step = editor.take(.enter)
            case "⎋": step = editor.take(.escape)
            default: step = editor.take(.text(scalar))
            }
        }
        return step
    }

    /// The line with `|` for the cursor.
    private func line(_ keys: String, history: [String] = []) -> String {
        var editor = LineEditor(history: history)
        _ = type(keys, &editor)
        return String(editor.text[..<editor.cursor]) + "|" + String(editor.text[editor.cursor...])
    }

    @Test(
        arguments: [
            ("abc", "abc|"), ("abc←←X", "aX|bc"), ("abc^a^f^d", "a|c"), ("abc^aX^eY", "XabcY|"), ("abc⌫", "ab|"),
            ("user add x^w", "user add |"), ("user add  x^w^w", "user |"), ("a@b.c/d~b~b", "a@b.|c/d"), ("one two^a~f~d", "one|"),
            ("one two^a^k", "|"), ("one two^a^k^y^y", "one twoone two|"), ("one two^u", "|"), ("a b c^w^w^y", "a b c|"),
            ("one^wtwo^w^y~y", "one|"), ("ab^t", "ba|"), ("abc^a^f^t", "ba|c"), ("abc^w^_", "abc|"), ("a^_", "|"),
            ("e\u{301}x←⌫", "|x"), ("🇩🇪", "🇩🇪|"), ("日本←X", "日X|本"),
        ])
    func keysEdit(keys: String, result: String) {
        #expect(line(keys) == result)
    }

    @Test func linesEndAsTheyShould() {
        var editor = LineEditor()
        #expect(type("status⏎", &editor) == .line("status"))
        editor = LineEditor()
        #expect(type("^d", &editor) == .end)
        #expect(type("x←^d", &editor) == .changed)
        #expect(type("^c", &editor) == .interrupt)
        #expect(type("^l", &editor) == .clear)
        #expect(type("←", &editor) == .nothing)
        #expect(type("^z", &editor) == .suspend)
        #expect(editor.take(.tab) == .complete)
    }

    @Test func historyGoesUpAndDownAndKeepsWhatWasChanged() {
        let history = ["one", "two", "three"]
        #expect(line("↑", history: history) == "three|")
        #expect(line("draft↑↑↓↓", history: history) == "draft|")
        #expect(line("↑X↑↓", history: history) == "threeX|")
        #expect(line("↑↑↑↑", history: history) == "one|")
        #expect(line("~<", history: history) == "one|")
        #expect(line("x~<~>", history: history) == "x|")
    }

    @Test func searchFindsTheNewestFirst() {
        let history = ["user add a@b", "status", "user show a@b", "node list"]
        #expect(line("^ruser", history: history) == "|user show a@b")
        #expect(line("^ruser^r", history: history) == "|user add a@b")
        #expect(line("^ruser^r^s", history: history) == "|user show a@b")
        #expect(line("draft^rnode^g", history: history) == "draft|")
        #expect(line("^rstat⎋!", history: history) == "!|status")
        #expect(line("^rstat^e!", history: history) == "status!|")
        #expect(line("^rstat⎋↑", history: history) == "user add a@b|")
        var editor = LineEditor(history: history)
        #expect(type("^rnothing", &editor) == .changed)
        #expect(editor.search?.isFailing == true && editor.search?.wanted == "nothing")
        _ = type("⌫⌫⌫⌫", &editor)
        #expect(editor.search?.wanted == "not")
        #expect(type("⏎", &editor) == .line("node list") || editor.search == nil)
        editor = LineEditor(history: history)
        #expect(type("^rlist⏎", &editor) == .line("node list"))
    }

    @Test func aPasteBecomesOneLineAndIsNotRun() {
        var editor = LineEditor()
        #expect(editor.take(.paste("user list\n\tstatus\u{1B}[31m\r\n")) == .changed)
        #expect(String(editor.text) == "user list status[31m")
    }

    @Test func aLineIsNeverLongerThanARequest() {
        var editor = LineEditor()
        for _ in 0..<10_000 { _ = editor.take(.text("日")) }
        #expect(String(editor.text).utf8.count <= 8192)
        _ = editor.take(.control("u"))
        for _ in 0..<3 { _ = editor.take(.control("y")) }
        #expect(String(editor.text).utf8.count <= 8192)
    }

    @Test func aWordIsReplaced() {
        var editor = LineEditor()
        _ = type("user sh x←←", &editor)
        editor.replace(from: 5, with: "show ")
        #expect(String(editor.text) == "user show  x" && editor.cursor == 10)
    }
}

@Suite struct HistoryTests {
    @Test func whatIsKept() {
        var history = History()
        for line in ["one", "one", " secret", "", "   ", "two", "one", "a\tb"] { history.add(line) }
        #expect(history.lines == ["one", "two", "one"])
        for number in 0..<2000 { history.add("\(number)") }
        #expect(history.lines.count == History.most && history.lines.last == "1999")
        #expect(History(history.text.utf8).lines == history.lines)
        #expect(History([0xFF, 0x0A, 0x41, 0x0A]).lines == ["A"])
    }
}
