import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// What programs that watch a cluster see of it.
    @Suite(.serialized) struct MonitoringTests {
        /// Looks until what is expected has come, or for long enough.
        private func metrics(of node: Int, _ cluster: ProcessCluster, until isThere: (ProcessMonitoring.Answer) -> Bool) throws
            -> ProcessMonitoring.Answer
        {
            let deadline = Deadline(in: .patient)
            var metrics = try cluster.monitor(node, "/metrics")
            while !isThere(metrics), !deadline.isOver { metrics = try cluster.monitor(node, "/metrics") }
            return metrics
        }

        /// Only there where something is configured that test clusters do not have.
        private static let elsewhere: Set = [
            "martlet_certificate_expiry_timestamp_seconds", "martlet_store_quota_bytes", "martlet_backup_newest_timestamp_seconds",
        ]

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
                // What is told of links is a tenth of a second old.
                let peers = cluster.names.filter { $0 != cluster.names[node] }
                let metrics = try metrics(of: node, cluster) { metrics in
                    peers.allSatisfy { metrics.value("martlet_link_up{peer=\"\($0)\"}") == 1 }
                }
                #expect(metrics.status == 200)
                #expect(metrics.value("martlet_keeper") == (node == keeper ? 1 : 0))
                #expect(metrics.value("martlet_served") == 1)
                #expect(metrics.value("martlet_epoch") == 1)
                #expect(metrics.value("martlet_nodes") == 3)
                #expect(metrics.value("martlet_store_writable") == (node == keeper ? 1 : 0))
                #expect(try #require(metrics.value("martlet_store_map_bytes")) == Double(4 << 30))
                for peer in peers {
                    #expect(metrics.value("martlet_link_up{peer=\"\(peer)\"}") == 1)
                }
                #expect(try #require(metrics.value("process_open_fds")) > 10)
                #expect(try #require(metrics.value("martlet_memory_bytes")) > 1_000_000)
            }
            // That a message is handled everywhere may be heard behind the answer to the ping.
            let ofRomeo = try metrics(of: 1, cluster) { $0.value("martlet_stanza_handled_seconds_count{kind=\"message\"}") == 6 }
            #expect(ofRomeo.value("martlet_sessions") == 1)
            #expect(ofRomeo.value("martlet_stanzas_received_total{kind=\"message\"}") == 6)
            #expect(ofRomeo.value("martlet_stanza_handled_seconds_count{kind=\"message\"}") == 6)
            #expect(ofRomeo.value("martlet_bounces_total{condition=\"service-unavailable\"}") == 1)
            #expect(ofRomeo.value("martlet_logins_total{mechanism=\"\(SCRAMClient.mechanism)\"}") == 1)
            #expect(try cluster.monitor(2, "/metrics").value("martlet_stanzas_sent_total{kind=\"message\"}") == 5)
            let ofKeeper = try cluster.monitor(keeper, "/metrics")
            #expect(try #require(ofKeeper.value("martlet_commits_total")) > 0)
            #expect(try #require(ofKeeper.value("martlet_commit_seconds_count")) > 0)
            #expect(try #require(ofKeeper.value("martlet_archive_messages_total")) >= 10)
            #expect(ofKeeper.value("martlet_inbox_messages_total") == 5)
            #expect(ofKeeper.value("martlet_stamps_ahead_total") == 0)
            try showsAllThatAlarmsAndDashboardAskFor(ofKeeper.families)
            try isReadByPrometheus(ofKeeper.body, cluster)
            try changesLevelsOfTheLog(cluster)
            try saysWhyItIsNotReady(cluster, keeper)
        }

        private func showsAllThatAlarmsAndDashboardAskFor(_ families: Set<String>) throws {
            let suffixes = ["_bucket", "_sum", "_count"]
            for file in ["ops/deploy/alerts.yml", "ops/deploy/grafana.json"] {
                let text = try ProcessMonitoring.file(file)
                let words = text.split { !($0.isLetter && $0.isASCII || $0.isNumber || $0 == "_") }.map(String.init)
                for name in Set(words) where name.hasPrefix("martlet_") || name.hasPrefix("process_") {
                    let family = suffixes.first { name.hasSuffix($0) && families.contains(String(name.dropLast($0.count))) }
                    #expect(family != nil || families.contains(name) || Self.elsewhere.contains(name), "\(file) asks for \(name)")
                }
            }
        }

        private func isReadByPrometheus(_ metrics: String, _ cluster: ProcessCluster) throws {
            guard let promtool = ProcessMonitoring.program("promtool") else {
                return print("promtool is not installed (Debian: prometheus): it has not read the metrics")
            }
            let (status, text) = try cluster.run([promtool, "check", "metrics"], input: metrics)
            #expect(status == 0 && text.isEmpty, "\(text)")
        }

        private func changesLevelsOfTheLog(_ cluster: ProcessCluster) throws {
            let admin = try cluster.admin(0)
            let shown = try admin.demand("log", "level")
            #expect(shown.rows.count == 3 * 8)
            #expect(shown.rows.allSatisfy { $0["level"] == .text("info") && $0["configured"] == .text("info") })
            let changed = try admin.demand("log", "level", "bus", "debug", "--node", "b")
            #expect(changed.rows.count == 1 && changed.rows.first?["node"] == .text("b"))
            #expect(changed.rows.first?["level"] == .text("debug"))
            #expect(changed.sentence == "bus logs from debug on")
            #expect(
                try cluster.admin(2).demand("log", "level", "bus").rows.map { $0["level"] } == [
                    .text("info"), .text("debug"), .text("info"),
                ])
            // It takes effect at once: what clients do is said from debug on.
            try admin.demand("log", "level", "all", "debug")
            #expect(try admin.demand("log", "level").rows.allSatisfy { $0["level"] == .text("debug") })
            try admin.demand("log", "level", "all", "configured")
            #expect(try admin.demand("log", "level").rows.allSatisfy { $0["level"] == .text("info") })
            let bad = try admin.ask(["log", "level", "buss"])
            #expect(bad.error == .usage && bad.sentence.contains("buss") && bad.sentence.contains("bus"), "\(bad.sentence)")
            let loud = try admin.ask(["log", "level", "bus", "loud"])
            #expect(loud.error == .usage && loud.sentence.contains("loud") && loud.sentence.contains("critical"), "\(loud.sentence)")
            #expect(try admin.ask(["log", "level", "bus", "debug", "--node", "z"]).error == .notFound)
        }

        private func saysWhyItIsNotReady(_ cluster: ProcessCluster, _ keeper: Int) throws {
            let other = (keeper + 1) % 3
            try cluster.admin(keeper).demand("node", "drain", cluster.names[other])
            let deadline = Deadline(in: .patient)
            var answer = try cluster.monitor(other, "/readyz")
            while answer.status == 200, !deadline.isOver { answer = try cluster.monitor(other, "/readyz") }
            #expect(answer.status == 503 && answer.body == "this node takes no clients: they go to the others\n")
            // It lives all the same.
            #expect(try cluster.monitor(other, "/healthz").status == 200)
            #expect(try cluster.monitor(keeper, "/readyz").status == 200)
        }
    }
}
