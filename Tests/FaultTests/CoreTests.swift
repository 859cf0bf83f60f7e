import Glibc
import LMDBStore
import Modules
import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing
import XMLStream

extension AllFaults {
    /// The server without sockets on a real volume, with every call of the store failing once: what a client was told stays true.
    @Suite struct CoreTests {
        @Test func whatAClientWasToldStaysTrue() throws {
            let calls = try Drill.count { try Life(nil).run() }
            Drill.all("server on the store", calls, share: 24, isExact: false) { try Life($0).run() }
        }
    }

    /// An account made, contacts, messages kept, drained, archived, resumed over, a backup, an account purged; then a new start.
    private final class Life {
        let trial: Trial?
        let scratch: Scratch
        var store: SteadyVolume
        var cluster: MemoryCluster
        /// Ids of messages for juliet that the server took, in order, and of those that came back as errors.
        private var taken: [String] = []
        private var bounced: Set<String> = []
        /// Ids of messages that came to juliet, in order.
        private var came: [String] = []

        init(_ trial: Trial?) throws {
            self.trial = trial
            scratch = try Scratch()
            let directory = scratch.path + "/store"
            try once("made", trial) { () throws(StoreFailure) in
                try LMDBVolume.initialise(at: directory, identity: identity, options: options())
            }
            store = SteadyVolume(try KeptVolume(directory, trial), trial)
            cluster = try Self.start(store)
        }

        private static func start(_ store: SteadyVolume) throws -> MemoryCluster {
            var settings = Settings()
            settings.hosts = [Settings.Host(domain: "capulet.lit")]
            return try MemoryCluster(nodes: 1, modules: ModuleList.all, settings: settings, store: store)
        }

        deinit { store.close() }

        func run() throws {
            for name in ["romeo", "juliet"] { try create(name) }
            let romeo = try online("romeo", "orchard")
            try ask(
                romeo, "r1", "<iq type='set' id='ID'><query xmlns='jabber:iq:roster'><item jid='juliet@capulet.lit' name='J'/></query></iq>"
            )
            // Kept while she is away, then drained.
            for number in 1...3 { try say(romeo, "a\(number)") }
            var juliet = try online("juliet", "balcony")
            try hear(juliet)
            for number in 1...2 { try say(romeo, "b\(number)") }
            try hear(juliet)
            try ask(juliet, "m1", "<iq type='set' id='ID'><query xmlns='urn:xmpp:mam:2'/></iq>")
            // Her stream breaks; what comes meanwhile comes when she resumes, or, where that is refused, when she is back.
            juliet.end(.lost)
            cluster.run()
            try say(romeo, "c1")
            let again = try cluster.resume("juliet", from: juliet, node: 0)
            if again.resumeError != nil {
                try expectFault("the resumption was refused")
                juliet = try online("juliet", "balcony")
            } else {
                juliet = again
            }
            try hear(juliet)
            try backUp()
            try create("tybalt")
            try command(.delete, "tybalt", [.done(0), .notFound])
            for _ in 0..<4 { cluster.doChores() }
            try hear(juliet)
            try reckon(romeo, juliet)
        }

        // MARK: Steps: what fails is tried again, and then it must succeed

