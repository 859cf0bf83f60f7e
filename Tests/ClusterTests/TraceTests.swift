import AdminLanguage
import TestKit
import Testing

extension ClusterTests {
    /// Stanzas followed through three processes.
    @Suite(.serialized) struct TraceTests {
        /// A trace that runs.
        private final class Trace {
            let admin: ProcessAdmin
            private var columns: [String] = []

            /// Returns when the loops of all nodes follow.
            init(_ cluster: ProcessCluster, on node: Int, _ words: String...) throws {
                admin = try cluster.admin(node)
                try admin.begin(words: ["trace"] + words)
                while columns.isEmpty {
                    let line = try admin.next()
                    if case .table(_, let names) = line { columns = names }
                    if line.isEnd { throw ProcessFailure("the trace does not begin: \(line.text)") }
                }
            }

            /// The next station, or nil at the end.
            func next() throws -> [String: String]? {
                while true {
                    switch try admin.next() {
                    case .row(let values):
                        return Dictionary(zip(columns, values.map { if case .text(let text) = $0 { text } else { "" } })) { $1 }
                    case .ok(let sentence), .error(_, let sentence):
                        self.sentence = sentence
                        return nil
                    default: continue
                    }
                }
            }

            private(set) var sentence = ""

            /// Stations up to one that is wanted.
            func stations(through isLast: ([String: String]) -> Bool) throws -> [[String: String]] {
                var all: [[String: String]] = []
                while let station = try next() {
                    all.append(station)
                    if isLast(station) { return all }
                }
                throw ProcessFailure("the trace ended: \(sentence); it showed \(all.map { $0["station"] ?? "" })")
            }

            /// All to the end.
            func rest() throws -> [[String: String]] {
                var all: [[String: String]] = []
                while let station = try next() { all.append(station) }
                return all
            }
        }

        @Test func followsAMessageOverTwoNodes() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet"])
            let (romeo, juliet) = (
                try cluster.connect("romeo", resource: "orchard", node: 1), try cluster.connect("juliet", resource: "balcony", node: 2)
            )
            try juliet.send("<presence/>")
            try juliet.ping("there")
            let trace = try Trace(cluster, on: 2, "juliet@\(cluster.domain)", "--kind", "message", "--count", "2")
            try romeo.send("<message to='juliet@\(cluster.domain)' type='chat' id='m1'><body>Neither, fair saint</body></message>")
            let way = try trace.stations { $0["station"] == "sent" }
            let keeper = way.first { $0["station"] == "kept" }?["node"] ?? ""
            let stations = way.compactMap { station -> String? in
                // The sender's home tells its session while the addressee's still works.
                guard station["station"] != "completed", let node = station["node"], let name = station["station"] else { return nil }
                return (node == keeper ? "keeper" : node) + " " + name
            }
            let home = ["admitted", "archived", "routed", "admitted", "chosen", "kept", "archived", "released"].map { "keeper " + $0 }
            #expect(
                stations == [keeper == "b" ? "keeper received" : "b received"] + home
                    + ["written", "sent"].map { (keeper == "c" ? "keeper " : "c ") + $0 })
            #expect(Set(way.map { $0["stanza"] }).count == 1)
            #expect(way.map { $0["time"] ?? "" } == way.map { $0["time"] ?? "" }.sorted())
            #expect(way.first?["content"]?.contains("<body>…</body>") == true)
            #expect(way.first { $0["station"] == "chosen" }?["detail"] == "balcony on c")

            // Nobody is there: the reason comes with it, and the trace ends by itself.
            try romeo.send("<message to='nobody@\(cluster.domain)' type='chat' id='m2'><body>lost</body></message>")
            try juliet.send("<message to='nobody@\(cluster.domain)' type='chat' id='m3'><body>lost</body></message>")
            let rest = try trace.rest()
            let refused = rest.filter { $0["id"] == "m3" }
            #expect(rest.allSatisfy { $0["id"] != "m2" })
            #expect(refused.contains { $0["station"] == "bounced" && $0["detail"]?.contains("there is no account nobody@") == true })
            #expect(refused.contains { $0["station"] == "completed" && $0["detail"]?.hasPrefix("refused: service-unavailable") == true })
            #expect(refused.contains { $0["station"] == "sent" && $0["type"] == "error" })
            #expect(trace.sentence.hasPrefix("2 stanzas, "))

