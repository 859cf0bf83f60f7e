import AdminLanguage
import Glibc
import Synchronization
import TestKit
import Testing

extension ClusterTests {
    /// Copies of a running cluster.
    @Suite(.serialized) struct BackupTests {
        @Test func holdsWhatWasAcknowledgedBefore() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet", "marker"])
            let folder = cluster.directory + "/backups"
            let keeper = try cluster.keeper()
            let other = (keeper + 1) % 3
            let romeo = try cluster.connect("romeo", resource: "orchard", node: other)
            let ids = (0..<500).map { "romeo-\($0)" }
            try romeo.send(ids.map { Chat.message(to: "juliet@\(cluster.domain)", id: $0) }.joined())
            try romeo.ping("accepted")
            // Asked of a node that does not keep the store.
            let answer = try cluster.admin(other).demand("store", "backup", folder)
            #expect(answer.fact("node") == .text(cluster.names[keeper]))
            #expect(answer.fact("accounts") == .integer(3))
            let list = try cluster.admin(other).demand("store", "backups", folder).rows
            #expect(list.count == 1)
            #expect(list.first?["path"] == answer.fact("path"))
            let rows = try cluster.admin(other).demand("store", "verify").fact("findings")
            #expect(rows == .integer(0))
        }

        @Test func saysWhatIsWrongInOneSentence() throws {
            let cluster = try ProcessCluster(nodes: 1)
            let admin = try cluster.admin(0)
            #expect(try admin.ask(["store", "backup", "not/absolute"]).error == .invalid)
            #expect(try admin.ask(["store", "backup", "/nowhere/at/all"]).error == .failed)
            #expect(try admin.ask(["store", "backup", "--abort"]).error == .notFound)
            #expect(try admin.ask(["store", "backup", "--abort", "--status"]).error == .usage)
            #expect(try admin.demand("store", "backups").rows.isEmpty)
            #expect(try admin.demand("store", "backup", "--status").fact("state") == .text("failed"))
        }
    }
}
