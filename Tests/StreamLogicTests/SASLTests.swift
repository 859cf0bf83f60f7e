import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("STARTTLS (RFC 6120 §5)")
struct StartTLSTests {
    private let request = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

    private func opened(_ host: String = "example.com") throws -> ClientStream {
        var stream = ClientStream(policy: Given.policy)
        _ = stream.header(try Wire.header(to: host, from: "juliet@\(host)", lang: "de"))
        return stream
    }

    @Test func proceedsAndForgets() throws {
        var stream = try opened()
        #expect(stream.receive(try Wire.element(request)) == .startTLS)
        #expect(stream.wantsInput == false)
        #expect(stream.receive(try Wire.element(request)) == .ignore)
        stream.secured()
        #expect(stream.isSecure == true && stream.wantsInput == true)
        // What came in the clear is void: host, language and from.
        #expect(stream.domain == nil && stream.language == nil)
        #expect(
            stream.header(try Wire.header(to: "open.example"))
                == .open(ResponseHeader(from: "open.example", to: nil), Offer(authentication: true)))
    }

    @Test func textBehindItIsNeverRead() throws {
        var stream = try opened()
        #expect(stream.receive(try Wire.element(request), followed: true) == .refuseTLS)
        #expect(stream.isClosing == true)
    }

    @Test func isRefusedWhereItIsNotOffered() throws {
        var none = try opened("plain.example")
        #expect(none.receive(try Wire.element(request)) == .refuseTLS)
        var secure = try Given.authenticating()
        #expect(secure.receive(try Wire.element(request)) == .refuseTLS)
        var late = try Given.authenticated()
        #expect(late.receive(try Wire.element(request)) == .refuseTLS)
        var malformed = try opened()
        #expect(malformed.receive(try Wire.element("<starttls xmlns='\(NS.tls)'><x/></starttls>")) == .refuseTLS)
    }

    @Test func securedOutOfTurnChangesNothing() throws {
        var stream = try opened()
        stream.secured()
        #expect(stream.isSecure == false && stream.domain == "example.com")
    }
}

@Suite("SASL negotiation (RFC 6120 §6)")
struct SASLTests {
    private func auth(_ mechanism: String?, _ text: String = "", more: String = "") throws -> Element {
        let attribute = mechanism.map { " mechanism='\($0)'" } ?? ""
        return try Wire.element("<auth xmlns='\(NS.sasl)'\(attribute)>\(text)\(more)</auth>")
    }
    private func response(_ text: String) throws -> Element { try Wire.element("<response xmlns='\(NS.sasl)'>\(text)</response>") }
    private func abort() throws -> Element { try Wire.element("<abort xmlns='\(NS.sasl)'/>") }
    private let tooMany = Closing(error: StreamError(.policyViolation, text: "Too many failed authentications"))

