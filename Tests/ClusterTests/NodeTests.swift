import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// Nodes come and go by command, and their clients go on.
    @Suite(.serialized) struct NodeTests {
        private func managed(_ user: String, _ resource: String, node: Int, of cluster: ProcessCluster) throws -> XMPPClient {
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

        private func state(_ node: Int, _ cluster: ProcessCluster, of asked: Int) throws -> ReplyValue? {
            try cluster.admin(asked).demand("node", "list").rows.first { $0["node"] == .text(cluster.names[node]) }?["state"]
        }

        @Test func leaveComeBackAndBeginAnew() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet", "nurse"])
            let keeper = try cluster.keeper()
            let (leaving, staying) = ((keeper + 1) % 3, (keeper + 2) % 3)
            let name = cluster.names[leaving]
            let admin = try cluster.admin(staying)
            let romeo = try managed("romeo", "orchard", node: staying, of: cluster)
            var juliet = try managed("juliet", "balcony", node: leaving, of: cluster)
            let nurse = try cluster.connect("nurse", resource: "hall", node: leaving)

            // Drained: who can resume is cut off without an error, and goes on elsewhere.
            try admin.demand("node", "drain", name)
            try juliet.waitForEnd()
            #expect(juliet.end == "lost")
            try nurse.waitForEnd()
            #expect(nurse.end == "system-shutdown")
            #expect(try state(leaving, cluster, of: keeper) == .text("drained"))
            #expect(throws: ProcessFailure.self) { try cluster.connect("nurse", resource: "hall", node: leaving) }
            for number in 0..<5 { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(number)")) }
            juliet = try resume("juliet", juliet, node: keeper, of: cluster)
            #expect(juliet.refusal == nil)
            var numbers: [Int] = []
            while numbers.count < 5 { if let letter = Letter(try juliet.receive()) { numbers.append(letter.number) } }
            #expect(numbers == Array(0..<5))
            try admin.demand("node", "undrain", name)
            #expect(try state(leaving, cluster, of: staying) == .text("serving"))
            try cluster.connect("nurse", resource: "hall", node: leaving).close()

            // Begun anew: the same process, another life. The keeper too; the store changes hands.
            for index in [leaving, keeper] {
                let before = try cluster.admin(staying).demand("node", "show", cluster.names[index])
                try cluster.admin(staying).demand("node", "restart", cluster.names[index])
                let after = try cluster.admin(staying).demand("node", "show", cluster.names[index])
                #expect(after.fact("pid") == before.fact("pid"))
                #expect(after.fact("incarnation") != before.fact("incarnation"))
            }
            #expect(try cluster.keeper() != keeper)
            try juliet.waitForEnd()
            juliet = try resume("juliet", juliet, node: leaving, of: cluster)
            #expect(juliet.refusal == nil)
            try juliet.ping("still here")
            #expect(romeo.end == nil)

            // Stopped and started. Where nothing starts nodes, that is what is said.
            try admin.demand("node", "stop", name)
            try cluster.waitForEnd(leaving)
            #expect(try state(leaving, cluster, of: staying) == nil)
            for command in ["drain", "undrain", "stop", "restart"] {
                let answer = try admin.ask(["node", command, name])
                #expect(answer.error == .notFound)
                #expect(answer.sentence == "no node \(name) answered; node list shows those that do")
            }
            let none = try admin.ask(["node", "start", name])
            #expect(none.error == .failed)
            #expect(none.sentence.contains("there is no \(cluster.directory)/cluster/start"))
            try cluster.install(starter: "echo no room for $1 >&2; exit 3")
            #expect(try admin.ask(["node", "start", name]).sentence.hasSuffix("does not start node \(name): no room for \(name)"))
            try cluster.install(starter: "PROGRAM --config CONFIGURATION --node $1 >>LOG 2>&1 </dev/null &")
            try admin.demand("node", "start", name)
            try cluster.connect("nurse", resource: "hall", node: leaving).close()
            let again = try admin.ask(["node", "start", name])
            #expect(again.error == .exists)
            #expect(again.sentence.hasPrefix("node \(name) runs already as process "))

            // What martletctl does by itself, no node does.
            #expect(try admin.ask(["cluster", "restart"]).error == .refused)
            #expect(try admin.ask(["node", "start"]).error == .usage)
            try juliet.waitForEnd()
            juliet = try resume("juliet", juliet, node: leaving, of: cluster)
            #expect(juliet.refusal == nil)
            try juliet.ping("here to the end")
        }

        /// Every node begins anew by one command while people write to each other.
        @Test func clusterRestartIsNotNoticed() throws {
            let rounds = Rounds.count(1)
            let drill = try ResumeDrill(pairs: rounds > 10 ? 20 : 4)
            for _ in 0..<max(1, rounds / 10) { try drill.renewAll() }
            try drill.finish(within: .seconds(300))
            #expect(drill.refused == 0, "a client heard that its session is gone")
        }

        @Test func oneNodeIsACluster() throws {
            let cluster = try ProcessCluster(nodes: 1)
            let (status, text) = try cluster.ctl(["cluster", "restart"])
            #expect(status == 0, "\(text)")
            #expect(text.hasSuffix("the one node there is was restarted\n"))
            try cluster.waitUntilServing(0)
            // Nobody can be asked.
            try cluster.kill9(0)
            #expect(try cluster.ctl(["cluster", "restart"]).status == 4)
        }
    }
}
