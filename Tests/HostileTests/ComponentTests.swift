import Glibc
import TestKit
import Testing

extension HostileTests {
    /// Programs that say they are components (XEP-0114).
    @Suite(.serialized) struct ComponentTests {
        private static let namespaces = "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'"

        private func raw(_ target: Target) throws -> RawClient {
            try RawClient(port: target.cluster.componentPort, domain: "plays.\(target.cluster.domain)")
        }

        private func open(_ client: RawClient, to domain: String? = nil) throws {
            client.send("<stream:stream to='\(domain ?? client.domain)' \(Self.namespaces)>")
            try client.expect("id='")
            try client.expect(">")
        }

        @Test func aWrongSecretEndsTheStream() throws {
            let target = try Target()
            for handshake in [
                "<handshake/>", "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>",
                "<handshake>\(String(repeating: "0", count: 9_000))</handshake>", "<handshake><x/></handshake>",
            ] {
                let client = try raw(target)
                try open(client)
                client.send(handshake)
                #expect(try client.streamError() == "not-authorized")
            }
            #expect(throws: ProcessFailure.self) { _ = try target.cluster.connectComponent("plays", secret: "another secret, long enough") }
            // The right one is not hindered.
            try target.cluster.connectComponent("plays").close()
            try target.check()
        }

        @Test func headersAreChecked() throws {
            let target = try Target()
            func answer(_ header: String) throws -> String {
                let client = try raw(target)
                client.send(header)
                let error = try client.streamError()
                #expect(client.text.contains("<stream:stream "), "an error needs a header before it")
                return error
            }
            let domain = "plays.\(target.cluster.domain)"
            #expect(try answer("<stream:stream to='elsewhere.example' \(Self.namespaces)>") == "host-unknown")
            #expect(try answer("<stream:stream to='\(target.cluster.domain)' \(Self.namespaces)>") == "host-unknown")
            #expect(try answer("<stream:stream \(Self.namespaces)>") == "host-unknown")
            #expect(
                try answer("<stream:stream to='\(domain)' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
                    == "invalid-namespace")
            #expect(
                try answer(
                    "<stream:stream to='\(domain)' xmlns='jabber:component:connect' xmlns:stream='http://etherx.jabber.org/streams'>")
                    == "invalid-namespace")
            try target.check()
        }

        /// Before the handshake nothing is taken, and little is read.
        @Test func nothingIsTakenBeforeTheHandshake() throws {
            let target = try Target()
            let juliet = try target.client("juliet", "balcony")
            let early = try raw(target)
            try open(early)
            early.send("<message from='\(early.domain)' to='\(juliet.jid)'><body>early</body></message>")
            #expect(try early.streamError() == "not-authorized")
            let large = try raw(target)
            try open(large)
            large.send("<handshake>" + String(repeating: "a", count: 1_000_000))
            #expect(try large.streamError() == "policy-violation")
            // Sent together with a wrong handshake, stanzas are not taken either.
            let together = try raw(target)
            try open(together)
            together.send(
                "<handshake>00</handshake><message from='\(together.domain)' to='\(juliet.jid)'><body>together</body></message>")
            #expect(try together.streamError() == "not-authorized")
            var seen = ""
            try juliet.ping("nothing came") { seen += $0 }
            #expect(!seen.contains("body"))
            try juliet.close()
            try target.check()
        }

        @Test func silentConnectionsGoAndAreBounded() throws {
            let target = try Target("[limits]\nunauthenticated_seconds = 2\ncomponent_connections = 20")
            try fillUp(target)
            // Those that were turned away count until they are gone.
            let deadline = Deadline(in: .patient)
            while true {
                do {
                    try target.cluster.connectComponent("plays").close()
                    break
                } catch {
                    guard !deadline.isOver else { throw error }
                }
            }
            try target.check()
        }

        /// Connects more often than the node allows, and says nothing.
        private func fillUp(_ target: Target) throws {
            let silent = try (0..<60).map { _ in try raw(target) }
            for client in silent {
                let error = try client.streamError()
                #expect(error == "policy-violation" || error == "resource-constraint")
            }
            #expect(silent.contains { $0.text.contains("resource-constraint") })
        }

        @Test func itSpeaksForItsDomainAlone() throws {
            let target = try Target()
            let juliet = try target.client("juliet", "balcony")
            for from in [
                "romeo@\(target.cluster.domain)", target.cluster.domain, "push.\(target.cluster.domain)", "puck@plays.elsewhere.example",
                "@",
            ] {
                let component = try target.cluster.connectComponent("plays")
                try component.send("<message from='\(from)' to='\(juliet.jid)' type='chat'><body>forged</body></message>")
                try component.waitForEnd()
                #expect(component.end == "invalid-from")
            }
            var seen = ""
            try juliet.ping("nothing came") { seen += $0 }
            #expect(!seen.contains("forged"))
            try juliet.close()
            try target.check()
        }

        /// One that reads nothing is ended when too much waits for it, and nobody else is hindered.
        @Test func aComponentThatNeverReads() throws {
            let target = try Target()
            let component = try target.cluster.connectComponent("plays")
            let romeo = try target.client("romeo", "orchard")
            let body = String(repeating: "z", count: 100_000)
            for number in 0..<150 {
                try romeo.send("<message to='puck@\(component.jid)' type='headline' id='\(number)'><body>\(body)</body></message>")
                if number % 25 == 0 { try target.watch() }
            }
            // Requests behind them are answered: by an error, since it is gone or never takes them.
            try romeo.send("<iq to='\(component.jid)' type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq>")
            try romeo.ping("all taken")
            try target.check()
            component.drop()
            try romeo.close()
        }
    }
}
