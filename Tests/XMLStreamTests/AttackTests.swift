import Testing
import XMLStream

private func parse(_ text: String, with parser: XMLStreamParser, header: StreamHeader? = nil) throws -> Element {
    try parse(Array(text.utf8), with: parser, header: header)
}

private func parse(_ bytes: [UInt8], with parser: XMLStreamParser, header: StreamHeader? = nil) throws -> Element {
    try bytes.withUnsafeBytes { try parser.parse(stanza: $0, scope: header?.scope) }
}

private func header(_ text: String, with parser: XMLStreamParser) throws -> StreamHeader {
    try Array(text.utf8).withUnsafeBytes { try parser.parse(header: $0) }
}

/// Input that libxml2 alone lets through or answers late, and all that it must refuse.
@Suite struct AttackTests {
    @Test(arguments: [
        ("<a>&foo;</a>", ParseError.Reason.restricted), ("<a x='&foo;'/>", .restricted), ("<a><!-- x --></a>", .restricted),
        ("<a><?x y?></a>", .restricted),
        ("<a><!DOCTYPE b></a>", .notWellFormed), ("<x:a/>", .notWellFormed), ("<a x:b='c'/>", .notWellFormed),
        ("<a><x:b/></a>", .notWellFormed),
        ("<a b='1' b='2'/>", .notWellFormed), ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", .notWellFormed),
        ("<a xmlns:p=''/>", .notWellFormed), ("<a xmlns:xmlns='u'/>", .notWellFormed), ("<a xmlns:xml='u'/>", .notWellFormed),
        ("<a>]]></a>", .notWellFormed), ("<a b='<'/>", .notWellFormed), ("<a b=c/>", .notWellFormed), ("<a b/>", .notWellFormed),
        ("<a>&</a>", .notWellFormed),
        ("<a>&#0;</a>", .notWellFormed), ("<a>&#xD800;</a>", .notWellFormed), ("<a>&#xFFFE;</a>", .notWellFormed),
        ("<a>&#x110000;</a>", .notWellFormed),
        ("<a>&#99999999999999999999;</a>", .notWellFormed), ("<a>\u{1}</a>", .notWellFormed), ("<a>\u{0}</a>", .notWellFormed),
        ("<a>\u{FFFF}</a>", .notWellFormed),
        ("<a></b>", .notWellFormed), ("<a><b></a></b>", .notWellFormed), ("<a/><b/>", .notWellFormed), ("<a>", .notWellFormed),
        ("<a/>x", .notWellFormed),
        ("x<a/>", .notWellFormed), ("</a>", .notWellFormed), ("<a/></stream>", .notWellFormed), ("<1a/>", .notWellFormed),
        ("<a:b:c/>", .notWellFormed),
        ("<a 'b'/>", .notWellFormed), ("<a / >", .notWellFormed), ("<a b='1'c='2'/>", .notWellFormed), ("", .notWellFormed),
    ])
    func refuses(_ text: String, _ reason: ParseError.Reason) throws {
        let parser = XMLStreamParser(namespace: .client)
        let error = try #require(throws: ParseError.self) { try parse(text, with: parser) }
        #expect(error.reason == reason)
        // The parser is as good as new.
        #expect(try parse("<a>b</a>", with: parser).text == "b")
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0xAF], [0xC1, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0xE2, 0x82],
            [0xFF], [0xFE], [0xEF, 0xBF, 0xBE], [0xF0, 0x80, 0x80, 0x80],
        ] as [[UInt8]])
    func badUTF8IsRefused(_ bytes: [UInt8]) {
        let parser = XMLStreamParser(namespace: .client)
        let around = [
            ("<a>", "</a>"), ("<a b='", "'/>"), ("<a", "/>"), ("<a><![CDATA[", "]]></a>"), ("<a xmlns='", "'/>"), ("<a xmlns:x", "='u'/>"),
        ]
        for (before, after) in around {
            let error = #expect(throws: ParseError.self) { try parse(Array(before.utf8) + bytes + Array(after.utf8), with: parser) }
            #expect(error?.reason == .notWellFormed, "\(before)")
        }
    }

    /// Namespaces in XML does not make it an error that a namespace name is no URI.
    @Test func namespacesNeedNotBeURIs() throws {
        let parser = XMLStreamParser(namespace: .client)
        for uri in ["not a uri", "relative", "%%%", "urn:x", "::::", "http://[", "ä"] {
            let element = try parse("<a><b xmlns='\(uri)' xmlns:q='\(uri)' q:k='v'/></a>", with: parser)
            #expect(element.first(local: "b", namespace: uri)?.attribute("k", namespace: uri) == "v")
        }
    }

    @Test func declarationsInScopeAreBounded() throws {
        let parser = XMLStreamParser(namespace: .client)
        func nested(_ levels: Int) -> String {
            let tags = (0..<levels).map { level in "<a" + (0..<60).map { " xmlns:p\(level)_\($0)='u'" }.joined() + ">" }
            return tags.joined() + String(repeating: "</a>", count: levels)
        }
        #expect(try parse(nested(3), with: parser).local == "a")
        #expect(throws: ParseError(.tooManyNamespaces)) { try parse(nested(4), with: parser) }
        // Siblings are not in each other's scope.
        let siblings = "<a>" + String(repeating: nested(2), count: 20) + "</a>"
        #expect(Array(try parse(siblings, with: parser).children).count == 20)
    }

    @Test func aLongNamespaceIsStoredOnceForManyElements() throws {
        let uri = String(repeating: "u", count: 10_000)
        let inner = "<w xmlns:p='\(uri)' xmlns='\(uri)'>" + String(repeating: "<p:b/><b/>", count: 10_000) + "</w>"
        let element = try #require(try parse("<a>\(inner)</a>", with: XMLStreamParser(namespace: .client)).children.first { _ in true })
        #expect(element.children.allSatisfy { $0.namespace == uri })
        // 110 KB of source need 10,000 declarations of 10 KB in normal form when they are first-level children of a stanza: refused.
        let outside = "<a xmlns:p='\(uri)'>" + String(repeating: "<p:b/>", count: 10_000) + "</a>"
        #expect(throws: ParseError(.tooLarge)) { try parse(outside, with: XMLStreamParser(namespace: .client)) }
    }

    @Test func foreignNamesDoNotPileUp() throws {
        let parser = XMLStreamParser(namespace: .client)
        for i in 0..<3_000 {
            let name = "name-that-nobody-knows-\(i)"
            let element = try parse("<\(name) \(name)='1' xmlns='urn:\(name)'><x/></\(name)>", with: parser)
            #expect(element.name == .unknown && element.local == name && element[name] == "1")
        }
    }

    @Test func aLargeStanzaLeavesTheParserSmallAndRight() throws {
        let parser = XMLStreamParser(namespace: .client)
        let value = String(repeating: "v", count: 200_000)
        #expect(try parse("<a b='\(value)'>\(value)</a>", with: parser).text == value)
        #expect(try parse("<a b='1'>x</a>", with: parser)["b"] == "1")
    }

    @Test func headersOfOneParserDoNotMix() throws {
        let parser = XMLStreamParser(namespace: .client)
        let plain = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        let usual = try header(plain + ">", with: parser)
        for round in 0..<10 {
            let odd = try header(plain + " xmlns:p='urn:\(round)'>", with: parser)
            #expect(try parse("<a><p:b/></a>", with: parser, header: odd).first(local: "b", namespace: "urn:\(round)") != nil)
            #expect(throws: ParseError(.notWellFormed)) { try parse("<a><p:b/></a>", with: parser, header: usual) }
            #expect(throws: ParseError(.notWellFormed)) { try parse("<a><p:b/></a>", with: parser) }
        }
    }

    @Test func readsHeaders() throws {
        let parser = XMLStreamParser(namespace: .client)
        let read = try header(
            "<?xml version='1.0'?> <s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns=\"jabber:client\" to='a&amp;b' from='c' id='i' version='1.0' xml:lang='de'>",
            with: parser)
        #expect(read.local == "stream" && read.namespace == "http://etherx.jabber.org/streams" && read.contentNamespace == "jabber:client")
        #expect(read.to == "a&b" && read.from == "c" && read.id == "i" && read.version == "1.0" && read.lang == "de")
        #expect(read.declarations.count == 2)
        let bare = try header("<stream>", with: parser)
        #expect(bare.namespace == "" && bare.contentNamespace == nil && bare.to == nil)
        for bad in ["<stream:stream>", "<a b='1' b='2'>", "<a", "<a><b>", "<a></a>", "<a/>", "<?xml version='1.0'?>", "x<a>", "<a>x<"] {
            #expect(throws: ParseError(.notWellFormed), "\(bad)") { try header(bad, with: parser) }
        }
    }
}
