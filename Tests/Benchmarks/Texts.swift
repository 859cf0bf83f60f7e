import Stanzas
import XMLStream

/// What everything is measured with: a chat message as clients of today send it, 300 bytes.
enum Sample {
    static let chat =
        "<message to='juliet@martlet.example' type='chat' id='8f2c1d7a-90be-4b7f-a5f3-2f6c0e1d9b44' xml:lang='en'>"
        + "<body>But, soft! what light through yonder window breaks? It is the east, and Juliet is the sun.</body>"
        + "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>"

    static func chat(to address: String) -> [UInt8] {
        Array(chat.replacing("juliet@martlet.example", with: address).utf8)
    }
}

extension Benchmark {
    /// Bytes to stanzas, and addresses.
    static let texts = [
        Benchmark(name: "framer", operations: 10) {
            let bytes = Array(repeatElement(Array(Sample.chat.utf8), count: 10).joined())
            var framer = StanzaFramer(limits: XMLLimits(), expectsHeader: false)
            return {
                var found = 0
                try bytes.withUnsafeBytes { all in
                    var position = 0
                    while position < all.count,
                        case .stanza(_, let end) = try framer.next(UnsafeRawBufferPointer(rebasing: all[position...]))
                    {
                        found += 1
                        position += end
                    }
                }
                guard found == 10 else { throw Broken("\(found) stanzas of 10") }
            }
        },
        Benchmark(name: "parser") {
            let bytes = Array(Sample.chat.utf8)
            let parser = XMLStreamParser(namespace: .client)
            return {
                let element = try bytes.withUnsafeBytes { try parser.parse(stanza: $0, scope: nil) }
                guard element.local == "message" else { throw Broken("a \(element.local)") }
            }
        },
        Benchmark(name: "stanza") {
            let bytes = Array(Sample.chat.utf8)
            let element = try Element.parse(bytes)
            return {
                let stanza = try bytes.withUnsafeBytes { try Stanza(element, source: $0, streamLang: nil) }
                guard stanza.kind == .message else { throw Broken("a \(stanza.kind)") }
            }
        },
        Benchmark(name: "jid-ascii") {
            { _ = try JID("juliet@martlet.example/balcony") }
        },
        Benchmark(name: "jid-unicode") {
            { _ = try JID("Žofie@höfe.example/Küche am Fluß") }
        },
    ]
}
