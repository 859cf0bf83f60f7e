import Stanzas
import Testing
import XMLStream

/// Whatever a stanza takes from its stream must be in its bytes, or the next parser reads something else.
@Suite struct StanzaNormalFormTests {
    private static let streams = "xmlns:stream='http://etherx.jabber.org/streams'"

    /// The payload's bytes, and that they read the same on their own as they did on the stream.
    private func payload(_ text: String, on namespace: StreamNamespace = .client, header: String? = nil) throws -> String {
        let read = try stanza(text, on: namespace, header: header)
        let again = try #require(try Payload(read.payload.bytes).element(wrappedIn: read.kind))
        let first = try #require(read.payload.element(wrappedIn: read.kind))
        let before = first.children.map { string($0.xml) }
        #expect(again.children.map { string($0.xml) } == before)
        // Each child alone, too: facts' ranges are of the new bytes.
        let alone = try read.payload.facts.children.map { string(try Element.parse(Array(read.payload.bytes(of: $0))).xml) }
        #expect(alone == before)
        return string(read.payload.bytes)
    }

    @Test func prefixesOfTheHeaderAreDeclared() throws {
        let header = "<stream:stream xmlns='jabber:client' \(Self.streams) xmlns:p='urn:p' xmlns:q='urn:&amp;&quot;&apos;&lt;'>"
        #expect(
            try payload("<message>t<p:a/>u<b><p:c q:k='1'/><p:d/></b> <body>x</body>v</message>", header: header)
                == "t<p:a xmlns:p='urn:p'/>u<b xmlns:p='urn:p' xmlns:q='urn:&amp;\"&apos;&lt;'><p:c q:k='1'/><p:d/></b> <body>x</body>v")
        #expect(try payload("<message><stream:error/></message>") == "<stream:error \(Self.streams)/></message>".dropLast(10))
        // Declared again inside: nothing to do.
        #expect(try payload("<message><p:a xmlns:p='urn:z'/></message>", header: header) == "<p:a xmlns:p='urn:z'/>")
        // Declared inside, but used outside that place, too.
        #expect(
            try payload("<message><a><p:b xmlns:p='urn:z'/><p:c/></a></message>", header: header)
                == "<a xmlns:p='urn:p'><p:b xmlns:p='urn:z'/><p:c/></a>")
    }

    @Test func prefixesOfTheStartTagAreDeclared() throws {
        #expect(
            try payload("<message xmlns:p='urn:p'><body>x</body><p:a p:k='v'><p:b/></p:a><c p:k='v'/></message>")
                == "<body>x</body><p:a xmlns:p='urn:p' p:k='v'><p:b/></p:a><c xmlns:p='urn:p' p:k='v'/>")
    }

    @Test func theDefaultNamespaceIsKept() throws {
        let prefixed = "<stream:stream xmlns='urn:d' \(Self.streams) xmlns:c='jabber:client'>"
        #expect(
            try payload("<c:message><a/><c:body>x</c:body></c:message>", header: prefixed)
                == "<a xmlns='urn:d'/><c:body xmlns:c='jabber:client'>x</c:body>")
        let none = "<stream:stream \(Self.streams)>"
        #expect(try payload("<message xmlns='jabber:client'><body/></message>", header: none) == "<body/>")
        #expect(
            try payload("<c:message xmlns:c='jabber:client'><a><b/></a><x xmlns='y'/></c:message>", header: none)
                == "<a xmlns=''><b/></a><x xmlns='y'/>")
        #expect(try payload("<message xmlns='jabber:client'><body/><a xmlns=''/></message>") == "<body/><a xmlns=''/>")
    }

    @Test func serversContentCountsAsClientContent() throws {
        let header = "<stream:stream xmlns='jabber:server' \(Self.streams) xmlns:db='jabber:server:dialback'>"
        for header in [nil, header] {
            let read = try stanza("<message to='a@b' from='c@d'><body>x</body><y xmlns='z'/></message>", on: .server, header: header)
            #expect(read.payload.facts.mask == [.body, .other])
            #expect(string(read.payload.bytes) == "<body>x</body><y xmlns='z'/>")
            #expect(try payload("<message><body>x</body></message>", on: .server, header: header) == "<body>x</body>")
        }
        #expect(try payload("<message xmlns='jabber:server'><body>x</body></message>", on: .server) == "<body>x</body>")
        // What says jabber:server of its own is not a client's body, neither here nor at the recipient.
        let odd = try stanza("<message><body xmlns='jabber:server'>x</body></message>", on: .server)
        #expect(odd.payload.facts.mask == [.other])
    }

    @Test func aNameCannotBeMisreadThroughTheHeader() throws {
        // The sender's own reading: an element of urn:evil. No recipient may read a body.
        let header = "<stream:stream xmlns='jabber:client' \(Self.streams) xmlns:p='urn:evil'>"
        let read = try stanza("<message><p:body>x</p:body></message>", header: header)
        #expect(read.payload.facts.mask == [.other])
        let second = try stanza(string(read.xml))
        #expect(second.payload.facts.mask == [.other])
        #expect(second.payload.bytes == read.payload.bytes)
    }
}
