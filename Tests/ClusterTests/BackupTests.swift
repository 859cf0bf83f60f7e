import AdminLanguage
import Glibc
import Synchronization
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Copies of a running cluster, and what becomes of them.
    @Suite(.serialized) struct BackupTests {
        @Test func holdsWhatWasAcknowledgedBefore() throws {
            let cluster = try ProcessCluster(nodes: 3, loops: 2)
            try cluster.addAccounts(["juliet", "marker"] + (0..<3).map { "writer\($0)" })
            let folder = cluster.directory + "/backups"
            let keeper = try cluster.keeper()
            let other = (keeper + 1) % 3
            let writers = try (0..<3).map { try LoadWriter("writer\($0)", on: $0, of: cluster, to: "juliet@\(cluster.domain)") }
            let threads = try writers.map { writer in try ProcessThread { writer.run() } }
            let patience = Deadline(in: .patient)
            while writers.contains(where: { $0.accepted < 200 }), !patience.isOver { poll(nil, 0, 5) }
            // What is accepted now must be in it; the writers go on while it is taken.
            let before = writers.map(\.accepted)
            // Asked of a node that does not keep the store.
            let answer = try cluster.admin(other).demand("store", "backup", folder)
            for writer in writers { writer.stop() }
            for thread in threads { thread.join() }
            #expect(writers.allSatisfy { $0.failure == nil }, "\(writers.compactMap(\.failure)) \(cluster.logTails)")
            #expect(answer.fact("node") == .text(cluster.names[keeper]))
            #expect(answer.fact("accounts") == .integer(5))
            let list = try cluster.admin(other).demand("store", "backups", folder).rows
            #expect(list.count == 1 && list.first?["path"] == answer.fact("path"))
            #expect(try cluster.admin(other).demand("store", "verify").fact("findings") == .integer(0))
            guard case .text(let path)? = answer.fact("path") else { throw ProcessFailure("no path in \(answer)") }

            let verified = try ProcessCluster.files(["store", "verify", path])
            #expect(verified.error == nil && verified.fact("sha256") == nil, "\(verified)")
            let restored = try ProcessCluster(nodes: 2, loops: 2, domain: cluster.domain) { directory in
                let answer = try ProcessCluster.files(["store", "restore", path, "--to", directory])
                #expect(answer.error == nil, "\(answer)")
            }
            let letters = try Chat.drain("juliet", on: 1, of: restored)
            #expect(firstDisorder(letters) == nil)
            let there = Set(letters.map(\.id))
            for (number, count) in before.enumerated() {
                let lost = (0..<count).filter { !there.contains("writer\(number)-\($0)") }
                #expect(lost.isEmpty, "of \(count) accepted before the backup")
            }
            guard case .text(let again)? = try restored.admin(0).demand("store", "backup").fact("path") else {
                throw ProcessFailure("no path")
            }
            #expect(try ProcessCluster.files(["store", "verify", again]).fact("findings") == .integer(0))
        }

        @Test func aDeadNodesSessionsAreNoFinding() throws {
            let cluster = try ProcessCluster(nodes: 2)
            try cluster.addAccounts(["juliet"])
            let keeper = try cluster.keeper()
            let other = (keeper + 1) % 2
            let juliet = try cluster.connect("juliet", resource: "balcony", node: keeper)
            try juliet.ping("bound")
            try cluster.kill9(keeper)
            try cluster.waitUntilServing(other)
            // It is there for a moment, and gone when it must be.
            #expect(try cluster.admin(other).demand("store", "verify").fact("findings") == .integer(0))
        }

        @Test func oneUserComesBack() throws {
            let cluster = try ProcessCluster(nodes: 2, loops: 2, settings: "archive = true")
            try cluster.addAccounts(["juliet", "romeo", "marker"])
            let juliet = "juliet@\(cluster.domain)"
            let before = try cluster.connect("juliet", resource: "balcony", node: 0)
            for contact in ["nurse", "paris"] {
                try before.send(
                    "<iq type='set' id='\(contact)'><query xmlns='jabber:iq:roster'><item jid='\(contact)@x.lit'/></query></iq>")
                try before.receive { $0["id"] == contact }
            }
            try before.send("<iq type='set' id='card'><vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard></iq>")
            try before.receive { $0["id"] == "card" }
            try before.close()
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 1)
            try romeo.send((0..<20).map { Chat.message(to: juliet, id: "romeo-\($0)") }.joined())
            try romeo.ping("accepted")
            guard case .text(let path)? = try cluster.admin(1).demand("store", "backup").fact("path") else {
                throw ProcessFailure("no path")
            }

            // Something is lost, something is new.
            let between = try cluster.connect("juliet", resource: "balcony", node: 1)
            try between.send(
                "<iq type='set' id='gone'><query xmlns='jabber:iq:roster'><item jid='paris@x.lit' subscription='remove'/></query></iq>")
            try between.receive { $0["id"] == "gone" }
            try between.send("<iq type='set' id='new'><query xmlns='jabber:iq:roster'><item jid='tybalt@x.lit'/></query></iq>")
            try between.receive { $0["id"] == "new" }
            try between.close()
            let admin = try cluster.admin(0)
            let merged = try admin.demand("user", "restore", juliet, "--from", path, "--what", "roster,messages")
            #expect(merged.fact("roster") == .integer(1) && merged.fact("messages") == .integer(0) && merged.fact("made") == .flag(false))
            #expect(try roster(of: "juliet", cluster) == ["nurse@x.lit", "paris@x.lit", "tybalt@x.lit"])

            try admin.demand("user", "delete", juliet)
            let made = try admin.demand("user", "restore", juliet, "--from", path)
            #expect(made.fact("made") == .flag(true) && made.fact("credentials") == .integer(1) && made.fact("roster") == .integer(2))
            #expect(made.fact("messages") == .integer(20) && made.fact("items") == .integer(1), "\(made)")
            #expect(try roster(of: "juliet", cluster) == ["nurse@x.lit", "paris@x.lit"])
            // Owed to the account that is new, once, in order.
            let letters = try Chat.drain("juliet", on: 1, of: cluster)
            #expect(letters.map(\.id) == (0..<20).map { "romeo-\($0)" })
            let after = try cluster.connect("juliet", resource: "balcony", node: 0)
            try after.send("<iq type='get' id='card'><vCard xmlns='vcard-temp'/></iq>")
            #expect(try after.receive { $0["id"] == "card" }.first(local: "vCard", namespace: "vcard-temp") != nil)
            try after.send("<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2'/></iq>")
            var archived = 0
            try after.receive { stanza in
                if stanza.first(local: "result", namespace: "urn:xmpp:mam:2") != nil { archived += 1 }
                return stanza["id"] == "mam"
            }
            // The mark of the drain among them.
            #expect(archived == 21)
            #expect(try admin.demand("store", "verify").fact("findings") == .integer(0))

            #expect(try admin.ask(["user", "restore", "nobody@\(cluster.domain)", "--from", path]).error == .notFound)
            #expect(try admin.ask(["user", "restore", juliet]).error == .usage)
            #expect(try admin.ask(["user", "restore", juliet, "--from", "relative"]).error == .invalid)
            #expect(try admin.ask(["user", "restore", juliet, "--from", "/nowhere"]).error == .failed)
            #expect(try admin.ask(["user", "restore", juliet, "--from", path, "--what", "soul"]).error == .usage)
        }

        private func roster(of user: String, _ cluster: ProcessCluster) throws -> [String] {
            let client = try cluster.connect(user, resource: "looking", node: 1)
            try client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            let query = try client.receive { $0["id"] == "roster" }.first(local: "query", namespace: "jabber:iq:roster")
            var contacts: [String] = []
            if let query { for item in query.children { if let jid = item["jid"] { contacts.append(jid) } } }
            try client.close()
            return contacts.sorted()
        }

        @Test func isNotRestoredOverARunningClusterNorWithoutConsent() throws {
            let cluster = try ProcessCluster(nodes: 1)
            try cluster.addAccounts(["juliet"])
            let directory = cluster.directory + "/cluster"
            let answer = try cluster.admin(0).demand("store", "backup")
            guard case .text(let path)? = answer.fact("path") else { throw ProcessFailure("no path in \(answer)") }
            #expect(path.hasPrefix(directory + "/backups/martlet-"))
            #expect(try cluster.admin(0).ask(["store", "verify", path]).error == .refused)
            #expect(try ProcessCluster.files(["store", "restore", path, "--to", directory]).error == .refused)
            #expect(try ProcessCluster.files(["store", "compact", directory]).error == .refused)
            #expect(try ProcessCluster.files(["store", "restore", path]).error == .usage)
            #expect(try ProcessCluster.files(["store", "restore", "/nowhere", "--to", directory]).error == .refused)
            #expect(try ProcessCluster.files(["store", "verify", "/nowhere"]).error == .failed)
            #expect(try ProcessCluster.files(["status"]).error == .usage)
            cluster.signal(0, SIGTERM)
            try cluster.waitForEnd(0)
            // Told what goes, and asked.
            let asked = try ProcessCluster.files(["store", "restore", path, "--to", directory], secret: ["no"])
            #expect(asked.error == .refused)
            #expect(asked.lines.contains { if case .warning(let text) = $0 { text.contains("1 account,") } else { false } }, "\(asked)")
            let done = try ProcessCluster.files(["store", "restore", path, "--to", directory], secret: ["yes"])
            guard case .text(let aside)? = done.fact("aside") else { throw ProcessFailure("\(done)") }
            #expect(access(aside + "/data.mdb", F_OK) == 0)
            let compact = try ProcessCluster.files(["store", "compact", directory, "--remove-old"])
            #expect(compact.error == nil && compact.fact("aside") == ReplyValue.none, "\(compact)")
            try cluster.start(0)
            try cluster.waitUntilServing(0)
            try cluster.connect("juliet", resource: nil, node: 0).close()
        }

        @Test func aDamagedOneIsRefused() throws {
            let cluster = try ProcessCluster(nodes: 1)
            try cluster.addAccounts(["juliet"])
            guard case .text(let path)? = try cluster.admin(0).demand("store", "backup").fact("path") else {
                throw ProcessFailure("no path")
            }
            let file = open(path + "/data.mdb", O_RDWR)
            #expect(pwrite(file, "!", 1, 9_000) == 1)
            close(file)
            #expect(try ProcessCluster.files(["store", "verify", path]).error == .failed)
            let target = cluster.directory + "/elsewhere"
            #expect(try ProcessCluster.files(["store", "restore", path, "--to", target, "--yes"]).error == .failed)
            #expect(access(target, F_OK) != 0)
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

        @Test func isTakenByScheduleAndOldOnesGo() throws {
            let cluster = try ProcessCluster(nodes: 2, settings: "[backup]\nevery_hours = 1\nkeep = 2")
            let admin = try cluster.admin(1)
            // The first is due at once: there is none.
            let deadline = Deadline(in: .patient)
            var paths: [ReplyValue] = []
            for round in 0..<3 {
                if round > 0 { try admin.demand("clock", "1h") }
                let known = paths.last
                while !deadline.isOver {
                    let rows = try admin.demand("store", "backups").rows
                    paths = rows.compactMap { $0["path"] }
                    if paths.last != known, !paths.isEmpty { break }
                    poll(nil, 0, 20)
                }
                #expect(paths.last != known, "round \(round): \(cluster.logTails)")
            }
            #expect(paths.count <= 3)
            while try admin.demand("store", "backups").rows.count > 2, !deadline.isOver { poll(nil, 0, 20) }
            #expect(try admin.demand("store", "backups").rows.count == 2)
        }

        @Test func theStoreIsShownFromAnyNode() throws {
            let cluster = try ProcessCluster(nodes: 2, loops: 2)
            try cluster.addAccounts(["juliet", "romeo"])
            for node in cluster.names.indices {
                let answer = try cluster.admin(node).demand("store", "stats", "--tables")
                #expect(answer.rows.contains { $0["table"] == .text("account") && $0["rows"] == .integer(2) })
                #expect(answer.rows.compactMap { $0["pid"] }.count == 2)
                #expect(answer.rows.filter { $0["node"] == .text(cluster.names[node]) }.count == 1)
                #expect(answer.fact("store_state") == .text("writing"))
                #expect(answer.fact("map_bytes") == .integer(4 << 30))
            }
        }
    }
}

/// Writes numbered messages, ten and a ping at a time. A thread uses it, and when that has ended, the test.
private final class LoadWriter: @unchecked Sendable {
    // @unchecked: the client is the thread's alone once it runs.
    private struct State {
        var accepted = 0
        var isStopped = false
        var failure: String?
    }

    private let name: String
    private let target: String
    private let client: XMPPClient
    private let state = Mutex(State())

    init(_ name: String, on node: Int, of cluster: ProcessCluster, to target: String) throws {
        self.name = name
        self.target = target
        client = try cluster.connect(name, resource: "pen", node: node)
    }

    var accepted: Int { state.withLock { $0.accepted } }
    var failure: String? { state.withLock { $0.failure } }
    func stop() { state.withLock { $0.isStopped = true } }

    func run() {
        do {
            while !state.withLock({ $0.isStopped }) {
                let first = accepted
                try client.send((first..<(first + 10)).map { Chat.message(to: target, id: "\(name)-\($0)") }.joined())
                try client.ping("written\(first)")
                state.withLock { $0.accepted = first + 10 }
            }
        } catch {
            state.withLock { $0.failure = "\(name): \(error)" }
        }
    }
}
