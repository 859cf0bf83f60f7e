import COpenSSL
import Glibc
import Settings
import Testing

@testable import Transports

@Suite("Clients over TCP", .serialized)
struct ClientTests {
    private func withServer(
        certificates: TestCertificates? = nil, loops: Int = 2, adjust: (inout Settings) -> Void = { _ in },
        _ body: (TestServer) async throws -> Void
    ) async throws {
        let server = try await TestServer(certificates: certificates, loops: loops, adjust: adjust)
        do {
            try await server.start()
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func certificates() throws -> TestCertificates {
        let certificates = try TestCertificates()
        try certificates.make("tls", domain: "tls.example")
        return certificates
    }

    private let startTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

    @Test func aWholeLifeUnderTLS() async throws {
        try await withServer(certificates: certificates()) { server in
            let client = try TestClient(port: server.port)
            client.send(
                "<stream:stream to='tls.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            let first = try client.expect("</stream:features>")
            #expect(first.contains("<required/>") && !first.contains("<mechanism>"))
            client.send(startTLS)
            try client.expect("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            let tls = try TestTLSClient()
            try client.startTLS(tls)
            #expect(tls.certificateNames("tls.example"))
            client.send(
                "<stream:stream to='tls.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            let second = try client.expect("</stream:features>")
            #expect(
                second.contains("<mechanism>SCRAM-SHA-256-PLUS</mechanism>") && second.contains("<channel-binding type='tls-exporter'/>"))
            #expect(second.contains("<channel-binding type='tls-server-end-point'/>") && !second.contains("starttls"))
            #expect(try client.scram("juliet", plus: true) == nil)
            try client.open("tls.example")
            try client.bind("balcony")
            client.send("<message type='chat' to='juliet@tls.example/balcony' id='1'><body>to myself</body></message>")
            let message = try client.expect("</message>")
            #expect(message.contains("from='juliet@tls.example/balcony'") && message.contains("<body>to myself</body>"))
            client.send("</stream:stream>")
            try client.expect("</stream:stream>")
            // Its word of goodbye below the stream is answered too (RFC 6120 §4.4).
            try client.closeTLS()
            #expect(tls.sawCloseNotify)
        }
    }

    @Test func aWrongBindingIsRefused() async throws {
        try await withServer(certificates: certificates()) { server in
            let client = try TestClient(port: server.directPort)
            try client.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
            try client.open("tls.example")
            #expect(try client.scram("juliet", plus: true, binding: [UInt8](repeating: 0, count: 32)) == "not-authorized")
            #expect(try client.scram("juliet", plus: true) == nil)
        }
    }

    @Test func plainRunsUnderDirectTLS() async throws {
        try await withServer(certificates: certificates()) { server in
            let client = try TestClient(port: server.directPort)
            try client.startTLS(try TestTLSClient(serverName: "tls.example", protocols: ["xmpp-client"]))
            try client.open("tls.example")
            #expect(try client.plain("juliet", password: "wrong") == "not-authorized")
            #expect(try client.plain("nobody") == "not-authorized")
            #expect(try client.plain("broken") == "temporary-auth-failure")
            #expect(try client.plain("juliet") == nil)
            try client.open("tls.example")
            try client.bind("x")
        }
    }

    @Test func disabledAccountsAreToldOnlyTheirOwners() async throws {
        try await withServer(certificates: certificates()) { server in
            let client = try TestClient(port: server.directPort)
            try client.startTLS(try TestTLSClient(protocols: ["xmpp-client"]))
            try client.open("tls.example")
            #expect(try client.plain("disabled", password: "wrong") == "not-authorized")
            #expect(try client.plain("disabled") == "account-disabled")
        }
    }

    @Test func textBehindStartTLSIsNotCarriedOver() async throws {
        try await withServer(certificates: certificates()) { server in
            let client = try TestClient(port: server.port)
            try client.open("tls.example")
            client.send(startTLS + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
            try client.expect("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
        }
    }

    @Test func reloadedCertificatesAreShownToNewConnections() async throws {
        let certificates = try certificates()
        try await withServer(certificates: certificates) { server in
            func shown() throws -> [UInt8] {
                let client = try TestClient(port: server.directPort)
                let tls = try TestTLSClient()
                try client.startTLS(tls)
                return tls.certificateHash
            }
            let old = try shown()
            try certificates.make("tls", domain: "tls.example")
            #expect(try shown() == old)
            server.transports.take(try server.transports.prepare(server.settings))
            #expect(server.transports.certificateWarnings == [])
            #expect(try shown() != old)
            try certificates.write("tls.key", "damaged")
            let failure = #expect(throws: TLSConfigurationError.self) {
                server.transports.take(try server.transports.prepare(server.settings))
            }
            #expect(failure?.description.contains(certificates.path("tls.key")) == true)
            #expect(try shown() != old)
        }
    }

    @Test func bytesOneByOne() async throws {
        try await withServer { server in
            let client = try TestClient(port: server.port)
            client.sendSlowly(
                "<?xml version='1.0'?>\n<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            )
            try client.expect("</stream:features>")
            #expect(try client.scram("romeo") == nil)
            try client.open("plain.example")
            try client.bind("orchard")
            client.sendSlowly("<message to='romeo@plain.example/orchard'><body>é</body></message> \n ")
            #expect(try client.expect("</message>").contains("<body>é</body>"))
            client.sendSlowly("</stream:stream>")
            try client.expect("</stream:stream>")
        }
    }

    @Test func orderIsKeptThroughPauses() async throws {
        try await withServer(adjust: {
            $0.limits.unhandledStanzas = 4
        }) { server in
            let romeo = try TestClient.ready(server, "romeo", "orchard")
            let juliet = try TestClient.ready(server, "juliet", "balcony")
            var all = ""
            for number in 0..<500 {
                all +=
                    "<message type='chat' to='juliet@plain.example/balcony'><body>\(number).\(String(repeating: "x", count: 200))</body></message>"
            }
            romeo.send(all)
            for number in 0..<500 { #expect(try juliet.expect("</message>").contains("<body>\(number).")) }
        }
    }

    @Test func whatWasSentBeforeTheEndArrives() async throws {
        try await withServer(adjust: {
            $0.limits.unhandledStanzas = 4
        }) { server in
            let juliet = try TestClient.ready(server, "juliet", "balcony")
            var romeo: TestClient? = try TestClient.ready(server, "romeo", "orchard")
            let text = (0..<50).map { "<message type='chat' to='juliet@plain.example/balcony'><body>\($0)</body></message>" }.joined()
            romeo?.send(text + "</stream:stream>")
            romeo = nil
            for number in 0..<50 { #expect(try juliet.expect("</message>").contains("<body>\(number)<")) }
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"), ("<stream:stream", ""),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>", "unsupported-encoding"),
        ("<!DOCTYPE x>", "restricted-xml"),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' version='1.0' to='no.example'>",
            "host-unknown"
        ),
    ])
    func badBeginningsAreAnsweredWithAHeaderAndAnError(input: String, condition: String) async throws {
        try await withServer { server in
            let client = try TestClient(port: server.port)
            client.send(input)
            guard !condition.isEmpty else {
                // Not yet an error: the rest may come.
                client.send(" to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
                try client.expect("</stream:features>")
                return
            }
            let answer = try client.expect("</stream:stream>")
            #expect(answer.hasPrefix("<?xml version='1.0'?><stream:stream "))
            #expect(answer.contains("<stream:error><\(condition) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"))
            #expect(answer.contains(" id='") && answer.contains("from='plain.example'"))
        }
    }

    @Test func sizeIsBoundedBeforeAuthentication() async throws {
        try await withServer { server in
            let client = try TestClient(port: server.port)
            try client.open("plain.example")
            client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + String(repeating: "A", count: 20_000))
            try client.expect("<policy-violation")
            let bound = try TestClient.ready(server, "romeo", "orchard")
            bound.send("<message to='romeo@plain.example/orchard'><body>" + String(repeating: "A", count: 100_000) + "</body></message>")
            try bound.expect("</message>")
            bound.send("<message to='romeo@plain.example/orchard'><body>" + String(repeating: "A", count: 300_000))
            try bound.expect("<policy-violation")
        }
    }

    @Test func streamsThatAreNotBoundInTimeEnd() async throws {
        try await withServer(adjust: { $0.limits.unauthenticatedSeconds = 1 }) { server in
            let client = try TestClient(port: server.port)
            // On a slow machine a second may be too little even for this, and for a login.
            _ = try? client.open("plain.example")
            var ready: TestClient?
            for _ in 0..<30 where ready == nil { ready = try? TestClient.ready(server, "romeo", "orchard") }
            let bound = try #require(ready)
            try client.expect("<policy-violation")
            // Who is bound stays.
            bound.send("<message to='romeo@plain.example/orchard'><body>still here</body></message>")
            try bound.expect("still here")
        }
    }

    @Test func silenceIsAnsweredWithASpace() async throws {
        try await withServer { server in
            let client = try TestClient.ready(server, "romeo", "orchard")
            // Waits for the looks: a loop reads its sockets before it does what it was given.
            func look(_ times: Int) async {
                for clients in server.transports.loops {
                    await withCheckedContinuation { done in
                        clients.loop.execute {
                            for _ in 0..<times { clients.lookAfterSettled() }
                            done.resume()
                        }
                    }
                }
            }
            let ping = "<message to='romeo@plain.example/orchard'><body>here</body></message>"
            // The first look sees what was said before it, the next three a silence that is still short.
            await look(4)
            client.send(ping)
            #expect(try client.expect("</message>").hasPrefix("<message"))
            await look(5)
            client.send(ping)
            #expect(try client.expect("</message>").hasPrefix(" <message"))
        }
    }

    @Test func whateverIsSentTheServerStands() async throws {
        try await withServer(certificates: certificates()) { server in
            var state: UInt64 = 99
            func next(_ bound: Int) -> Int {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(state >> 33) % bound
            }
            let pieces = [
                "<?xml version='1.0'?>",
                "<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
                "<stream:stream to='tls.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
                startTLS,
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hLHI9Yg==</auth>",
                "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdz</response>",
                "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
                "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "<message to='a@b'><body>x</body></message>",
                "</stream:stream>",
            ].map { Array($0.utf8) }
            for _ in 0..<150 {
                var bytes = (0..<next(6) + 1).flatMap { _ in pieces[next(pieces.count)] }
                for _ in 0..<next(4) { bytes[next(bytes.count)] = UInt8(next(256)) }
                let socket = try TestSocket(port: next(4) == 0 ? server.directPort : server.port)
                socket.send(bytes)
                // Nothing more comes: whatever it made of this, the server ends the connection.
                socket.finish()
                while try !socket.receive().isEmpty {}
            }
            _ = try TestClient.ready(server, "romeo", "orchard")
        }
    }

    @Test func connectionsAreBounded() async throws {
        try await withServer(adjust: { $0.limits.connectionsPerAddress = 2 }) { server in
            let one = try TestClient(port: server.port)
            try one.open("plain.example")
            var two: TestClient? = try TestClient(port: server.port)
            try two?.open("plain.example")
            let three = try TestClient(port: server.port)
            try three.expect("Too many connections from this address")
            three.send(
                "<stream:stream to='plain.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
            three.send("</stream:stream>")
            _ = try three.expectEnd()
            two?.send("</stream:stream>")
            _ = try two?.expectEnd()
            two = nil
            // The place is free a moment after the connection is gone.
            var isOpen = false
            for _ in 0..<1_000 where !isOpen {
                let four = try TestClient(port: server.port)
                isOpen = (try? four.open("plain.example")) != nil
            }
            #expect(isOpen)
        }
    }

    @Test func guessingIsBoundedOnAStreamAndBeyond() async throws {
        try await withServer(adjust: {
            $0.authentication.failuresPerStream = 2
            $0.authentication.failuresBeforeBackoff = 3
        }) { server in
            let first = try TestClient(port: server.port)
            try first.open("plain.example")
            #expect(try first.scram("romeo", password: "a") == "not-authorized")
            #expect(try first.scram("romeo", password: "b") == "not-authorized")
            try first.expect("<policy-violation")
            let second = try TestClient(port: server.port)
            try second.open("plain.example")
            #expect(try second.scram("romeo", password: "c") == "not-authorized")
            #expect(try second.scram("romeo") == "temporary-auth-failure")
        }
    }

    @Test func aStanzaOfSomeoneElseEndsTheSession() async throws {
        try await withServer { server in
            let client = try TestClient.ready(server, "romeo", "orchard")
            client.send("<message from='juliet@plain.example' to='romeo@plain.example'/>")
            try client.expect("<invalid-from")
        }
    }

    @Test func stoppingTellsTheClients() async throws {
        let server = try await TestServer()
        try await server.start()
        let bound = try TestClient.ready(server, "romeo", "orchard")
        let early = try TestClient(port: server.port)
        try early.open("plain.example")
        await server.transports.stopListening()
        #expect(throws: TestTrouble.self) { try TestClient(port: server.port) }
        async let stopped: Void = server.stop()
        try bound.expect("<system-shutdown")
        bound.send("</stream:stream>")
        // It may have been about to resume: it sees no error.
        #expect(!(try early.expectEnd()).contains("<stream:error"))
        await stopped
        #expect(server.transports.connections == 0)
    }

    @Test func addressesThatCannotBeListenedOn() async throws {
        func message(_ adjust: (inout Settings) -> Void) async throws -> String? {
            let server = try await TestServer(adjust: adjust)
            do {
                try await server.start()
                await server.stop()
                return nil
            } catch {
                await server.stop()
                return "\(error)"
            }
        }
        #expect(
            try await message { $0.listen.c2s = ["0.0.0.0:15222"] }
                == "Will not listen on 0.0.0.0:15222: without a certificate only loopback addresses are safe.")
        #expect(try await message { $0.listen.c2s = ["localhost"] }?.contains("is no address") == true)
        #expect(try await message { $0.listen.c2sDirectTLS = ["127.0.0.1:15223"] }?.contains("no host has a certificate") == true)
        let taken = try TestServer.freePort()
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        #expect(TestSocket.bind(descriptor, taken) == 0 && listen(descriptor, 1) == 0)
        #expect(
            try await message { $0.listen.c2s = ["127.0.0.1:\(taken)"] }
                == "Cannot listen on 127.0.0.1:\(taken): another program uses this port.")
    }
}
