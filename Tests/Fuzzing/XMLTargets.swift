internal import Stanzas
internal import XMLStream

enum XMLInputs {
    static let header =
        "<?xml version='1.0'?><stream:stream to='example.com' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"

    static let words = [
        "<", ">", "/>", "</", "<a>", "</a>", "<a/>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<?xml version='1.0'?>", "<!DOCTYPE a>",
        "<!ENTITY", "&", "&lt;", "&amp;", "&#13;", "&#x20AC;", "&#0;", "&a;", "xmlns=", "xmlns='urn:x'", "xmlns:p='urn:p'", "xmlns:p=''",
        "p:", "xml:lang='en'", "xml:", "xmlns:xml='http://www.w3.org/XML/1998/namespace'", "jabber:client", "jabber:server", "'", "\"", "=",
        " ", "\t", "\r\n", "\u{FEFF}", "\u{FFFE}", "\u{85}", "\u{2028}", "ä", "😀", "<stream:stream", "</stream:stream>", header,
        "<message><body>a</body></message>", "<presence/>", "<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>", "\u{0}",
    ]

    static let stanzas = [
        "<a/>", "<a></a>", "<a b='c' d=\"e\"/>", "<a xmlns='urn:x'><b xmlns='urn:y'/><c/></a>",
        "<message to='a@b' xml:lang='de'><body>Hallo &lt;&amp;&gt; &#x20AC;</body><body xml:lang='en'>x</body></message>",
        "<p:a xmlns:p='urn:p' p:b='1'><p:c xmlns:p='urn:q'/></p:a>", "<a><![CDATA[<b>]]]]><![CDATA[>]]></a>", "<a b=\"'>/>\">\r\n\t</a >",
        "<a><b><c><d><e><f/></e></d></c></b></a>", "<ä ö='ü'>😀</ä>", "<a xmlns=''/>", "<stream:error xmlns:stream='urn:x'/>",
        "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b' name='x'><group>g</group></item></query></iq>",
        "<presence from='a@b/c' type='unavailable'><x xmlns='vcard-temp:x:update'><photo/></x></presence>",
    ]
}

/// What a framer finds, with what ended it.
private struct Frames: Equatable {
    var found: [[UInt8]] = []
    var fault: ParseError.Reason?
    /// Bytes that were held at once, at most.
    var held = 0

    /// - Parameter piece: bytes of the next piece that arrives.
    init(_ bytes: [UInt8], _ limits: XMLLimits, header: Bool, piece: (Int) -> Int) throws(Breach) {
        var framer = StanzaFramer(limits: limits, expectsHeader: header)
        var waiting: [UInt8] = []
        var offset = 0
        while offset < bytes.count, fault == nil {
            let end = min(bytes.count, offset + max(1, piece(offset)))
            waiting += bytes[offset..<end]
            offset = end
            var isHungry = false
            while !isHungry, fault == nil {
                let next = waiting.withUnsafeBytes { bytes in Result { () throws(ParseError) in try framer.next(bytes) } }
                let drop: Int
                switch next {
                case .failure(let error):
                    fault = error.reason
                    continue
                case .success(.needMore(let consumed)):
                    drop = consumed
                    isHungry = true
                case .success(.header(let start, let end)), .success(.stanza(let start, let end)):
                    try hold(start >= 0 && start < end && end <= waiting.count, "a frame from \(start) to \(end) of \(waiting.count) bytes")
                    found.append(Array(waiting[start..<end]))
                    drop = end
                case .success(.end(let end)):
                    try hold(end > 0 && end <= waiting.count, "an end at \(end) of \(waiting.count) bytes")
                    found.append(Array("</".utf8))
                    drop = end
                }
                try hold(drop >= 0 && drop <= waiting.count, "\(drop) of \(waiting.count) bytes are dropped")
                waiting.removeFirst(drop)
                // What is not refused and not whole waits.
                if isHungry { held = max(held, waiting.count) }
            }
        }
    }

    static func == (a: Frames, b: Frames) -> Bool { a.found == b.found && a.fault == b.fault }
}

