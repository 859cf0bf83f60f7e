import Testing
import XMLStream

@Suite struct WriterTests {
    @Test func writesElements() {
        var writer = XMLWriter()
        writer.start("a", xmlns: "urn:x", ("k", "1'<"), ("none", nil))
        writer.empty("b", ("m", "&"))
        writer.element("c", text: "a>b\r")
        writer.element("d", xmlns: "urn:d", text: nil)
        writer.element("e", ("k", "v")) { $0.raw("<f/>") }
        writer.raw([0x78])
        writer.text("\u{1}\u{FFFE}\u{FFFF}\u{FFFD}")
        writer.end("a")
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == "<a xmlns='urn:x' k='1&apos;&lt;'><b m='&amp;'/><c>a&gt;b&#13;</c><d xmlns='urn:d'/><e k='v'><f/></e>x\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}</a>"
        )
    }

    @Test func continuesAndRethrows() {
        struct Stop: Error, Equatable {}
        var writer = XMLWriter(Array("<a/>".utf8))
        #expect(throws: Stop()) { try writer.element("b") { _ throws(Stop) in throw Stop() } }
        writer.attribute("k", "v")
        #expect(String(decoding: writer.bytes, as: UTF8.self) == "<a/><b> k='v'")
    }

    @Test func namesAreEqualWhenTheirPairsAre() throws {
        #expect(Name("test-a", "urn:t") == Name("test-a", "urn:t"))
        #expect(Name("test-a", "urn:t") != Name("test-a", "urn:u"))
        #expect(Name("test-a", "urn:t").local == "test-a" && Name("test-a", "urn:t").namespace == "urn:t")
        #expect(Name.unknown.local == "" && Name.unknown.index == 0)
    }

    /// Static names are made on first use, often after the first element that bears them.
    @Test func aNameMadeLateIsFoundInElementsParsedBefore() throws {
        let text = Array("<late-root xmlns='urn:late'><late-child/></late-root>".utf8)
        let element = try Element.parse(text)
        #expect(element.name == .unknown && element.is(.unknown))
        let root = Name("late-root", "urn:late")
        let child = Name("late-child", "urn:late")
        #expect(element.is(root) && element.name == root && !element.is(child) && !element.is(.unknown))
        #expect(element.first(child) != nil && element.all(child).count == 1)
        let again = try Element.parse(text)
        #expect(again.name == root && again.local == "late-root" && again.first(child)?.namespace == "urn:late")
    }

    @Test(arguments: ParseError.Reason.allCases) func everyReasonHasAStreamCondition(_ reason: ParseError.Reason) {
        let defined = [
            "not-well-formed", "restricted-xml", "bad-format", "unsupported-encoding", "policy-violation", "resource-constraint",
        ]
        #expect(defined.contains(ParseError(reason).condition))
    }

    /// What needs care is found wherever it stands: eight bytes are looked at together, the last eight perhaps twice.
    @Test func careIsTakenAtEveryPlace() {
        let known: [String: String] = [
            "<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", "\"": "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;",
            "\u{0}": "\u{FFFD}", "\u{1F}": "\u{FFFD}", "\u{FFFE}": "\u{FFFD}", "\u{FFFF}": "\u{FFFD}",
            // Neighbours of those.
            " ": " ", "!": "!", "#": "#", "%": "%", "(": "(", ";": ";", "=": "=", "?": "?", "\u{7F}": "\u{7F}", "\u{A0}": "\u{A0}",
            "\u{F000}": "\u{F000}", "\u{FFFD}": "\u{FFFD}", "\u{1F600}": "\u{1F600}",
        ]
        for (character, escaped) in known {
            for filler in ["x", "\u{FF}"] {
                for length in 0...25 {
                    for place in 0...length {
                        let before = String(repeating: filler, count: place)
                        let after = String(repeating: filler, count: length - place)
                        var bytes: [UInt8] = []
                        XMLWriter.escape(before + character + after, into: &bytes)
                        guard bytes != Array((before + escaped + after).utf8) else { continue }
                        Issue.record("\(character.unicodeScalars) at \(place) of \(length)")
                    }
                }
            }
        }
    }

    @Test func anElementTakesNoMoreThanItsLimit() throws {
        func write(_ element: Element, limit: Int) -> (isWhole: Bool, bytes: [UInt8]) {
            var writer = XMLWriter()
            let isWhole = writer.element(element, limit: limit)
            return (isWhole, writer.bytes)
        }
        let long = "urn:" + String(repeating: "l", count: 1_000)
        let siblings = String(repeating: "<l:b/>", count: 100)
        let element = try Element.parse(Array("<a xmlns='urn:a' xmlns:l='\(long)'>\(siblings)</a>".utf8))
        let cut = write(element, limit: 10_000)
        #expect(!cut.isWhole && cut.bytes.count < 12_000)
        let whole = write(element, limit: 200_000)
        #expect(whole.isWhole && whole.bytes.count > 100_000)
        #expect(try Element.parse(whole.bytes).children.allSatisfy { $0.namespace == long })
        // Below the declaration it is said once.
        let nested = try Element.parse(Array("<l:a xmlns:l='\(long)'>\(siblings)<c xmlns='urn:c'/></l:a>".utf8))
        let once = write(nested, limit: 2_000)
        #expect(once.isWhole)
        #expect(try Element.parse(once.bytes).children.map(\.namespace) == [String](repeating: long, count: 100) + ["urn:c"])
        #expect(write(nested, limit: once.bytes.count).isWhole)
        #expect(!write(nested, limit: once.bytes.count - 1).isWhole)
    }

    /// Namespaces in XML §3: the name of `xml` is bound to that prefix, and is declared for no other and as no default.
    @Test func elementsOfTheXMLNamespaceKeepTheirPrefix() throws {
        for source in ["<a><xml:r xml:lang='en'><x/><xml:s/></xml:r><b/></a>", "<xml:r>text<xml:s/></xml:r>"] {
            let first = try Element.parse(Array(source.utf8))
            let second = try Element.parse(first.xml)
            #expect(second.local == first.local && second.namespace == first.namespace)
            #expect(second.xml == first.xml)
            #expect(second.children.map(\.namespace) == first.children.map(\.namespace))
        }
    }
}
