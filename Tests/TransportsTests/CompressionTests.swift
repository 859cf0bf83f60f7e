import CZlib
import Glibc
import Settings
import Telemetry
import Testing

@testable import Transports

/// Stream compression over real sockets (XEP-0138).
@Suite("Stream compression", .serialized)
struct CompressionTests {
    private static let request = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
    private static let compressed = "<compressed xmlns='http://jabber.org/protocol/compress'/>"
    private static let feature = "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"

    private func withServer(on: Bool = true, tls: Bool = false, _ body: (TestServer) async throws -> Void) async throws {
        var certificates: TestCertificates?
        if tls {
            let made = try TestCertificates()
            try made.make("tls", domain: "tls.example")
            certificates = made
        }
        let server = try await TestServer(certificates: certificates) { $0.listen.compression = on }
        do {
            try await server.start()
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func header(_ host: String) -> String {
        "<?xml version='1.0'?><stream:stream to='\(host)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    }

    /// An authenticated client, and the features it was offered.
    private func authenticated(_ server: TestServer, _ user: String = "juliet") throws -> (TestClient, String) {
        let client = try TestClient(port: server.port)
        try client.open("plain.example")
        if let failure = try client.scram(user) { throw TestTrouble(failure) }
        client.send(header("plain.example"))
        return (client, try client.expect("</stream:features>"))
    }

    /// Goes on compressed; answers the features of the new stream.
    private func compress(_ client: TestClient, _ host: String = "plain.example") throws -> String {
        client.send(Self.request)
        try client.expect(Self.compressed)
        client.zlib = try TestZlib()
        client.send(header(host))
        return try client.expect("</stream:features>")
    }

    @Test func aCompressedConversation() async throws {
        try await withServer { server in
            let (client, features) = try authenticated(server)
            // Behind authentication and before the resource (XEP-0170 §2).
            #expect(features.contains(Self.feature))
            let again = try compress(client)
            #expect(!again.contains("compress") && again.contains("xmpp-bind"))
            try client.bind("balcony")
            let body = String(repeating: "It is the east, and Juliet is the sun. ", count: 500)
            client.send("<message to='juliet@plain.example/balcony' type='chat'><body>\(body)</body></message>")
            try client.expect("<body>\(body)</body>")
            #expect(server.count("martlet_stream_compressions_total{result=\"compressed\"}") == 1)
            #expect(server.count("martlet_client_received_bytes_total") > 19_500)
            #expect((1..<3_000).contains(server.count("martlet_client_compressed_received_bytes_total")))
            #expect((1..<3_000).contains(server.count("martlet_client_compressed_sent_bytes_total")))
            client.send("</stream:stream>")
            #expect(try client.expectEnd().contains("</stream:stream>"))
        }
    }

    @Test func overTLSWithSASL2BeforeAResource() async throws {
        try await withServer(tls: true) { server in
            let (client, before) = try TestClient.secure(server)
            #expect(!before.contains("features/compress"))
            client.send(client.plainRequest("juliet", ""))
            try client.expect("</success>")
            #expect(try client.expect("</stream:features>").contains(Self.feature))
            #expect(!(try compress(client, "tls.example")).contains("features/compress"))
            try client.bind("balcony")
            client.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            try client.expect("id='p'")
        }
    }

    @Test func aBoundResourceIsTooLate() async throws {
        try await withServer(tls: true) { server in
            let (client, _) = try TestClient.secure(server)
            client.send(client.plainRequest("juliet", "<bind xmlns='urn:xmpp:bind:0'><tag>A</tag></bind>"))
            #expect(!(try client.success()).contains("features/compress"))
            client.send(Self.request)
            #expect(try client.expect("</failure>").contains("<setup-failed/>"))
            // Failure is no end (XEP-0138 §3).
            client.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            try client.expect("id='p'")
        }
    }

    @Test func aSessionIsResumedOverACompressedStream() async throws {
        try await withServer { server in
            let (first, _) = try authenticated(server)
            _ = try compress(first)
            try first.bind("balcony")
            first.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            let enabled = try first.expect("/>")
            let id = try #require(enabled.split(separator: " id='").dropFirst().first?.prefix { $0 != "'" })
            first.send("<message to='juliet@plain.example/balcony' type='chat'><body>once</body></message>")
            try first.expect("<body>once</body>")
            let (second, _) = try authenticated(server)
            _ = try compress(second)
            second.send("<resume xmlns='urn:xmpp:sm:3' previd='\(id)' h='0'/>")
            try second.expect("<resumed ")
            // It had not acknowledged the message.
            try second.expect("<body>once</body>")
            #expect(try first.expect("</stream:stream>").contains("<conflict"))
        }
    }

    @Test func refusals() async throws {
        try await withServer { server in
            let (client, _) = try authenticated(server)
            client.send("<compress xmlns='http://jabber.org/protocol/compress'><method>lzw</method></compress>")
            #expect(
                try client.expect("</failure>")
                    == "<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>")
            client.send("<compress xmlns='http://jabber.org/protocol/compress'/>")
            #expect(try client.expect("</failure>").contains("<setup-failed/>"))
            // What is sent behind the request before its answer cannot be compressed, and plain text would be lost.
            client.send(Self.request + "<iq type='set' id='bind'/>")
            #expect(try client.expect("</failure>").contains("<setup-failed/>"))
            try client.expect("<unexpected-request")
            _ = try compress(client)
            client.send(Self.request)
            #expect(try client.expect("</failure>").contains("<setup-failed/>"))
            client.send(Self.request)
            let end = try client.expect("</stream:stream>")
            #expect(end.contains("<setup-failed/>") && end.contains("<policy-violation"))
        }
    }

    @Test func offIsNotOfferedAndRefused() async throws {
        try await withServer(on: false) { server in
            let (client, features) = try authenticated(server)
            #expect(!features.contains("compress"))
            client.send(Self.request)
            #expect(try client.expect("</failure>").contains("<unsupported-method/>"))
            try client.bind("balcony")
        }
    }

    @Test func damagedBytesEndTheStream() async throws {
        try await withServer { server in
            let (client, _) = try authenticated(server)
            _ = try compress(client)
            client.send(Array("<iq type='get' id='x'/>".utf8))
            let end = try client.expect("</stream:stream>")
            #expect(
                end.contains(
                    "<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><failure xmlns='http://jabber.org/protocol/compress'><processing-failed/></failure></stream:error></stream:stream>"
                ))
            #expect(server.count("martlet_stream_compressions_total{result=\"damaged\"}") == 1)
        }
    }

    @Test func aBombEndsTheStream() async throws {
        try await withServer { server in
            let (client, _) = try authenticated(server)
            _ = try compress(client)
            try client.bind("balcony")
            client.send(String(repeating: " ", count: 50_000_000))
            #expect(try client.expect("</stream:stream>").contains("<policy-violation"))
            #expect(server.count("martlet_stream_compressions_total{result=\"bomb\"}") == 1)
            #expect(server.count("martlet_client_received_bytes_total") < 12_000_000)
        }
    }

    /// The framer's limits hold for what comes out.
    @Test func aStanzaIsNoLargerForBeingCompressed() async throws {
        try await withServer { server in
            let (client, _) = try authenticated(server)
            _ = try compress(client)
            try client.bind("balcony")
            client.send("<message to='juliet@plain.example'><body>\(String(repeating: "a", count: 300_000))</body></message>")
            #expect(try client.expect("</stream:stream>").contains("<policy-violation"))
        }
    }

    /// More than a turn's worth in one read, and more than a session takes at once: all of it arrives, in order.
    @Test func manyStanzasInOneRead() async throws {
        try await withServer { server in
            let (client, _) = try authenticated(server)
            _ = try compress(client)
            try client.bind("balcony")
            let padding = (0..<40).map { "\($0)" }.joined(separator: "-")
            client.send(
                (0..<4_000).map {
                    "<message to='juliet@plain.example/balcony' type='chat' id='m\($0)'><body>\(padding)</body></message>"
                }.joined())
            for number in 0..<4_000 { try client.expect("id='m\(number)'") }
        }
    }
}

extension TestServer {
    /// The value of a counter.
    func count(_ name: String) -> Int {
        for line in Exposition.text(of: registry).split(separator: "\n") where line.hasPrefix(name + " ") {
            return Int(line.dropFirst(name.utf8.count + 1)) ?? -1
        }
        return -1
    }
}
