import Testing

@testable import Console

@Suite struct KeyTests {
    private func keys(_ text: String) -> [Key] {
        var decoder = KeyDecoder()
        return decoder.take(text.utf8) + decoder.flush()
    }

    @Test(
        arguments: [
            ("a", .text("a")), ("é", .text("é")), ("日", .text("日")), ("\r", .enter), ("\n", .enter), ("\t", .tab), ("\u{7F}", .backspace),
            ("\u{8}", .backspace), ("\u{1}", .control("a")), ("\u{1F}", .control("_")), ("\u{1B}[A", .up), ("\u{1B}OA", .up),
            ("\u{1B}[B", .down), ("\u{1B}[C", .right), ("\u{1B}[D", .left), ("\u{1B}[H", .home), ("\u{1B}[1~", .home), ("\u{1B}OF", .end),
            ("\u{1B}[4~", .end), ("\u{1B}[3~", .delete), ("\u{1B}[3;5~", .altDelete), ("\u{1B}[1;5D", .wordLeft),
            ("\u{1B}[1;3C", .wordRight), ("\u{1B}[1;2C", .right), ("\u{1B}[Z", .backTab), ("\u{1B}b", .alt("b")), ("\u{1B}é", .alt("é")),
            ("\u{1B}\u{7F}", .altBackspace), ("\u{1B}", .escape), ("\u{1B}[5~", .pageUp),
        ] as [(String, Key)])
    func everyKeyIsKnown(bytes: String, key: Key) {
        #expect(keys(bytes) == [key])
    }

    @Test func whatIsNotKnownIsLeftOutWhole() {
        #expect(keys("\u{1B}[15~x") == [.text("x")])
        #expect(keys("\u{1B}[[Ax") == [.text("x")])
        #expect(keys("\u{1B}OPx") == [.text("x")])
        #expect(keys("\u{1B}[?1;2cx") == [.wordRight, .text("x")])
        var decoder = KeyDecoder()
        #expect(decoder.take([0xFF, 0xC3, 0x28, 0x80, 0x41]) == [.text("("), .text("A")])
        #expect(decoder.take([0x1B, 0x5B] + Array(repeating: 0x31, count: 100)) == [])
        #expect(decoder.take([0x41]) == [.text("A")])
    }

    @Test func aPasteComesAsOne() {
        #expect(keys("a\u{1B}[200~user\nadd \u{1B}[A\u{1B}[201~b") == [.text("a"), .paste("user\nadd \u{1B}[A"), .text("b")])
        // It is bounded, and its end is found all the same.
        let long = keys("\u{1B}[200~" + String(repeating: "x", count: 200_000) + "\u{1B}[201~b")
        #expect(long.count == 2 && long.last == .text("b"))
    }

    @Test func bytesMayBeCutAnywhere() {
        let text = "aé日🙂\u{1B}[1;5D\u{1B}[200~zwei\nZeilen\u{1B}[201~\u{1B}OA\u{1B}b\u{3}"
        let whole = keys(text)
        #expect(whole.count == 9)
        for cut in 0...text.utf8.count {
            var decoder = KeyDecoder()
            let first = decoder.take(text.utf8.prefix(cut))
            #expect(first + decoder.take(text.utf8.dropFirst(cut)) == whole)
        }
        var decoder = KeyDecoder()
        #expect(text.utf8.reduce(into: []) { $0 += decoder.take([$1]) } == whole)
    }

    @Test func noiseTrapsNothing() {
        var generator = SystemRandomNumberGenerator()
        var decoder = KeyDecoder()
        var editor = LineEditor(history: ["one", "two"])
        let likely: [UInt8] = [0x1B, 0x5B, 0x32, 0x30, 0x7E, 0x3B, 0x0D, 0x12, 0x19, 0x17, 0x0B, 0x7F, 0xC3, 0xA9, 0x41, 0x20, 0x14]
        for _ in 0..<50_000 {
            let byte = Bool.random(using: &generator) ? likely[Int.random(in: 0..<likely.count)] : UInt8.random(in: 0...255)
            for key in decoder.take([byte]) { _ = editor.take(key) }
        }
        _ = decoder.flush()
    }
}