    @Test func aWholeHandshake() throws {
        var stream = try Given.authenticating()
        #expect(stream.receive(try auth("SCRAM-SHA-256", "biws")) == .authenticate(mechanism: "SCRAM-SHA-256", initial: Array("n,,".utf8)))
        #expect(stream.wantsInput == false)
        #expect(stream.stepped(.challenge) == .challenge)
        #expect(stream.wantsInput == true)
        #expect(stream.receive(try response("Yw==")) == .respond(Array("c".utf8)))
        #expect(stream.stepped(.success(user: "juliet")) == .authenticated(try JID(Given.juliet)))
        #expect(stream.account == (try JID(Given.juliet)))
        // Nothing but a header may follow.
        #expect(
            stream.receive(try Wire.element("<iq id='1' type='get'/>"))
                == .fail(Closing(header: ResponseHeader(from: "example.com", to: nil), error: StreamError(.badFormat))))
    }

    @Test func initialResponses() throws {
        for (text, initial) in [("", nil), ("=", []), ("AA==", [0])] as [(String, [UInt8]?)] {
            var stream = try Given.authenticating()
            #expect(stream.receive(try auth("PLAIN", text)) == .authenticate(mechanism: "PLAIN", initial: initial))
        }
    }

    @Test func emptyResponses() throws {
        for text in ["", "="] {
            var stream = try Given.authenticating()
            _ = stream.receive(try auth("SCRAM-SHA-256"))
            _ = stream.stepped(.challenge)
            #expect(stream.receive(try response(text)) == .respond([]))
        }
    }

    @Test(arguments: ["A", "AA", "AA=", "====", "AB==", "AAB=", "A A=", "\nAAAA", "AAAA\n", "AA==AAAA", "AAA_", "é==="])
    func encodingsThatAreIncorrect(text: String) throws {
        var stream = try Given.authenticating()
        #expect(stream.receive(try auth("PLAIN", text)) == .rejectAuthentication(.incorrectEncoding, nil))
        _ = stream.receive(try auth("SCRAM-SHA-256"))
        _ = stream.stepped(.challenge)
        #expect(stream.receive(try response(text)) == .rejectAuthentication(.incorrectEncoding, nil))
    }

    @Test func mechanisms() throws {
        var stream = try Given.authenticating()
        #expect(stream.receive(try auth("DIGEST-MD5")) == .rejectAuthentication(.invalidMechanism, nil))
        #expect(stream.receive(try auth(nil)) == .rejectAuthentication(.invalidMechanism, nil))
        #expect(stream.receive(try auth("SCRAM-SHA-256-PLUS")) == .rejectAuthentication(.invalidMechanism, tooMany))
        var plain = ClientStream(policy: Given.policy)
        _ = plain.header(try Wire.header(to: "open.example"))
        plain.mechanisms = ["SCRAM-SHA-256"]
        #expect(plain.receive(try auth("PLAIN", "AA==")) == .rejectAuthentication(.encryptionRequired, nil))
        #expect(plain.receive(try auth("FOO", "AA==")) == .rejectAuthentication(.invalidMechanism, nil))
        var required = ClientStream(policy: Given.policy)
        _ = required.header(try Wire.header())
        #expect(required.receive(try auth("PLAIN", "AA==")) == .rejectAuthentication(.encryptionRequired, nil))
    }

    @Test func malformedRequests() throws {
        var stream = try Given.authenticating()
        #expect(stream.receive(try auth("PLAIN", more: "<x/>")) == .rejectAuthentication(.malformedRequest, nil))
        #expect(stream.receive(try response("AA==")) == .rejectAuthentication(.malformedRequest, nil))
        #expect(stream.receive(try Wire.element("<challenge xmlns='\(NS.sasl)'/>")) == .rejectAuthentication(.malformedRequest, tooMany))
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .ignore)
    }

    @Test func abortEndsTheHandshakeAndNotTheStream() throws {
        var stream = try Given.authenticating()
        _ = stream.receive(try auth("SCRAM-SHA-256"))
        _ = stream.stepped(.challenge)
        #expect(stream.receive(try abort()) == .rejectAuthentication(.aborted, nil))
        // An outcome that comes late is for nobody.
        #expect(stream.stepped(.success(user: "juliet")) == .ignore)
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .authenticate(mechanism: "PLAIN", initial: [0]))
    }

    @Test func anotherRequestTakesThePlaceOfTheHandshake() throws {
        var stream = try Given.authenticating()
        _ = stream.receive(try auth("SCRAM-SHA-256"))
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .authenticate(mechanism: "PLAIN", initial: [0]))
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .authenticate(mechanism: "PLAIN", initial: [0]))
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .rejectAuthentication(.aborted, tooMany))
    }

    @Test func failuresAreBounded() throws {
        for condition in SASLCondition.allCases {
            var stream = try Given.authenticating()
            for attempt in 1...3 {
                #expect(stream.receive(try auth("PLAIN", "AA==")) == .authenticate(mechanism: "PLAIN", initial: [0]))
                #expect(stream.stepped(.failure(condition)) == .reject(condition, attempt == 3 ? tooMany : nil))
            }
            #expect(stream.isClosing == true)
        }
    }

    @Test func fromUnderTLSMustBeWhoAuthenticates() throws {
        var right = try Given.authenticating(from: "juliet@example.com")
        _ = right.receive(try auth("PLAIN", "AA=="))
        #expect(right.stepped(.success(user: "juliet")) == .authenticated(try JID(Given.juliet)))
        var wrong = try Given.authenticating(from: "romeo@example.com")
        _ = wrong.receive(try auth("PLAIN", "AA=="))
        #expect(wrong.stepped(.success(user: "juliet")) == .fail(Closing(error: StreamError(.invalidFrom))))
        // In the clear it proves nothing, so it is not held against anyone.
        var clear = ClientStream(policy: Given.policy)
        _ = clear.header(try Wire.header(to: "plain.example", from: "romeo@plain.example"))
        clear.mechanisms = ["SCRAM-SHA-256"]
        _ = clear.receive(try auth("SCRAM-SHA-256"))
        #expect(clear.stepped(.success(user: "juliet")) == .authenticated(try JID("juliet@plain.example")))
    }

    @Test func aNameThatIsNoLocalpartIsNotLetIn() throws {
        var stream = try Given.authenticating()
        _ = stream.receive(try auth("PLAIN", "AA=="))
        #expect(stream.stepped(.success(user: "a@b")) == .reject(.notAuthorized, nil))
    }

    @Test func stanzasBeforeAuthenticationEndTheStream() throws {
        for xml in [
            "<message to='a@b'/>", "<presence/>", "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>", "<x xmlns='urn:x'/>",
        ] {
            var stream = try Given.authenticating()
            #expect(stream.receive(try Wire.element(xml)) == .fail(Closing(error: StreamError(.notAuthorized))))
            #expect(stream.receive(try Wire.element(xml)) == .ignore)
        }
    }

    @Test func authenticatingTwiceEndsTheStream() throws {
        var stream = try Given.authenticated()
        #expect(stream.receive(try auth("PLAIN", "AA==")) == .fail(Closing(error: StreamError(.notAuthorized))))
    }

    @Test func writing() {
        #expect(Wire.text { StreamWriting.success(nil, into: &$0) } == "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        #expect(Wire.text { StreamWriting.success([], into: &$0) } == "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>")
        #expect(Wire.text { StreamWriting.success([0], into: &$0) } == "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AA==</success>")
        #expect(
            Wire.text { StreamWriting.failure(.temporaryAuthFailure, into: &$0) }
                == "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>")
        #expect(Wire.text { StreamWriting.tlsFailure(into: &$0) } == "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
    }
}
