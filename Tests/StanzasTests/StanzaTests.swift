import Stanzas
import Testing
import XMLStream

/// Parses one stanza as a stream of the given kind and header would.
func stanza(_ text: String, on namespace: StreamNamespace = .client, header: String? = nil, lang: String? = nil) throws -> Stanza {
    let parser = XMLStreamParser(namespace: namespace)
    let head = try header.map { text in try Array(text.utf8).withUnsafeBytes { try parser.parse(header: $0) } }
    return try Array(text.utf8).withUnsafeBytes { source in
        try Stanza(try parser.parse(stanza: source, scope: head?.scope), source: source, streamLang: lang)
    }
}

func string(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

@Suite struct StanzaTests {
    @Test func readsTheHeaderAndKeepsTheContentVerbatim() throws {
        let content = "<body>&#13;a\r\nb <![CDATA[<x>&]]></body><active xmlns='http://jabber.org/protocol/chatstates'/>\n"
        let read = try stanza(
            "<message id='1' to='Juliet@Example.com/b' type='chat' from='romeo@example.net'>\(content)</message>", lang: "en")
        #expect(read.kind == .message && read.type == .chat && read.id == "1")
        #expect(read.to?.description == "juliet@example.com/b")
        #expect(read.from?.description == "romeo@example.net")
        #expect(read.lang == "en" && read.extraAttributes == "")
        #expect(string(read.payload.bytes) == content)
        #expect(read.payload.facts.mask == [.body, .chatState])
        let body = try #require(read.payload.facts.first(.body))
        #expect(read.payload.element(of: body)?.text == "\ra\nb <x>&")
        #expect(string(read.payload.bytes(of: body)) == "<body>&#13;a\r\nb <![CDATA[<x>&]]></body>")
        #expect(
            string(read.xml)
                == "<message from='romeo@example.net' to='juliet@example.com/b' id='1' type='chat' xml:lang='en'>\(content)</message>")
    }

    @Test(arguments: [
        ("<message/>", StanzaType.normal), ("<message type='normal'/>", .normal), ("<message type='nonsense'/>", .normal),
        ("<message type='headline'/>", .headline), ("<message type='groupchat'/>", .groupchat), ("<message type='error'/>", .error),
        ("<presence/>", .none), ("<presence type='probe'/>", .probe), ("<presence type='error'/>", .error),
        ("<presence type='unsubscribed'/>", .unsubscribed), ("<iq id='1' type='get'><a xmlns='b'/></iq>", .get),
        ("<iq id='1' type='set'> <a xmlns='b'/> </iq>", .set), ("<iq id='1' type='result'/>", .result),
        ("<iq id='1' type='error'/>", .error),
    ])
    func types(_ text: String, _ type: StanzaType) throws {
        let read = try stanza(text)
        #expect(read.type == type)
        #expect(try stanza(string(read.xml)).type == type)
    }

    @Test(arguments: [
        ("<presence type='available'/>", StanzaShapeError.Reason.badRequest, true), ("<presence type='' id='1'/>", .badRequest, true),
        ("<iq type='get'><a xmlns='b'/></iq>", .badRequest, true), ("<iq id='1'><a xmlns='b'/></iq>", .badRequest, true),
        ("<iq id='1' type='got'><a xmlns='b'/></iq>", .badRequest, true), ("<iq id='1' type='get'/>", .badRequest, true),
        ("<iq id='1' type='set'><a xmlns='b'/><a xmlns='b'/></iq>", .badRequest, true), ("<iq type='result'/>", .badRequest, false),
        ("<message to='@b'/>", .toMalformed, true), ("<message to=''/>", .toMalformed, true),
        ("<message type='error' to='@'/>", .toMalformed, false),
        ("<message from='a@'/>", .fromMalformed, true), ("<message xmlns='urn:x'/>", .notAStanza, false),
        ("<massage/>", .notAStanza, false),
        ("<message xmlns='jabber:server'/>", .notAStanza, false),
    ])
    func shapes(_ text: String, _ reason: StanzaShapeError.Reason, _ answerable: Bool) throws {
        let error = try #require(throws: StanzaShapeError.self) { try stanza(text) }
        #expect(error.reason == reason)
        #expect(error.mayBeAnswered == answerable)
    }

    @Test func aShapeErrorSaysWhomToAnswer() throws {
        let error = try #require(throws: StanzaShapeError.self) {
            try stanza("<iq id='7' to='x@@' from='a@b' type='set'><q xmlns='q'/></iq>")
        }
        #expect(error == StanzaShapeError(reason: .toMalformed, kind: .iq, type: .set, id: "7", to: "x@@", from: "a@b"))
        let reply = try #require(error.reply())
        #expect(reply.kind == .iq && reply.type == .error && reply.id == "7" && reply.from == nil && reply.to?.description == "a@b")
        #expect(reply.payload.facts.mask == [.error])
        let read = try Element.parse(reply.xml)
        #expect(read.first(Name("error", NS.client))?.first(local: "jid-malformed", namespace: NS.stanzas) != nil)
        #expect(try #require(throws: StanzaShapeError.self) { try stanza("<iq type='result'/>") }.reply() == nil)
    }

    @Test func unknownAttributesSurvive() throws {
        let read = try stanza("<message xmlns:q='urn:q' q:k='1&lt;' q:m='2' xml:space='preserve' foo='bar'/>")
        let again = try Element.parse(read.xml)
        #expect(again.attribute("k", namespace: "urn:q") == "1<")
        #expect(again.attribute("m", namespace: "urn:q") == "2")
        #expect(again.attribute("space", namespace: "http://www.w3.org/XML/1998/namespace") == "preserve")
        #expect(again["foo"] == "bar")
        #expect(again.attributes.count == 4)
    }
}

/// A stanza is a value, whatever it shares inside.
@Suite struct StanzaValueTests {
    @Test func changingACopyLeavesTheOriginal() throws {
        let original = Stanza(
            kind: .message, type: .chat, id: "a", from: try JID("romeo@example.net/orchard"), to: try JID("juliet@example.com"))
        var copy = original
        copy.id = "b"
        copy.to = nil
        copy.type = .headline
        copy.payload = Payload(written: Array("<body xmlns='jabber:client'>hi</body>".utf8), as: .body)
        #expect(
            original.id == "a" && original.to?.description == "juliet@example.com" && original.type == .chat && original.payload.isEmpty)
        #expect(copy.id == "b" && copy.to == nil && copy.type == .headline && !copy.payload.isEmpty)
        #expect(copy.from == original.from)
    }
}
