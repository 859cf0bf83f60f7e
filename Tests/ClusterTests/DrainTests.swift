import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// A node that is told to stop takes leave.
    @Suite(.serialized) struct DrainTests {
        @Test func handsOverWhatIsUnreadAndLeaves() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet", "nurse", "marker"])
            let keeper = try cluster.keeper()
            // First a node that follows, then the keeper itself.
            for (round, leaving) in [(keeper + 1) % 3, keeper].enumerated() {
                let staying = (leaving + 1) % 3
                let romeo = try cluster.connect("romeo", resource: "orchard", node: staying)
                let nurse = try cluster.connect("nurse", resource: "hall", node: leaving)
                let juliet = try XMPPClient(
                    port: cluster.ports[leaving], domain: cluster.domain, user: "juliet", resource: "balcony", receiveBuffer: 4096)
                try juliet.send("<presence/>")
                try juliet.ping("present")
                // More than sockets hold, to one who does not read.
                let ids = (0..<600).map { "romeo-\(round * 1000 + $0)" }
                for id in ids { try romeo.send(Chat.message(to: "juliet@\(cluster.domain)", id: id, filler: 12_000)) }
                try romeo.ping("accepted")

                var command: ProcessThread?
                // Once by signal, once by command from another node.
                if round == 0 {
                    cluster.signal(leaving, SIGTERM)
                } else {
                    // The answer comes when the node is gone; meanwhile the clients have to read.
                    let socket = "\(cluster.directory)/cluster/run/admin-\(cluster.names[staying]).sock"
                    command = try ProcessThread { [name = cluster.names[leaving]] in
                        _ = try? ProcessAdmin(socket: socket).demand("node", "stop", name)
                    }
                }
                for client in [nurse, juliet] {
                    try client.waitForEnd()
                    #expect(client.end == "system-shutdown")
                }
                let first = juliet.receiveAll().compactMap { Letter($0) }
                let ending = try cluster.waitForEnd(leaving)
                #expect(ending == 0, "\(cluster.logTails)")
                command?.join()

                // The others go on, and the rest is there.
                #expect(romeo.end == nil)
                try romeo.ping("still here")
                let rest = try Chat.drain("juliet", on: staying, of: cluster)
                #expect(!rest.isEmpty, "the sockets held everything: write more")
                #expect(firstDisorder(first) == nil)
                #expect(firstDisorder(rest) == nil)
                #expect(!rest.contains { !$0.isDelayed })
                let seen = Set(first.map(\.id))
                #expect(first.map(\.id) + rest.map(\.id).filter { !seen.contains($0) } == ids)
                try romeo.close()
                try cluster.start(leaving)
                try cluster.waitUntilServing(leaving)
            }
        }

        /// Nodes are renewed one after the other while people write and read: nothing is lost, and with the keeper in its place nothing
        /// comes twice. What a session that ended acknowledged in a keeper's last moment may come again, with its stamp.
        @Test(arguments: [false, true]) func renewsNodesUnderLoad(keepers: Bool) throws {
            let drill = try Drill()
            for round in 0..<max(3, Rounds.count(30) / 10) {
                let keeper = try drill.cluster.keeper()
                try drill.strike([keepers ? keeper : (keeper + 1 + round % 2) % 3], with: SIGTERM)
            }
            try drill.finish(mayRepeat: keepers)
        }
    }
}