            try refusals(cluster, trace.admin)
            try fourAtOnce(cluster, romeo)
            try lists(cluster)
            try shows(cluster)
            try ends(cluster)
        }

        private func refusals(_ cluster: ProcessCluster, _ admin: ProcessAdmin) throws {
            for (words, code, part) in [
                ([], .usage, "say what to trace"), (["--kind", "stanza"], .invalid, "stanza is no kind of stanza"),
                (["--node", "zebra"], .notFound, "no node zebra answered"),
                (["--domain", "x", "--seconds", "0"], .usage, "is no --seconds"),
                (["a@b@c"], .invalid, "a@b@c is not a JID"), (["--domain", "x", "--file", "/x"], .usage, "--file is for martletctl"),
            ] as [([String], ReplyCode, String)] {
                let answer = try admin.ask(["trace"] + words)
                #expect(answer.error == code && answer.sentence.contains(part), "\(words): \(answer.sentence)")
            }
        }

        /// The fifth is refused; one whose reader is gone makes room, and one ends by its time.
        private func fourAtOnce(_ cluster: ProcessCluster, _ client: XMPPClient) throws {
            var traces = try (0..<4).map { try Trace(cluster, on: $0 % 3, "--domain", cluster.domain, "--seconds", $0 == 0 ? "1" : "600") }
            // Its second is over before the others are looked at.
            _ = try traces[0].rest()
            #expect(traces[0].sentence.hasSuffix("ended after 1 s"))
            traces[0] = try Trace(cluster, on: 0, "--kind", "iq")
            let admin = try cluster.admin(1)
            #expect(try admin.ask(["trace", "--domain", cluster.domain]).error == .refused)
            traces.removeLast()
            let deadline = Deadline(in: .patient)
            while true {
                try admin.begin(words: ["trace", "--domain", cluster.domain, "--count", "1"])
                if case .fact = try admin.next() { break }
                guard !deadline.isOver else { throw ProcessFailure("a trace whose reader is gone does not end") }
            }
            try client.ping("traced")
            while case let line = try admin.next(), !line.isEnd {}
        }

        private func lists(_ cluster: ProcessCluster) throws {
            let admin = try cluster.admin(0)
            func jids(_ words: String...) throws -> [ReplyValue?] { try admin.ask(["session", "list"] + words).rows.map { $0["jid"] } }
            let (romeo, juliet) = (ReplyValue.text("romeo@\(cluster.domain)/orchard"), ReplyValue.text("juliet@\(cluster.domain)/balcony"))
            #expect(try jids() == [juliet, romeo])
            #expect(try jids("--node", "b") == [romeo])
            #expect(try jids("romeo@\(cluster.domain)") == [romeo])
            #expect(try jids("--match", "*/balcony") == [juliet])
            #expect(try jids("--after", "juliet@\(cluster.domain)/balcony") == [romeo])
            #expect(try jids("--tls").isEmpty)
            #expect(try jids("--no-tls", "--address", "127.", "--state", "attached", "--domain", cluster.domain).count == 2)
            #expect(try jids("--sort", "rate").count == 2)
            #expect(try jids("--idle", "1h").isEmpty)
            #expect(try jids("--queue", "1000").isEmpty)
            let page = try admin.demand("session", "list", "--limit", "1")
            #expect(page.rows.count == 1 && page.sentence == "1 of 2 sessions; the next page: --after juliet@\(cluster.domain)/balcony")
            for (words, code) in [
                (["--domain", "elsewhere.lit"], .invalid), (["--node", "zebra"], .notFound), (["--tls", "--no-tls"], .usage),
                (["--sort", "idle", "--after", "a@b/c"], .usage), (["--sort", "x"], .usage), (["a@b", "--user", "a@b"], .usage),
            ] as [([String], ReplyCode)] {
                #expect(try admin.ask(["session", "list"] + words).error == code, "\(words)")
            }
            let show = try admin.demand("session", "show", "juliet@\(cluster.domain)/balcony")
            #expect(show.fact("node") == .text("c") && show.fact("presence") == .text("available") && show.fact("priority") == .integer(0))
            #expect(show.fact("reading") == .flag(true) && show.fact("sm") == .text("off"))
            for key in ["rate_in", "rate_out", "memory_bytes", "waiting", "unhandled_bytes", "held_bytes", "idle_seconds"] {
                #expect(show.fact(key) != nil, "\(key)")
            }
            #expect(try admin.ask(["session", "show", "juliet@\(cluster.domain)/garden"]).error == .notFound)
        }

        private func shows(_ cluster: ProcessCluster) throws {
            let top = try cluster.admin(2).demand("top", "--once", "--seconds", "1", "--sessions", "1")
            #expect(top.fact("nodes") == .integer(3) && top.fact("sessions") == .integer(2) && top.fact("seconds") == .integer(1))
            let names = top.lines.compactMap { if case .table(let name, _) = $0 { name } else { nil } }
            #expect(names == ["kinds", "nodes", "loops", "sessions"])
            #expect(top.rows.compactMap { $0["kind"] } == ["message", "presence", "iq"].map { .text($0) })
            #expect(top.rows.filter { $0["role"] != nil }.map { $0["node"] } == ["a", "b", "c"].map { .text($0) })
            #expect(top.rows.count { $0["thread"] == .text("loop 1") } == 3)
            #expect(top.rows.count { $0["thread"] == .text("committer") } == 1)
            #expect(top.rows.count { $0["waiting"] != nil } == 1)
            for key in ["in_per_s", "commits_per_s", "store_used_mib", "keeper"] { #expect(top.fact(key) != nil, "\(key)") }
        }

        private func ends(_ cluster: ProcessCluster) throws {
            let admin = try cluster.admin(1)
            #expect(try admin.ask(["session", "kick"]).error == .usage)
            #expect(try admin.ask(["session", "kick", "--idle", "1h", "--yes"]).error == .notFound)
            let counted = try admin.ask(["session", "kick", "--domain", cluster.domain])
            #expect(counted.error == .refused && counted.sentence.hasPrefix("2 sessions would be ended"))
            #expect(try admin.demand("session", "kick", "--node", "c", "--yes").sentence == "1 session ended")
            #expect(
                try admin.demand("session", "kick", "--address", "127.0.0.1", "--reason", "enough", "--yes").sentence == "1 session ended")
            #expect(try admin.demand("session", "list").rows.isEmpty)
        }
    }
}
