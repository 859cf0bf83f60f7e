import Glibc
import Synchronization
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Stream management on real sockets: sessions go on at other nodes, and nothing that was acknowledged is lost (XEP-0198).
    @Suite(.serialized) struct ResumeTests {
        private func makeCluster() throws -> ProcessCluster {
            try ProcessCluster(nodes: 3, loops: 2, settings: "[offline]\nmessages = 0")
        }

        private func enter(_ user: String, _ resource: String, node: Int, of cluster: ProcessCluster) throws -> XMPPClient {
            let client = try cluster.connect(user, resource: resource, node: node)
            try client.enableManagement()
            try client.send("<presence/>")
            try client.ping("\(user)-present")
            return client
        }

        private func resume(_ user: String, _ client: XMPPClient, node: Int, of cluster: ProcessCluster) throws -> XMPPClient {
            let management = try #require(client.management)
            return try XMPPClient(
                port: cluster.ports[node], domain: cluster.domain, user: user, resuming: management, jid: client.jid)
        }

        /// The connection is cut, or looks alive, and the client comes back at the node's own port of another.
        @Test(arguments: [true, false]) func goesOnAtEveryNode(isCut: Bool) throws {
            let cluster = try makeCluster()
            try cluster.addAccounts(["romeo", "juliet"])
            let romeo = try enter("romeo", "orchard", node: 0, of: cluster)
            var juliet = try enter("juliet", "balcony", node: 1, of: cluster)
            var numbers: [Int] = []
            for round in 0..<6 {
                if isCut { juliet.drop() }
                for number in (round * 10)..<(round * 10 + 10) { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(number)")) }
                let before = juliet
                juliet = try resume("juliet", juliet, node: (round + 2) % 3, of: cluster)
                #expect(juliet.refusal == nil)
                if !isCut {
                    try before.waitForEnd()
                    #expect(before.end == "conflict")
                    // What the old stream still got was counted before the new one asked, or comes again.
                    numbers += before.receiveAll().compactMap { Letter($0)?.number }.filter { $0 >= 0 }
                }
                while Set(numbers).count < round * 10 + 10 {
                    let stanza = try juliet.receive()
                    if let letter = Letter(stanza) { numbers.append(letter.number) }
                }
            }
            if isCut { #expect(numbers == Array(0..<60)) } else { #expect(Set(numbers) == Set(0..<60)) }
            // Both ways, with the same numbers.
            try juliet.send(Chat.message(to: romeo.jid, id: "juliet-1"))
            try romeo.receive { $0["id"] == "juliet-1" }
        }

        /// The node of the session dies: it cannot be resumed, and everything unacknowledged comes from the inbox.
        @Test func nodeOfTheSessionDies() throws {
            let cluster = try makeCluster()
            try cluster.addAccounts(["romeo", "juliet"])
            let keeper = try cluster.keeper()
            for (round, victim) in [(keeper + 1) % 3, keeper].enumerated() {
                let other = (victim + 1) % 3
                let romeo = try enter("romeo", "orchard", node: other, of: cluster)
                let juliet = try enter("juliet", "balcony", node: victim, of: cluster)
                for number in 0..<20 { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(round * 20 + number)")) }
                try romeo.ping("sent")
                for _ in 0..<20 { try juliet.receive { $0.local == "message" } }
                try cluster.kill9(victim)
                let refused = try resume("juliet", juliet, node: other, of: cluster)
                #expect(refused.refusal?.contains("item-not-found") == true)
                refused.drop()
                let again = try cluster.connect("juliet", resource: "balcony", node: other)
                try again.send("<presence/>")
                var letters: [Letter] = []
                let deadline = Deadline(in: .patient)
                while letters.count < 20, let stanza = again.receive(by: deadline) {
                    // What was read without stream management in the keeper's last moment may come again.
                    if let letter = Letter(stanza), letter.number >= round * 20 { letters.append(letter) }
                }
                #expect(letters.map(\.number) == Array(round * 20..<round * 20 + 20))
                #expect(!letters.contains { !$0.isDelayed })
                try again.close()
                try romeo.close()
                try cluster.start(victim)
                try cluster.waitUntilServing(victim)
            }
        }

        /// The keeper dies while a session waits for its client at another node: the session and what came for it stay.
        @Test func keeperDiesWhileASessionWaits() throws {
            let cluster = try makeCluster()
            try cluster.addAccounts(["romeo", "juliet"])
            let keeper = try cluster.keeper()
            let romeo = try enter("romeo", "orchard", node: (keeper + 1) % 3, of: cluster)
            let juliet = try enter("juliet", "balcony", node: (keeper + 2) % 3, of: cluster)
            juliet.drop()
            for number in 0..<10 { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(number)")) }
            try romeo.ping("sent")
            try cluster.kill9(keeper)
            for number in 10..<20 { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(number)")) }
            try romeo.ping("sent too")
            let back = try resume("juliet", juliet, node: (keeper + 1) % 3, of: cluster)
            #expect(back.refusal == nil)
            var numbers: [Int] = []
            while numbers.count < 20 { if let letter = Letter(try back.receive()) { numbers.append(letter.number) } }
            #expect(numbers == Array(0..<20))
            try cluster.start(keeper)
            try cluster.waitUntilServing(keeper)
        }

        /// MARTLET_ROUNDS kills; 50 pairs with 400 messages each where that is set, a few otherwise.
        @Test func losesNothingWhileNodesAreKilled() throws {
            let rounds = Rounds.count(3)
            let drill = try ResumeDrill(pairs: rounds > 10 ? 50 : 6, messages: rounds > 10 ? 400 : 150)
            for _ in 0..<rounds { try drill.strike() }
            try drill.finish(within: .seconds(300))
        }

        /// A session is not to be had by another account, whatever it knows.
        @Test func belongsToItsAccount() throws {
            let cluster = try makeCluster()
            try cluster.addAccounts(["romeo", "juliet"])
            let juliet = try enter("juliet", "balcony", node: 0, of: cluster)
            for node in 0..<3 {
                let thief = try resume("romeo", juliet, node: node, of: cluster)
                #expect(thief.refusal?.contains("item-not-found") == true)
                thief.drop()
            }
            try juliet.ping("still here")
        }
    }
}
