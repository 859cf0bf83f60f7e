import AdminLanguage
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// All of a user's life at the console, from the node that does not keep the store.
    @Suite(.serialized) struct AccountTests {
        private struct Stage {
            let cluster: ProcessCluster
            let admin: ProcessAdmin
            let juliet: String
            let romeo: String
            let nobody: String

            init(_ users: [String]) throws {
                cluster = try ProcessCluster(nodes: 2, loops: 2)
                try cluster.addAccounts(users)
                admin = try cluster.admin((try cluster.keeper() + 1) % 2)
                juliet = "juliet@\(cluster.domain)"
                romeo = "romeo@\(cluster.domain)"
                nobody = "nobody@\(cluster.domain)"
            }

            /// Every command about one account says the same of one that is not there, and of what is no account.
            func refuses(_ words: [String], _ more: [String] = []) throws {
                let missing = try admin.ask(words + [nobody] + more)
                #expect(missing.error == .notFound && missing.sentence.contains(nobody), "\(words): \(missing)")
                let foreign = try admin.ask(words + ["juliet@elsewhere.example"] + more)
                #expect(foreign.error == .invalid && foreign.sentence.contains("elsewhere.example"), "\(words): \(foreign)")
            }
        }

        private static let roster = "jabber:iq:roster"

        // MARK: Rosters

        @Test func changesRosters() throws {
            let stage = try Stage(["juliet", "romeo", "nurse"])
            let (cluster, admin, juliet, romeo) = (stage.cluster, stage.admin, stage.juliet, stage.romeo)
            let nurse = "nurse@\(cluster.domain)"
            let balcony = try cluster.connect("juliet", resource: "balcony", node: 0)
            let orchard = try cluster.connect("romeo", resource: "orchard", node: 1)
            for client in [balcony, orchard] {
                try client.send("<iq type='get' id='get'><query xmlns='\(Self.roster)'/></iq><presence><status>here</status></presence>")
                try client.ping("there")
            }
            let added = try admin.demand(
                "roster", "add", juliet, romeo, "--name", "Romeo M.", "--groups", "Montagues, Friends", "--subscription", "both", "--mutual"
            )
            #expect(added.sentence.contains("other way round"))
            let push = try balcony.receive { $0.local == "iq" && $0["type"] == "set" }
            let item = try #require(push.first(local: "query", namespace: Self.roster)?.first(local: "item", namespace: Self.roster))
            #expect(item["jid"] == romeo && item["name"] == "Romeo M." && item["subscription"] == "both")
            #expect(item.children.map(\.text) == ["Montagues", "Friends"])
            // Each sees the other without anybody having asked.
            #expect(try balcony.receive { $0.local == "presence" && $0["from"] == romeo + "/orchard" }["type"] == nil)
            #expect(try orchard.receive { $0.local == "presence" && $0["from"] == juliet + "/balcony" }["type"] == nil)
            let shown = try admin.demand("roster", "show", juliet)
            #expect(shown.rows.count == 1 && shown.rows.first?["groups"] == .text("Montagues,Friends"))
            #expect(try admin.demand("roster", "show", romeo).rows.first?["subscription"] == .text("both"))
            #expect(try admin.demand("roster", "add", juliet, romeo, "--name", "Romeo M.").sentence.contains("already"))

            // A request that nobody answered is shown, and an administrator's word answers it.
            try cluster.connect("nurse", resource: nil, node: 0).send("<presence to='\(juliet)' type='subscribe'/>")
            _ = try balcony.receive { $0["type"] == "subscribe" }
            #expect(try admin.demand("roster", "show", juliet).rows.contains { $0["contact"] == .text(nurse) && $0["since"] != nil })
            #expect(try admin.ask(["roster", "add", juliet, nurse, "--subscription", "both"]).error == .refused)
            try admin.demand("roster", "add", juliet, nurse, "--subscription", "from", "--mutual")
            let both = try admin.demand("roster", "show", juliet)
            #expect(both.rows.first { $0["contact"] == .text(nurse) }?["subscription"] == .text("from"))
            #expect(!both.rows.contains { $0["since"] != nil })
            #expect(try admin.demand("roster", "show", nurse).rows.first?["subscription"] == .text("to"))

            // What is taken away ends for both, and the presence with it.
            try admin.demand("roster", "add", juliet, romeo, "--subscription", "to", "--no-name", "--no-groups")
            _ = try orchard.receive { $0.local == "presence" && $0["from"] == juliet + "/balcony" && $0["type"] == "unavailable" }
            try orchard.ping("quiet")
            let one = try #require(try admin.demand("roster", "show", juliet).rows.first { $0["contact"] == .text(romeo) })
            #expect(one["subscription"] == .text("to") && one["name"] == ReplyValue.none && one["groups"] == ReplyValue.none)
            #expect(try admin.demand("roster", "show", romeo).rows.first?["subscription"] == .text("from"))

            _ = balcony.receiveAll()
            #expect(try admin.demand("roster", "push", juliet).fact("sessions") == .integer(1))
            for _ in 0..<2 { _ = try balcony.receive { $0.local == "iq" && $0["type"] == "set" } }
            #expect(try admin.demand("roster", "push", nurse).fact("sessions") == .integer(0))

            try admin.demand("roster", "remove", juliet, romeo, "--mutual")
            _ = try balcony.receive { $0.local == "presence" && $0["from"] == romeo + "/orchard" && $0["type"] == "unavailable" }
            #expect(try admin.demand("roster", "show", romeo).rows.isEmpty)
            #expect(try admin.ask(["roster", "remove", juliet, romeo]).error == .notFound)

            #expect(try admin.ask(["roster", "add", juliet, juliet]).error == .invalid)
            #expect(try admin.ask(["roster", "add", juliet, "a@b@c"]).error == .invalid)
            #expect(try admin.ask(["roster", "add", juliet, romeo + "/orchard"]).error == .invalid)
            #expect(try admin.ask(["roster", "add", juliet, romeo, "--groups", "a,,b"]).error == .invalid)
            #expect(try admin.ask(["roster", "add", juliet, romeo, "--groups", "a", "--no-groups"]).error == .usage)
            #expect(try admin.ask(["roster", "add", juliet, romeo, "--mutual"]).error == .usage)
            #expect(try admin.ask(["roster", "add", juliet, romeo, "--subscription", "all"]).error == .usage)
            #expect(try admin.ask(["roster", "add", juliet, stage.nobody, "--subscription", "both", "--mutual"]).error == .notFound)
            #expect(try admin.ask(["roster", "add", juliet, "a@far.example", "--subscription", "to", "--mutual"]).error == .invalid)
            for words in [["roster", "show"], ["roster", "push"], ["block", "list"]] { try stage.refuses(words) }
            try stage.refuses(["roster", "add"], [romeo])
            try stage.refuses(["roster", "remove"], [romeo])

            try balcony.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='paris@far.example'/></block></iq>")
            _ = try balcony.receive { $0["id"] == "b" }
            #expect(try admin.demand("block", "list", juliet).rows == [["address": .text("paris@far.example")]])
            #expect(try admin.demand("store", "verify").fact("findings") == .integer(0))
        }

        // MARK: Messages

        @Test func looksIntoArchivesAndPurges() throws {
            let stage = try Stage(["juliet", "romeo", "nurse", "paris"])
            let (cluster, admin, juliet, romeo) = (stage.cluster, stage.admin, stage.juliet, stage.romeo)
            func write(_ user: String, _ texts: [String]) throws {
                let client = try cluster.connect(user, resource: nil, node: 0)
                let messages = texts.map { "<message to='\(juliet)' type='chat' id='\($0)'><body>text \($0)</body></message>" }
                try client.send(messages.joined())
                try client.ping("kept")
                try client.close()
            }
            try write("romeo", ["r1", "r2", "r3"])
            try write("nurse", ["n1"])
            // All of it is owed: nothing of it may go.
            let spared = try admin.demand("archive", "purge", juliet, "--all")
            #expect(spared.fact("removed") == .integer(0) && spared.fact("owed") == .integer(4))
            let inbox = try admin.demand("inbox", "show", juliet, "--bodies", "--limit", "3")
            #expect(inbox.fact("owed") == .integer(4) && inbox.rows.map { $0["body"] } == ["text r1", "text r2", "text r3"])
            #expect(try admin.demand("inbox", "purge", juliet, "--with", "nurse@\(cluster.domain)").fact("removed") == .integer(1))
            #expect(try admin.demand("inbox", "purge", juliet, "--before", "1d").fact("removed") == .integer(0))
            #expect(try admin.demand("inbox", "show", juliet).rows.count == 3)
            let letters = try Chat.texts("juliet", on: 1, of: cluster, count: 3)
            #expect(letters == ["text r1", "text r2", "text r3"])
            #expect(try admin.demand("inbox", "show", juliet).fact("owed") == .integer(0))

            let all = try admin.demand("archive", "show", juliet)
            #expect(all.rows.count == 4 && all.rows.allSatisfy { $0["body"] == nil && $0["what"] == .text("text") })
            let some = try admin.demand("archive", "show", juliet, "--with", romeo, "--last", "--limit", "2", "--bodies")
            #expect(some.rows.map { $0["body"] } == ["text r2", "text r3"] && some.sentence.contains("more"))
            #expect(try admin.demand("archive", "show", juliet, "--end", "1d").rows.isEmpty)
            #expect(try admin.demand("archive", "show", juliet, "--start", "2h").rows.count == 4)
            let show = try admin.demand("user", "show", juliet)
            #expect(show.fact("archive_messages") == .integer(4) && show.fact("messages_owed") == .integer(0))
            #expect(show.fact("quota_messages_owed") == .integer(10_000) && show.fact("quota_archive_days") == ReplyValue.none)

            #expect(try admin.demand("archive", "purge", juliet, "--with", "nurse@\(cluster.domain)").fact("removed") == .integer(1))
            #expect(try admin.demand("archive", "purge", juliet, "--before", "1h").fact("removed") == .integer(0))
            // What was just written is known as a repeat for a while; what is old goes at once.
            try admin.demand("clock", "1h")
            try write("paris", ["p1"])
            let host = try admin.demand("archive", "purge", "--host", cluster.domain, "--before", "30m")
            #expect(host.fact("accounts") == .integer(4) && host.fact("accounts_touched") == .integer(3))
            #expect(host.fact("removed") == .integer(7), "\(host)")
            #expect(try admin.demand("archive", "show", juliet, "--bodies").rows.map { $0["body"] } == ["text p1"])
            #expect(try admin.demand("archive", "show", romeo).rows.isEmpty)
            #expect(try admin.demand("inbox", "purge", juliet, "--all").fact("removed") == .integer(1))
            #expect(try admin.demand("archive", "purge", juliet, "--all").fact("removed") == .integer(1))
            #expect(try Chat.texts("juliet", on: 0, of: cluster, count: 0).isEmpty)
            #expect(try admin.demand("store", "verify").fact("findings") == .integer(0))

            #expect(try admin.ask(["archive", "purge"]).error == .usage)
            #expect(try admin.ask(["archive", "purge", juliet]).error == .usage)
            #expect(try admin.ask(["archive", "purge", juliet, "--all", "--before", "1d"]).error == .usage)
            #expect(try admin.ask(["archive", "purge", juliet, "--host", cluster.domain, "--all"]).error == .usage)
            #expect(try admin.ask(["archive", "purge", "--host", "far.example", "--all"]).error == .invalid)
            #expect(try admin.ask(["archive", "purge", juliet, "--before", "yesterday"]).error == .usage)
            #expect(try admin.ask(["archive", "show", juliet, "--start", "2026-02-31"]).error == .usage)
            #expect(try admin.ask(["archive", "show", juliet, "--with", "@"]).error == .invalid)
            #expect(try admin.ask(["archive", "show", juliet, "--start", "1h", "--end", "2h"]).error == .invalid)
            #expect(try admin.ask(["inbox", "purge", juliet]).error == .usage)
            for words in [["archive", "show"], ["inbox", "show"]] { try stage.refuses(words) }
            for words in [["archive", "purge"], ["inbox", "purge"]] { try stage.refuses(words, ["--all"]) }
        }

        @Test func speaksToUsers() throws {
            let stage = try Stage(["juliet", "romeo", "nurse"])
            let (cluster, admin, juliet) = (stage.cluster, stage.admin, stage.juliet)
            let balcony = try cluster.connect("juliet", resource: "balcony", node: 0)
            let orchard = try cluster.connect("romeo", resource: "orchard", node: 1)
            for client in [balcony, orchard] {
                try client.send("<presence/>")
                try client.ping("there")
            }
            #expect(try admin.demand("message", "send", juliet, "Hear <ye> & hear", "--subject", "News").fact("sessions") == .integer(1))
            let news = try balcony.receive { $0.local == "message" }
            #expect(news["from"] == cluster.domain && news.first(local: "body", namespace: "jabber:client")?.text == "Hear <ye> & hear")
            #expect(news.first(local: "subject", namespace: "jabber:client")?.text == "News")
            // From standard input, to one who is away.
            let later = try admin.ask(["message", "send", "nurse@\(cluster.domain)"], secret: ["First line,", "second line."])
            #expect(later.error == nil && later.fact("sessions") == .integer(0))
            let waiting = try admin.demand("inbox", "show", "nurse@\(cluster.domain)", "--bodies")
            #expect(waiting.rows.first?["body"] == .text("First line,\nsecond line."))

            let headline = try admin.demand("message", "broadcast", "The play begins", "--rate", "1000")
            #expect(headline.fact("online") == .integer(2) && headline.fact("accounts") == .integer(2))
            for client in [balcony, orchard] { #expect(try client.receive { $0.local == "message" }["type"] == "headline") }
            let everybody = try admin.ask(["message", "broadcast", "--all", "--host", cluster.domain], secret: ["It is over"])
            #expect(everybody.error == nil && everybody.fact("accounts") == .integer(3) && everybody.fact("online") == .integer(2))
            for client in [balcony, orchard] { #expect(try client.receive { $0.local == "message" }["type"] == nil) }
            #expect(try admin.demand("inbox", "show", "nurse@\(cluster.domain)").fact("owed") == .integer(2))

            try admin.demand("user", "disable", juliet, "--reason", "a test")
            #expect(try admin.ask(["message", "send", juliet, "anybody there"]).error == .failed)
            #expect(try admin.demand("user", "show", juliet).fact("disabled_since") != nil)
            #expect(try admin.ask(["message", "send", "nurse@\(cluster.domain)", " "]).error == .invalid)
            #expect(
                try admin.ask(
                    ["message", "send", "nurse@\(cluster.domain)"],
                    secret: [String(repeating: "x", count: 8_000), String(repeating: "x", count: 8_000)]
                ).error == .invalid)
            #expect(try admin.ask(["message", "send", "nurse@\(cluster.domain)", "x", "--from", "far.example"]).error == .invalid)
            #expect(try admin.ask(["message", "broadcast", "x", "--host", "far.example"]).error == .invalid)
            #expect(try admin.ask(["message", "broadcast", "x", "--all", "--online"]).error == .usage)
            try stage.refuses(["message", "send"], ["x"])
        }

        // MARK: The account itself

        @Test func listsShowsAndDeletes() throws {
            let stage = try Stage(["juliet", "romeo", "nurse"])
            let (cluster, admin, juliet) = (stage.cluster, stage.admin, stage.juliet)
            let balcony = try cluster.connect("juliet", resource: "balcony", node: 0)
            try balcony.send(
                "<presence/><iq type='set' id='p'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>shopping</notes></query></iq>"
            )
            _ = try balcony.receive { $0["id"] == "p" }
            func list(_ words: String...) throws -> [String] {
                try admin.ask(["user", "list"] + words).rows.compactMap { if case .text(let jid)? = $0["jid"] { jid } else { nil } }
            }
            let domain = cluster.domain
            #expect(try list() == ["juliet@\(domain)", "nurse@\(domain)", "romeo@\(domain)"])
            #expect(try list("r*") == ["romeo@\(domain)"] && list("urs") == ["nurse@\(domain)"])
            #expect(try list("--state", "online") == ["juliet@\(domain)"])
            #expect(try list("--state", "offline", "--limit", "1") == ["nurse@\(domain)"])
            #expect(try list("--state", "offline", "--after", "nurse@\(domain)") == ["romeo@\(domain)"])
            #expect(try admin.demand("user", "list", "--limit", "2").sentence.contains("--after nurse@\(domain)"))
            #expect(try list("--idle", "1d").isEmpty)
            try admin.demand("clock", "2d")
            #expect(try list("--idle", "1d") == ["nurse@\(domain)", "romeo@\(domain)"])
            try balcony.close()
            // Nobody waits for that to be written, but who looks at the account.
            let deadline = Deadline(in: .seconds(30))
            while try admin.demand("user", "show", juliet).fact("last_seen") == ReplyValue.none, !deadline.isOver {}
            #expect(try admin.demand("user", "list", "jul*").rows.first?["last_seen"] != ReplyValue.none)
            #expect(try admin.ask(["user", "list", "--state", "asleep"]).error == .usage)
            #expect(try admin.ask(["user", "list", "--host", "far.example"]).error == .invalid)

            #expect(try admin.demand("private", "list", juliet).rows.first?["namespace"] == .text("urn:example:notes"))
            #expect(try admin.ask(["vcard", "show", juliet]).error == .notFound)
            let card = ["<?xml version='1.0'?>", "<vCard xmlns='vcard-temp'><FN>Juliet</FN>", "<N><GIVEN>Juliet</GIVEN></N></vCard>"]
            #expect(try admin.ask(["vcard", "set", juliet], secret: card).error == nil)
            let shown = try admin.demand("vcard", "show", juliet)
            #expect(shown.fact("FN") == .text("Juliet") && shown.fact("N/GIVEN") == .text("Juliet"))
            #expect(
                try admin.demand("vcard", "show", juliet, "--xml").lines.contains(
                    .prose("<vCard xmlns='vcard-temp'><FN>Juliet</FN>\n<N><GIVEN>Juliet</GIVEN></N></vCard>")))
            #expect(try admin.ask(["vcard", "set", juliet], secret: ["<vCard xmlns='vcard-temp'>"]).error == .invalid)
            #expect(try admin.ask(["vcard", "set", juliet], secret: ["<x xmlns='urn:x'/>"]).error == .invalid)
            #expect(try admin.ask(["vcard", "set", domain], secret: ["<vCard xmlns='vcard-temp'><FN>Verona</FN></vCard>"]).error == nil)
            #expect(try admin.demand("vcard", "show", domain).fact("FN") == .text("Verona"))
            try admin.demand("vcard", "remove", domain)
            #expect(try admin.ask(["vcard", "remove", domain]).error == .notFound)
            for words in [["vcard", "show"], ["vcard", "remove"], ["private", "list"], ["user", "show"], ["user", "delete"]] {
                try stage.refuses(words)
            }

            let dry = try admin.demand("user", "delete", juliet, "--dry-run")
            #expect(dry.fact("private_items") == .integer(1) && dry.fact("vcard_bytes") != .integer(0))
            #expect(try list("jul*") == [juliet])
            #expect(try admin.demand("user", "delete", juliet).fact("private_items") == .integer(1))
            #expect(try list("jul*").isEmpty)
            #expect(
                try admin.demand("help", "user", "add").lines.contains {
                    if case .prose(let text) = $0 { text.contains("renamed") } else { false }
                })
        }
    }
}

extension Chat {
    /// The texts of the messages that wait for a user, in order.
    fileprivate static func texts(_ user: String, on node: Int, of cluster: ProcessCluster, count: Int) throws -> [String] {
        let client = try cluster.connect(user, resource: "reading", node: node)
        try client.send("<presence/>")
        var texts: [String] = []
        while texts.count < count {
            texts.append(try client.receive { $0.local == "message" }.first(local: "body", namespace: "jabber:client")?.text ?? "")
        }
        try client.ping("behind") { stanza in if stanza.hasPrefix("<message") { texts.append(stanza) } }
        try client.close()
        return texts
    }
}
