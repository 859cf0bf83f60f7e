import Stanzas
import Testing
import XMLStream

@Suite struct PayloadTests {
    private let forged =
        "<body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>t<private xmlns='urn:xmpp:carbons:2'/><store xmlns='urn:xmpp:hints'/><delay xmlns='urn:xmpp:delay' stamp='x'/>"

    @Test func cutsChildrenByRange() throws {
        let payload = try stanza("<message>\(forged)</message>").payload
        let cut = payload.removing { $0.kind == .stanzaID || $0.kind == .delay }
        #expect(string(cut.bytes) == "<body>x</body>t<private xmlns='urn:xmpp:carbons:2'/><store xmlns='urn:xmpp:hints'/>")
        #expect(cut.facts == (try Payload(cut.bytes)).facts)
        #expect(cut.facts.mask == [.body, .private, .store])
        #expect(payload.removing { $0.kind == .retraction } === payload)
        let none = payload.removing { _ in true }
        #expect(string(none.bytes) == "t" && none.facts.children.isEmpty && none.facts.mask == [])
        // By what a child says, not only by what it is.
        let mine = payload.removing { payload.element(of: $0)?["by"] == "a@b" }
        #expect(!mine.facts.mask.contains(.stanzaID) && mine.facts.children.count == 4)
    }

    @Test func appends() throws {
        let payload = try stanza("<message>\(forged)</message>").payload.removing { $0.kind == .stanzaID }
        let stamped = payload.appending(Array("<stanza-id xmlns='urn:xmpp:sid:0' by='b@c' id='9'/>".utf8), as: .stanzaID)
        #expect(stamped.facts == (try Payload(stamped.bytes)).facts)
        let fact = try #require(stamped.facts.first(.stanzaID))
        #expect(stamped.element(of: fact)?["id"] == "9")
        #expect(payload.appending([], as: .other) === payload)
    }

    @Test func writtenPayloadsEqualParsedOnes() throws {
        let xml = Array("<query xmlns='jabber:iq:roster'/>".utf8)
        let written = Payload(written: xml)
        #expect(written.facts == (try Payload(xml)).facts)
        #expect(written.element(wrappedIn: .iq)?.first(local: "query", namespace: NS.roster) != nil)
        #expect(written.element(wrappedIn: .iq)?.local == "iq")
    }

    @Test func aTreeIsNotNeeded() throws {
        let payload = try stanza("<message>\(forged)</message>").payload
        let bare = payload.detached()
        #expect(bare.bytes == payload.bytes && bare.facts == payload.facts)
        for child in payload.facts.children {
            #expect(bare.element(of: child).map { string($0.xml) } == payload.element(of: child).map { string($0.xml) })
        }
        let stranger = ChildFact(kind: .body, range: 0..<100_000)
        #expect(bare.element(of: stranger) == nil && payload.element(of: stranger) == nil)
        #expect(bare.bytes(of: stranger).count == bare.bytes.count)
    }

    @Test(arguments: ["</message>", "</message><message>", "<a>", "</message> ", "<!-- -->", "&x;", "<x:a/>", "<?a?>"])
    func foreignBytesCannotBreakOut(_ text: String) {
        #expect(throws: ParseError.self) { try Payload(Array(text.utf8)) }
    }

    @Test func knowsTheKinds() throws {
        let cases: [(String, ChildKind)] = [
            ("<body/>", .body), ("<error type='cancel'/>", .error), ("<no-store xmlns='urn:xmpp:hints'/>", .noStore),
            ("<received xmlns='urn:xmpp:carbons:2'/>", .carbon), ("<received xmlns='urn:xmpp:receipts'/>", .receipt),
            ("<received xmlns='urn:xmpp:chat-markers:0'/>", .marker), ("<origin-id xmlns='urn:xmpp:sid:0' id='1'/>", .originID),
            ("<x xmlns='jabber:x:delay'/>", .delay), ("<x xmlns='http://jabber.org/protocol/muc#user'/>", .roomUser),
            ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", .chatState),
            ("<encrypted xmlns='urn:xmpp:omemo:2'/>", .encrypted),
            ("<retract xmlns='urn:xmpp:message-retract:1'/>", .retraction),
            ("<retract xmlns='urn:xmpp:jingle-message:0'/>", .jingleMessage),
            ("<body xmlns='urn:x'/>", .other), ("<body xmlns=''/>", .other), ("<priority>1</priority>", .priority),
        ]
        for (text, kind) in cases {
            let payload = try stanza("<message>\(text)</message>").payload
            #expect(payload.facts.children.map(\.kind) == [kind], "\(text)")
            #expect(payload.facts.mask == kind.mask)
        }
    }
}
