import Testing

@testable import AdminLanguage

@Suite struct WordsTests {
    private func texts(_ line: String) throws -> [String] { try Words.split(line).map(\.text) }

    @Test func wordsAreBareOrQuoted() throws {
        #expect(try texts("") == [])
        #expect(try texts(" \t ") == [])
        #expect(try texts("user add juliet@example.org") == ["user", "add", "juliet@example.org"])
        #expect(try texts("a\t\"b c\"  \"\"") == ["a", "b c", ""])
        #expect(try texts(#""say \"hi\" \\ \n\r\t\u{e9}\u{1F600}""#) == ["say \"hi\" \\ \n\r\té\u{1F600}"])
        #expect(try texts(#"d\27artagnan@example.org"#) == [#"d\27artagnan@example.org"#])
    }

    @Test func aWordKnowsItsColumnAndItsQuotes() throws {
        #expect(
            try Words.split("  é \"x\"") == [
                Word(text: "é", column: 3, isQuoted: false), Word(text: "x", column: 5, isQuoted: true),
            ])
    }

    @Test(arguments: [
        (#"a "b"#, "the quote opened at column 3 is never closed: add \" at its end", 2, 3),
        (#"a b"c"#, #"word 2 has a quote inside it at column 4: put the whole word in quotes and write the quote as \""#, 2, 4),
        (#""a"b"#, "a space is missing after the closing quote at column 3", 1, 4),
        (#""\x""#, #"the escape at column 2 is not known: write \\, \", \n, \r, \t or \u{hex}"#, 1, 2),
        (#""\u{110000}""#, #"the escape at column 2 is not known: write \\, \", \n, \r, \t or \u{hex}"#, 1, 2),
        (#""\u{d800}""#, #"the escape at column 2 is not known: write \\, \", \n, \r, \t or \u{hex}"#, 1, 2),
        (#""\u{}""#, #"the escape at column 2 is not known: write \\, \", \n, \r, \t or \u{hex}"#, 1, 2),
        (#""\u{0000041}""#, #"the escape at column 2 is not known: write \\, \", \n, \r, \t or \u{hex}"#, 1, 2),
        ("ab\u{1B}", #"the character U+001B at column 3 may not stand in a line: write it as \u{1b} in quotes"#, 1, 3),
        ("\"\u{202E}\"", #"the character U+202E at column 2 may not stand in a line: write it as \u{202e} in quotes"#, 1, 2),
    ])
    func errorsNameWordColumnAndMend(line: String, sentence: String, word: Int, column: Int) {
        #expect(throws: LineError(sentence, word: word, column: column)) { try Words.split(line) }
    }

    @Test func lengthAndCountAreBounded() throws {
        #expect(try Words.split(String(repeating: "x", count: 8192)).count == 1)
        #expect(throws: LineError("the line is longer than 8192 bytes: shorten it")) {
            try Words.split(String(repeating: "x", count: 8193))
        }
        #expect(try Words.split(String(repeating: "x ", count: 64)).count == 64)
        #expect(throws: LineError("the line has more than 64 words: shorten it", word: 65, column: 129)) {
            try Words.split(String(repeating: "x ", count: 65))
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func whatIsWrittenIsReadBack(seed: UInt64) throws {
        var random = Seeded(seed)
        for _ in 0..<200 {
            let words = (0..<Int.random(in: 0...6, using: &random)).map { _ in random.text(upTo: 12) }
            let line = Words.line(words)
            let read = try Words.split(line)
            // Scalars, because `==` on texts holds é and e with an accent for the same.
            #expect(read.map { Array($0.text.unicodeScalars) } == words.map { Array($0.unicodeScalars) }, "seed \(seed): \(line)")
            #expect(!line.unicodeScalars.contains(where: Words.isHidden))
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func noLineTraps(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<500 {
            let line = random.text(upTo: 40)
            if let words = try? Words.split(line) {
                #expect((try? Words.split(Words.line(words.map(\.text))))?.map(\.text) == words.map(\.text))
            }
            _ = try? CommandTable.parse("session list " + line)
            _ = try? CommandTable.parse(line, debug: true)
        }
    }
}