extension FuzzTarget {
    /// `limits u8 | split u8 | header u8 | bytes of a stream`.
    static let framer = FuzzTarget(
        "framer", "However bytes are split, the framer cuts the same, within its limits, where libxml2 sees elements end",
        words: XMLInputs.words,
        seeds: {
            var inputs: [[UInt8]] = []
            for stanza in XMLInputs.stanzas {
                inputs.append([0, 3, 0] + Array(stanza.utf8))
                let stream = XMLInputs.header + stanza + " " + stanza + "</stream:stream>"
                inputs.append([1, 1, 1] + Array(stream.utf8))
            }
            return inputs
        }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        let small = XMLLimits(stanzaBytes: 200, depth: 4, attributes: 3, namespaceDeclarations: 2, headerBytes: 300)
        let limits = choices.flag() ? small : XMLLimits()
        let step = Int(choices.byte())
        let header = choices.flag()
        let bytes = choices.rest()
        let whole = try Frames(bytes, limits, header: header) { _ in bytes.count }
        let split = try Frames(bytes, limits, header: header) { ($0 &* 31 &+ step) % 23 }
        let single = try Frames(bytes, limits, header: header) { _ in 1 }
        for other in [split, single] {
            // A stanza that is too large and wrong as well is refused for what is seen first.
            let agree = whole == other || whole.found == other.found && (whole.fault == .tooLarge || other.fault == .tooLarge)
            try hold(
                agree,
                "whole: \(whole.found.count) frames, \(whole.fault.map { "\($0)" } ?? "-"); split: \(other.found.count), \(other.fault.map { "\($0)" } ?? "-")"
            )
            try hold(other.held <= max(limits.stanzaBytes, limits.headerBytes), "\(other.held) bytes are held")
        }
        for frame in whole.found { try hold(frame.count <= max(limits.stanzaBytes, limits.headerBytes), "a frame of \(frame.count) bytes") }
        if !header, whole.fault == nil || limits == XMLLimits() { try compare(bytes, whole.found, whole.fault, limits) }
    }

    /// libxml2 reads the same stream as one document.
    private static func compare(
        _ bytes: [UInt8], _ frames: [[UInt8]], _ fault: ParseError.Reason?, _ limits: XMLLimits
    ) throws(Breach) {
        let parser = XMLStreamParser(namespace: .client)
        var trees: [Tree] = []
        var refusal = fault
        for frame in frames {
            if frame == Array("</".utf8) { break }
            do throws(ParseError) {
                let element = try parse(frame, parser)
                try tell(element.range == 0..<frame.count)
                trees.append(Tree(element))
            } catch {
                refusal = error.reason
                break
            }
        }
        let accepted = Array(frames.prefix(trees.count).joined())
        // What was taken is what libxml2 sees in it, and nothing of it is forbidden.
        guard let document = Document(accepted), !document.hasUnboundPrefix else {
            throw Breach("\(trees.count) stanzas are taken that are no document")
        }
        try hold(document.children == trees, "libxml2 sees other elements in what was taken:\n\(document.children)\n\(trees)")
        try hold(!document.hasForbidden, "a comment or processing instruction is taken")
        try hold(document.depth <= limits.depth && document.attributes <= limits.attributes, "more is taken than the limits allow")
        // What libxml2 takes as a whole is taken, but for what is forbidden or too much.
        guard let refusal, let document = Document(bytes), document.isClean, !document.hasForbidden, !document.hasText else { return }
        switch refusal {
        case .tooDeep: try hold(document.depth > limits.depth, "a depth of \(document.depth) is too deep")
        case .tooManyAttributes: try hold(document.attributes > limits.attributes, "\(document.attributes) attributes are too many")
        case .tooLarge, .tooManyNamespaces, .outOfMemory: break
        // A reference between stanzas is no white space.
        case .badFormat where bytes.contains(UInt8(ascii: "&")): break
        // Nor is what stands behind the end of the stream, which libxml2 does not look at behind a zero byte.
        case .badFormat where frames.contains(Array("</".utf8)): break
        case .restricted where Self.hasSectionOutside(bytes, frames): break
        default: throw Breach("\(refusal) is said of what libxml2 takes")
        }
    }

    private static func tell(_ isTrue: Bool) throws(ParseError) { if !isTrue { throw ParseError(.badFormat) } }

    static func parse(_ bytes: [UInt8], _ parser: XMLStreamParser, _ header: StreamHeader? = nil) throws(ParseError) -> Element {
        try bytes.withUnsafeBytes { raw in Result { () throws(ParseError) in try parser.parse(stanza: raw, scope: header?.scope) } }.get()
    }

