import Stanzas
import StreamLogic
import Testing
import XMLStream

/// Stream management in the machine: who may say what when (XEP-0198 §3, §5, §6).
@Suite struct ManagementTests {
    private static let sm = "xmlns='urn:xmpp:sm:3'"

    private func receive(_ xml: String, _ stream: inout ClientStream) throws -> ClientStream.Received {
        stream.receive(try Element.parse(Array(xml.utf8)))
    }

    @Test func onlyWithAResourceAndOnce() throws {
        var stream = try Given.authenticated()
        #expect(try receive("<enable \(Self.sm)/>", &stream) == .management(.fail(.unexpectedRequest, nil)))
        var ready = try Given.ready()
        #expect(try receive("<r \(Self.sm)/>", &ready) == .management(.fail(.unexpectedRequest, nil)))
        #expect(try receive("<a \(Self.sm) h='0'/>", &ready) == .management(.fail(.unexpectedRequest, nil)))
        #expect(try receive("<resume \(Self.sm) h='0' previd='x'/>", &ready) == .management(.fail(.unexpectedRequest, nil)))
        #expect(try receive("<enable \(Self.sm)/>", &ready) == .management(.enable(resume: false, max: nil)))
        #expect(try receive("<enable \(Self.sm)/>", &ready) == .management(.fail(.unexpectedRequest, nil)))
        #expect(try receive("<r \(Self.sm)/>", &ready) == .management(.answer))
        #expect(try receive("<a \(Self.sm) h='4294967295'/>", &ready) == .management(.acknowledged(4_294_967_295)))
        #expect(ready.isReady == true)
    }

    @Test(arguments: [("true", true), ("1", true), ("false", false), ("0", false)]) func bothStylesOfBooleans(_ text: String, _ value: Bool)
        throws
    {
        var ready = try Given.ready()
        #expect(try receive("<enable \(Self.sm) resume='\(text)' max='60'/>", &ready) == .management(.enable(resume: value, max: 60)))
    }

    @Test(arguments: [
        "<enable xmlns='urn:xmpp:sm:3' resume='yes'/>", "<enable xmlns='urn:xmpp:sm:3' max='-1'/>",
        "<enable xmlns='urn:xmpp:sm:3' max='9999999999'/>",
    ]) func wishesThatCannotBeRead(_ xml: String) throws {
        var ready = try Given.ready()
        #expect(try receive(xml, &ready) == .management(.fail(.badRequest, nil)))
        // It was no attempt.
        #expect(try receive("<enable \(Self.sm)/>", &ready) == .management(.enable(resume: false, max: nil)))
        for bad in ["<a \(Self.sm)/>", "<a \(Self.sm) h=''/>", "<a \(Self.sm) h='4294967296'/>", "<a \(Self.sm) h='+1'/>"] {
            #expect(try receive(bad, &ready) == .management(.fail(.badRequest, nil)))
        }
        #expect(try receive("<whatever \(Self.sm)/>", &ready) == .management(.fail(.featureNotImplemented, nil)))
    }

    @Test func resumingTakesThePlaceOfBinding() throws {
        var stream = try Given.authenticated()
        #expect(try receive("<resume \(Self.sm) h='1'/>", &stream) == .management(.fail(.badRequest, nil)))
        #expect(try receive("<resume \(Self.sm) h='1' previd='x'/>", &stream) == .management(.resume(previd: "x", h: 1)))
        #expect(stream.wantsInput == false)
        stream.resumed(try JID("juliet@example.com/balcony"))
        #expect(stream.isReady == true)
        #expect(stream.fullJID?.resource == "balcony")
        #expect(try receive("<r \(Self.sm)/>", &stream) == .management(.answer))
        #expect(try receive("<enable \(Self.sm)/>", &stream) == .management(.fail(.unexpectedRequest, nil)))
    }

    @Test func whoIsRefusedMayBind() throws {
        var stream = try Given.authenticated()
        _ = try receive("<resume \(Self.sm) h='1' previd='x'/>", &stream)
        stream.resumeRefused()
        #expect(stream.wantsInput == true)
        let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
        #expect(try receive(bind, &stream) == .bind(resource: nil))
    }

    @Test func errorsWithoutEndAreOne() throws {
        var ready = try Given.ready()
        for _ in 1..<10 { #expect(try receive("<r \(Self.sm)/>", &ready) == .management(.fail(.unexpectedRequest, nil))) }
        guard case .management(.fail(.unexpectedRequest, let closing?)) = try receive("<r \(Self.sm)/>", &ready) else {
            Issue.record("the stream goes on")
            return
        }
        #expect(closing.error?.condition == .policyViolation)
        #expect(ready.isClosing == true)
    }
}
