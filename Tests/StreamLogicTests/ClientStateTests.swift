import Stanzas
import StreamLogic
import Testing

@Suite("Client state (XEP-0352)")
struct ClientStateTests {
    @Test func isSaidOnABoundStream() throws {
        var stream = try Given.ready()
        #expect(stream.receive(try Wire.element("<inactive xmlns='urn:xmpp:csi:0'/>")) == .clientState(active: false))
        #expect(stream.receive(try Wire.element("<active xmlns='urn:xmpp:csi:0'/>")) == .clientState(active: true))
        #expect(stream.isReady == true)
        #expect(
            stream.receive(try Wire.element("<dozing xmlns='urn:xmpp:csi:0'/>"))
                == .fail(Closing(error: StreamError(.unsupportedStanzaType))))
    }

    @Test func isNothingBefore() throws {
        var early = try Given.authenticated()
        #expect(
            early.receive(try Wire.element("<active xmlns='urn:xmpp:csi:0'/>"))
                == .fail(Closing(error: StreamError(.unsupportedStanzaType))))
        var stranger = try Given.authenticating()
        #expect(
            stranger.receive(try Wire.element("<active xmlns='urn:xmpp:csi:0'/>")) == .fail(Closing(error: StreamError(.notAuthorized))))
        var over = try Given.ready()
        _ = over.close(nil)
        #expect(over.receive(try Wire.element("<active xmlns='urn:xmpp:csi:0'/>")) == .ignore)
    }
}