        private func expectFault(_ what: String) throws { try #require(trial != nil, "\(what)") }

        private func command(_ command: AccountCommand, _ name: String, _ allowed: [CommandResult]) throws {
            let jid = try JID(local: name, domain: "capulet.lit", resource: nil)
            for attempt in 1...3 {
                let answer = Box<CommandResult>()
                cluster.nodes[0].shards[0].enter { $0.command(command, for: jid) { answer.set($0) } }
                cluster.run()
                let result = try #require(answer.value, "the command was answered")
                if case .done = result { return }
                try expectFault("\(command): \(result)")
                // It may have been done, and only its answer was lost.
                if attempt > 1, allowed.contains(result) { return }
            }
            Issue.record("\(name): \(command) fails again and again")
        }

        private func create(_ name: String) throws { try command(.create(credentials: [1]), name, [.exists]) }

        private func online(_ name: String, _ resource: String) throws -> MemoryClient {
            for _ in 1...3 {
                let client = try cluster.connect(name, resource: resource, node: 0)
                // An account that could not be read is tried again in a second.
                if client.session?.bind == nil, client.bindError == nil {
                    try expectFault("\(name) is not answered")
                    cluster.advance(seconds: 2)
                }
                guard client.session?.bind != nil, client.bindError == nil, client.closedWith == nil else {
                    try expectFault("\(name) cannot bind")
                    continue
                }
                try client.post("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
                try client.post("<presence/>")
                cluster.run()
                return client
            }
            throw Trouble("\(name) cannot bind again and again")
        }

        private func ask(_ client: MemoryClient, _ id: String, _ xml: String) throws {
            for attempt in 1...3 {
                let name = "\(id)-\(attempt)"
                try client.post(String(xml.replacing("'ID'", with: "'\(name)'")))
                cluster.run()
                let arrived = try read(client)
                let answers = arrived.filter { $0.local == "iq" && $0["id"] == name }
                try #require(answers.count == 1, "\(name) has one answer")
                if answers[0]["type"] == "result" { return }
                try expectFault("\(name) has an error")
                try judge(answers[0])
            }
            Issue.record("\(id) fails again and again")
        }

        /// An error is one that RFC 6120 §8.3.3 has for a server that cannot just now.
        private func judge(_ stanza: Element) throws {
            let error = try #require(stanza.children.first { $0.local == "error" })
            let condition = Array(error.children).first?.local ?? ""
            #expect(
                ["resource-constraint", "internal-server-error"].contains(condition) && error["type"] == "wait",
                "\(condition), type \(error["type"] ?? "none")")
        }

        /// Says something to juliet, again under another id when it comes back.
        private func say(_ client: MemoryClient, _ id: String) throws {
            for attempt in 1...3 {
                let name = "\(id)-\(attempt)"
                try client.post("<message to='juliet@capulet.lit' type='chat' id='\(name)'><body>\(name)</body></message>")
                try client.post("<r xmlns='urn:xmpp:sm:3'/>")
                cluster.run()
                _ = try read(client)
                let management = try #require(client.management)
                #expect(management.unacknowledged.isEmpty, "\(name): what is bounced or kept is acknowledged")
                guard bounced.contains(name) else {
                    taken.append(name)
                    return
                }
                try expectFault("\(name) came back")
            }
            Issue.record("\(id) comes back again and again")
        }

        private func read(_ client: MemoryClient) throws -> [Element] {
            let all = try client.takeReceived().map { try Element.parse(Array($0.utf8)) }
            for element in all where element.local == "message" && element["type"] == "error" {
                try judge(element)
                if let id = element["id"] { bounced.insert(id) }
            }
            return all
        }

        private func hear(_ client: MemoryClient) throws {
            cluster.run()
            for element in try read(client) where element.local == "message" && element["type"] == "chat" {
                if let id = element["id"] { came.append(id) }
            }
            if let received = client.management?.received { try client.post("<a xmlns='urn:xmpp:sm:3' h='\(received)'/>") }
            cluster.run()
        }

        private func backUp() throws {
            let target = scratch.path + "/backups"
            var order = BackupOrder(
                directory: target, server: "0", node: "a", started: 1_795_274_663_000_000, now: { 1_795_274_663_500_000 })
            order.limits.reserveBytes = 0
            let backup = try once("backed up", trial) { () throws(StoreFailure) in try store.kept.volume.backUp(order) }
            let copy = try once("read", trial) { () throws(StoreFailure) in try StoreCopy(verifying: backup.path) }
            let findings = try once("verified", trial) { () throws(StoreFailure) in try copy.verify { _, _ in }.findings }
            #expect(findings.isEmpty)
            let list = try once("listed", trial) { () throws(StoreFailure) in try Backups.list(in: target) }
            #expect(list.whole == [backup] && list.broken.isEmpty, "one whole backup and nothing else")
        }

        // MARK: The reckoning

        private func reckon(_ romeo: MemoryClient, _ juliet: MemoryClient) throws {
            let before = came
            #expect(before == taken, "everything that was taken came once and in order")
            // A new start on the same disk: nobody is connected any more.
            store.close()
            store = SteadyVolume(try KeptVolume(scratch.path + "/store", trial), trial)
            cluster = try Self.start(store)
            cluster.doChores()
            let client = try online("juliet", "balcony")
            _ = try read(client)
            var archived: [String] = []
            for _ in 1...3 {
                try client.post("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>")
                cluster.run()
                let page = try read(client)
                let answer = try #require(
                    page.first { $0.local == "iq" && $0["id"] == "all" },
                    "the query is answered; the stream: \(client.closedWith ?? "stands"); what came: \(page.map(\.local))")
                guard answer["type"] == "result" else {
                    try expectFault("the archive cannot be read")
                    continue
                }
                archived = page.compactMap { element in
                    element.first(local: "result", namespace: NS.archive)?.first(local: "forwarded", namespace: NS.forward)?
                        .first(local: "message", namespace: NS.client)?["id"]
                }
                break
            }
            #expect(archived == taken, "everything that was taken is archived once and in order, and nothing else")
            let kept = store.kept
            let walk = try once("walked through", trial) { () throws(StoreFailure) in try kept.volume.findings() }
            #expect(walk.isEmpty, "\(walk)")
        }
    }
}
