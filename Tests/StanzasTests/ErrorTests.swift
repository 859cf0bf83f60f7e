import Stanzas
import Testing
import XMLStream

@Suite struct ErrorTests {
    private func text(_ body: (inout XMLWriter) -> Void) -> String {
        var writer = XMLWriter()
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// RFC 6120 §8.3.3: the condition and the type recommended for it (the first of two; `cancel` for none).
    @Test(arguments: [
        ("bad-request", "modify"), ("conflict", "cancel"), ("feature-not-implemented", "cancel"), ("forbidden", "auth"), ("gone", "cancel"),
        ("internal-server-error", "cancel"), ("item-not-found", "cancel"), ("jid-malformed", "modify"), ("not-acceptable", "modify"),
        ("not-allowed", "cancel"), ("not-authorized", "auth"), ("policy-violation", "modify"), ("recipient-unavailable", "wait"),
        ("redirect", "modify"), ("registration-required", "auth"), ("remote-server-not-found", "cancel"), ("remote-server-timeout", "wait"),
        ("resource-constraint", "wait"), ("service-unavailable", "cancel"), ("subscription-required", "auth"),
        ("undefined-condition", "cancel"), ("unexpected-request", "wait"),
    ])
    func stanzaConditions(name: String, type: String) throws {
        let condition = try #require(StanzaError.Condition(name: name))
        let error = StanzaError(condition)
        #expect(error.condition.name == name && error.type.name == type)
        #expect(
            String(decoding: error.bytes, as: UTF8.self)
                == "<error type='\(type)'><\(name) xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
        #expect(StanzaError(try Element.parse(error.bytes)) == error)
    }

    @Test func stanzaConditionsAreAll() {
        #expect(StanzaError.Condition.allCases.count == 22)
        #expect(StanzaError.Condition(name: "payment-required") == nil)
        #expect(Set(StanzaError.Kind.allCases.map(\.name)) == ["auth", "cancel", "continue", "modify", "wait"])
    }

    @Test func stanzaErrorInFull() throws {
        let error = StanzaError(
            .gone, type: .modify, text: "Moved <away>", by: try JID("example.com"), address: "xmpp:romeo@afterlife.example?a&b",
            application: Array("<moved xmlns='urn:example:x'/>".utf8))
        let xml = String(decoding: error.bytes, as: UTF8.self)
        #expect(
            xml
                == "<error type='modify' by='example.com'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:romeo@afterlife.example?a&amp;b</gone>"
                + "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Moved &lt;away&gt;</text><moved xmlns='urn:example:x'/></error>"
        )
        var read = error
        read.application = nil
        #expect(StanzaError(try Element.parse(error.bytes)) == read)
        // Inside the stanza around it as well.
        #expect(StanzaError(try Element.parse(Array("<iq type='error'><query xmlns='a'/>\(xml)</iq>".utf8))) == read)
        // An address stands in no other condition.
        #expect(!String(decoding: StanzaError(.conflict, address: "xmpp:a").bytes, as: UTF8.self).contains("xmpp:a"))
        #expect(
            StanzaError(.badRequest) { $0.empty("x", xmlns: "urn:x") }.application.map { String(decoding: $0, as: UTF8.self) }
                == "<x xmlns='urn:x'/>")
    }

    /// RFC 6120 §8.3.2: what is not known is `undefined-condition`.
    @Test(arguments: [
        "<error type='odd'><flying-pig xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", "<error/>", "<message/>",
        "<error><bad-request xmlns='urn:other'/></error>",
    ])
    func unknownStanzaErrors(xml: String) throws {
        #expect(StanzaError(try Element.parse(Array(xml.utf8))) == StanzaError(.undefinedCondition, type: .cancel))
    }

    /// RFC 6120 §4.9.3.
    @Test func streamConditions() throws {
        let names = [
            "bad-format", "bad-namespace-prefix", "conflict", "connection-timeout", "host-gone", "host-unknown", "improper-addressing",
            "internal-server-error", "invalid-from", "invalid-namespace", "invalid-xml", "not-authorized", "not-well-formed",
            "policy-violation", "remote-connection-failed", "reset", "resource-constraint", "restricted-xml", "see-other-host",
            "system-shutdown", "undefined-condition", "unsupported-encoding", "unsupported-feature", "unsupported-stanza-type",
            "unsupported-version",
        ]
        #expect(Set(StreamError.Condition.allCases.map(\.rawValue)) == Set(names))
        for condition in StreamError.Condition.allCases {
            let error = StreamError(condition, text: "because")
            let xml = text { error.write(into: &$0, standalone: true) }
            #expect(
                xml
                    == "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><\(condition.rawValue) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    + "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>because</text></stream:error>")
            #expect(StreamError(try Element.parse(Array(xml.utf8))) == error)
        }
        #expect(
            text { StreamError(.seeOtherHost, location: "[2001:db8::1]:5222").write(into: &$0) }
                == "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:5222</see-other-host></stream:error>"
        )
        let unknown = "<error xmlns='http://etherx.jabber.org/streams'><odd xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error>"
        #expect(StreamError(try Element.parse(Array(unknown.utf8))) == StreamError(.undefinedCondition))
    }

    @Test func parseErrorsHaveAStreamError() {
        for reason in ParseError.Reason.allCases {
            #expect(StreamError(ParseError(reason)).condition.rawValue == ParseError(reason).condition)
        }
    }

    /// RFC 6120 §8.3.1.
    @Test func replies() throws {
        let error = StanzaError(.itemNotFound)
        let types: [(StanzaKind, [StanzaType])] = [
            (.message, [.normal, .chat, .groupchat, .headline]),
            (.presence, [.none, .unavailable, .subscribe, .subscribed, .unsubscribe, .unsubscribed, .probe]), (.iq, [.get, .set]),
        ]
        for (kind, types) in types {
            for type in types {
                let stanza = Stanza(kind: kind, type: type, id: "a1", from: try JID("a@b/c"), to: try JID("d@e"))
                let reply = try #require(error.reply(to: stanza))
                #expect(reply.kind == kind && reply.type == .error && reply.id == "a1")
                #expect(reply.from == stanza.to && reply.to == stanza.from)
                let element = try #require(reply.payload.element(wrappedIn: kind))
                #expect(StanzaError(element) == error)
                #expect(error.reply(to: reply) == nil)
            }
        }
        #expect(error.reply(to: Stanza(kind: .iq, type: .result, id: "a1")) == nil)
    }
}
