import COpenSSL
import NIOCore
import NIOEmbedded
import Settings
import Testing

@testable import Transports

/// Remembers what comes out of the TLS handler, in order.
private final class Witness: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var plain: [UInt8] = []
    var events: [TLSEvent] = []

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { plain += unwrapInboundIn(data).readableBytesView }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSEvent { events.append(event) }
    }
}

/// A server's channel and a client, with the wire between them in the test's hands.
private final class Wiring {
    let channel = EmbeddedChannel()
    let handler: TLSHandler
    let client: TestTLSClient
    let witness = Witness()
    /// Most bytes the server is given at once.
    var piece = Int.max

    init(_ table: TLSTable, _ client: TestTLSClient, host: String? = nil, direct: Bool = false) throws {
        self.client = client
        handler = try TLSHandler(table: table, host: host, direct: direct, memory: TLSMemory())
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.pipeline.syncOperations.addHandler(witness)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5222)).wait()
    }

    /// Gives bytes to the server as they would come from the wire.
    func give(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, channel.isActive {
            let part = rest.prefix(piece)
            rest = rest.dropFirst(part.count)
            channel.pipeline.fireChannelRead(ByteBuffer(bytes: part))
            channel.pipeline.fireChannelReadComplete()
        }
    }

    /// What the server has sent since the last call.
    func taken() -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { bytes += buffer.readableBytesView }
        return bytes
    }

    /// Carries bytes both ways until there are none.
    func run() {
        client.take([])
        for _ in 0..<100 {
            let up = client.takeOutgoing()
            if !up.isEmpty { give(up) }
            let down = taken()
            if !down.isEmpty { client.take(down) }
            if up.isEmpty, down.isEmpty { return }
        }
    }

    func write(_ text: String) -> EventLoopFuture<Void> { channel.write(ByteBuffer(string: text)) }

    /// Ends the channel without a word of the client.
    func finish() {
        channel.close(promise: nil)
        channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }
}

@Suite("TLS")
struct TLSTests {
    private let certificates: TestCertificates
    private let table: TLSTable

