import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("Resource binding (RFC 6120 §7)")
struct BindTests {
    private func bind(_ inner: String = "", type: String = "set", id: String? = "1", to: String? = nil) throws -> Element {
        let id = id.map { " id='\($0)'" } ?? ""
        let to = to.map { " to='\($0)'" } ?? ""
        return try Wire.element("<iq type='\(type)'\(id)\(to)><bind xmlns='\(NS.bind)'>\(inner)</bind></iq>")
    }

    @Test func resources() throws {
        let cases: [(String, String?)] = [
            ("", nil), ("<resource/>", nil), ("<resource>balcony</resource>", "balcony"), ("<resource>a b</resource>", "a b"),
        ]
        for (inner, resource) in cases {
            var stream = try Given.authenticated()
            #expect(stream.receive(try bind(inner)) == .bind(resource: resource))
            #expect(stream.wantsInput == false)
        }
        var addressed = try Given.authenticated()
        #expect(addressed.receive(try bind(to: "example.com")) == .bind(resource: nil))
    }

    @Test func refusals() throws {
        var stream = try Given.authenticated()
        #expect(stream.receive(try bind("<resource>\u{200E}</resource>")) == .refuse(id: "1", StanzaError(.badRequest), nil))
        #expect(stream.receive(try bind(type: "get")) == .refuse(id: "1", StanzaError(.badRequest), nil))
        for error in [StanzaError(.conflict), StanzaError(.resourceConstraint), StanzaError(.notAllowed)] {
            #expect(stream.receive(try bind()) == .bind(resource: nil))
            #expect(stream.bindRefused(error) == .refuse(id: "1", error, nil))
            #expect(stream.wantsInput == true)
        }
        #expect(stream.receive(try bind()) == .bind(resource: nil))
        #expect(
            stream.bindRefused(StanzaError(.conflict))
                == .refuse(
                    id: "1", StanzaError(.conflict), Closing(error: StreamError(.policyViolation, text: "Too many refused resources"))))
        #expect(stream.bindRefused(StanzaError(.conflict)) == .ignore)
    }

    @Test func nothingElseIsHeardBefore() throws {
        for xml in [
            "<message to='example.com'/>", "<presence/>", "<iq type='set' id='1' to='romeo@example.com'><x xmlns='u'/></iq>",
            "<iq type='result' id='1'/>",
        ] {
            var stream = try Given.authenticated()
            #expect(stream.receive(try Wire.element(xml)) == .fail(Closing(error: StreamError(.notAuthorized))))
        }
        for to in ["", " to='example.com'", " to='juliet@example.com'"] {
            var stream = try Given.authenticated()
            #expect(
                stream.receive(try Wire.element("<iq type='get' id='1'\(to)><x xmlns='u'/></iq>"))
                    == .refuse(id: "1", StanzaError(.unexpectedRequest), nil))
        }
    }

    @Test func aSecondBindIsRefused() throws {
        var stream = try Given.ready()
        #expect(stream.receive(try bind(id: "2")) == .refuse(id: "2", StanzaError(.notAllowed), nil))
        #expect(stream.receive(try bind(id: "2", to: "romeo@example.com")) == .stanza)
        #expect(stream.receive(try Wire.element("<iq type='set' id='s'><session xmlns='\(NS.session)'/></iq>")) == .stanza)
        #expect(stream.isReady == true)
    }

    @Test func anAnswerNobodyWaitsForIsDropped() throws {
        var stream = try Given.authenticated()
        #expect(stream.bound(try JID("juliet@example.com/x")) == nil)
        #expect(stream.fullJID == nil && stream.isReady == false)
    }

    @Test func writing() throws {
        #expect(
            Wire.text { StreamWriting.bound(try! JID("juliet@example.com/<>"), id: "1", into: &$0) }
                == "<iq type='result' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.com/&lt;&gt;</jid></bind></iq>"
        )
        #expect(
            Wire.text { StreamWriting.refusal(StanzaError(.conflict), id: "1", into: &$0) }
                == "<iq type='error' id='1'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    }
}

@Suite("Stanzas and the end of a stream")
struct StanzaFlowTests {
    /// Runs one stanza through both questions.
    private func submit(_ xml: String, _ stream: inout ClientStream) throws -> ClientStream.Submission {
        let bytes = Array(xml.utf8)
        let element = try Element.parse(bytes)
        guard stream.receive(element) == .stanza else { return .ignore }
        return bytes.withUnsafeBytes { stream.stanza(element, source: $0) }
    }

    private func failure(_ submission: ClientStream.Submission) -> StreamError.Condition? {
        if case .fail(let closing) = submission { closing.error?.condition } else { nil }
    }

    @Test func aStanzaOfTheClientsOwn() throws {
        for from in ["", " from='juliet@example.com/balcony'", " from='juliet@example.com'"] {
            var stream = try Given.ready(lang: "de")
            guard case .submit(let stanza) = try submit("<message\(from) to='romeo@example.com'><body>hi</body></message>", &stream) else {
                Issue.record("not submitted: \(from)")
                continue
            }
            #expect(stanza.kind == .message && stanza.lang == "de")
            #expect(stanza.to == (try JID("romeo@example.com")))
        }
    }

    @Test func aStanzaOfSomeoneElse() throws {
        for from in ["romeo@example.com", "juliet@example.com/chamber", "example.com", "@"] {
            var stream = try Given.ready()
            #expect(failure(try submit("<message from='\(from)' to='romeo@example.com'/>", &stream)) == .invalidFrom)
            #expect(stream.isClosing == true)
        }
    }

