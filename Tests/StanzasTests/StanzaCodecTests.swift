import Stanzas
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

@Suite struct StanzaCodecTests {
    static let texts = [
        "<message/>", "<presence/>", "<presence type='unavailable'><status>bye</status></presence>",
        "<message id='' to='a@b.c/d' from='e@f' type='chat' xml:lang='de' foo='b&quot;r'>x<body>ä€😀</body> <a xmlns='b'/>\n</message>",
        "<iq id='1' type='get' to='b.c'><ping xmlns='urn:xmpp:ping'/></iq>", "<message>only text</message>",
        "<message><body/><body/><no-store xmlns='urn:xmpp:hints'/><stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/></message>",
    ]

    private func same(_ a: Stanza, _ b: Stanza) -> Bool {
        a.kind == b.kind && a.type == b.type && a.id == b.id && a.from == b.from && a.to == b.to && a.lang == b.lang
            && a.extraAttributes == b.extraAttributes && a.payload.bytes == b.payload.bytes && a.payload.facts == b.payload.facts
    }

    @Test(arguments: texts) func roundTrip(_ text: String) throws {
        let first = try stanza(text)
        var bytes: [UInt8] = [9]
        first.encode(into: &bytes)
        #expect(bytes.first == 9)
        var reader = ByteReader(bytes)
        #expect(try reader.uint8() == 9)
        let second = try Stanza.decode(&reader)
        #expect(reader.isAtEnd)
        #expect(same(first, second))
        #expect(
            second.payload.element(wrappedIn: second.kind)?.children.map { string($0.xml) }
                == first.payload.element(wrappedIn: first.kind)?.children.map { string($0.xml) })
        for child in second.payload.facts.children { #expect(second.payload.element(of: child) != nil) }
        // And through the wire.
        #expect(same(first, try stanza(string(first.xml))))
    }

    @Test(arguments: texts) func everyPrefixIsTruncated(_ text: String) throws {
        var bytes: [UInt8] = []
        try stanza(text).encode(into: &bytes)
        for length in 0..<bytes.count {
            #expect(throws: CodecError.self) {
                var reader = ByteReader(Array(bytes[..<length]))
                _ = try Stanza.decode(&reader)
            }
        }
    }

    @Test func noBytesTrap() throws {
        var random = Seeded(7)
        let samples = try Self.texts.map { text -> [UInt8] in
            var bytes: [UInt8] = []
            try stanza(text).encode(into: &bytes)
            return bytes
        }
        var decoded = 0
        for _ in 0..<20_000 {
            var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            var reader = ByteReader(bytes)
            guard let stanza = try? Stanza.decode(&reader) else { continue }
            decoded += 1
            // What was decoded holds together, damaged or not.
            for child in stanza.payload.facts.children {
                #expect(stanza.payload.bytes(of: child).count == child.range.count)
                _ = stanza.payload.element(of: child)
            }
            _ = stanza.payload.removing { $0.kind == .other }
            _ = stanza.payload.element(wrappedIn: stanza.kind)
            _ = stanza.xml
        }
        #expect(decoded > 0)
    }

    // MARK: Fields

    @Test func integersAndStrings() throws {
        var writer = ByteWriter()
        let numbers: [UInt64] = [0, 1, 127, 128, 16_383, 16_384, UInt64(Int.max), UInt64.max]
        for number in numbers { writer.varint(number) }
        writer.uint8(0xFE)
        writer.uint16(0xFEDC)
        writer.uint32(0xFEDC_BA98)
        writer.uint64(0xFEDC_BA98_7654_3210)
        writer.string("ä")
        writer.bytes([1, 2])
        var reader = ByteReader(writer.bytes)
        for number in numbers { #expect(try reader.varint() == number) }
        #expect(try reader.uint8() == 0xFE)
        #expect(try reader.uint16() == 0xFEDC)
        #expect(try reader.uint32() == 0xFEDC_BA98)
        #expect(try reader.uint64() == 0xFEDC_BA98_7654_3210)
        #expect(try reader.string() == "ä")
        #expect(try reader.bytes() == [1, 2])
        #expect(reader.isAtEnd && reader.remaining == 0)
        #expect(throws: CodecError.truncated) { try reader.uint8() }
    }

    @Test(
        arguments: [
            [0x80], [0x80, 0x00], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], [UInt8](repeating: 0x80, count: 20),
        ] as [[UInt8]])
    func badVarints(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        #expect(throws: CodecError.self) { try reader.varint() }
    }

    @Test func badLengthsAndBadUTF8() {
        var huge = ByteReader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
        #expect(throws: CodecError.truncated) { try huge.bytes() }
        var beyond = ByteReader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])
        #expect(throws: CodecError.malformed) { try beyond.count() }
        var text = ByteReader([2, 0xC0, 0xAF])
        #expect(throws: CodecError.malformed) { try text.string() }
        var negative = ByteReader([1])
        #expect(throws: CodecError.truncated) { try negative.take(-1) }
        #expect(ByteReader([1, 2], in: -5..<99).remaining == 2)
    }
}
