import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// What programs that watch a cluster see of it.
    @Suite(.serialized) struct MonitoringTests {
        @Test func showsWhatTheNodesDo() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["romeo", "juliet"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 1)
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 2)
            for number in 0..<5 {
                try romeo.send(Chat.message(to: "juliet@\(cluster.domain)/balcony", id: "m-\(number)"))
            }
            try romeo.send("<message to='nobody@\(cluster.domain)' type='chat' id='lost'><body>lost</body></message>")
            try romeo.ping("done")
            try juliet.ping("read")
            let keeper = try cluster.keeper()
            for node in cluster.names.indices {
                #expect(try cluster.monitor(node, "/healthz").status == 200)
                let ready = try cluster.monitor(node, "/readyz")
                #expect(ready.status == 200, "\(ready.body)")
                let metrics = try cluster.monitor(node, "/metrics")
                #expect(metrics.status == 200)
                #expect(metrics.value("martlet_keeper") == (node == keeper ? 1 : 0))
                #expect(metrics.value("martlet_served") == 1)
                #expect(metrics.value("martlet_epoch") == 1)
                #expect(metrics.value("martlet_nodes") == 3)
                #expect(metrics.value("martlet_store_writable") == (node == keeper ? 1 : 0))
                #expect(try #require(metrics.value("martlet_store_map_bytes")) == Double(4 << 30))
                for peer in cluster.names where peer != cluster.names[node] {
                    #expect(metrics.value("martlet_link_up{peer=\"\(peer)\"}") == 1)
                }
                #expect(try #require(metrics.value("process_open_fds")) > 10)
                #expect(try #require(metrics.value("process_resident_memory_bytes")) > 1_000_000)
            }
            let ofRomeo = try cluster.monitor(1, "/metrics")
            #expect(ofRomeo.value("martlet_sessions") == 1)
            #expect(ofRomeo.value("martlet_stanzas_received_total{kind=\"message\"}") == 6)
            #expect(ofRomeo.value("martlet_stanza_handled_seconds_count{kind=\"message\"}") == 6)
            #expect(ofRomeo.value("martlet_bounces_total{condition=\"service-unavailable\"}") == 1)
            #expect(ofRomeo.value("martlet_logins_total{mechanism=\"\(SCRAMClient.mechanism)\"}") == 1)
            #expect(try #require(cluster.monitor(2, "/metrics").value("martlet_stanzas_sent_total{kind=\"message\"}")) == 5)
            let ofKeeper = try cluster.monitor(keeper, "/metrics")
            #expect(try #require(ofKeeper.value("martlet_commits_total")) > 0)
            #expect(ofKeeper.value("martlet_commit_seconds_count") == ofKeeper.value("martlet_commits_total"))
            #expect(try #require(ofKeeper.value("martlet_archive_messages_total")) >= 10)
            #expect(try cluster.monitor(0, "/elsewhere").status == 404)
        }
    }
}
