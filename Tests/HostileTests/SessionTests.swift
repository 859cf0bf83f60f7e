import AdminLanguage
import TestKit
import Testing
import XMLStream

extension HostileTests {
    /// People with an account who want more than is theirs.
    @Suite(.serialized) struct SessionTests {
        /// What a request is answered with: type and conditions, and no address.
        private func answer(_ client: XMPPClient, _ id: String, _ type: String, to: String, _ payload: String) throws -> String {
            try client.send("<iq id='\(id)' type='\(type)' to='\(to)'>\(payload)</iq>")
            let reply = try client.receive { $0["id"] == id }
            let error = reply.children.first { $0.local == "error" }
            return "\(reply["type"] ?? "") \(error?["type"] ?? "") \(error?.children.map(\.local) ?? [])"
        }

        /// XEP-0198 §4, §5: sessions of others, impossible counts, more than may wait.
        @Test func streamManagement() throws {
            let target = try Target()
            let sm = "xmlns='urn:xmpp:sm:3'"
            let victim = try target.client("juliet", "chamber")
            try victim.enableManagement()
            let previd = try #require(victim.management?.id)
            // A name that is right, and many that are not.
            for guess in [previd, "1", String(previd.dropLast()), previd + "0", String(repeating: "A", count: 9_000)] {
                let thief = try target.raw()
                try thief.login("romeo")
                thief.send("<resume \(sm) previd='\(guess)' h='0'/>")
                try thief.expect("<failed")
                #expect(try thief.expect("</failed>").contains("item-not-found"), "\(guess.prefix(40))")
            }
            try victim.ping("still mine")
            for h in ["1000", "4294967295"] {
                let liar = try target.raw("romeo", "orchard")
                liar.send("<enable \(sm) resume='true'/>")
                try liar.expect("<enabled")
                liar.send("<a \(sm) h='\(h)'/>")
                #expect(try liar.streamError() == "undefined-condition")
                #expect(liar.text.contains("handled-count-too-high"))
            }
            for h in ["-1", "4294967296", "x", ""] {
                let liar = try target.raw("romeo", "orchard")
                liar.send("<enable \(sm)/>")
                try liar.expect("<enabled")
                liar.send("<a \(sm) h='\(h)'/></stream:stream>")
                _ = try liar.rest()
            }
            do {
                let twice = try target.raw("romeo", "orchard")
                twice.send("<enable \(sm)/><enable \(sm)/>")
                try twice.expect("<enabled")
                try twice.expect("<failed")
            }
            try target.watch()
            // Sessions that wait for nobody: ten of one account may.
            for number in 0..<40 {
                let gone = try target.raw("romeo", "r\(number)")
                gone.send("<enable \(sm) resume='true'/>")
                try gone.expect("<enabled")
            }
            try target.watch()
            let deadline = Deadline(in: .patient)
            var left = Int.max
            while left > 10, !deadline.isOver {
                left = try target.cluster.admin(0).demand("session", "list", "--user", "romeo@\(target.cluster.domain)").rows.count
            }
            #expect(left <= 10)
            try victim.close()
            try target.check()
        }

        /// To one who acknowledges nothing a bounded part is sent and the rest waits in the store; in time its session ends, and everything
        /// is still owed.
        @Test func acknowledgementsThatNeverCome() throws {
            let target = try Target("[sessions]\nack_after_seconds = 1\nack_timeout_seconds = 2")
            let juliet = try target.client("juliet", "balcony")
            let silent = try target.raw("romeo", "orchard")
            silent.send("<enable xmlns='urn:xmpp:sm:3'/><presence/>")
            try silent.expect("<enabled")
            let (deaf, body) = ("romeo@\(target.cluster.domain)", String(repeating: "z", count: 2_000))
            for number in 0..<800 {
                try juliet.send("<message to='\(deaf)' type='chat' id='\(number)'><body>\(body)</body></message>")
                if number % 100 == 0 { try target.watch() }
            }
            try juliet.ping("all taken")
            let written = try silent.rest()
            #expect(written.split(separator: "<body>").count - 1 < 400, "more was sent than may be under way")
            let deadline = Deadline(in: .patient)
            var allAreOwed = false
            while !allAreOwed, !deadline.isOver {
                allAreOwed = try target.cluster.admin(0).demand("inbox", "show", deaf, "--limit", "1").fact("owed") == .integer(800)
            }
            #expect(allAreOwed)
            try juliet.close()
            try target.check()
        }

