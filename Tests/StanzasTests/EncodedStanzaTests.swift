import Stanzas
import Testing

/// Stanzas looked at where they lie.
@Suite struct EncodedStanzaTests {
    private func encoded(_ stanza: Stanza) -> [UInt8] {
        var bytes: [UInt8] = []
        stanza.encode(into: &bytes)
        return bytes
    }

    @Test(arguments: StanzaCodecTests.texts) func itIsWrittenAsTheStanzaIs(_ text: String) throws {
        let original = try stanza(text)
        var expected: [UInt8] = []
        original.write(into: &expected, xmlns: "jabber:client")
        try encoded(original).withUnsafeBytes { raw in
            let view = try EncodedStanza(raw)
            var written: [UInt8] = []
            view.write(into: &written, xmlns: "jabber:client")
            #expect(string(written) == string(expected))
            #expect(view.kind == original.kind && view.type == original.type && view.mask == original.payload.facts.mask)
            #expect(view.from.map { string(Array($0)) } == original.from?.description)
            #expect(view.to.map { string(Array($0)) } == original.to?.description)
            #expect(view.id.map { string(Array($0)) } == original.id)
        }
    }

    @Test func whatNeedsEscapingIsEscaped() throws {
        let original = Stanza(kind: .message, type: .chat, id: "a'b<&>\"\n", to: try JID("a@b/c'&d"))
        try encoded(original).withUnsafeBytes { raw in
            var written: [UInt8] = []
            try EncodedStanza(raw).write(into: &written, xmlns: "jabber:client")
            let again = try stanza(string(written))
            #expect(again.id == original.id && again.to == original.to)
        }
    }

    @Test func damagedBytesNeverTrap() throws {
        var random = Seeded(5)
        for text in StanzaCodecTests.texts {
            let bytes = encoded(try stanza(text))
            for length in 0..<bytes.count {
                #expect(throws: CodecError.self) { try Array(bytes[..<length]).withUnsafeBytes { _ = try EncodedStanza($0) } }
            }
            for _ in 0..<500 {
                var damaged = bytes
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                damaged.withUnsafeBytes { raw in
                    guard let view = try? EncodedStanza(raw) else { return }
                    var written: [UInt8] = []
                    view.write(into: &written, xmlns: "jabber:client")
                    #expect(!written.isEmpty)
                }
            }
        }
    }
}
