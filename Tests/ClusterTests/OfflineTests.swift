import Glibc
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// What was accepted is there after all nodes died at once.
    @Suite(.serialized) struct OfflineTests {
        @Test func keepsWhatWasAcceptedWhenAllNodesDie() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet", "marker"])
            let keeper = try cluster.keeper()
            var seen: Set<String> = []
            // Over the bus, and at the keeper itself.
            for (round, node) in [(keeper + 1) % 3, keeper].enumerated() {
                let romeo = try cluster.connect("romeo", resource: "orchard", node: node)
                let ids = (0..<500).map { "romeo-\(round * 500 + $0)" }
                try romeo.send(ids.map { Chat.message(to: "juliet@\(cluster.domain)", id: $0) }.joined())
                try romeo.ping("accepted")
                for index in cluster.names.indices { cluster.signal(index, SIGKILL) }
                for index in cluster.names.indices { try cluster.waitForEnd(index) }
                for index in cluster.names.indices { try cluster.start(index) }
                for index in cluster.names.indices { try cluster.waitUntilServing(index) }
                let letters = try Chat.drain("juliet", on: (node + 1) % 3, of: cluster)
                // What was read just before the nodes died may come again, with its stamp.
                let new = letters.map(\.id).filter { !seen.contains($0) }
                #expect(new == ids)
                #expect(!letters.contains { !$0.isDelayed })
                seen.formUnion(new)
            }
        }

        @Test func keepsWhatWasAnsweredWhenAllNodesDie() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["juliet"])
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 2)
            for number in 0..<50 {
                let item = "<item jid='contact\(number)@\(cluster.domain)' name='Contact \(number)'><group>Verona</group></item>"
                try juliet.send("<iq type='set' id='set\(number)'><query xmlns='jabber:iq:roster'>\(item)</query></iq>")
            }
            var answered = 0
            while answered < 50 {
                let answer = try juliet.receive { $0.local == "iq" && $0["id"] == "set\(answered)" }
                #expect(answer["type"] == "result")
                answered += 1
            }
            for index in cluster.names.indices { cluster.signal(index, SIGKILL) }
            for index in cluster.names.indices { try cluster.waitForEnd(index) }
            try cluster.start(1)
            try cluster.waitUntilServing(1)
            let again = try cluster.connect("juliet", resource: "balcony", node: 1)
            try again.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            let roster = try again.receive { $0["id"] == "roster" }.first(local: "query", namespace: "jabber:iq:roster")
            #expect(roster?.children.count { _ in true } == 50)
            #expect(roster?.children.first { $0["jid"] == "contact49@\(cluster.domain)" }?["name"] == "Contact 49")
        }

        @Test func carriesTwoFloodsAtOnce() throws {
            let count = 10_000
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet"])
            let pair = try ["romeo", "juliet"].enumerated().map { try cluster.connect($1, resource: "flood", node: $0) }
            for client in pair {
                try client.send("<presence/>")
                try client.ping("present")
            }
            let floods = [
                Flood(pair[0], from: "romeo", to: "juliet@\(cluster.domain)", count),
                Flood(pair[1], from: "juliet", to: "romeo@\(cluster.domain)", count),
            ]
            let threads = try floods.map { flood in try ProcessThread { flood.run() } }
            for thread in threads { thread.join() }
            for (flood, other) in zip(floods, ["juliet", "romeo"]) {
                #expect(flood.failure == nil, "\(cluster.logTails)")
                #expect(flood.received.count == count)
                #expect(flood.received.elementsEqual((0..<count).lazy.map { "\(other)-\($0)" }))
            }
        }

        /// One side of a flood. A thread uses it, and when that has ended, the test.
        private final class Flood: @unchecked Sendable {
            // @unchecked: see above.
            private let client: XMPPClient
            private let name: String
            private let to: String
            private let count: Int
            private(set) var received: [String] = []
            private(set) var failure: String?

            init(_ client: XMPPClient, from name: String, to: String, _ count: Int) {
                self.client = client
                self.name = name
                self.to = to
                self.count = count
            }

            func run() {
                do {
                    for start in stride(from: 0, to: count, by: 100) {
                        let chunk = (start..<min(start + 100, count)).map { Chat.message(to: to, id: "\(name)-\($0)") }
                        // A stall is a failure: a server that takes nothing for 20 s, or gives nothing.
                        try client.send(chunk.joined())
                        for stanza in client.receiveAll() { note(stanza) }
                    }
                    while received.count < count { note(try client.receive()) }
                } catch {
                    failure = "\(name): \(error); received \(received.count)"
                }
            }

            private func note(_ stanza: String) {
                if let letter = Letter(stanza) { received.append(letter.id) }
            }
        }
    }
}
