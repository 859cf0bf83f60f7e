import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// The configuration changes while nodes run: everywhere or nowhere.
    @Suite(.serialized) struct ConfigTests {
        /// What a node has in force for a key.
        private func value(_ key: [String], _ node: Int, _ cluster: ProcessCluster) throws -> ReplyValue? {
            try cluster.admin(node).ask(["config", "show"] + key).rows.first { $0["key"] == .text(key.joined(separator: " ")) }?["value"]
        }

        private func changes(_ answer: ProcessAdmin.Answer) -> [String: String] {
            Dictionary(
                answer.rows.compactMap { row in
                    guard case .text(let key)? = row["key"], case .text(let effect)? = row["effect"] else { return nil }
                    return (key, effect)
                }
            ) { $1 }
        }

        @Test func changesEverywhereOrNowhere() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            let admin = try cluster.admin(1)
            let domain = cluster.domain
            try cluster.addAccounts(["romeo"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
            let original = ProcessCluster.text(of: cluster.configuration)

            // What stands in force is what the file says.
            #expect(try admin.demand("config", "check").sentence == "\(cluster.configuration) is good")
            #expect(try admin.demand("config", "diff").rows.isEmpty)
            let shown = try admin.demand("config", "show", "profile")
            #expect(shown.rows.allSatisfy { $0["origin"] == .text("default") && $0["change"] == .text("live") })
            #expect(try admin.demand("config", "show", "node.name").rows.first?["origin"] == .text("command line"))
            #expect(try admin.demand("config", "show", "host", domain, "domain").rows.first?["origin"] == .text("file"))
            #expect(try admin.ask(["config", "show", "profile.nonsense"]).error == .notFound)

            // Files that cannot be used, and what is no file.
            #expect(try admin.ask(["config", "check", "martlet.toml"]).error == .invalid)
            let missing = try admin.ask(["config", "check", cluster.directory + "/none.toml"])
            #expect(missing.error == .invalid)
            #expect(
                missing.lines.contains { if case .prose(let text) = $0 { text.contains("/none.toml: cannot be opened") } else { false } })
            #expect(try admin.ask(["config", "diff", cluster.directory + "/none.toml"]).error == .invalid)

            // A wrong file changes nothing anywhere; each error is named.
            try cluster.configure(adding: "[profile]\nprivate_items = 7\nprivate_bytes = 3\n[[host]]\ndomain = \"a b\"\n")
            let refused = try admin.ask(["config", "reload"])
            #expect(refused.error == .invalid)
            #expect(refused.sentence == "nothing was changed, on any node")
            let sentences = refused.lines.compactMap { if case .prose(let text) = $0 { text } else { nil } }
            for name in cluster.names {
                #expect(sentences.contains { $0.hasPrefix("node \(name): ") && $0.contains("profile.private_bytes: 3 is out of range") })
            }
            #expect(try admin.ask(["config", "check"]).error == .invalid)
            for node in 0..<3 { #expect(try value(["profile.private_items"], node, cluster) == .text("100")) }

            // A good one: first looked at, then in force on all, with a host more.
            let better = "[profile]\nprivate_items = 7\n[[host]]\ndomain = \"verona.lit\"\nrequire_tls = false\n"
            try cluster.configure(adding: better) { _ in original.replacing("map_gib = 4", with: "map_gib = 4\nreaders = 3") }
            let expected = ["profile.private_items": "live", "host verona.lit": "live", "store.readers": "restart"]
            #expect(changes(try admin.demand("config", "diff")) == expected)
            let dry = try admin.demand("config", "reload", "--dry-run")
            #expect(changes(dry) == expected)
            #expect(try value(["profile.private_items"], 2, cluster) == .text("100"))
            let done = try admin.demand("config", "reload")
            #expect(changes(done) == expected)
            #expect(done.sentence.hasSuffix("; 1 key needs cluster restart"))
            for node in 0..<3 { #expect(try value(["profile.private_items"], node, cluster) == .text("7")) }
            #expect(changes(try admin.demand("config", "diff")) == ["store.readers": "restart"])
            try cluster.admin(2).demand("user", "add", "mercutio@verona.lit", secret: [XMPPClient.password])
            let mercutio = try XMPPClient(port: cluster.ports[0], domain: "verona.lit", user: "mercutio", resource: "square")
            try mercutio.ping("served")

            // A host goes: its sessions end, by a signal to any node; the others do not notice.
            try cluster.configure { _ in original }
            cluster.signal(2, SIGHUP)
            try mercutio.waitForEnd(within: .seconds(30))
            #expect(mercutio.end == "host-gone")
            try romeo.ping("still here")
            let deadline = Deadline(in: .seconds(30))
            while try value(["profile.private_items"], 1, cluster) != .text("100"), !deadline.isOver { poll(nil, 0, 20) }
            #expect(try value(["profile.private_items"], 1, cluster) == .text("100"))
            #expect(throws: ProcessFailure.self) {
                try XMPPClient(port: cluster.ports[1], domain: "verona.lit", user: "mercutio", resource: "square")
            }

            // A dead node is no hindrance: it reads the file when it comes back.
            let keeper = try cluster.keeper()
            let (dead, asked) = ((keeper + 1) % 3, (keeper + 2) % 3)
            try cluster.kill9(dead)
            try cluster.configure(adding: "[profile]\nprivate_items = 8\n")
            try cluster.admin(asked).demand("config", "reload")
            try cluster.start(dead)
            try cluster.waitUntilServing(dead)
            for node in 0..<3 { #expect(try value(["profile.private_items"], node, cluster) == .text("8")) }
        }
    }
}
