import Stanzas
import StreamLogic
import Testing
import XMLStream

/// What a client may ask for before it has authenticated (XEP-0077 §3.1.1, XEP-0445 §4), and what it may not.
@Suite struct VisitTests {
    private static let query = "<query xmlns='jabber:iq:register'/>"
    private static let preauth = "<preauth xmlns='urn:xmpp:pars:0' token='t'/>"

    @Test func requestsForAnAccountAreLetThrough() throws {
        for (xml, isSet) in [
            ("<iq type='get' id='r'>\(Self.query)</iq>", false), ("<iq type='set' id='r' to='example.com'>\(Self.query)</iq>", true),
            ("<iq type='set' id='r'>\(Self.preauth)</iq>", true),
        ] {
            var stream = try Given.authenticating()
            #expect(stream.receive(try Wire.element(xml)) == .visit(isSet: isSet))
            #expect(stream.wantsInput == false, "what comes meanwhile must wait")
            #expect(stream.visited(nil) == .answer(id: "r"))
            #expect(stream.wantsInput == true)
            // The login goes on as if nothing had been.
            #expect(
                stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AGp1bGlldABy</auth>"))
                    == .authenticate(mechanism: "PLAIN", initial: Array("\0juliet\0r".utf8)))
        }
    }

    @Test(arguments: [
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "<iq type='set' id='r'>\(query)\(query)</iq>",
        "<iq type='set' id='r'/>",
        "<iq type='result' id='r'>\(query)</iq>", "<iq type='set'>\(query)</iq>",
        "<iq type='set' id='r' to='juliet@example.com'>\(query)</iq>",
        "<iq type='set' id='r' to='elsewhere.example'>\(query)</iq>", "<message>\(query)</message>", "<presence/>",
        "<iq type='set' id='r'><bind xmlns='\(NS.bind)'/></iq>",
    ])
    func nothingElseIs(_ xml: String) throws {
        var stream = try Given.authenticating()
        #expect(stream.receive(try Wire.element(xml)) == .fail(Closing(error: StreamError(.notAuthorized))))
    }

    @Test func notInTheMiddleOfALogin() throws {
        var stream = try Given.authenticating()
        _ = stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='SCRAM-SHA-256'>bixh</auth>"))
        #expect(stream.stepped(.challenge) == .challenge)
        #expect(
            stream.receive(try Wire.element("<iq type='get' id='r'>\(Self.query)</iq>"))
                == .fail(Closing(error: StreamError(.notAuthorized))))
    }

    @Test func refusalsAreCounted() throws {
        var stream = try Given.authenticating()
        let refusal = StanzaError(.conflict)
        for number in 1...10 {
            #expect(stream.receive(try Wire.element("<iq type='set' id='r\(number)'>\(Self.query)</iq>")) == .visit(isSet: true))
            guard case .refuse(let id, let error, let closing) = stream.visited(refusal) else {
                Issue.record("not refused")
                return
            }
            #expect(id == "r\(number)" && error == refusal)
            #expect(closing?.error?.condition == (number < 10 ? nil : .policyViolation))
        }
        #expect(stream.isClosing == true)
        #expect(stream.visited(nil) == .ignore)
    }

    /// A result that comes when the stream is gone is nobody's.
    @Test func answersToNobody() throws {
        var stream = try Given.authenticating()
        _ = stream.receive(try Wire.element("<iq type='get' id='r'>\(Self.query)</iq>"))
        stream.lost()
        #expect(stream.visited(nil) == .ignore)
    }
}
