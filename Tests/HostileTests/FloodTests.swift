import TestKit
import Testing

extension HostileTests {
    /// Many, slow and deaf clients.
    @Suite(.serialized) struct FloodTests {
        @Test func connectionsThatSayNothingGo() throws {
            let target = try Target("[limits]\nunauthenticated_seconds = 2")
            let silent = try (0..<300).map { _ in try target.raw() }
            let open = try (0..<100).map { _ in
                let client = try target.raw()
                // A machine that stands still in between may make it one of the silent ones.
                _ = try? client.open()
                return client
            }
            try target.watch()
            for client in silent { #expect(try client.streamError() == "policy-violation") }
            for client in open { #expect(try client.streamError() == "policy-violation") }
            try target.check()
        }

        /// What trickles in does not extend the time.
        @Test func slowClientsGo() throws {
            let target = try Target("[limits]\nunauthenticated_seconds = 2")
            let client = try target.raw()
            _ = try? client.open()
            let deadline = Deadline(in: .patient)
            while !client.hasEnded, !deadline.isOver {
                client.send(" ")
                _ = try? client.expect("never", within: .milliseconds(50))
            }
            #expect(client.hasEnded && client.text.contains("policy-violation"))
            try target.check()
        }

        @Test func aClientThatNeverReads() throws {
            let target = try Target()
            let deaf = try XMPPClient(
                port: target.cluster.ports[0], domain: target.cluster.domain, user: "juliet", resource: "deaf", receiveBuffer: 4_096)
            let romeo = try target.client("romeo", "orchard")
            let body = String(repeating: "z", count: 100_000)
            for number in 0..<150 {
                try romeo.send("<message to='\(deaf.jid)' type='headline' id='\(number)'><body>\(body)</body></message>")
                if number % 25 == 0 { try target.watch() }
            }
            try romeo.ping("all taken")
            try target.check()
            try romeo.close()
        }

        @Test func resourcesAreBounded() throws {
            let target = try Target()
            var bound: [RawClient] = []
            for number in 0..<60 {
                let client = try target.raw()
                try client.login("romeo")
                client.send(
                    "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r\(number)</resource></bind></iq>")
                if try client.expect("</iq>").contains("type='result'") { bound.append(client) }
                if number % 10 == 0 { try target.watch() }
            }
            #expect(bound.count == 20)
            #expect(try target.cluster.admin(0).demand("session", "list", "--user", "romeo@\(target.cluster.domain)").rows.count == 20)
            try target.check()
        }

        @Test func comingAndGoing() throws {
            let target = try Target()
            for round in 0..<300 {
                let client = try target.raw()
                if round % 3 > 0 { client.send(RawClient.header(client.domain)) }
                if round % 3 > 1 { client.send("<message><body>") }
                if round % 50 == 0 { try target.watch() }
            }
            try target.check()
        }
    }
}

extension HostileTests {
    @Suite(.serialized) struct RegistrationTests {
        /// Names by the hundred from one address, on many streams and pipelined: a bounded number becomes accounts, and the threads that
        /// check passwords are there for those who log in.
        @Test func floodOfRegistrations() throws {
            let target = try Target("[registration]\nopen = true\nper_address_per_hour = 20")
            var made = 0
            for stream in 0..<40 {
                let attacker = try target.raw()
                try attacker.open()
                for number in 0..<12 {
                    attacker.send(
                        "<iq type='set' id='n\(number)'><query xmlns='jabber:iq:register'><username>spam\(stream)-\(number)</username><password>long enough</password></query></iq>"
                    )
                }
                // The first is made and no second on the same stream; what is refused ten times ends the stream.
                #expect(try attacker.streamError() == "policy-violation")
                try target.watch()
                made += attacker.text.split(separator: "type='result'", omittingEmptySubsequences: false).count - 1
            }
            #expect(made == 20)
            let accounts = try target.cluster.admin(0).demand("user", "list", "spam")
            #expect(accounts.rows.count == 20)
            // What no parser of names should stumble over.
            for name in ["", " ", "a@b", "a/b", "&#0;", "&#x202E;abc", String(repeating: "a", count: 5_000)] {
                let attacker = try target.raw()
                try attacker.open()
                attacker.send(
                    "<iq type='set' id='odd'><query xmlns='jabber:iq:register'><username>\(name)</username><password>long enough</password></query></iq></stream:stream>"
                )
                #expect(try !attacker.rest().contains("type='result'"), "\(name.prefix(20))")
            }
            try target.check()
        }
    }
}
