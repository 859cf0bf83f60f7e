import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("Stream headers (RFC 6120 §4.7 to §4.9)")
struct HeaderTests {
    private func refused(_ condition: StreamError.Condition, from: String = "server.example", to: JID? = nil, hasVersion: Bool = true)
        -> ClientStream.Opening
    {
        .refuse(Closing(header: ResponseHeader(from: from, to: to, hasVersion: hasVersion), error: StreamError(condition)))
    }

    @Test func theOfferFollowsTheHost() throws {
        let cases: [(String, Offer)] = [
            ("example.com", Offer(startTLS: .required)),
            ("open.example", Offer(startTLS: .optional, authentication: true)),
            ("plain.example", Offer(authentication: true)),
        ]
        for (host, offer) in cases {
            var stream = ClientStream(policy: Given.policy)
            #expect(stream.header(try Wire.header(to: host)) == .open(ResponseHeader(from: host, to: nil), offer))
            #expect(stream.domain == host)
        }
        var secure = ClientStream(policy: Given.policy, secure: true)
        #expect(
            secure.header(try Wire.header(to: "EXAMPLE.com"))
                == .open(ResponseHeader(from: "example.com", to: nil), Offer(authentication: true)))
    }

    @Test func theAnswerIsAddressedToTheBareJIDOfFrom() throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(
            stream.header(try Wire.header(from: "Juliet@example.com/balcony"))
                == .open(ResponseHeader(from: "example.com", to: try JID(Given.juliet)), Offer(startTLS: .required)))
    }

    @Test(arguments: [
        ("nowhere.example", StreamError.Condition.hostUnknown), ("old.example", .hostGone), ("a b", .hostUnknown), ("", .hostUnknown),
    ])
    func hostsThatAreNotServed(host: String, condition: StreamError.Condition) throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(stream.header(try Wire.header(to: host)) == refused(condition))
        #expect(stream.isClosing == true)
    }

    @Test func withoutToTheOnlyHostIsMeant() throws {
        var many = ClientStream(policy: Given.policy)
        #expect(many.header(try Wire.header(to: nil)) == refused(.hostUnknown))
        var one = ClientStream(
            policy: StreamPolicy(hosts: ["only.example": .init(offersTLS: true, requiresTLS: true)], domain: "only.example"))
        #expect(
            one.header(try Wire.header(to: nil)) == .open(ResponseHeader(from: "only.example", to: nil), Offer(startTLS: .required)))
    }

    @Test func namespaces() throws {
        let cases: [(StreamHeader, StreamError.Condition)] = [
            (try Wire.header(stream: "http://wrong.example/"), .invalidNamespace),
            (try Wire.header(content: "jabber:server"), .invalidNamespace),
            (try Wire.header(content: "urn:example"), .invalidNamespace),
            (try Wire.parse("<stream:stream xmlns:stream='\(NS.stream)' to='example.com' version='1.0'>"), .invalidNamespace),
            (try Wire.header(prefix: "foobar"), .badNamespacePrefix),
            (try Wire.header(local: "open"), .badFormat),
        ]
        for (header, condition) in cases {
            var stream = ClientStream(policy: Given.policy)
            #expect(stream.header(header) == refused(condition))
        }
    }

    @Test func thePrefixFreeStyleIsTaken() throws {
        var stream = ClientStream(policy: Given.policy)
        let header = try Wire.parse("<stream xmlns='\(NS.stream)' to='example.com' version='1.0'>")
        #expect(stream.header(header) == .open(ResponseHeader(from: "example.com", to: nil), Offer(startTLS: .required)))
    }

    @Test(arguments: ["0.9", "0.99", "", "1", "1.", ".0", "1.x", "-1.0", "x"])
    func versionsThatAreRefused(version: String) throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(stream.header(try Wire.header(version: version)) == refused(.unsupportedVersion))
    }

    @Test(arguments: ["1.0", "1.13", "01.00", "2.4", "99999999999999999999.0", "1.99999999999999999999999"])
    func versionsThatAreTaken(version: String) throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(
            stream.header(try Wire.header(version: version))
                == .open(ResponseHeader(from: "example.com", to: nil), Offer(startTLS: .required)))
    }

    @Test func withoutAVersionTheAnswerHasNone() throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(stream.header(try Wire.header(version: nil)) == refused(.unsupportedVersion, hasVersion: false))
    }

    @Test func fromMustBeAnAddress() throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(stream.header(try Wire.header(from: "@@")) == refused(.invalidFrom, from: "example.com"))
    }

    @Test func aHostThatNeedsTLSAndHasNoneIsAnError() throws {
        var stream = ClientStream(policy: Given.policy)
        guard case .refuse(let closing) = stream.header(try Wire.header(to: "broken.example")) else {
            Issue.record("opened")
            return
        }
        #expect(closing.error?.condition == .internalServerError)
    }

    @Test func draining() throws {
        var first = ClientStream(policy: Given.policy)
        #expect(first.header(try Wire.header(), draining: .shutdown) == refused(.systemShutdown, from: "example.com"))
        // A redirect waits for protection (§4.9.3.19).
        var plain = ClientStream(policy: Given.policy)
        #expect(
            plain.header(try Wire.header(), draining: .redirect("[2001:db8::1]:5222"))
                == .open(ResponseHeader(from: "example.com", to: nil), Offer(startTLS: .required)))
        var secure = ClientStream(policy: Given.policy, secure: true)
        #expect(
            secure.header(try Wire.header(), draining: .redirect("[2001:db8::1]:5222"))
                == .refuse(
                    Closing(
                        header: ResponseHeader(from: "example.com", to: nil),
                        error: StreamError(.seeOtherHost, location: "[2001:db8::1]:5222"))))
        var none = ClientStream(policy: Given.policy)
        guard case .refuse(let closing) = none.header(try Wire.header(to: "plain.example"), draining: .redirect("b.example")) else {
            Issue.record("opened")
            return
        }
        #expect(closing.error?.condition == .seeOtherHost)
        // Who has authenticated is not sent away between two headers.
        var stream = try Given.authenticating()
        _ = stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AA==</auth>"))
        #expect(stream.stepped(.success(user: "juliet")) == .authenticated(try JID(Given.juliet)))
        #expect(
            stream.header(try Wire.header(), draining: .shutdown)
                == .open(ResponseHeader(from: "example.com", to: nil), Offer(binding: true)))
    }

    @Test func theIdentityStandsAfterAuthentication() throws {
        func authenticated() throws -> ClientStream {
            var stream = try Given.authenticating()
            _ = stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AA==</auth>"))
            #expect(stream.stepped(.success(user: "juliet")) == .authenticated(try JID(Given.juliet)))
            return stream
        }
        var other = try authenticated()
        #expect(other.header(try Wire.header(to: "open.example")) == refused(.notAuthorized, from: "open.example"))
        var someone = try authenticated()
        #expect(
            someone.header(try Wire.header(from: "romeo@example.com"))
                == refused(.invalidFrom, from: "example.com", to: try JID("romeo@example.com")))
        var same = try authenticated()
        #expect(
            same.header(try Wire.header(from: "juliet@example.com/x"))
                == .open(ResponseHeader(from: "example.com", to: try JID(Given.juliet)), Offer(binding: true)))
    }

    @Test func aSecondHeaderOnOneStreamIsRefused() throws {
        var stream = try Given.authenticating()
        #expect(stream.header(try Wire.header()) == .refuse(Closing(error: StreamError(.badFormat))))
        #expect(stream.header(try Wire.header()) == .ignore)
    }

    @Test func languages() throws {
        for (value, expected) in [("de-CH", "de-CH"), ("x y", nil), ("", nil), (String(repeating: "a", count: 65), nil)]
            as [(String, String?)]
        {
            var stream = ClientStream(policy: Given.policy)
            _ = stream.header(try Wire.header(lang: value))
            #expect(stream.language == expected)
        }
    }

    @Test func anErrorBeforeTheHeaderOwesOne() throws {
        var stream = ClientStream(policy: Given.policy)
        #expect(
            stream.failed(ParseError(.notWellFormed))
                == Closing(header: ResponseHeader(from: "server.example", to: nil), error: StreamError(.notWellFormed)))
        #expect(stream.failed(ParseError(.notWellFormed)) == nil)
        var later = try Given.authenticating()
        #expect(later.failed(ParseError(.restricted)) == Closing(error: StreamError(.restrictedXML)))
    }

    @Test func everyParseErrorHasItsCondition() throws {
        let expected: [ParseError.Reason: StreamError.Condition] = [
            .notWellFormed: .notWellFormed, .restricted: .restrictedXML, .badFormat: .badFormat, .unsupportedEncoding: .unsupportedEncoding,
            .tooLarge: .policyViolation, .tooDeep: .policyViolation, .tooManyAttributes: .policyViolation,
            .tooManyNamespaces: .policyViolation, .outOfMemory: .resourceConstraint,
        ]
        for reason in ParseError.Reason.allCases {
            var stream = try Given.authenticating()
            #expect(stream.failed(ParseError(reason))?.error?.condition == expected[reason])
        }
    }

    @Test func writing() throws {
        let header = ResponseHeader(from: "example.com", to: try JID(Given.juliet))
        #expect(
            Wire.text { StreamWriting.header(header, id: "a'b", into: &$0) }
                == "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
                + "from='example.com' to='juliet@example.com' id='a&apos;b' version='1.0' xml:lang='en'>")
        #expect(
            Wire.text { StreamWriting.closing(Closing(error: StreamError(.hostUnknown)), id: "x", into: &$0) }
                == "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
        #expect(
            Wire.text { StreamWriting.features(Offer(startTLS: .required), into: &$0) }
                == "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>")
        #expect(
            Wire.text {
                StreamWriting.features(
                    Offer(authentication: true), mechanisms: ["SCRAM-SHA-1-PLUS", "PLAIN"], channelBindings: ["tls-exporter"], into: &$0)
            }
                == "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
                + "<mechanism>PLAIN</mechanism></mechanisms><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
                + "<channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>")
        let binding = Wire.text { StreamWriting.features(Offer(binding: true), more: Array("<x xmlns='u'/>".utf8), into: &$0) }
        #expect(binding.contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"))
        #expect(binding.contains("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"))
        #expect(binding.hasSuffix("<x xmlns='u'/></stream:features>"))
    }
}
