import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("Authentication without SASL (XEP-0078)")
struct NonSASLTests {
    private static var policy: StreamPolicy {
        var policy = Given.policy
        policy.nonSASL = true
        return policy
    }

    private static let all = "<username>bill</username><password>Calli0pe</password><resource>globe</resource>"

    private func iq(_ fields: String = Self.all, type: String = "set", to: String? = nil) throws -> Element {
        try Wire.element(
            "<iq type='\(type)' id='auth2'\(to.map { " to='\($0)'" } ?? "")><query xmlns='jabber:iq:auth'>\(fields)</query></iq>")
    }

    private func opened(
        _ policy: StreamPolicy = Self.policy, secure: Bool = true, to: String = "example.com", from: String? = nil,
        mechanisms: [String] = ["PLAIN"]
    ) throws -> ClientStream {
        var stream = ClientStream(policy: policy, secure: secure)
        _ = stream.header(try Wire.header(to: to, from: from))
        stream.mechanisms = mechanisms
        return stream
    }

    private let check = ClientStream.Received.authenticate(mechanism: "PLAIN", initial: Array("\0bill\0Calli0pe".utf8))
    private let bill = try! JID("bill@example.com")

    @Test func theExample() throws {
        var stream = try opened()
        #expect(stream.offersNonSASL == true)
        #expect(stream.receive(try iq("", type: "get", to: "example.com")) == .nonSASLFields(id: "auth2"))
        // Who asks for a name's fields gets the same, whether there is such a name.
        #expect(stream.receive(try iq("<username>nobody</username>", type: "get")) == .nonSASLFields(id: "auth2"))
        #expect(stream.receive(try iq()) == check)
        #expect(stream.wantsInput == false)
        #expect(stream.stepped(.success(user: "bill")) == .enter(bill, resource: "globe"))
        #expect(stream.wantsInput == false && stream.isReady == false)
        #expect(stream.bound(try JID("bill@example.com/globe")) == "auth2")
        #expect(stream.isReady == true && stream.account == bill && stream.offersNonSASL == false)
        // It is a request like any other now.
        #expect(stream.receive(try iq("", type: "get")) == .stanza)
    }

