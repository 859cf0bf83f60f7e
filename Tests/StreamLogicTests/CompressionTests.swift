import Stanzas
import StreamLogic
import Testing
import XMLStream

@Suite("Stream compression (XEP-0138)")
struct CompressionTests {
    private static var policy: StreamPolicy {
        var policy = Given.policy
        policy.compression = true
        return policy
    }

    private func request(_ inner: String = "<method>zlib</method>") throws -> Element {
        try Wire.element("<compress xmlns='\(NS.compress)'>\(inner)</compress>")
    }

    /// A stream that authenticated as juliet.
    private func authenticated(_ policy: StreamPolicy = Self.policy) throws -> ClientStream {
        var stream = ClientStream(policy: policy, secure: true)
        guard case .open(_, Offer(authentication: true)) = stream.header(try Wire.header()) else { throw StreamError(.badFormat) }
        stream.mechanisms = ["PLAIN"]
        _ = stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AGp1bGlldABy</auth>"))
        _ = stream.stepped(.success(user: "juliet"))
        guard case .open(_, let offer) = stream.header(try Wire.header()) else { throw StreamError(.badFormat) }
        #expect(offer == Offer(compression: policy.compression, binding: true))
        return stream
    }

    @Test func aNewStreamFollows() throws {
        var stream = try authenticated()
        #expect(stream.receive(try request()) == .compress)
        #expect(stream.wantsInput == false && stream.isCompressed == false)
        #expect(stream.compressed() && stream.isCompressed && stream.wantsInput)
        #expect(stream.compressed() == false)
        #expect(stream.header(try Wire.header()) == .open(ResponseHeader(from: "example.com", to: nil), Offer(binding: true)))
        // Once (§3), and the account is still the same.
        #expect(stream.receive(try request()) == .refuseCompression(.setupFailed, nil))
        #expect(stream.account == (try JID(Given.juliet)))
        #expect(stream.receive(try Wire.element("<iq type='set' id='1'><bind xmlns='\(NS.bind)'/></iq>")) == .bind(resource: nil))
    }

    @Test func methods() throws {
        let cases: [(String, ClientStream.Received)] = [
            ("<method>zlib</method>", .compress), ("<method>lzw</method><method>zlib</method>", .compress),
            ("<method>lzw</method>", .refuseCompression(.unsupportedMethod, nil)),
            ("<method/>", .refuseCompression(.unsupportedMethod, nil)), ("", .refuseCompression(.setupFailed, nil)),
        ]
        for (inner, answer) in cases {
            var stream = try authenticated()
            #expect(stream.receive(try request(inner)) == answer, "\(inner)")
        }
    }

    @Test func theWrongMoment() throws {
        var early = ClientStream(policy: Self.policy, secure: true)
        _ = early.header(try Wire.header())
        #expect(early.receive(try request()) == .refuseCompression(.setupFailed, nil))
        var followed = try authenticated()
        #expect(followed.receive(try request(), followed: true) == .refuseCompression(.setupFailed, nil))
        #expect(followed.receive(try request()) == .compress)
        var bound = try authenticated()
        _ = bound.receive(try Wire.element("<iq type='set' id='1'><bind xmlns='\(NS.bind)'/></iq>"))
        _ = bound.bound(try JID("juliet@example.com/balcony"))
        #expect(bound.receive(try request()) == .refuseCompression(.setupFailed, nil))
        #expect(bound.isReady == true)
        var off = try authenticated(Given.policy)
        #expect(off.receive(try request()) == .refuseCompression(.unsupportedMethod, nil))
        var strange = try authenticated()
        #expect(
            strange.receive(try Wire.element("<compressed xmlns='\(NS.compress)'/>"))
                == .fail(Closing(error: StreamError(.unsupportedStanzaType))))
    }

    @Test func failuresAreCounted() throws {
        var stream = try authenticated()
        for _ in 1..<Self.policy.compressionFailures {
            #expect(stream.receive(try request()) == .compress)
            #expect(stream.compressionFailed() == .refuseCompression(.setupFailed, nil))
        }
        #expect(stream.receive(try request()) == .compress)
        #expect(
            stream.compressionFailed()
                == .refuseCompression(
                    .setupFailed, Closing(error: StreamError(.policyViolation, text: "Too many refused requests for compression"))))
        #expect(stream.compressionFailed() == .ignore)
    }

    @Test func writing() {
        #expect(
            Wire.text { StreamWriting.features(Offer(compression: true), into: &$0) }
                == "<stream:features><compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression></stream:features>"
        )
        #expect(Wire.text { StreamWriting.compressed(into: &$0) } == "<compressed xmlns='http://jabber.org/protocol/compress'/>")
        #expect(
            Wire.text { StreamWriting.compressionFailure(.unsupportedMethod, into: &$0) }
                == "<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>")
    }
}
