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
        }
    }
}
