import Testing

@testable import AdminLanguage

@Suite struct CompleterTests {
    private func completer(_ line: String) -> Completer {
        let partial = PartialLine(Array(line))
        return Completer(after: partial.words, word: partial.word, in: CommandTable.all)
    }

    @Test func aLineBeingWrittenIsReadWithoutComplaint() {
        #expect(PartialLine(Array("user show \"a b")) == partial(["user", "show"], "a b", 10))
        #expect(PartialLine(Array("user  show ")) == partial(["user", "show"], "", 11))
        #expect(PartialLine(Array(#"x "q\"t" y"#)) == partial(["x", "q\"t"], "y", 9))
        #expect(PartialLine([]) == partial([], "", 0))
        #expect(PartialLine(Array("user sh")) == partial(["user"], "sh", 5))
        #expect(PartialLine(Array(#""" z"#)) == partial([""], "z", 3))
    }

    private func partial(_ words: [String], _ word: String, _ start: Int) -> PartialLine {
        var line = PartialLine([])
        line.words = words
        line.word = word
        line.start = start
        return line
    }

    @Test func pathsAreCompletedWordByWord() {
        #expect(completer("").fixed.contains("user") && completer("").fixed.contains("status"))
        #expect(completer("us").fixed == ["user"])
        #expect(completer("store back").fixed == ["backup", "backups"])
        #expect(completer("store nothing ").fixed == [])
    }

    @Test func argumentsAreAskedForByTheirKinds() {
        let show = completer("user show jul")
        #expect(show.source == .account && show.prefix == "jul" && show.fixed == [])
        #expect(show.request() == "complete account --limit 200 -- jul")
        #expect(completer("session show ").request() == "complete session --limit 200")
        #expect(completer("session kick a@b/").source == .jid)
        #expect(completer("node show ").source == .node)
        #expect(completer("component kick ").source == .component)
        #expect(completer("store compact /v").source == .file)
        #expect(completer("store compact /v").request() == nil)
        #expect(completer("store verify ").source == .backup)
        // Behind the last argument there are only options.
        #expect(completer("user show a@b c").source == nil)
        #expect(completer("user show a@b ").fixed == [])
    }

    @Test func optionsAndTheirValues() {
        #expect(completer("session list --").fixed.contains("--node"))
        #expect(completer("session list --node b --").fixed.contains("--node") == false)
        #expect(completer("session list --node ").source == .node)
        let equals = completer("session list --node=b")
        #expect(equals.source == .node && equals.lead == "--node=" && equals.prefix == "b")
        #expect(completer("invite list ").fixed.contains("--host"))
        #expect(completer("user show -- --").source == .account)
    }

    @Test func enumeratedValues() {
        #expect(completer("complete ").fixed == ["node", "host", "component", "account", "session", "jid", "backup"])
        let parts = completer("user restore a@b --what roster,")
        #expect(parts.fixed == ["credentials", "items", "messages"])
        #expect(parts.lead == "roster," && parts.isOpen)
        #expect(completer("user restore a@b --what=roster,i").lead == "--what=roster,")
        #expect(throws: LineError.self) { try CommandTable.parse("user restore a@b --from x --what roster,soul") }
        #expect(throws: LineError.self) { try CommandTable.parse("complete nod") }
    }

    @Test func theWordsOfHelpAreCommands() {
        #expect(completer("help us").fixed == ["user"])
        #expect(completer("help user a").fixed == ["add"])
    }

    @Test func wordsHaveACommonBeginning() {
        #expect(Completer.common([]) == "")
        #expect(Completer.common(["abc"]) == "abc")
        #expect(Completer.common(["julia", "juliet", "julé"]) == "jul")
    }
}

@Suite struct CellWidthTests {
    @Test(arguments: [
        ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本", 4), ("한글", 4), ("🙂", 2), ("👩‍👩‍👧", 2), ("🇩🇪", 2), ("❤\u{FE0F}", 2), ("…", 1),
    ])
    func textsTakeCells(text: String, cells: Int) {
        #expect(CellWidth.of(text) == cells)
    }

    @Test func theMiddleOfALongTextGivesWay() {
        #expect(CellWidth.shortened("juliet@example.org/balcony", to: 11) == "julie…lcony")
        #expect(CellWidth.shortened("abc", to: 3) == "abc")
        #expect(CellWidth.shortened("abc", to: 1) == "…")
        #expect(CellWidth.shortened("日本語日本語", to: 6) == "日…語")
    }

    @Test func textsAreBrokenAtSpaces() {
        #expect(CellWidth.wrapped("one two three", cells: 7) == ["one two", "three"])
        #expect(CellWidth.wrapped("aaaaaaaaaa b", cells: 4) == ["aaaa", "aaaa", "aa b"])
        #expect(CellWidth.wrapped("日本語", cells: 3) == ["日", "本", "語"])
        #expect(CellWidth.wrapped("", cells: 10) == [""])
    }
}

/// Tables on terminals that are too narrow for them.
@Suite struct FittingTests {
    private func text(_ lines: [ReplyLine], width: Int) -> String {
        var renderer = TextRenderer(width: width)
        return lines.reduce(into: "") { $0 += renderer.take($1).out }
    }

    private let table: [ReplyLine] = [
        .table(name: "sessions", columns: ["jid", "node", "bytes"]),
        .row(["juliet.capulet@example.org/balcony", "a", 123_456_789]), .row(["r@a/y", "b", 7]),
    ]

    @Test func theWidestTextGivesWayAndNumbersStay() {
        #expect(
            text(table + [.ok("")], width: 36) == """
                JID                  NODE      BYTES
                juliet.ca…g/balcony  a     123456789
                r@a/y                b             7

                """)
    }

    @Test func whatFitsIsLeftAlone() {
        #expect(text(table + [.ok("")], width: 51).contains("juliet.capulet@example.org/balcony"))
    }

    @Test func rowsBecomeFactsWhereTooLittleIsLeft() {
        #expect(
            text(table + [.ok("2")], width: 22) == """
                jid
                    juliet.capulet@exa
                    mple.org/balcony
                node   a
                bytes  123456789

                jid    r@a/y
                node   b
                bytes  7
                2

                """)
    }

    @Test func longValuesGoOnBelow() {
        let fact = ReplyLine.fact(key: "reason", value: "one two three four five six seven")
        #expect(text([fact, .ok("")], width: 30) == "reason  one two three four\n        five six seven\n")
    }
}