    @Test func badShapesAreBounced() throws {
        let cases: [(String, String)] = [
            ("<message id='1' to='@'/>", "jid-malformed"), ("<iq id='1' type='get'/>", "bad-request"),
            ("<iq id='1' type='x'/>", "bad-request"),
            ("<presence id='1' type='x'/>", "bad-request"),
        ]
        for (xml, condition) in cases {
            var stream = try Given.ready()
            guard case .bounce(let bounced) = try submit(xml, &stream) else {
                Issue.record("not bounced: \(xml)")
                continue
            }
            let answer = try Element.parse(bounced.xml)
            #expect(answer["type"] == "error" && answer["id"] == "1" && answer["to"] == "juliet@example.com/balcony")
            #expect(answer.children.first { _ in true }?.first(local: condition, namespace: NS.stanzas) != nil)
            #expect(stream.isReady == true)
        }
        var stream = try Given.ready()
        guard case .ignore = try submit("<message type='error' to='@'/>", &stream) else {
            Issue.record("an error was answered")
            return
        }
    }

    @Test func elementsThatAreNoStanzas() throws {
        let cases: [(String, StreamError.Condition)] = [
            ("<x xmlns='urn:x'/>", .unsupportedStanzaType), ("<query/>", .unsupportedStanzaType),
            ("<message xmlns='jabber:server'/>", .invalidNamespace),
            ("<message xmlns=''/>", .invalidNamespace), ("<auth xmlns='\(NS.sasl)'/>", .notAuthorized),
            ("<starttls xmlns='\(NS.tls)'/>", .notAuthorized),
        ]
        for (xml, condition) in cases {
            var stream = try Given.ready()
            #expect(stream.receive(try Wire.element(xml)) == .fail(Closing(error: StreamError(condition))))
        }
    }

    @Test func theClientsErrorEndsTheStreamWithoutAnother() throws {
        let error = "<stream:error xmlns:stream='\(NS.stream)'><reset xmlns='\(NS.streams)'/></stream:error>"
        var ready = try Given.ready()
        #expect(ready.receive(try Wire.element(error)) == .fail(Closing()))
        var early = try Given.authenticating()
        #expect(early.receive(try Wire.element(error)) == .fail(Closing()))
    }

    @Test func bothWaysToEnd() throws {
        var theirs = try Given.ready()
        #expect(theirs.ended() == .answer(Closing()))
        #expect(theirs.ended() == .done && theirs.wantsInput == false)
        var ours = try Given.ready()
        #expect(ours.close(StreamError(.systemShutdown)) == Closing(error: StreamError(.systemShutdown)))
        #expect(ours.close(nil) == nil)
        #expect(ours.wantsInput == true && ours.isClosing == true)
        #expect(ours.receive(try Wire.element("<message to='a@b'/>")) == .ignore)
        #expect(ours.ended() == .done)
        var before = ClientStream(policy: Given.policy)
        #expect(before.ended() == .answer(Closing(header: ResponseHeader(from: "server.example", to: nil))))
        var gone = try Given.ready()
        gone.lost()
        #expect(gone.close(StreamError(.reset)) == nil)
    }

    /// No order of events makes the machine trap, and after its end it is silent.
    @Test func anyOrderOfEvents() throws {
        let elements = try [
            "<starttls xmlns='\(NS.tls)'/>", "<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AA==</auth>", "<response xmlns='\(NS.sasl)'/>",
            "<abort xmlns='\(NS.sasl)'/>", "<iq type='set' id='1'><bind xmlns='\(NS.bind)'/></iq>", "<message/>", "<x xmlns='u'/>",
            "<compress xmlns='\(NS.compress)'><method>zlib</method></compress>",
            "<iq type='set' id='2'><query xmlns='\(NS.nonSASL)'><username>juliet</username><password>r</password><resource>x</resource></query></iq>",
        ].map(Wire.element)
        let header = try Wire.header()
        let bound = try JID("juliet@example.com/x")
        var state: UInt64 = 42
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<2_000 {
            var policy = Given.policy
            policy.compression = next(2) == 0
            policy.nonSASL = next(2) == 0
            var stream = ClientStream(policy: policy, secure: next(2) == 0)
            for _ in 0..<24 {
                let over = stream.isClosing
                switch next(8) {
                case 0, 1:
                    let answer = stream.header(header)
                    if over { #expect(answer == .ignore) }
                    stream.mechanisms = ["PLAIN"]
                case 2, 3, 4:
                    let answer = stream.receive(elements[next(elements.count)])
                    if over { #expect(answer == .ignore) }
                    if case .stanza = answer { #expect(stream.account != nil && stream.fullJID != nil) }
                    if case .bind = answer { #expect(stream.account != nil) }
                case 5:
                    stream.secured()
                    if next(2) == 0 { _ = stream.compressed() } else { _ = stream.compressionFailed() }
                case 6: _ = stream.stepped([.challenge, .success(user: "juliet"), .failure(.notAuthorized)][next(3)])
                default: if next(2) == 0 { _ = stream.bound(bound) } else { _ = stream.bindRefused(StanzaError(.conflict)) }
                }
                if stream.isReady { #expect(stream.account == bound.bare) }
                if stream.isCompressed { #expect(policy.compression) }
            }
        }
    }
}
