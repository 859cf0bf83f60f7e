import Glibc
import Synchronization
import TestKit
import Testing
import XMLStream

/// Pairs that write and read over stream management, lose their sockets and resume at any node, while nodes are killed; and the oracle
/// that counts.
final class ResumeDrill {
    let cluster: ProcessCluster
    private let pairs: [(writer: ManagedWriter, reader: ManagedReader)]
    private let progress = Progress()
    private var threads: [ProcessThread] = []
    private(set) var kills = 0

    /// - Parameter messages: Each writer's; nil: until the drill is over.
    init(pairs count: Int, messages: Int? = nil) throws {
        let cluster = try ProcessCluster(nodes: 3, loops: 2, settings: "[offline]\nmessages = 0")
        self.cluster = cluster
        let progress = progress
        pairs = (0..<count).map { number in
            let reader = ManagedReader("reader\(number)", cluster, progress)
            return (ManagedWriter("writer\(number)", to: "reader\(number)@\(cluster.domain)", messages, cluster, progress), reader)
        }
        try cluster.addAccounts(pairs.flatMap { [$0.writer.name, $0.reader.name] } + ["marker"])
        for (writer, reader) in pairs {
            threads.append(try ProcessThread { reader.run() })
            threads.append(try ProcessThread { writer.run() })
        }
    }

    deinit { progress.stop() }

    /// Kills a random node in the midst of things and brings it back.
    func strike() throws {
        let goal = progress.acknowledged + Int.random(in: 20...120)
        let patience = Deadline(in: .seconds(5))
        while progress.acknowledged < goal, !patience.isOver { poll(nil, 0, 2) }
        let victim = Int.random(in: 0..<3)
        try cluster.kill9(victim)
        kills += 1
        try cluster.start(victim)
        try cluster.waitUntilServing(victim)
    }

    /// Renews every node by one command in the midst of things.
    func renewAll() throws {
        let goal = progress.acknowledged + 20
        let patience = Deadline(in: .seconds(30))
        while progress.acknowledged < goal, !patience.isOver { poll(nil, 0, 2) }
        let (status, text) = try cluster.ctl(["cluster", "restart"])
        guard status == 0 else { throw ProcessFailure("\(text)\n\(cluster.logTails)") }
        print(text)
    }

    /// Whether a client that came back to its session heard that it cannot.
    var refused: Int { progress.refused }
    var acknowledged: Int { progress.acknowledged }

    /// Lets the writers write the rest, reads what is owed, and counts.
    func finish(within patience: Duration) throws {
        progress.beEnough()
        let deadline = Deadline(in: patience)
        while pairs.contains(where: { !$0.writer.isDone }) {
            guard !deadline.isOver else {
                throw ProcessFailure("writers stand at \(pairs.map(\.writer.state))\n\(cluster.logTails)")
            }
            poll(nil, 0, 10)
        }
        progress.stop()
        for thread in threads { thread.join() }
        var total = 0
        var repeated = 0
        for (writer, reader) in pairs {
            let rest = try Chat.drain(reader.name, on: Int.random(in: 0..<3), of: cluster)
            let all = reader.received + rest
            var first: [String: Letter] = [:]
            var order: [Letter] = []
            for letter in all {
                if let before = first[letter.id] {
                    repeated += 1
                    #expect(letter.isDelayed, "\(letter.id) came again as if it were new")
                    #expect(letter.stanzaID == before.stanzaID, "\(letter.id) has two stanza-ids")
                    #expect(kills > 0, "\(letter.id) came again and nobody died")
                } else {
                    first[letter.id] = letter
                    order.append(letter)
                }
            }
            #expect(firstDisorder(order) == nil, "to \(reader.name)")
            let lost = writer.acknowledged.filter { first[$0] == nil }
            #expect(lost.isEmpty, "\(writer.name): acknowledged and lost")
            #expect(writer.refused.isEmpty, "\(writer.name) was refused")
            total += writer.acknowledged.count
            // In both archives each stands once, in order; in the reader's under the id that it came with.
            for name in [writer.name, reader.name] {
                let archive = try Chat.archive(name, on: Int.random(in: 0..<3), of: cluster).filter { $0.id.hasPrefix("writer") }
                let numbers = archive.compactMap { $0.id.split(separator: "-").last.flatMap { Int($0) } }
                #expect(numbers == Array(1...writer.acknowledged.count), "the archive of \(name)")
                guard name == reader.name else { continue }
                let other = archive.filter { first[$0.id]?.stanzaID != $0.archived }
                #expect(other.isEmpty, "\(name): delivered under one id and archived under another")
            }
        }
        print(
            "resumption: \(total) acknowledged, \(kills) kills, \(progress.resumed) resumed, \(progress.refused) refused, \(repeated) repeated"
        )
        #expect(progress.resumed > 0)
    }
}

