import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("SASL2 (XEP-0388)")
struct SASL2Tests {
    private let id = "d4565fa7-4d72-4749-b3d3-740edbf87770"
    private let tooMany = Closing(error: StreamError(.policyViolation, text: "Too many failed authentications"))
    private let disconnect = Closing(error: StreamError(.notAuthorized))

    private func authenticate(_ mechanism: String? = "PLAIN", _ more: String = "<initial-response>AGEAYg==</initial-response>") throws
        -> Element
    {
        let attribute = mechanism.map { " mechanism='\($0)'" } ?? ""
        return try Wire.element("<authenticate xmlns='urn:xmpp:sasl:2'\(attribute)>\(more)</authenticate>")
    }
    private func element(_ name: String, _ text: String = "") throws -> Element {
        try Wire.element("<\(name) xmlns='urn:xmpp:sasl:2'>\(text)</\(name)>")
    }

    /// A stream on which an exchange stands and waits for its outcome.
    private func begun(from: String? = nil, _ more: String = "") throws -> ClientStream {
        var stream = try Given.authenticating(from: from)
        #expect(stream.receive(try authenticate("PLAIN", more)) == .authenticateExtensible)
        return stream
    }

    // MARK: The request

    @Test func readsTheExampleWithEverythingInline() throws {
        let stream = try begun(
            """
            <initial-response>cD10bHMtZXhwb3J0ZXIs</initial-response>
            <user-agent id='D4565FA7-4d72-4749-b3d3-740edbf87770'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>
            <resume xmlns='urn:xmpp:sm:3' previd='124' h='345'/>
            <bind xmlns='urn:xmpp:bind:0'><tag> AwesomeXMPP </tag><enable xmlns='urn:xmpp:carbons:2'/>
            <enable xmlns='urn:xmpp:sm:3' resume='1' max='300'/><inactive xmlns='urn:xmpp:csi:0'/></bind>
            <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-ENDP'/>
            <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>
            <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>
            <megabind xmlns='urn:example:megabind'/>
            """)
        #expect(
            stream.request
                == AuthenticationRequest(
                    mechanism: "PLAIN", initial: Array("p=tls-exporter,".utf8),
                    agent: UserAgent(id: id, software: "AwesomeXMPP", device: "Kiva's Phone"),
                    resume: .init(previousID: "124", handled: 345),
                    bind: .init(tag: "AwesomeXMPP", management: .init(resumable: true, seconds: 300), carbons: true, inactive: true),
                    wantsTokenFor: "HT-SHA-256-ENDP", upgrades: ["UPGR-SCRAM-SHA-256"]))
    }

    @Test(
        arguments: [
            ("", nil), ("<initial-response/>", []), ("<initial-response></initial-response>", []),
            ("<initial-response>AA==</initial-response>", [0]), ("<initial-response>\n  AA==\n</initial-response>", [0]),
        ] as [(String, [UInt8]?)])
    func initialResponses(xml: String, data: [UInt8]?) throws {
        #expect(try begun(xml).request?.initial == data)
    }

    @Test(arguments: [
        "nonsense", "d4565fa7-4d72-4749-b3d3-740edbf8777", "d4565fa7_4d72-4749-b3d3-740edbf87770", "g4565fa7-4d72-4749-b3d3-740edbf87770",
        "d4565fa74d724749-b3d3-740edbf87770--", "",
    ])
    func anIDThatIsNoUUIDIsNone(text: String) throws {
        #expect(try begun("<user-agent id='\(text)'/>").request?.agent == UserAgent())
    }

    @Test func descriptionsAreCut() throws {
        let long = String(repeating: "ö", count: 500)
        let agent = try begun("<user-agent><software>\(long)</software></user-agent>").request?.agent
        #expect(agent?.software == String(repeating: "ö", count: 64))
    }

    @Test func numbersThatAreNoneAreLeftOut() throws {
        let request = try begun(
            "<resume xmlns='urn:xmpp:sm:3' previd='1' h='-1'/><bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' max='-5'/></bind>"
        ).request
        #expect(request?.resume == .init(previousID: "1", handled: nil))
        #expect(request?.bind?.management == .init(resumable: false, seconds: nil))
        #expect(try begun("<resume xmlns='urn:xmpp:sm:3' h='1'/>").request?.resume == nil)
    }

    @Test func refusesWhatWasNotOffered() throws {
        for (mechanism, more, condition) in [
            (nil, "", SASLCondition.invalidMechanism), ("DIGEST-MD5", "", .invalidMechanism),
            ("PLAIN", "<initial-response>A</initial-response>", .incorrectEncoding), ("HT-SHA-256-NONE", "", .invalidMechanism),
            ("HT-SHA-256-EXPR", "<fast xmlns='urn:xmpp:fast:0'/>", .invalidMechanism),
        ] as [(String?, String, SASLCondition)] {
            var stream = try Given.authenticating()
            stream.tokenMechanisms = ["HT-SHA-256-NONE"]
            #expect(stream.receive(try authenticate(mechanism, more)) == .rejectAuthentication(condition, nil))
            #expect(stream.request == nil && stream.profile == .extensible && stream.wantsInput == true)
        }
    }

    @Test func aTokenIsUsedOnlyAsOne() throws {
        var stream = try Given.authenticating()
        stream.tokenMechanisms = ["HT-SHA-256-NONE"]
        let fast = "<fast xmlns='urn:xmpp:fast:0' count='7' invalidate='true'/>"
        #expect(stream.receive(try authenticate("HT-SHA-256-NONE", fast)) == .authenticateExtensible)
        #expect(stream.request?.token == .init(count: 7, invalidate: true))
        var password = try Given.authenticating()
        #expect(password.receive(try authenticate("PLAIN", fast)) == .authenticateExtensible)
        #expect(password.request?.token == nil)
    }

    @Test func isForProtectedStreamsAlone() throws {
        var stream = ClientStream(policy: Given.policy)
        _ = stream.header(try Wire.header(to: "plain.example"))
        stream.mechanisms = ["SCRAM-SHA-256"]
        #expect(stream.receive(try authenticate("SCRAM-SHA-256")) == .rejectAuthentication(.encryptionRequired, nil))
    }

    // MARK: The exchange

    @Test func aWholeHandshakeGoesOnWithoutAHeader() throws {
        var stream = try begun(from: "juliet@example.com")
        #expect(stream.wantsInput == false)
        #expect(stream.stepped(.challenge) == .challenge)
        #expect(stream.receive(try element("response", "Yw==")) == .respond([UInt8(ascii: "c")]))
        #expect(stream.stepped(.success(user: "juliet")) == .accepted(try JID(Given.juliet)))
        #expect(stream.wantsInput == false && stream.account?.description == Given.juliet)
        #expect(stream.completed(.session(try JID("juliet@example.com/x"))) == Offer())
        #expect(stream.isReady == true && stream.request == nil && stream.fullJID?.resource == "x")
        #expect(stream.receive(try Wire.element("<presence/>")) == .stanza)
        #expect(stream.completed(.unbound) == nil)
    }

    @Test func bindsLaterWhereItDidNotAskTo() throws {
        var stream = try begun()
        _ = stream.stepped(.success(user: "juliet"))
        #expect(stream.completed(.unbound) == Offer(binding: true))
        #expect(
            stream.receive(try Wire.element("<iq type='set' id='b'><bind xmlns='\(NS.bind)'/></iq>")) == .bind(resource: nil))
    }

    @Test(arguments: [
        "<presence/>", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "<auth xmlns='\(NS.sasl)' mechanism='PLAIN'/>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", "<next xmlns='urn:xmpp:sasl:2' task='X'/>",
        "<task-data xmlns='urn:xmpp:sasl:2'/>", "<response xmlns='\(NS.sasl)'/>", "<starttls xmlns='\(NS.tls)'/>",
    ])
    func anythingElseMeanwhileEndsTheStream(xml: String) throws {
        var stream = try begun()
        _ = stream.stepped(.challenge)
        #expect(stream.receive(try Wire.element(xml)) == .fail(disconnect))
    }

    @Test func abortAndFailureLeaveTheStreamAsItWas() throws {
        var stream = try begun()
        _ = stream.stepped(.challenge)
        #expect(stream.receive(try element("abort", "<text>tired</text>")) == .rejectAuthentication(.aborted, nil))
        // An outcome that comes late is for nobody.
        #expect(stream.stepped(.success(user: "juliet")) == .ignore)
        #expect(stream.receive(try authenticate()) == .authenticateExtensible)
        #expect(stream.stepped(.failure(.notAuthorized)) == .reject(.notAuthorized, nil))
        // The older profile is still there, and failures of both count.
        #expect(
            stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AA==</auth>"))
                == .authenticate(mechanism: "PLAIN", initial: [0]))
        #expect(stream.profile == .rfc6120)
        #expect(stream.stepped(.failure(.notAuthorized)) == .reject(.notAuthorized, tooMany))
    }

    @Test func responsesAreDataAndNothingElse() throws {
        for (text, condition) in [("A", SASLCondition.incorrectEncoding), ("<x/>", .malformedRequest)] {
            var stream = try begun()
            _ = stream.stepped(.challenge)
            #expect(stream.receive(try element("response", text)) == .rejectAuthentication(condition, nil))
        }
        for name in ["response", "abort", "next", "success"] {
            var idle = try Given.authenticating()
            #expect(idle.receive(try element(name)) == .rejectAuthentication(.malformedRequest, nil))
        }
    }

    @Test func whoSaysToBeSomeoneElseFails() throws {
        var stream = try begun(from: "romeo@example.com")
        #expect(stream.stepped(.success(user: "juliet")) == .reject(.invalidAuthzid, nil))
        var foreign = ClientStream(policy: Given.policy, secure: true)
        #expect(
            foreign.header(try Wire.header(from: "juliet@plain.example"))
                == .refuse(
                    Closing(
                        header: ResponseHeader(from: "example.com", to: try JID("juliet@plain.example")), error: StreamError(.invalidFrom)))
        )
    }

    @Test func authenticatingTwiceEndsTheStream() throws {
        var stream = try begun()
        _ = stream.stepped(.success(user: "juliet"))
        _ = stream.completed(.unbound)
        #expect(stream.receive(try authenticate()) == .fail(disconnect))
        var ready = try Given.ready()
        #expect(ready.receive(try authenticate()) == .fail(disconnect))
    }

    // MARK: Tasks

    private let hash = "<hash xmlns='urn:xmpp:scram-upgrade:0'>\n  AQI=\n</hash>"

    @Test func tasksStandBetweenProofAndSuccess() throws {
        var stream = try begun()
        #expect(stream.stepped(.proceed(user: "juliet")) == .proceed)
        #expect(stream.account == nil && stream.wantsInput == true)
        #expect(
            stream.receive(try Wire.element("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>"))
                == .beginTask("UPGR-SCRAM-SHA-256"))
        #expect(stream.wantsInput == false)
        #expect(stream.stepped(.task) == .task)
        #expect(stream.receive(try element("task-data", hash)) == .finishTask([1, 2]))
        // One more.
        #expect(stream.stepped(.proceed(user: "juliet")) == .proceed)
        _ = stream.receive(try Wire.element("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>"))
        _ = stream.stepped(.task)
        _ = stream.receive(try element("task-data", hash))
        #expect(stream.stepped(.success(user: "juliet")) == .accepted(try JID(Given.juliet)))
    }

    @Test func tasksFailLikeEverythingElse() throws {
        for (xml, answer) in [
            ("<next xmlns='urn:xmpp:sasl:2'/>", ClientStream.Received.rejectAuthentication(.malformedRequest, nil)),
            ("<abort xmlns='urn:xmpp:sasl:2'/>", .rejectAuthentication(.aborted, nil)), ("<presence/>", .fail(disconnect)),
            ("<task-data xmlns='urn:xmpp:sasl:2'/>", .fail(disconnect)), ("<response xmlns='urn:xmpp:sasl:2'/>", .fail(disconnect)),
        ] {
            var stream = try begun()
            _ = stream.stepped(.proceed(user: "juliet"))
            #expect(stream.receive(try Wire.element(xml)) == answer)
        }
        for text in ["", "<hash xmlns='urn:xmpp:scram-upgrade:0'>A</hash>"] {
            var stream = try begun()
            _ = stream.stepped(.proceed(user: "juliet"))
            _ = stream.receive(try Wire.element("<next xmlns='urn:xmpp:sasl:2' task='X'/>"))
            _ = stream.stepped(.task)
            #expect(stream.receive(try element("task-data", text)) == .rejectAuthentication(.malformedRequest, nil))
        }
        var other = try begun()
        _ = other.stepped(.proceed(user: "juliet"))
        _ = other.receive(try Wire.element("<next xmlns='urn:xmpp:sasl:2' task='X'/>"))
        // A task never changes who it is that logs in.
        #expect(other.stepped(.success(user: "romeo")) == .reject(.notAuthorized, nil))
        #expect(other.account == nil)
    }

    // MARK: Writing

    @Test func writesTheFeature() throws {
        let offer = StreamWriting.Inline(
            resumption: true, bindFeatures: ["urn:xmpp:carbons:2"], tokenMechanisms: ["HT-SHA-256-EXPR"], upgrades: ["UPGR-SCRAM-SHA-256"])
        #expect(
            Wire.text { StreamWriting.authentication(["SCRAM-SHA-1"], offer, into: &$0) }
                == "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/>"
                + "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/></inline></bind>"
                + "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism></fast></inline>"
                + "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade></authentication>")
        #expect(Wire.text { StreamWriting.authentication([], offer, into: &$0) } == "")
    }

    @Test func writesOutcomes() throws {
        let jid = try JID("user@example.org")
        #expect(
            Wire.text { StreamWriting.success(jid, data: [0], inline: Array("<x xmlns='y'/>".utf8), into: &$0) }
                == "<success xmlns='urn:xmpp:sasl:2'><additional-data>AA==</additional-data>"
                + "<authorization-identifier>user@example.org</authorization-identifier><x xmlns='y'/></success>")
        #expect(
            Wire.text { StreamWriting.failure(.aborted, .extensible, into: &$0) }
                == "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>")
        #expect(
            Wire.text { StreamWriting.proceed(with: "UPGR-SCRAM-SHA-256", data: nil, into: &$0) }
                == "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>")
        #expect(
            Wire.text { StreamWriting.upgradeTask(salt: [0], iterations: 4096, into: &$0) }
                == "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>AA==</salt></task-data>")
        #expect(
            Wire.text { StreamWriting.limits(bytes: 10_000, idleSeconds: 1800, into: &$0) }
                == "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes><idle-seconds>1800</idle-seconds></limits>")
        #expect(
            Wire.text { StreamWriting.token("t", expiry: 1_583_937_375_000_000, into: &$0) }
                == "<token xmlns='urn:xmpp:fast:0' expiry='2020-03-11T14:36:15Z' token='t'/>")
    }
}