    init() throws {
        certificates = try TestCertificates()
        table = try certificates.table(["a.example", "b.example"])
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION], [1, 7, 100, Int.max])
    func aConversationInAnySplit(version: Int32, piece: Int) throws {
        let wiring = try Wiring(table, try TestTLSClient(maximum: version))
        defer { wiring.finish() }
        wiring.piece = piece
        wiring.run()
        #expect(wiring.client.isOpen && wiring.handler.isOpen)
        #expect(wiring.client.version == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"))
        #expect(wiring.witness.events == [.established(wiring.handler.facts)])
        #expect(wiring.handler.facts.version == wiring.client.version)
        let question = Array("<stream:stream>".utf8) + [UInt8](repeating: 0x61, count: 40_000)
        for part in stride(from: 0, to: question.count, by: 16_000) {
            wiring.client.send(Array(question[part..<min(part + 16_000, question.count)]))
        }
        wiring.run()
        #expect(wiring.witness.plain == question)
        let done = wiring.write(String(repeating: "x", count: 100_000))
        _ = wiring.write("y")
        wiring.channel.flush()
        #expect(try done.wait() == ())
        wiring.run()
        #expect(wiring.client.received.count == 100_001 && wiring.client.received.last == UInt8(ascii: "y"))
    }

    @Test func oneFlushIsOneRecord() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        wiring.run()
        for _ in 0..<10 { _ = wiring.write("<message/>") }
        #expect(wiring.taken().isEmpty)
        wiring.channel.flush()
        let sealed = wiring.taken()
        // Header 5, content type 1, tag 16.
        #expect(sealed.count == 100 + 22)
        wiring.client.take(sealed)
        #expect(wiring.client.received.count == 100)
    }

    @Test func theNamedHostIsShown() throws {
        for (name, host, shown) in [
            ("a.example", nil, "a.example"), ("b.example", nil, "b.example"), ("B.Example", nil, "b.example"),
            ("c.example", nil, "a.example"),
            (nil, "b.example", "b.example"), ("a.example", "b.example", "a.example"), ("c.example", "b.example", "b.example"),
        ] as [(String?, String?, String)] {
            let wiring = try Wiring(table, try TestTLSClient(serverName: name), host: host)
            defer { wiring.finish() }
            wiring.run()
            #expect(wiring.client.certificateNames(shown), "\(name ?? "-") at \(host ?? "-")")
            #expect(wiring.handler.facts.serverName == name)
        }
    }

    @Test func protocols() throws {
        for (offered, direct, agreed) in [
            ([], true, nil), (["xmpp-client"], true, "xmpp-client"), (["h2", "xmpp-client"], true, "xmpp-client"), (["h2"], false, nil),
            (["xmpp-client"], false, "xmpp-client"),
        ] as [([String], Bool, String?)] {
            let wiring = try Wiring(table, try TestTLSClient(protocols: offered), direct: direct)
            defer { wiring.finish() }
            wiring.run()
            #expect(wiring.client.isOpen && wiring.client.applicationProtocol == agreed)
            #expect(wiring.handler.facts.applicationProtocol == agreed)
        }
        let wiring = try Wiring(table, try TestTLSClient(protocols: ["h2", "http/1.1"]), direct: true)
        defer { wiring.finish() }
        wiring.run()
        #expect(!wiring.client.isOpen && wiring.client.failure?.contains("no application protocol") == true)
        #expect(!wiring.channel.isActive)
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func bindingsAreTheSameOnBothEnds(version: Int32) throws {
        let wiring = try Wiring(table, try TestTLSClient(serverName: "b.example", maximum: version))
        defer { wiring.finish() }
        #expect(wiring.handler.exporter == nil && wiring.handler.serverEndPoint == nil)
        wiring.run()
        #expect(wiring.handler.exporter == wiring.client.exporter)
        #expect(wiring.handler.serverEndPoint == wiring.client.certificateHash)
        let other = try Wiring(table, try TestTLSClient(serverName: "b.example", maximum: version))
        defer { other.finish() }
        other.run()
        #expect(other.handler.exporter != wiring.handler.exporter)
    }

    @Test func oldVersionsAreRefused() throws {
        let wiring = try Wiring(table, try TestTLSClient(maximum: TLS1_1_VERSION, minimum: TLS1_VERSION))
        defer { wiring.finish() }
        wiring.run()
        #expect(!wiring.client.isOpen && !wiring.channel.isActive)
        var settings = Settings.TLS()
        settings.minimum = .tls13
        let strict = try Wiring(certificates.table(["s.example"], settings: settings), try TestTLSClient(maximum: TLS1_2_VERSION))
        defer { strict.finish() }
        strict.run()
        #expect(!strict.client.isOpen && !strict.channel.isActive)
    }

    @Test func renegotiationIsRefusedAndKeysMayBeRenewed() throws {
        let old = try Wiring(table, try TestTLSClient(maximum: TLS1_2_VERSION))
        defer { old.finish() }
        old.run()
        #expect(old.client.renegotiate())
        old.client.send([0x61])
        old.run()
        #expect(old.witness.plain.count <= 1 && old.witness.events.count <= 2)
        let new = try Wiring(table, try TestTLSClient())
        defer { new.finish() }
        new.run()
        new.client.updateKeys()
        new.client.send(Array("after".utf8))
        new.run()
        _ = new.write("answer")
        new.channel.flush()
        new.run()
        #expect(new.witness.plain == Array("after".utf8) && new.client.received == Array("answer".utf8))
    }

    @Test func closingWaitsForThePeersWord() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        wiring.run()
        _ = wiring.write("</stream:stream>")
        let closed = wiring.channel.close()
        #expect(wiring.channel.isActive)
        wiring.client.take(wiring.taken())
        #expect(wiring.client.sawCloseNotify && wiring.client.received == Array("</stream:stream>".utf8))
        wiring.client.close()
        wiring.give(wiring.client.takeOutgoing())
        #expect(!wiring.channel.isActive)
        try closed.wait()
    }

    @Test func closingDoesNotWaitForEver() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        wiring.run()
        let closed = wiring.channel.close()
        #expect(wiring.channel.isActive)
        wiring.channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        #expect(!wiring.channel.isActive)
        try closed.wait()
    }

    @Test func thePeersCloseIsTold() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        wiring.run()
        wiring.client.send(Array("last".utf8))
        wiring.client.close()
        wiring.run()
        #expect(wiring.witness.plain == Array("last".utf8))
        #expect(wiring.witness.events.last == .peerClosed)
        // Nothing more is expected of the peer: closing is immediate.
        let closed = wiring.channel.close()
        #expect(!wiring.channel.isActive)
        try closed.wait()
        wiring.client.take(wiring.taken())
        #expect(wiring.client.sawCloseNotify)
    }

    @Test func handshakesEndInTime() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        wiring.client.take([])
        wiring.give(Array(wiring.client.takeOutgoing().prefix(40)))
        wiring.channel.embeddedEventLoop.advanceTime(by: .seconds(14))
        #expect(wiring.channel.isActive)
        wiring.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!wiring.channel.isActive)
        #expect(wiring.witness.events == [.failed(TLSFailure("handshake timed out"))])
    }

    @Test func promisesFailWithTheConnection() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        let early = wiring.write("before the handshake")
        wiring.channel.flush()
        wiring.finish()
        #expect(throws: (any Error).self) { try early.wait() }
    }

    @Test func textBeforeTheHandshakeLeavesAfterIt() throws {
        let wiring = try Wiring(table, try TestTLSClient())
        defer { wiring.finish() }
        let early = wiring.write("patience")
        wiring.channel.flush()
        #expect(wiring.taken().isEmpty)
        wiring.run()
        try early.wait()
        #expect(wiring.client.received == Array("patience".utf8))
    }

    @Test func garbageNeverTraps() throws {
        var state: UInt64 = 7
        func next() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 40)
        }
        for round in 0..<300 {
            let wiring = try Wiring(table, try TestTLSClient())
            defer { wiring.finish() }
            if round % 3 == 0 {
                wiring.give((0..<Int(next()) + 1).map { _ in next() })
                continue
            }
            if round % 3 == 1 { wiring.run() } else { wiring.client.take([]) }
            if round % 3 == 1 { wiring.client.send([0x61]) }
            var bytes = wiring.client.takeOutgoing()
            bytes[Int(next()) % bytes.count] ^= next() | 1
            wiring.give(bytes)
            // A broken record never comes through.
            if round % 3 == 1 { #expect(wiring.witness.plain.isEmpty) }
        }
        let plain = try Wiring(table, try TestTLSClient())
        defer { plain.finish() }
        plain.give(Array("<?xml version='1.0'?><stream:stream to='a.example'>".utf8))
        #expect(!plain.channel.isActive)
        guard case .failed = plain.witness.events.last else {
            Issue.record("no reason given")
            return
        }
    }
}