        /// What is private is told to nobody, and who exists cannot be told from who does not (RFC 6121 §8.5.2.1.3, §8.5.3.2.3).
        @Test func othersThings() throws {
            let target = try Target()
            let domain = target.cluster.domain
            let juliet = try target.client("juliet", "balcony")
            try juliet.send(
                "<iq type='set' id='own'><query xmlns='jabber:iq:private'><secret xmlns='urn:x'>tomb</secret></query></iq><presence/>")
            try juliet.ping("stored")
            let thief = try target.client("romeo", "orchard")
            let payloads = [
                ("get", "<query xmlns='jabber:iq:roster'/>"),
                ("set", "<query xmlns='jabber:iq:roster'><item jid='romeo@\(domain)' subscription='both'/></query>"),
                ("get", "<query xmlns='jabber:iq:private'><secret xmlns='urn:x'/></query>"),
                ("set", "<query xmlns='jabber:iq:private'><secret xmlns='urn:x'>mine</secret></query>"),
                ("set", "<vCard xmlns='vcard-temp'><FN>Nobody</FN></vCard>"),
                ("set", "<query xmlns='urn:xmpp:mam:2'/>"),
                ("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
                ("get", "<prefs xmlns='urn:xmpp:mam:2'/>"),
                ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"),
                ("get", "<blocklist xmlns='urn:xmpp:blocking'/>"),
                ("set", "<block xmlns='urn:xmpp:blocking'><item jid='romeo@\(domain)'/></block>"),
                ("set", "<enable xmlns='urn:xmpp:carbons:2'/>"),
                ("set", "<enable xmlns='urn:xmpp:push:0' jid='push.\(domain)' node='n'/>"),
                ("get", "<query xmlns='jabber:iq:last'/>"),
                ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
                ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
                ("set", "<query xmlns='jabber:iq:register'><remove/></query>"),
                ("set", "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#delete-user'/>"),
            ]
            for (number, (type, payload)) in payloads.enumerated() {
                for address in ["", "/balcony", "/nowhere"] {
                    let answers = try ["juliet", "nobody"].map {
                        try answer(thief, "q\(number)\($0)\(address.utf8.count)", type, to: "\($0)@\(domain)\(address)", payload)
                    }
                    #expect(answers[0].hasPrefix("error "), "\(payload) to juliet\(address): \(answers)")
                    #expect(answers[0] == answers[1], "\(payload) to …\(address)")
                }
            }
            for command in ["delete-user", "shutdown", "get-user-password", "announce", "add-user"] {
                let node = "http://jabber.org/protocol/admin#\(command)"
                let answer = try answer(
                    thief, command, "set", to: domain, "<command xmlns='http://jabber.org/protocol/commands' node='\(node)'/>")
                #expect(answer.hasPrefix("error "), "\(command): \(answer)")
            }
            // Probes of a stranger are not answered with presence, and hear nothing else of her.
            try thief.send("<presence to='juliet@\(domain)' type='probe'/><presence to='juliet@\(domain)' type='subscribed'/>")
            try thief.ping("probed") { stanza in #expect(!stanza.contains("balcony"), "\(stanza)") }
            try juliet.send("<iq type='get' id='mine'><query xmlns='jabber:iq:private'><secret xmlns='urn:x'/></query></iq>")
            let kept = try juliet.receive { $0["id"] == "mine" }
            #expect(
                kept["type"] == "result"
                    && kept.first(local: "query", namespace: "jabber:iq:private")?.first(local: "secret", namespace: "urn:x")?.text
                        == "tomb"
            )
            try thief.close()
            try juliet.close()
            try target.check()
        }

        /// What only a server may say is either cut or stamped with who said it (XEP-0359 §5, XEP-0280 §11, RFC 6121 §2.1.6).
        @Test func forgeries() throws {
            let target = try Target()
            let domain = target.cluster.domain
            let juliet = try target.client("juliet", "balcony")
            try juliet.send("<presence/>")
            try juliet.ping("there")
            let forger = try target.raw("romeo", "orchard")
            let forgeries = [
                "<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@\(domain)' id='forged'/>",
                "<stanza-id xmlns='urn:xmpp:sid:0' by='JULIET@\(domain)' id='forged'/>",
                "<x:stanza-id xmlns:x='urn:xmpp:sid:0' by='juliet@\(domain)' id='forged'/>",
                "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='nurse@\(domain)'><body>x</body></message></forwarded></received>",
                "<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='nurse@\(domain)'><body>x</body></message></forwarded></result>",
                "<delay xmlns='urn:xmpp:delay' from='\(domain)' stamp='2002-09-10T23:08:25Z'/>",
            ]
            for (number, forgery) in forgeries.enumerated() {
                forger.send("<message to='\(juliet.jid)' type='chat' id='f\(number)'><body>f</body>\(forgery)</message>")
                let message = try juliet.receive { $0["id"] == "f\(number)" }
                #expect(message["from"] == "romeo@\(domain)/orchard")
                let mine = message.children.filter { $0.local == "stanza-id" && $0["by"] == "juliet@\(domain)" }
                #expect(mine.count == 1 && mine.allSatisfy { $0["id"] != "forged" }, "\(forgery)")
            }
            // Answers that she asked nobody for, and errors that answer nothing, are no messages of the server's.
            for type in ["result", "error"] {
                forger.send("<iq type='\(type)' to='\(juliet.jid)' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            }
            try juliet.ping("fence") { stanza in #expect(!stanza.contains("jabber:iq:roster") || stanza.contains("from='romeo@")) }
            try juliet.close()
            try target.check()
        }
    }
}
