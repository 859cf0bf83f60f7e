import TestKit
import Testing
import XMLStream

extension HostileTests {
    /// Streams that do not go as they should, logins that are none, and names that are not the sender's.
    @Suite(.serialized) struct StreamTests {
        private static let streams = "xmlns:stream='http://etherx.jabber.org/streams'"

        @Test func beforeLogin() throws {
            let target = try Target()
            for stanza in [
                "<message to='juliet@\(target.cluster.domain)'><body>x</body></message>", "<presence/>",
                "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            ] {
                let attacker = try target.raw()
                try attacker.open()
                attacker.send(stanza)
                #expect(["not-authorized", "unsupported-stanza-type"].contains(try attacker.streamError()), "\(stanza)")
            }
            // XEP-0198 §3 wants these answered; whoever goes on is cut off.
            for element in ["<enable xmlns='urn:xmpp:sm:3'/>", "<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>"] {
                let attacker = try target.raw()
                try attacker.open()
                attacker.send(String(repeating: element, count: 100))
                #expect(try attacker.streamError() == "policy-violation", "\(element)")
            }
            try target.check()
        }

        @Test func headers() throws {
            let target = try Target()
            let domain = target.cluster.domain
            for (header, condition) in [
                ("<stream:stream to='\(domain)' version='1.0' xmlns='jabber:server' \(Self.streams)>", "invalid-namespace"),
                ("<stream:stream to='\(domain)' version='1.0' xmlns='jabber:client' xmlns:stream='urn:wrong'>", "invalid-namespace"),
                ("<stream:stream to='other.lit' version='1.0' xmlns='jabber:client' \(Self.streams)>", "host-unknown"),
                ("<stream:stream to='\(domain)' xmlns='jabber:client' \(Self.streams)>", "unsupported-version"),
                ("<stream:stream to='\(domain)' version='0.9' xmlns='jabber:client' \(Self.streams)>", "unsupported-version"),
                ("<stream:other to='\(domain)' version='1.0' xmlns='jabber:client' \(Self.streams)>", "bad-format"),
            ] {
                let attacker = try target.raw()
                attacker.send(header)
                let found = try attacker.streamError()
                #expect(found == condition || found == "invalid-namespace" && condition == "bad-format", "\(header): \(found)")
            }
            try target.check()
        }

        @Test func afterLogin() throws {
            let target = try Target()
            let again = try target.raw()
            try again.login("romeo")
            again.send(
                "<auth \(RawClient.sasl) mechanism='\(SCRAMClient.mechanism)'>\(SCRAMClient(user: "juliet", password: "x").first)</auth>")
            let answer = try again.rest()
            #expect(answer.contains("<stream:error>") && !answer.contains("<challenge"))
            let unbound = try target.raw()
            try unbound.login("romeo")
            unbound.send("<message to='juliet@\(target.cluster.domain)'><body>x</body></message>")
            #expect(try unbound.streamError() == "not-authorized")
            let strange = try target.raw("romeo", "orchard")
            strange.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            #expect(try strange.streamError() == "not-authorized")
            let moved = try target.raw()
            try moved.open()
            var scram = SCRAMClient(user: "romeo", password: XMPPClient.password)
            moved.send("<auth \(RawClient.sasl) mechanism='\(SCRAMClient.mechanism)'>\(scram.first)</auth>")
            moved.send("<response \(RawClient.sasl)>\(try scram.final(challenge: try moved.data("challenge")))</response>")
            try moved.expect("</success>")
            moved.send(RawClient.header("other.lit"))
            #expect(try moved.streamError() == "host-unknown")
            try target.check()
        }

        /// RFC 6120 §6.5.
        @Test func logins() throws {
            let target = try Target()
            func attempt(_ body: String, mechanism: String = SCRAMClient.mechanism) throws -> String {
                let client = try target.raw()
                try client.open()
                client.send("<auth \(RawClient.sasl) mechanism='\(mechanism)'>\(body)</auth>")
                return try client.failure()
            }
            for text in ["!", "AAA", "A", "AA=A", "AAAA====", "AAB=", "AA AA", "\u{e9}"] {
                #expect(try attempt(text) == "incorrect-encoding", "\(text)")
            }
            for text in ["AAAA", "biws", "=", "AAAAAAAAAAAA", String(repeating: "AAAA", count: 1_000)] {
                #expect(["malformed-request", "not-authorized"].contains(try attempt(text)), "\(text.prefix(20))")
            }
            #expect(try attempt("AGEAYg==", mechanism: "PLAIN") == "encryption-required")
            for name in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL", "GSSAPI", "x", "SCRAM-SHA-256 "] {
                #expect(["invalid-mechanism", "encryption-required"].contains(try attempt("AAAA", mechanism: name)), "\(name)")
            }
            let stubborn = try target.raw()
            try stubborn.open()
            for _ in 0..<20 where !stubborn.hasEnded { stubborn.send("<auth \(RawClient.sasl) mechanism='SCRAM-SHA-256'>!</auth>") }
            #expect(try stubborn.rest().split(separator: "<failure").count <= 6)
            try target.check()
        }

        /// RFC 6120 §13.11: who is there cannot be told from who is not.
        @Test func enumeration() throws {
            let target = try Target()
            func trace(_ user: String) throws -> (salt: String, condition: String) {
                let client = try target.raw()
                try client.open()
                var scram = SCRAMClient(user: user, password: "wrong")
                client.send("<auth \(RawClient.sasl) mechanism='\(SCRAMClient.mechanism)'>\(scram.first)</auth>")
                let challenge = try client.data("challenge")
                client.send("<response \(RawClient.sasl)>\(try scram.final(challenge: challenge))</response>")
                return (scram.salt(of: challenge), try client.failure())
            }
            let (real, nobody, again) = (try trace("romeo"), try trace("nobody"), try trace("nobody"))
            #expect(real.condition == "not-authorized" && nobody.condition == "not-authorized")
            #expect(nobody.salt == again.salt && nobody.salt.utf8.count == real.salt.utf8.count)
            try target.check()
        }

        /// RFC 6120 §8.1.2.1.
        @Test func spoofing() throws {
            let target = try Target()
            let domain = target.cluster.domain
            let juliet = try target.client("juliet", "balcony")
            for from in ["juliet@\(domain)", "juliet@\(domain)/balcony", domain, "romeo@\(domain)/other", "romeo@other.lit", ""] {
                let attacker = try target.raw("romeo", "orchard")
                attacker.send("<message from='\(from)' to='\(juliet.jid)' type='chat'><body>evil</body></message>")
                #expect(["invalid-from", "improper-addressing"].contains(try attacker.streamError()), "\(from)")
            }
            let romeo = try target.client("romeo", "orchard")
            try romeo.send(
                "<message to='\(juliet.jid)' type='chat' id='m'><body>x</body></message>"
            )
            let message = try juliet.receive { element in
                #expect(element.first(local: "body", namespace: "jabber:client")?.text != "evil")
                return element["id"] == "m"
            }
            #expect(message["from"] == romeo.jid)
            try romeo.send(
                "<iq to='\(juliet.jid)' type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='evil@\(domain)'/></query></iq>")
            // Who may not see juliet's presence reaches no resource of hers with a request (RFC 6121 §8.5.3.1).
            let refusal = try romeo.receive { $0["id"] == "push" }
            #expect(refusal["type"] == "error" && refusal["from"] == juliet.jid)
            try juliet.ping("fence") { stanza in #expect(!stanza.contains("evil")) }
            try target.check()
        }
    }
}
