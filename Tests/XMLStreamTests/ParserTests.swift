import Testing
import XMLStream

private let xml = "http://www.w3.org/XML/1998/namespace"

private func parse(_ text: String, header: String? = nil, as namespace: StreamNamespace = .client) throws -> Element {
    let parser = XMLStreamParser(namespace: namespace)
    let head = try header.map { text in try Array(text.utf8).withUnsafeBytes { try parser.parse(header: $0) } }
    return try Array(text.utf8).withUnsafeBytes { try parser.parse(stanza: $0, scope: head?.scope) }
}

@Suite struct ParserTests {
    /// Namespaces in XML §3: the prefix xml need not be declared, on elements as on attributes.
    @Test func thePrefixXMLIsBound() throws {
        let element = try Element.parse(Array("<message><xml:a xml:lang='en'/></message>".utf8))
        let child = try #require(element.children.first { _ in true })
        #expect(child.local == "a" && child.namespace == "http://www.w3.org/XML/1998/namespace" && child.lang == "en")
    }

    @Test func readsNamesAttributesAndText() throws {
        let element = try parse(
            "<message to='a@b' xml:lang='de' x=\"&lt;&#10;'\"><body>Art <b>thou</b> not &amp; <![CDATA[<Romeo>]]></body><x xmlns='urn:x' k='v'/></message>"
        )
        #expect(element.is(Name("message", "jabber:client")))
        #expect(element["to"] == "a@b")
        #expect(element["lang"] == nil)
        #expect(element.lang == "de")
        #expect(element["x"] == "<\n'")
        #expect(element.attributes.count == 3)
        let body = try #require(element.first(Name("body", "jabber:client")))
        #expect(body.text == "Art  not & <Romeo>")
        #expect(body.first(local: "b", namespace: "jabber:client")?.text == "thou")
        let x = try #require(element.first(local: "x", namespace: "urn:x"))
        #expect(x["k"] == "v" && x.text == "" && Array(x.children).isEmpty)
        #expect(element.children.map(\.local) == ["body", "x"])
    }

    @Test func rangesPointAtTheSource() throws {
        let source = "<message><body a='>'>a</body> <![CDATA[<]]><x:y xmlns:x='urn:x'><z/></x:y><w />\n</message>"
        let element = try parse(source)
        #expect(element.range == 0..<source.utf8.count)
        let texts = element.children.map { String(decoding: Array(source.utf8)[$0.range], as: UTF8.self) }
        #expect(texts == ["<body a='>'>a</body>", "<x:y xmlns:x='urn:x'><z/></x:y>", "<w />"])
    }

    /// Headers that came lately are remembered: what they were is what they are, however many came between.
    @Test func aHeaderIsTheSameEachTime() throws {
        let parser = XMLStreamParser(namespace: .client)
        func read(_ text: String) throws -> StreamHeader { try Array(text.utf8).withUnsafeBytes { try parser.parse(header: $0) } }
        func header(_ number: Int, _ more: String = "") -> String {
            "<stream:stream to='\(number).example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'\(more)>"
        }
        for round in 0..<3 {
            for number in 100..<140 {
                let first = try read(header(number, " xmlns:r\(round)='urn:r'"))
                #expect(first.to == "\(number).example" && first.declarations.count == 3)
                let second = try read(header(number, " xmlns:r\(round)='urn:r'"))
                #expect(first == second)
                // As long, and another.
                #expect(try read(header(number, " xmlns:r\(round)='urn:s'")).scope != first.scope)
            }
            #expect(throws: ParseError.self) { try read(header(100, " version='1.0' version='1.0'")) }
            #expect(throws: ParseError.self) { try read(header(100, " version='1.0' version='1.0'")) }
        }
        let long = header(1, " from='\(String(repeating: "a", count: 600))@b'")
        #expect(try read(long) == read(long))
    }

    @Test func oneParserServesManyStanzas() throws {
        let parser = XMLStreamParser(namespace: .client)
        for round in 0..<300 {
            let text = "<iq id='\(round)' type='get'><q\(round % 7) xmlns='urn:\(round % 11)'>\(round)</q\(round % 7)></iq>"
            let element = try Array(text.utf8).withUnsafeBytes { try parser.parse(stanza: $0, scope: nil) }
            #expect(element["id"] == "\(round)")
            let child = try #require(element.first(local: "q\(round % 7)", namespace: "urn:\(round % 11)"))
            #expect(child.text == "\(round)")
        }
    }

    /// XML 1.0 §2.11: line ends are line feeds, wherever they stand.
    @Test func lineEndsAreNormalised() throws {
        #expect(try Element.parse(Array("<a>1\r\n2\r3</a>".utf8)).text.utf8.elementsEqual("1\n2\n3".utf8))
        for (written, meant) in [("1\r\n2\r3", "1\n2\n3"), ("\r", "\n"), ("\r\r\n\n", "\n\n\n"), ("\n\r", "\n\n"), ("", "")] {
            let text = try Element.parse(Array("<a><![CDATA[\(written)]]></a>".utf8)).text
            #expect(text.utf8.elementsEqual(meant.utf8), "\(text.debugDescription)")
        }
    }
}