    @Test func failures() throws {
        let cases: [(SASLCondition, StanzaError.Condition)] = [
            (.notAuthorized, .notAuthorized), (.accountDisabled, .forbidden), (.temporaryAuthFailure, .resourceConstraint),
            (.malformedRequest, .notAcceptable), (.invalidAuthzid, .notAuthorized),
        ]
        for (condition, answer) in cases {
            var stream = try opened()
            #expect(stream.receive(try iq()) == check)
            #expect(stream.stepped(.failure(condition)) == .refuse(id: "auth2", StanzaError(answer), nil))
            // Not a failure of SASL: the client may try again, until it has tried too often.
            #expect(stream.receive(try iq()) == check)
            #expect(stream.stepped(.failure(.notAuthorized)) == .refuse(id: "auth2", StanzaError(.notAuthorized), nil))
            #expect(stream.receive(try iq()) == check)
            #expect(
                stream.stepped(.failure(.notAuthorized))
                    == .refuse(
                        id: "auth2", StanzaError(.notAuthorized),
                        Closing(error: StreamError(.policyViolation, text: "Too many failed authentications"))))
        }
    }

    @Test func everyFieldIsRequired() throws {
        for fields in [
            "", "<username>bill</username><password>Calli0pe</password>", "<username>bill</username><resource>globe</resource>",
            "<password>Calli0pe</password><resource>globe</resource>",
            "<username>bill</username><digest>48fc78be9ec8f86d8ce1c39c320c97c21d62334d</digest><resource>globe</resource>",
            "<username/><password>Calli0pe</password><resource>globe</resource>",
            "<username>bill</username><password/><resource>globe</resource>",
            "<username>bill</username><password>Calli0pe</password><resource/>",
            "<username>bill</username><password>Calli0pe</password><resource>\u{200E}</resource>",
        ] {
            var stream = try opened()
            #expect(stream.receive(try iq(fields)) == .refuse(id: "auth2", StanzaError(.notAcceptable), nil), "\(fields)")
            #expect(stream.wantsInput == true)
        }
    }

    @Test func aResourceThatIsTakenLeavesTheClientOutside() throws {
        var stream = try opened()
        _ = stream.receive(try iq())
        _ = stream.stepped(.success(user: "bill"))
        #expect(stream.bindRefused(StanzaError(.conflict)) == .refuse(id: "auth2", StanzaError(.conflict), nil))
        #expect(stream.account == nil && stream.fullJID == nil)
        #expect(stream.receive(try Wire.element("<iq type='set' id='b'><bind xmlns='\(NS.bind)'/></iq>")).isRefusal)
        var again = try opened()
        _ = again.receive(try iq())
        _ = again.stepped(.success(user: "bill"))
        _ = again.bindRefused(StanzaError(.conflict))
        #expect(again.receive(try iq()) == check)
    }

    @Test func notAfterSASLFailed() throws {
        var stream = try opened()
        _ = stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AGp1bGlldABy</auth>"))
        _ = stream.stepped(.failure(.notAuthorized))
        #expect(
            stream.receive(try iq("", type: "get"))
                == .fail(Closing(error: StreamError(.policyViolation, text: "SASL was tried and failed"))))
    }

    @Test func onlyUnderTLSWherePlainIsOffered() throws {
        let unavailable = ClientStream.Received.refuse(id: "auth2", StanzaError(.serviceUnavailable), nil)
        for type in ["get", "set"] {
            var open = try opened(secure: false, to: "plain.example")
            #expect(open.offersNonSASL == false)
            #expect(open.receive(try iq(type: type)) == unavailable)
            var strict = try opened(mechanisms: ["SCRAM-SHA-256"])
            #expect(strict.offersNonSASL == false)
            #expect(strict.receive(try iq(type: type)) == unavailable)
            var off = try opened(Given.policy)
            #expect(off.offersNonSASL == false)
            #expect(off.receive(try iq(type: type)) == .fail(Closing(error: StreamError(.notAuthorized))))
            var elsewhere = try opened()
            #expect(
                elsewhere.receive(try iq(type: type, to: "romeo@example.com")) == .fail(Closing(error: StreamError(.notAuthorized))))
        }
    }

    @Test func nobodyIsLetInAsSomeoneElse() throws {
        var stream = try opened(from: "juliet@example.com")
        _ = stream.receive(try iq())
        #expect(stream.stepped(.success(user: "bill")) == .fail(Closing(error: StreamError(.invalidFrom))))
        #expect(stream.account == nil)
    }

    /// Such clients send no version, and are sent no features (RFC 6120 §4.7.5).
    @Test func aHeaderWithoutVersion() throws {
        let old = try Wire.header(version: nil)
        func answer(_ policy: StreamPolicy, secure: Bool) -> ClientStream.Opening {
            var stream = ClientStream(policy: policy, secure: secure)
            return stream.header(old)
        }
        #expect(
            answer(Self.policy, secure: true)
                == .open(ResponseHeader(from: "example.com", to: nil, hasVersion: false), Offer(authentication: true)))
        for (policy, secure) in [(Given.policy, true), (Self.policy, false)] {
            guard case .refuse(let closing) = answer(policy, secure: secure) else {
                Issue.record("a stream without version was opened")
                continue
            }
            #expect(closing.error?.condition == .unsupportedVersion)
        }
    }

    @Test func writing() {
        #expect(
            Wire.text { StreamWriting.nonSASLFields(id: "auth1", into: &$0) }
                == "<iq type='result' id='auth1'><query xmlns='jabber:iq:auth'><username/><password/><resource/></query></iq>")
        #expect(Wire.text { StreamWriting.nonSASLFeature(into: &$0) } == "<auth xmlns='http://jabber.org/features/iq-auth'/>")
    }
}

extension ClientStream.Received {
    fileprivate var isRefusal: Bool {
        if case .fail(let closing) = self { closing.error?.condition == .notAuthorized } else { false }
    }
}
