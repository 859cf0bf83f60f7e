import TestKit
import Testing

@testable import Console

@Suite struct LineViewTests {
    @Test func aLineIsDrawnOverItself() {
        var view = LineView(width: 20, height: 5)
        var screen = TerminalScreen(width: 20, height: 5)
        screen.write(view.draw(prompt: "a> ", text: Array("user"), cursor: 4))
        #expect(screen.lines[0] == "a> user" && screen.column == 7)
        screen.write(view.draw(prompt: "a> ", text: Array("us"), cursor: 1))
        #expect(screen.lines[0] == "a> us" && screen.column == 4)
        screen.write(view.leave())
        #expect(screen.row == 1 && screen.column == 0)
        #expect(screen.unknown.isEmpty)
    }

    @Test func longLinesGoOver() {
        var view = LineView(width: 10, height: 5)
        var screen = TerminalScreen(width: 10, height: 5)
        screen.write(view.draw(prompt: "> ", text: Array("abcdefghijkl"), cursor: 12))
        #expect(Array(screen.lines[0...1]) == ["> abcdefgh", "ijkl"] && screen.row == 1 && screen.column == 4)
        // Exactly full: the cursor stands in the next row.
        screen.write(view.draw(prompt: "> ", text: Array("abcdefgh"), cursor: 8))
        #expect(Array(screen.lines[0...1]) == ["> abcdefgh", ""] && screen.row == 1 && screen.column == 0)
        screen.write(view.draw(prompt: "> ", text: Array("abcdefgh"), cursor: 0))
        #expect(screen.row == 0 && screen.column == 2)
        screen.write(view.draw(prompt: "> ", text: [], cursor: 0))
        #expect(screen.text == ">")
    }

    @Test func wideCharactersGoOverWhole() {
        var view = LineView(width: 5, height: 5)
        var screen = TerminalScreen(width: 5, height: 5)
        screen.write(view.draw(prompt: "> ", text: Array("日本語x"), cursor: 1))
        #expect(Array(screen.lines[0...1]) == ["> 日", "本語x"] && screen.row == 1 && screen.column == 0)
        screen.write(view.draw(prompt: "> ", text: Array("日本語x"), cursor: 4))
        #expect(screen.row == 2 && screen.column == 0)
    }

    @Test func atTheBottomTheScreenScrolls() {
        var view = LineView(width: 10, height: 3)
        var screen = TerminalScreen(width: 10, height: 3)
        screen.write("one\r\ntwo\r\n")
        screen.write(view.draw(prompt: "> ", text: Array("abcdefghijkl"), cursor: 0))
        #expect(screen.lines == ["two", "> abcdefgh", "ijkl"] && screen.row == 1)
        screen.write(view.draw(prompt: "> ", text: Array("abc"), cursor: 3))
        #expect(screen.lines == ["two", "> abc", ""])
    }

    @Test func moreRowsThanTheScreenHasAreSeenAroundTheCursor() {
        var view = LineView(width: 4, height: 2)
        var screen = TerminalScreen(width: 4, height: 2)
        let text = Array("abcdefghijklmn")
        for cursor in Array(0...14) + Array((0...14).reversed()) {
            screen.write(view.draw(prompt: "> ", text: text, cursor: cursor))
            if cursor < 14 { #expect(Array(screen.lines[screen.row])[screen.column] == text[cursor], "\(cursor) \(screen.lines)") }
        }
        #expect(screen.scrolled.allSatisfy { !$0.contains(">") || $0 == "> ab" })
    }

    @Test func anotherWidthIsDrawnFromItsBeginning() {
        var view = LineView(width: 10, height: 5)
        _ = view.draw(prompt: "> ", text: Array("abcdefghijkl"), cursor: 12)
        view.resize(width: 5, height: 5)
        // As a terminal that breaks the line anew shows it: 14 cells in rows of five.
        var screen = TerminalScreen(width: 5, height: 5)
        screen.write("old\r\n> abcdefghijkl")
        screen.write(view.draw(prompt: "> ", text: Array("xy"), cursor: 2))
        #expect(screen.text == "old\n> xy")
    }

    @Test func wordsStandInColumns() {
        #expect(Columns.lines(["a", "bb", "ccc", "d", "e"], width: 10) == ["a    d", "bb   e", "ccc"])
        #expect(Columns.lines(["a", "b"], width: 80) == ["a  b"])
        #expect(Columns.lines(["averylongword", "b"], width: 5) == ["averylongword", "b"])
        #expect(Columns.lines([], width: 80) == [])
    }

    /// Any edits: what is seen is the line, wherever it is broken.
    @Test func whatIsSeenIsTheLine() {
        let letters = Array("ab 日é🙂")
        for width in [3, 7, 10] {
            var view = LineView(width: width, height: 50)
            var screen = TerminalScreen(width: width, height: 50)
            for length in (0...40).flatMap({ [$0, 40 - $0] }) {
                let text = (0..<length).map { letters[($0 * 7 + length) % letters.count] }
                screen.write(view.draw(prompt: "p>", text: text, cursor: length / 2))
                #expect(screen.lines.joined().filter { $0 != " " } == "p>" + String(text).filter { $0 != " " })
            }
            #expect(screen.unknown.isEmpty)
        }
    }
}
