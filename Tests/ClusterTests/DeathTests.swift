import Glibc
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Any node may die at any moment.
    @Suite(.serialized) struct DeathTests {
        @Test func losesNothingWhenNodesAreKilled() throws {
            let drill = try Drill()
            for round in 0..<Rounds.count(30) {
                let keeper = try drill.cluster.keeper()
                let victim = round < 2 ? (keeper + round) % 3 : Int.random(in: 0..<3)
                try drill.strike([victim], with: SIGKILL)
            }
            try drill.finish()
        }

        /// The second dies while it is taking over from the first, or just has.
        @Test func losesNothingWhenTheKeepersHeirDiesToo() throws {
            let drill = try Drill()
            for round in 0..<Rounds.count(10) {
                let keeper = try drill.cluster.keeper()
                try drill.strike([keeper, (keeper + 1 + round % 2) % 3], with: SIGKILL)
            }
            try drill.finish()
        }

        @Test func fencesNodesThatStandStill() throws {
            let drill = try Drill(missedBeats: 6)
            for round in 0..<max(2, Rounds.count(20) / 10) * 2 {
                let keeper = try drill.cluster.keeper()
                // Silence is noticed after six checks 500 ms apart.
                try drill.strike([(keeper + round % 2) % 3], with: SIGSTOP)
            }
            // One that is left judges all others.
            let keeper = try drill.cluster.keeper()
            try drill.strike([keeper, (keeper + 1) % 3], with: SIGSTOP)
            try drill.finish()
        }

        /// A host that stood still, as a suspended machine does, wakes up whole: a judge that slept itself judges nobody.
        @Test func forgivesAPauseOfTheWholeHost() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2, missedBeats: 6)
            try cluster.addAccounts(["romeo", "juliet"])
            let pair = try ["romeo", "juliet"].enumerated().map { try cluster.connect($1, resource: "pause", node: $0) }
            for client in pair {
                try client.send("<presence/>")
                try client.ping("present")
            }
            let pids = cluster.pids
            for index in cluster.names.indices { cluster.signal(index, SIGSTOP) }
            // Longer than a silent node is given. The pause is what is tested.
            poll(nil, 0, 4_000)
            for index in cluster.names.indices { cluster.signal(index, SIGCONT) }
            try pair[0].send(Chat.message(to: pair[1].jid, id: "romeo-1"))
            #expect(try pair[1].receive { $0.local == "message" }["id"] == "romeo-1")
            for index in cluster.names.indices { try cluster.waitUntilServing(index) }
            #expect(cluster.pids == pids)
            #expect(try cluster.admin(0).demand("node", "list").rows.count == 3)
        }
    }
}
