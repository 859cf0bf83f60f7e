import Stanzas
import Testing
import XMLStream

@testable import StreamLogic

/// XEP-0114 §3, without a socket.
@Suite struct ComponentStreamTests {
    private static let header =
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='plays.lit'>"

    private func parsed(_ text: String) throws -> StreamHeader {
        try Array(text.utf8).withUnsafeBytes { try XMLStreamParser(namespace: .component).parse(header: $0) }
    }

    private func element(_ text: String) throws -> (Element, [UInt8]) {
        let bytes = Array(text.utf8)
        let header = try parsed(Self.header)
        return (try bytes.withUnsafeBytes { try XMLStreamParser(namespace: .component).parse(stanza: $0, scope: header.scope) }, bytes)
    }

    private func stream() -> ComponentStream { ComponentStream(domains: ["plays.lit"], serverName: "capulet.lit") }

    private func ready() throws -> ComponentStream {
        var stream = stream()
        guard case .open = stream.header(try parsed(Self.header)) else { return stream }
        _ = stream.receive(try element("<handshake>00</handshake>").0)
        _ = stream.verified(true)
        _ = stream.granted()
        return stream
    }

    @Test func theHandshakeIsReadInTheNamespaceOfTheStream() throws {
        var stream = stream()
        let opening = stream.header(try parsed(Self.header))
        #expect(opening == .open(from: "plays.lit"))
        let received = stream.receive(try element("<handshake>aaee83c2</handshake>").0)
        #expect(received == .verify(digest: "aaee83c2"))
        let wantsInput = stream.wantsInput
        #expect(!wantsInput)
        let closing = stream.verified(true)
        #expect(closing == nil)
        let isGranted = stream.granted()
        #expect(isGranted)
        let isReady = stream.isReady && stream.wantsInput
        #expect(isReady)
    }

    @Test func aWrongSecretIsNotAuthorized() throws {
        var stream = stream()
        _ = stream.header(try parsed(Self.header))
        _ = stream.receive(try element("<handshake/>").0)
        let closing = stream.verified(false)
        #expect(closing?.error?.condition == .notAuthorized)
        let isGranted = stream.granted()
        #expect(!isGranted)
    }

    @Test func errorsOfTheHeaderComeBehindAHeader() throws {
        for (text, condition) in [
            (Self.header.replacingDomain("elsewhere.lit"), StreamError.Condition.hostUnknown),
            (Self.header.replacingDomain("capulet.lit"), .hostUnknown),
            ("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='plays.lit'>", .invalidNamespace),
            ("<stream:stream xmlns='jabber:component:accept' xmlns:stream='urn:x' to='plays.lit'>", .invalidNamespace),
        ] {
            var stream = stream()
            guard case .refuse(let closing) = stream.header(try parsed(text)) else {
                Issue.record("\(text) is not refused")
                continue
            }
            #expect(closing.error?.condition == condition)
            #expect(closing.header != nil)
        }
        var leaving = stream()
        guard case .refuse(let closing) = leaving.header(try parsed(Self.header), draining: true) else {
            Issue.record("a leaving node takes a component")
            return
        }
        #expect(closing.error?.condition == .systemShutdown)
    }

    @Test func aSecondConnectionHearsOfTheConflict() throws {
        var stream = stream()
        _ = stream.header(try parsed(Self.header))
        _ = stream.receive(try element("<handshake/>").0)
        let closing = stream.refused(StanzaError(.conflict))
        #expect(closing?.error?.condition == .conflict)
    }

    @Test func stanzasBeforeTheHandshakeEndTheStream() throws {
        var stream = stream()
        _ = stream.header(try parsed(Self.header))
        guard case .fail(let closing) = stream.receive(try element("<message from='plays.lit' to='a@b.lit'/>").0) else {
            Issue.record("a stanza is taken")
            return
        }
        #expect(closing.error?.condition == .notAuthorized)
    }

    @Test(arguments: [
        ("<message from='plays.lit' to='a@b.lit'/>", nil as StreamError.Condition?),
        ("<message from='puck@PLAYS.lit/wood' to='a@b.lit'/>", nil),
        ("<message to='a@b.lit'/>", .improperAddressing),
        ("<message from='plays.lit'/>", .improperAddressing),
        ("<message from='a@capulet.lit' to='a@b.lit'/>", .invalidFrom),
        ("<message from='sub.plays.lit' to='a@b.lit'/>", .invalidFrom),
        ("<message from='@' to='a@b.lit'/>", .invalidFrom),
    ])
    func addressesAreChecked(_ text: String, _ condition: StreamError.Condition?) throws {
        var stream = try ready()
        let (element, bytes) = try element(text)
        let received = stream.receive(element)
        #expect(received == .stanza)
        switch bytes.withUnsafeBytes({ stream.stanza(element, source: $0) }) {
        case .submit: #expect(condition == nil)
        case .fail(let closing): #expect(closing.error?.condition == condition)
        case .bounce, .ignore: Issue.record("\(text) is neither taken nor refused")
        }
    }

    @Test func nearlyStanzasAreAnswered() throws {
        var stream = try ready()
        let (element, bytes) = try element("<iq type='get' from='plays.lit' to='a@b.lit'/>")
        guard case .bounce(let answer) = bytes.withUnsafeBytes({ stream.stanza(element, source: $0) }) else {
            Issue.record("it is not answered")
            return
        }
        #expect(String(decoding: answer, as: UTF8.self).contains("bad-request"))
    }

    /// What a component sends means the same on a client's stream.
    @Test func contentIsInTheNamespaceOfClients() throws {
        var stream = try ready()
        let (element, bytes) = try element("<message from='plays.lit' to='a@b.lit' type='chat'><body>hi</body></message>")
        guard case .submit(let stanza) = bytes.withUnsafeBytes({ stream.stanza(element, source: $0) }) else {
            Issue.record("it is not taken")
            return
        }
        #expect(stanza.payload.facts.mask.contains(.body))
    }

    @Test func bothSidesCanEndIt() throws {
        var stream = try ready()
        let (first, second) = (stream.ended(), stream.ended())
        #expect(first != nil && second == nil)
        var other = try ready()
        let (closing, again) = (other.close(StreamError(.systemShutdown)), other.close(nil))
        #expect(closing != nil && again == nil)
        let late = other.receive(try element("<message from='plays.lit' to='a@b.lit'/>").0)
        #expect(late == .ignore)
    }
}

extension String {
    fileprivate func replacingDomain(_ domain: String) -> String {
        String(self.dropLast("plays.lit'>".count)) + domain + "'>"
    }
}