/// How far all of them are.
final class Progress: Sendable {
    private let isOver = Atomic<Bool>(false)
    private let done = Atomic<Int>(0)
    private let isEnough = Atomic<Bool>(false)
    private let resumptions = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)
    var acknowledged: Int { done.load(ordering: .relaxed) }
    var resumed: Int { resumptions.load(ordering: .relaxed) }
    var refused: Int { refusals.load(ordering: .relaxed) }
    var isStopped: Bool { isOver.load(ordering: .relaxed) }
    /// Whoever writes without an end in mind comes to one.
    var hasEnough: Bool { isEnough.load(ordering: .relaxed) }
    func beEnough() { isEnough.store(true, ordering: .relaxed) }
    func note(acknowledged count: Int) { done.wrappingAdd(count, ordering: .relaxed) }
    func noteResumed() { resumptions.wrappingAdd(1, ordering: .relaxed) }
    func noteRefused() { refusals.wrappingAdd(1, ordering: .relaxed) }
    func stop() { isOver.store(true, ordering: .relaxed) }
}

/// A client that comes back to its session where it can, and else begins anew. A thread uses it, and when that has ended, the test.
class ManagedClient: @unchecked Sendable {
    // @unchecked: see above.
    let name: String
    let progress: Progress
    private let ports: [UInt16]
    private let domain: String
    private(set) var client: XMPPClient?
    /// The session as it was last known, while the client has no stream.
    private var kept: (management: ClientManagement, jid: String)?

    init(_ name: String, _ cluster: ProcessCluster, _ progress: Progress) {
        self.name = name
        self.progress = progress
        ports = cluster.ports
        domain = cluster.domain
    }

    /// What was sent in a session that is over, and was not acknowledged in it, in order.
    func sessionEnded(unacknowledged: [String]) {}
    /// The session is a new one.
    func sessionBegan(_ client: XMPPClient) throws {}

    /// A client with a stream.
    func connected() throws -> XMPPClient {
        if let client, client.end == nil { return client }
        drop()
        let port = ports.randomElement() ?? 0
        if let kept {
            let client = try XMPPClient(
                port: port, domain: domain, user: name, resuming: kept.management, jid: kept.jid, within: .seconds(10))
            if let refusal = client.refusal {
                progress.noteRefused()
                client.drop()
                self.kept = nil
                let h = (try? Element.parse(Array(refusal.utf8)))?["h"].flatMap { UInt32($0) }
                sessionEnded(unacknowledged: kept.management.unacknowledged(after: h))
            } else {
                progress.noteResumed()
                client.answersRequests = true
                self.client = client
                return client
            }
        }
        let client = try XMPPClient(port: port, domain: domain, user: name, resource: "desk", within: .seconds(10))
        client.answersRequests = true
        try client.enableManagement(within: .seconds(10))
        self.client = client
        try sessionBegan(client)
        return client
    }

    /// What came and is counted must be looked at before the socket goes.
    func lookAtRest(of client: XMPPClient) {}

    /// Loses the socket, if there is one.
    func drop() {
        guard let client else { return }
        lookAtRest(of: client)
        if let management = client.management, management.id != nil { kept = (management, client.jid) }
        client.drop()
        self.client = nil
    }
}