    /// An empty CDATA section between stanzas leaves nothing in libxml2's tree.
    private static func hasSectionOutside(_ bytes: [UInt8], _ frames: [[UInt8]]) -> Bool {
        var rest = bytes[...]
        for frame in frames {
            while rest.count >= frame.count, !rest.starts(with: frame) { rest = rest.dropFirst() }
            rest = rest.dropFirst(frame.count)
        }
        return rest.drop { $0 <= 0x20 }.starts(with: "<![CDATA[]]>".utf8)
    }

    static let elements = FuzzTarget(
        "elements", "What is parsed and written again means the same, as element, as stanza and as its content", words: XMLInputs.words,
        seeds: { XMLInputs.stanzas.map { Array($0.utf8) } }
    ) { (input) throws(Breach) in
        guard let first = try? Element.parse(input) else { return }
        let written = first.xml
        guard let second = try? Element.parse(written) else { throw Breach("what was written cannot be read: \(shown(written))") }
        try hold(Tree(first) == Tree(second), "other elements are written: \(shown(written))")
        try hold(second.xml == written, "it is written otherwise the second time: \(shown(written))")
        // Ranges count from the element's first byte; white space may stand before it.
        let lead = input.firstIndex(of: UInt8(ascii: "<")) ?? 0
        for child in first.children {
            let range = child.range.lowerBound + lead..<child.range.upperBound + lead
            try hold(
                input.indices.contains(range.lowerBound) && range.upperBound <= input.count && input[range.lowerBound] == UInt8(ascii: "<")
                    && input[range.upperBound - 1] == UInt8(ascii: ">"), "a child stands from \(range.lowerBound) to \(range.upperBound)")
        }
        try payloads(of: first)
        try stanza(first, input)
    }

    private static func stanza(_ element: Element, _ source: [UInt8]) throws(Breach) {
        let start = element.range.lowerBound
        let lead = source.firstIndex(of: UInt8(ascii: "<")) ?? 0
        let bytes = Array(source[(lead + start)..<min(source.count, lead + element.range.upperBound)])
        guard let own = try? Element.parse(bytes), let stanza = bytes.withUnsafeBytes({ try? Stanza(own, source: $0, streamLang: "en") })
        else { return }
        var written: [UInt8] = []
        stanza.write(into: &written, xmlns: "jabber:client")
        guard let again = try? Element.parse(written) else { throw Breach("the stanza cannot be read: \(shown(written))") }
        let children = element.children.map { Tree($0) }
        try hold(again.children.map { Tree($0) } == children, "the stanza has other children: \(shown(written))")
        guard let second = written.withUnsafeBytes({ try? Stanza(again, source: $0, streamLang: nil) }) else {
            throw Breach("the stanza is none any more: \(shown(written))")
        }
        try hold(encoded(second) == encoded(stanza), "the stanza is another one when read again: \(shown(written))")
        var reader = ByteReader(encoded(stanza))
        guard let decoded = try? Stanza.decode(&reader), reader.isAtEnd else { throw Breach("the stanza is not decoded") }
        try hold(encoded(decoded) == encoded(stanza), "the stanza is decoded as another")
    }

    private static func encoded(_ stanza: Stanza) -> [UInt8] {
        var writer = ByteWriter()
        stanza.encode(into: &writer)
        return writer.bytes
    }

    /// Whatever reads payloads reads this one, and what it made of it comes back.
    private static func payloads(of element: Element) throws(Breach) {
        for element in [element] + Array(element.children) {
            if let form = DataForm(element) {
                var writer = XMLWriter()
                form.write(into: &writer)
                guard let again = try? Element.parse(writer.bytes) else {
                    throw Breach("a form is not well-formed: \(shown(writer.bytes))")
                }
                var second = XMLWriter()
                DataForm(again)?.write(into: &second)
                try hold(second.bytes == writer.bytes, "a form comes back as another: \(shown(writer.bytes)) \(shown(second.bytes))")
            }
            _ = DiscoInfo(element)
            _ = StanzaError(element)
            if let time = DateTime(element.text) {
                try hold(DateTime(time.description) == time, "\(time) does not come back")
            }
        }
    }

    static func shown(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(600), as: UTF8.self) }
}