@Suite("Certificates")
struct CertificateTests {
    @Test func errorsNameTheFile() throws {
        let certificates = try TestCertificates()
        try certificates.make("a", domain: "a.example")
        try certificates.make("b", domain: "b.example")
        try certificates.write("junk", "not a certificate\n")
        func message(_ certificate: String, _ key: String, _ settings: Settings.TLS = Settings.TLS()) -> String? {
            do throws(TLSConfigurationError) {
                _ = try TLSContext(
                    domain: "a.example", certificate: certificates.path(certificate), key: certificates.path(key), settings: settings)
                return nil
            } catch { return error.description }
        }
        #expect(message("a.crt", "a.key") == nil)
        #expect(message("none", "a.key") == "The certificate file \(certificates.path("none")) cannot be read: No such file or directory.")
        #expect(message("a.crt", "none") == "The private key file \(certificates.path("none")) cannot be read: No such file or directory.")
        #expect(message("junk", "a.key")?.hasPrefix("\(certificates.path("junk")) does not hold a PEM certificate chain") == true)
        #expect(message("a.crt", "junk")?.hasPrefix("\(certificates.path("junk")) does not hold an unencrypted PEM private key") == true)
        #expect(
            message("a.crt", "b.key")
                == "The private key in \(certificates.path("b.key")) does not belong to the certificate in \(certificates.path("a.crt")).")
        var settings = Settings.TLS()
        settings.ciphers = "NONSENSE"
        #expect(message("a.crt", "a.key", settings)?.contains("tls.ciphers") == true)
        settings = Settings.TLS()
        settings.groups = "P-257"
        #expect(message("a.crt", "a.key", settings)?.contains("tls.groups") == true)
    }

    @Test func warnings() throws {
        let certificates = try TestCertificates()
        try certificates.make("good", domain: "a.example")
        try certificates.make("soon", domain: "a.example", days: 5)
        try certificates.make("old", domain: "a.example", days: -3)
        try certificates.make("other", domain: "b.example")
        func warnings(_ name: String) throws -> [String] {
            try TLSContext(
                domain: "a.example", certificate: certificates.path(name + ".crt"), key: certificates.path(name + ".key"),
                settings: Settings.TLS()
            ).warnings
        }
        #expect(try warnings("good") == [])
        #expect(try warnings("soon") == ["The certificate in \(certificates.path("soon.crt")) expires in 5 days."])
        #expect(try warnings("old").first?.contains("expired") == true)
        #expect(try warnings("other").first?.contains("does not name a.example") == true)
    }

    @Test func hostsWithoutOrWithHalfACertificate() throws {
        let certificates = try TestCertificates()
        try certificates.make("a", domain: "a.example")
        var host = Settings.Host(domain: "a.example")
        #expect(try TLSTable.load([host], settings: Settings.TLS()) == nil)
        host.certificate = certificates.path("a.crt")
        #expect(throws: TLSConfigurationError.self) { try TLSTable.load([host], settings: Settings.TLS()) }
        host.key = certificates.path("a.key")
        let table = try TLSTable.load([Settings.Host(domain: "plain.example"), host], settings: Settings.TLS())
        #expect(table?.domains == ["a.example"] && table?.covers("plain.example") == false)
    }
}