/// Writes numbered messages, and again with the same origin-ids what was not acknowledged in a session that is over.
final class ManagedWriter: ManagedClient, @unchecked Sendable {
    private let target: String
    private var count: Int?
    private var next = 0
    private var again: [String] = []
    private(set) var acknowledged: Set<String> = []
    private(set) var refused: [String] = []
    private let finished = Atomic<Bool>(false)
    var isDone: Bool { finished.load(ordering: .acquiring) }
    var state: String { "\(name) \(isDone)" }

    init(_ name: String, to target: String, _ count: Int?, _ cluster: ProcessCluster, _ progress: Progress) {
        self.target = target
        self.count = count
        super.init(name, cluster, progress)
    }

    override func sessionEnded(unacknowledged: [String]) { again = unacknowledged }
    override func sessionBegan(_ client: XMPPClient) throws {
        guard !again.isEmpty else { return }
        // In mind of the new session even if the socket breaks now.
        let all = again
        again = []
        try client.send(all.joined())
    }

    func run() {
        while !progress.isStopped, !isDone {
            do { try write() } catch {
                drop()
                poll(nil, 0, 20)
            }
        }
        drop()
    }

    private func write() throws {
        let client = try connected()
        let sent = next
        if count == nil, progress.hasEnough { count = next }
        while next < count ?? .max, next < sent + 5 {
            next += 1
            try client.send(Chat.message(to: target, id: "\(name)-\(next)"))
        }
        try client.send("<r xmlns='urn:xmpp:sm:3'/>")
        // A socket breaks at some moment.
        if Int.random(in: 0..<20) == 0 { return drop() }
        let deadline = Deadline(in: .milliseconds(Int.random(in: 1...30)))
        while let stanza = client.receive(by: deadline) {
            if stanza.hasPrefix("<message"), stanza.contains("type='error'") { refused.append(stanza) }
        }
        note(client)
    }

    private func note(_ client: XMPPClient) {
        guard let management = client.management else { return }
        let open = Set(management.unacknowledged.compactMap { Letter($0)?.id })
        let before = acknowledged.count
        for number in 1...max(1, next) where next > 0 {
            let id = "\(name)-\(number)"
            if !open.contains(id) { acknowledged.insert(id) }
        }
        progress.note(acknowledged: acknowledged.count - before)
        if next == count, open.isEmpty { finished.store(true, ordering: .releasing) }
    }
}

/// Reads, and loses its socket now and then.
final class ManagedReader: ManagedClient, @unchecked Sendable {
    private(set) var received: [Letter] = []

    override func sessionBegan(_ client: XMPPClient) throws { try client.send("<presence/>") }

    func run() {
        while !progress.isStopped {
            do {
                let client = try connected()
                let deadline = Deadline(in: .milliseconds(Int.random(in: 50...400)))
                read(client, by: deadline)
                if client.end != nil || Int.random(in: 0..<3) == 0 {
                    drop()
                } else {
                    try client.send("<a xmlns='urn:xmpp:sm:3' h='\(client.management?.received ?? 0)'/>")
                }
            } catch {
                drop()
                poll(nil, 0, 20)
            }
        }
        // Its last word: what it has need not come again, and nothing waits for it any more.
        let deadline = Deadline(in: .seconds(30))
        while !deadline.isOver, !leave() { poll(nil, 0, 20) }
    }

    private func leave() -> Bool {
        do {
            let client = try connected()
            read(client, by: Deadline(in: .milliseconds(100)))
            try client.send("<a xmlns='urn:xmpp:sm:3' h='\(client.management?.received ?? 0)'/>")
            try client.close()
            lookAtRest(of: client)
            return client.end == "closed"
        } catch {
            drop()
            return false
        }
    }

    override func lookAtRest(of client: XMPPClient) {
        for stanza in client.receiveAll() { note(stanza) }
    }

    private func read(_ client: XMPPClient, by deadline: Deadline) {
        while let stanza = client.receive(by: deadline) { note(stanza) }
    }

    private func note(_ stanza: String) {
        if let letter = Letter(stanza) { received.append(letter) }
    }
}
