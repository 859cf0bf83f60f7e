import AdminLanguage
import Glibc
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// The headers of pages are damaged, which liblmdb believes: a node serves what is whole, or ends with a sentence that names the file.
    /// It never ends in silence, never stands still, and never shows somebody else's messages.
    ///
    /// `MARTLET_ROUNDS=1000` damages that many times; `MARTLET_SEED` begins elsewhere.
    @Suite(.serialized) struct DamagedPagesTests {
        private static let people = ["romeo", "juliet", "nurse"]
        /// What stands in their archives.
        private static let written: [Int?] = [160, 200, 40]
        private static let patience = Duration.seconds(60)

        @Test func aDamagedPageIsNamedOrNotMissed() throws {
            let cluster = try ProcessCluster(nodes: 1, settings: "archive = true\n[offline]\nmessages = 0")
            try cluster.addAccounts(Self.people)
            for (writer, count) in [("romeo", 160), ("nurse", 40)] {
                let client = try cluster.connect(writer, resource: "pen", node: 0)
                // Every tenth is too large for a leaf.
                for number in 0..<count {
                    try client.send(
                        Chat.message(to: "juliet@\(cluster.domain)", id: "\(writer)-\(number)", filler: number % 10 == 3 ? 9_000 : 300))
                }
                try client.ping("kept")
                try client.close()
            }
            cluster.signal(0, SIGTERM)
            #expect(try cluster.waitForEnd(0) == 0)
            let file = cluster.home + "/store/data.mdb"
            let whole = try Files.bytes(of: file)
            let pages = try DataPages(whole)
            for kind in DataPages.Class.allCases { #expect(pages.pages[kind]?.isEmpty == false, "there is no \(kind.rawValue) page") }
            let first = getenv("MARTLET_SEED") == nil ? 1 : Rounds.seed
            for round in 0..<Rounds.count(10) {
                let seed = first &+ UInt64(round)
                var chance = Chance(seed: seed)
                let kind = DataPages.Class.allCases[Int((seed &- 1) % UInt64(DataPages.Class.allCases.count))]
                var bytes = whole
                let damage = pages.damage(kind, &chance, in: &bytes)
                try Files.write(bytes, to: file)
                if let fault = try use(cluster, verifies: round % 16 == 15) {
                    let kept = "\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/martlet-damaged-\(seed).mdb"
                    try Files.write(bytes, to: kept)
                    Issue.record("seed \(seed), \(damage): \(fault)\nthe file: \(kept)\n\(cluster.logTail(0))")
                }
            }
        }

        /// Starts the node on the file as it is, uses it, and ends it. Returns what it did wrong.
        private func use(_ cluster: ProcessCluster, verifies: Bool) throws -> String? {
            let before = cluster.log(0).count
            let began = Deadline.now
            try cluster.start(0)
            var refusals: [String] = []
            var faults: [String] = []
            var marks = ""
            func step(_ name: String, _ body: () throws -> Void) {
                let deadline = Deadline(in: Self.patience)
                do {
                    try body()
                } catch let wrong as Wrong {
                    faults.append("\(name): \(wrong.what)")
                } catch {
                    refusals.append("\(name): \("\(error)".prefix(300))")
                }
                marks += " \(name) \((Deadline.now - began) / 1_000_000)"
                if deadline.isOver { faults.append("\(name) stood still") }
            }
            step("start") { try cluster.waitUntilServing(0, within: Self.patience) }
            var ending: Int32?
            if cluster.pids[0] == 0 {
                ending = refusals.first.flatMap { Self.ending(in: $0) }
            } else {
                var archives: [String: [String]] = [:]
                for person in Self.people { step("the archive of \(person)") { archives[person] = try archive(of: person, on: cluster) } }
                step("a message") { try talk(cluster) }
                // It waits ten seconds for what the sessions leave behind.
                let counts = Self.people.map { archives[$0]?.count }
                if verifies || !refusals.isEmpty || counts != Self.written {
                    step("verify") {
                        let answer = try cluster.admin(0).ask(["store", "verify"], within: Self.patience)
                        if answer.error != nil || answer.fact("findings") != .integer(0) {
                            refusals.append("verify: \(answer.sentence) \(answer.rows)")
                        } else if counts != Self.written, counts.allSatisfy({ $0 != nil }) {
                            faults.append("archives of \(counts), and verify finds the store whole")
                        }
                    }
                }
                step("end") {
                    cluster.signal(0, SIGTERM)
                    ending = try cluster.waitForEnd(0, within: Self.patience)
                }
                if ending == nil {
                    cluster.signal(0, SIGKILL)
                    try cluster.waitForEnd(0)
                }
            }
            let said = String(cluster.log(0).dropFirst(before))
            if getenv("MARTLET_ROUNDS") != nil {
                print("ROUND \(ending.map { "\($0)" } ?? "?") \(refusals.count) refusals \(faults) \(marks) \(refusals)")
            }
            switch ending {
            case nil: faults.append("it does not end")
            case 0: break
            case 1: if !said.contains("data.mdb"), !said.contains("store's") { faults.append("it ended with 1 and named no file") }
            case -SIGSEGV, -SIGBUS, -SIGABRT, -SIGFPE:
                if !said.contains("data.mdb is damaged"), !said.contains("data.mdb cannot be read") {
                    faults.append("it ended with \(ending ?? 0) and named no file")
                }
            default: faults.append("it ended with \(ending ?? 0)")
            }
            if ending == 0, !refusals.isEmpty, !said.contains("store"), !refusals.contains(where: { $0.hasPrefix("verify") }) {
                faults.append("\(refusals), and nothing is said about it")
            }
            return faults.isEmpty ? nil : faults.joined(separator: "; ")
        }

        private struct Wrong: Error { var what: String }

        private static func ending(in sentence: String) -> Int32? {
            guard let tail = sentence.split(separator: "ended with ").dropFirst().first else { return nil }
            return Int32(tail.prefix { $0 == "-" || $0.isNumber })
        }

        /// Everything in an archive, whose every message must be what was written, in order and once.
        private func archive(of person: String, on cluster: ProcessCluster) throws -> [String] {
            let client = try cluster.connect(person, resource: "archivist", node: 0, within: Self.patience)
            let deadline = Deadline(in: Self.patience)
            var ids: [String] = []
            var last: [Substring: Int] = [:]
            var after = ""
            while true {
                let query = "archive-\(ids.count)"
                try client.send(
                    "<iq type='set' id='\(query)'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max>\(after)</set></query></iq>"
                )
                while true {
                    guard let stanza = client.receive(by: deadline) else {
                        throw ProcessFailure("the archive does not end: \(client.end ?? "")")
                    }
                    let element = try Element.parse(Array(stanza.utf8))
                    if element.local == "iq", element["id"] == query {
                        guard let end = element.first(local: "fin", namespace: "urn:xmpp:mam:2") else { throw ProcessFailure(stanza) }
                        if end["complete"] == "true" {
                            try client.close()
                            return ids
                        }
                        break
                    }
                    guard let result = element.first(local: "result", namespace: "urn:xmpp:mam:2"),
                        let message = result.first(local: "forwarded", namespace: "urn:xmpp:forward:0")?.children.first(where: {
                            $0.local == "message"
                        }), let id = message["id"], let body = message.first(local: "body", namespace: "jabber:client")?.text
                    else { continue }
                    let parts = id.split(separator: "-")
                    guard parts.count == 2, let number = Int(parts[1]), body.hasPrefix("message \(id)"),
                        body.dropFirst(8 + id.count).allSatisfy({ $0 == "." }),
                        person == "juliet" || parts[0] == person, last[parts[0]].map({ $0 < number }) ?? true
                    else { throw Wrong(what: "\(person) reads \(stanza.prefix(300))") }
                    last[parts[0]] = number
                    ids.append(id)
                    after = "<after>\(result["id"] ?? "")</after>"
                }
            }
        }

        /// A message that is kept and delivered, and an item of the roster.
        private func talk(_ cluster: ProcessCluster) throws {
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 0, within: Self.patience)
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0, within: Self.patience)
            let item = "<query xmlns='jabber:iq:roster'><item jid='juliet@\(cluster.domain)'/></query>"
            try romeo.send("<iq type='set' id='item'>\(item)</iq>")
            for number in 1_000..<1_010 { try romeo.send(Chat.message(to: juliet.jid, id: "romeo-\(number)", filler: 2_000)) }
            try romeo.ping("sent", within: Self.patience)
            try juliet.ping("there", within: Self.patience)
            try juliet.close()
            try romeo.close()
        }
    }
}
