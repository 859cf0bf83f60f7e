import Testing
import XMLStream

/// Numbers from a seed (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Random documents with everything a stanza may contain.
struct Documents {
    var random: Seeded

    private mutating func pick(_ choices: [String]) -> String { choices[Int.random(in: 0..<choices.count, using: &random)] }

    mutating func text() -> String {
        var text = ""
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            text += pick([
                "a", "Zeile", " ", "\n", "\r\n", "ä€", "😀", "&lt;", "&amp;", "&#13;", "&#x20AC;", "]] ", ">", "'", "\"", "/",
                "<![CDATA[</a>]]>", "<![CDATA[]]>",
            ])
        }
        return text
    }

    mutating func element(_ depth: Int = 0) -> String {
        let name = pick(["a", "b", "body", "x-y", "ä", "p:q", "p:a", "_"])
        var tag = "<" + name + pick(["", " ", "\n"])
        for i in 0..<Int.random(in: 0...3, using: &random) {
            let quote = pick(["'", "\""])
            let value = pick(["", "v", ">", "/", "/>", "&lt;", "&#10;", "ä", " x  y ", "a\tb\r\nc", "&apos;&quot;"])
            tag += " " + pick(["k", "xml:k", "p:k"]) + "\(i)" + pick(["", " "]) + "=" + quote + value + quote
        }
        if Int.random(in: 0..<4, using: &random) == 0 { tag += " xmlns=" + pick(["'urn:x'", "'jabber:client'", "''", "\"urn:a&amp;b\""]) }
        tag += " xmlns:p=" + pick(["'urn:p'", "'urn:q'"])
        if depth > 4 || Int.random(in: 0..<4, using: &random) == 0 { return tag + pick(["/>", " />"]) }
        tag += ">" + text()
        for _ in 0..<Int.random(in: 0...3, using: &random) { tag += element(depth + 1) + text() }
        return tag + "</" + name + pick(["", " "]) + ">"
    }
}

/// The tree as nested values: what two parsers must agree on.
private indirect enum Infoset: Equatable {
    case element(local: String, namespace: String, attributes: Set<Element.Attribute>, text: String, children: [Infoset])

    init(_ element: Element) {
        self = .element(
            local: element.local, namespace: element.namespace, attributes: Set(element.attributes), text: element.text,
            children: element.children.map { Infoset($0) })
    }
}

@Suite struct PropertyTests {
    @Test func framerAndParserAgreeWhereStanzasEnd() throws {
        var documents = Documents(random: Seeded(1))
        for _ in 0..<150 {
            let stanzas = (0..<3).map { _ in documents.element() }
            let bytes = Array(stanzas.joined(separator: " \n").utf8)
            let size = Int.random(in: 1...50, using: &documents.random)
            #expect(try frames(bytes, pieces: [size], header: false) == stanzas.map { "S" + $0 })
            for stanza in stanzas { #expect(try Element.parse(Array(stanza.utf8)).range.count == stanza.utf8.count) }
        }
    }

    @Test func writingAndParsingIsIdentity() throws {
        var documents = Documents(random: Seeded(2))
        for _ in 0..<300 {
            let text = documents.element()
            let first = try Element.parse(Array(text.utf8))
            let second = try Element.parse(first.xml)
            #expect(Infoset(first) == Infoset(second), "\(text)")
            #expect(first.xml == second.xml)
        }
    }

    /// Mutated documents: the framer and the parser either refuse or agree on every byte; nothing traps; any split gives the same answer.
    @Test func mutationsAreRefusedOrUnderstood() throws {
        var documents = Documents(random: Seeded(3))
        let noise: [UInt8] = Array("<>/'\"=&;![]?-: ax\n\u{0}".utf8) + [0x80, 0xC0, 0xFF, 0xED]
        var refused = 0
        var understood = 0
        for _ in 0..<4_000 {
            var bytes = Array((documents.element() + documents.element()).utf8)
            for _ in 0..<Int.random(in: 1...3, using: &documents.random) {
                let at = Int.random(in: 0..<bytes.count, using: &documents.random)
                let byte = noise[Int.random(in: 0..<noise.count, using: &documents.random)]
                switch Int.random(in: 0..<4, using: &documents.random) {
                case 0: bytes.insert(byte, at: at)
                case 1: bytes.remove(at: at)
                case 2: bytes[at] = byte
                default: bytes.insert(contentsOf: bytes[at...].prefix(7), at: at)
                }
                if bytes.isEmpty { bytes = [0x20] }
            }
            let whole = Result { () throws(ParseError) in try frames(bytes, pieces: [bytes.count], header: false) }
            let split = Result { () throws(ParseError) in try frames(bytes, pieces: [3, 1, 8], header: false) }
            #expect(whole == split)
            guard case .success(let found) = whole else {
                refused += 1
                continue
            }
            for frame in found where frame.first == "S" {
                let stanza = Array(frame.utf8.dropFirst())
                guard let element = try? Element.parse(stanza) else {
                    refused += 1
                    continue
                }
                understood += 1
                #expect(element.range == 0..<stanza.count)
                for child in element.children {
                    #expect(stanza[child.range].first == UInt8(ascii: "<") && stanza[child.range].last == UInt8(ascii: ">"))
                }
            }
        }
        #expect(refused > 1_000 && understood > 500)
    }

    @Test func noBytesTrap() throws {
        var random = Seeded(4)
        let alphabet: [UInt8] = Array("<>/'\"=&;![CDATA[]]>?xmlns:ab# \u{0}".utf8) + [0xC3, 0xA4, 0xFF]
        let parser = XMLStreamParser(namespace: .server)
        for _ in 0..<5_000 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            for header in [true, false] {
                _ = try? frames(bytes, pieces: [bytes.count], header: header)
            }
            bytes.withUnsafeBytes { bytes in
                _ = try? parser.parse(stanza: bytes, scope: nil)
                _ = try? parser.parse(header: bytes)
            }
        }
    }

    @Test func escapedTextComesBack() throws {
        var random = Seeded(5)
        for _ in 0..<500 {
            var text = ""
            for _ in 0..<20 {
                let scalar = Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random)) ?? "x"
                text.unicodeScalars.append(Bool.random(using: &random) ? scalar : Unicode.Scalar(UInt8.random(in: 0...127, using: &random)))
            }
            let clean = String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { scalar in
                        switch scalar.value {
                        case 9, 10, 13: scalar
                        case 0..<32, 0xFFFE, 0xFFFF: "\u{FFFD}"
                        default: scalar
                        }
                    }))
            var writer = XMLWriter()
            writer.element("a", ("k", text), text: text)
            let element = try Element.parse(writer.bytes)
            #expect(Array(element.text.unicodeScalars) == Array(clean.unicodeScalars))
            #expect(element["k"].map { Array($0.unicodeScalars) } == Array(clean.unicodeScalars))
        }
    }

    @Test func deepTreesTakeNoStack() throws {
        let depth = 50_000
        let text = String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        let limits = XMLLimits(stanzaBytes: .max, depth: .max)
        let element = try Element.parse(Array(text.utf8), limits: limits)
        #expect(try Element.parse(element.xml, limits: limits).range.count > depth)
        #expect(throws: ParseError(.tooDeep)) { try Element.parse(Array(text.utf8)) }
    }
}
