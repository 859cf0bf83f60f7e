import Glibc
import Synchronization
import TestKit
import Testing
import XMLStream

/// A cluster under load in which nodes die: writers and readers come and go, probes measure, watchers look, and the oracle counts.
final class Drill {
    private static let near = ["desk", "anywhere"]
    private static let away = "away"

    let cluster: ProcessCluster
    private let writers: [Writer]
    private let readers: [Reader]
    private var threads: [ProcessThread] = []
    private let quota = Quota()
    /// On every node: one that measures, one that looks, and one that is looked at.
    private var probes: [XMPPClient] = []
    private var watchers: [XMPPClient] = []
    private var pulses: [XMPPClient] = []
    private var probed = 0
    /// Nanoseconds from a blow until every survivor had committed a new message, at worst.
    private var slowest: UInt64 = 0

    /// - Parameter missedBeats: see `ProcessCluster`.
    init(missedBeats: Int = 60) throws {
        let cluster = try ProcessCluster(nodes: 3, loops: 2, missedBeats: missedBeats, settings: "[offline]\nmessages = 0")
        self.cluster = cluster
        let quota = quota
        writers = (1...3).map {
            Writer("writer\($0)", to: ([Self.away] + Self.near).map { "\($0)@\(cluster.domain)" }, cluster.ports, cluster.domain, quota)
        }
        readers = Self.near.map { Reader($0, resource: $0 == "desk" ? "desk" : nil, cluster.ports, cluster.domain, quota) }
        let perNode = cluster.names.flatMap { ["probe-\($0)", "pulse-\($0)"] }
        try cluster.addAccounts([Self.away, "sink", "watch", "marker"] + Self.near + writers.map(\.name) + perNode)
        for node in cluster.names.indices { try befriend(node) }
        for node in cluster.names.indices {
            probes.append(try connect("probe-\(cluster.names[node])", node))
            watchers.append(try connect("watch", node))
        }
        for node in cluster.names.indices {
            pulses.append(try connect("pulse-\(cluster.names[node])", node))
            for watcher in watchers { try see(watcher, [node], isAvailable: true) }
        }
        for writer in writers { threads.append(try ProcessThread { writer.run() }) }
        for reader in readers { threads.append(try ProcessThread { reader.run() }) }
    }

    deinit {
        quota.stop()
        for thread in threads { thread.join() }
    }

    private func connect(_ user: String, _ node: Int) throws -> XMPPClient {
        let client = try cluster.connect(user, resource: "on-\(cluster.names[node])", node: node)
        if !user.hasPrefix("probe") { try client.send("<presence/>") }
        return client
    }

    /// The watcher's account subscribes to the pulse of a node.
    private func befriend(_ node: Int) throws {
        let name = "pulse-\(cluster.names[node])"
        let pulse = try connect(name, node)
        try pulse.ping("present")
        let watcher = try connect("watch", node)
        try watcher.send("<presence type='subscribe' to='\(name)@\(cluster.domain)'/>")
        try pulse.receive { $0["type"] == "subscribe" }
        try pulse.send("<presence type='subscribed' to='watch@\(cluster.domain)'/>")
        try see(watcher, [node], isAvailable: true)
        try pulse.close()
        try watcher.close()
    }

    /// Waits until a watcher saw the pulses of these nodes come, or go, in any order.
    private func see(_ watcher: XMPPClient, _ nodes: [Int], isAvailable: Bool) throws {
        var missing = Set(nodes.map { "pulse-\(cluster.names[$0])@\(cluster.domain)/on-\(cluster.names[$0])" })
        var seen: [String] = []
        do {
            try watcher.receive { element in
                guard element.local == "presence", let from = element["from"] else { return false }
                seen.append("\(element["type"] ?? "available") from \(from)")
                if (element["type"] == nil) == isAvailable { missing.remove(from) }
                return missing.isEmpty
            }
        } catch {
            throw ProcessFailure(
                "\(watcher.jid) does not see \(missing) \(isAvailable ? "come" : "go") but \(seen): \(error)\n\(cluster.logTails)")
        }
    }

    /// Takes nodes away, one close behind the other, looks whether the rest goes on, and brings them back.
    ///
    /// - Parameter signal: SIGKILL; SIGSTOP, and then another node must kill them; or SIGTERM, and then they take leave of their clients.
    func strike(_ victims: [Int], with signal: Int32) throws {
        // At some moment of the writing.
        quota.grow(by: 60)
        let moment = quota.written + Int.random(in: 0..<100)
        let patience = Deadline(in: .seconds(2))
        while quota.written < moment, !patience.isOver { poll(nil, 0, 1) }
        let survivors = cluster.names.indices.filter { !victims.contains($0) }
        let start = Deadline.now
        for victim in victims {
            cluster.signal(victim, signal)
            if signal == SIGKILL { try cluster.waitForEnd(victim) }
            if signal == SIGTERM { try takeLeave(victim) }
        }
        for node in survivors { try probe(node) }
        slowest = max(slowest, Deadline.now - start)
        if signal == SIGSTOP {
            for victim in victims {
                let ending = try cluster.waitForEnd(victim)
                #expect(ending == -SIGKILL, "the stopped node is killed by a peer")
            }
        }
        for node in survivors { try see(watchers[node], victims, isAvailable: false) }
        for victim in victims { try cluster.start(victim) }
        for victim in victims {
            try cluster.waitUntilServing(victim)
            let name = cluster.names[victim]
            probes[victim] = try connect("probe-\(name)", victim)
            watchers[victim] = try connect("watch", victim)
            try watchers[victim].ping("watching")
        }
        for victim in victims {
            pulses[victim] = try connect("pulse-\(cluster.names[victim])", victim)
        }
        for watcher in watchers { try see(watcher, victims, isAvailable: true) }
    }

    /// A node that was told to stop says so to its clients, and ends by itself.
    private func takeLeave(_ node: Int) throws {
        for client in [probes[node], watchers[node], pulses[node]] {
            try client.waitForEnd()
            #expect(client.end == "system-shutdown", "\(client.jid)")
        }
        let ending = try cluster.waitForEnd(node)
        #expect(ending == 0, "\(cluster.logTails)")
    }

    /// A survivor commits a new message.
    private func probe(_ node: Int) throws {
        probed += 1
        do {
            try probes[node].send(Chat.message(to: "sink@\(cluster.domain)", id: "probe\(node)-\(probed)"))
            try probes[node].ping("probe\(probed)")
        } catch {
            throw ProcessFailure("node \(cluster.names[node]) does not go on: \(error)\n\(cluster.logTails)")
        }
    }

    /// Ends the load and counts.
    ///
    /// - Parameter mayRepeat: Whether nodes died, so that what was delivered just then may come again with a stamp.
    func finish(mayRepeat: Bool = true) throws {
        quota.stop()
        for thread in threads { thread.join() }
        for writer in writers {
            #expect(writer.refused.isEmpty, "\(writer.name) was refused")
            #expect(writer.accepted > 0)
        }
        let away = try Chat.drain(Self.away, on: 0, of: cluster)
        #expect(firstDisorder(away) == nil)
        expectAccepted(away, at: 0, Self.away)
        for (number, reader) in readers.enumerated() {
            let rest = try Chat.drain(reader.name, on: 1, of: cluster)
            #expect(firstDisorder(rest) == nil, "nothing is owed twice")
            var seen: Set<String> = []
            var first: [Letter] = []
            for letter in reader.received + rest {
                if seen.insert(letter.id).inserted {
                    first.append(letter)
                } else {
                    #expect(mayRepeat && letter.isDelayed, "\(letter.id) came again")
                }
            }
            // Whoever comes back under the name of the session that died gets everything in order. A session of another name may have
            // had newer messages before the home hears of the death, and then gets the older ones late, with their stamps.
            #expect(firstDisorder(reader.resource == nil ? first.filter { !$0.isDelayed } : first) == nil, "to \(reader.name)")
            expectAccepted(first, at: number + 1, reader.name)
        }
        let sink = try Chat.drain("sink", on: 2, of: cluster)
        #expect(sink.count == probed)
        #expect(Set(sink.map(\.id)).count == probed)
        print("drill: after a node was lost all others had committed within \(slowest / 1_000_000) ms")
    }

    private func expectAccepted(_ letters: [Letter], at target: Int, _ name: String) {
        let there = Set(letters.map(\.id))
        for writer in writers {
            let lost = (0..<writer.accepted).filter { $0 % 3 == target && !there.contains("\(writer.name)-\($0)") }
            #expect(lost.isEmpty, "\(name) lost accepted messages of \(writer.name)")
        }
    }
}

/// How far the writers may write, and whether the load goes on.
final class Quota: Sendable {
    private let limit = Atomic<Int>(60)
    private let isOver = Atomic<Bool>(false)
    private let accepted = Atomic<Int>(0)
    /// Messages of all writers that are accepted.
    var written: Int { accepted.load(ordering: .relaxed) }
    func note(written count: Int) { accepted.wrappingAdd(count, ordering: .relaxed) }
    func grow(by count: Int) { limit.wrappingAdd(count, ordering: .relaxed) }
    func stop() { isOver.store(true, ordering: .relaxed) }
    var current: Int { limit.load(ordering: .relaxed) }
    var isStopped: Bool { isOver.load(ordering: .relaxed) }
}

/// Writes numbered messages, ten and a ping at a time, through whatever node takes it. What was not accepted is sent again with the
/// same origin-ids. A thread uses it, and when that has ended, the test.
private final class Writer: @unchecked Sendable {
    // @unchecked: see above.
    let name: String
    private let targets: [String]
    private let ports: [UInt16]
    private let domain: String
    private let quota: Quota
    private var client: XMPPClient?
    /// Messages below this number are accepted.
    private(set) var accepted = 0
    /// Errors that came back.
    private(set) var refused: [String] = []

    init(_ name: String, to targets: [String], _ ports: [UInt16], _ domain: String, _ quota: Quota) {
        self.name = name
        self.targets = targets
        self.ports = ports
        self.domain = domain
        self.quota = quota
    }

    func run() {
        while !quota.isStopped {
            guard accepted < quota.current else {
                poll(nil, 0, 5)
                continue
            }
            writeSome()
        }
    }

    private func writeSome() {
        do {
            let client =
                try self.client
                ?? XMPPClient(port: ports.randomElement() ?? 0, domain: domain, user: name, resource: "pen", within: .seconds(5))
            self.client = client
            let batch = accepted..<(accepted + 10)
            try client.send(batch.map { Chat.message(to: targets[$0 % targets.count], id: "\(name)-\($0)") }.joined(), within: .seconds(15))
            try client.ping("written\(batch.upperBound)", within: .seconds(15)) { stanza in
                if stanza.contains("error") { refused.append(stanza) }
            }
            accepted = batch.upperBound
            quota.note(written: batch.count)
        } catch {
            client?.drop()
            client = nil
            poll(nil, 0, 20)
        }
    }
}

/// Logs in here and there, reads for a moment, and leaves. A thread uses it, and when that has ended, the test.
private final class Reader: @unchecked Sendable {
    // @unchecked: see above.
    let name: String
    /// The resource it asks for; nil: another each time.
    let resource: String?
    private let ports: [UInt16]
    private let domain: String
    private let quota: Quota
    private(set) var received: [Letter] = []

    init(_ name: String, resource: String?, _ ports: [UInt16], _ domain: String, _ quota: Quota) {
        self.name = name
        self.resource = resource
        self.ports = ports
        self.domain = domain
        self.quota = quota
    }

    func run() {
        while !quota.isStopped {
            guard
                let client = try? XMPPClient(
                    port: ports.randomElement() ?? 0, domain: domain, user: name, resource: resource, within: .seconds(5))
            else {
                poll(nil, 0, 20)
                continue
            }
            try? client.send("<presence/>")
            let deadline = Deadline(in: .milliseconds(Int.random(in: 50...500)))
            while let stanza = client.receive(by: deadline) { note(stanza) }
            // What the server wrote before it closed counts as delivered, so it is read to the end.
            try? client.close()
            for stanza in client.receiveAll() { note(stanza) }
        }
    }

    private func note(_ stanza: String) {
        if let letter = Letter(stanza) { received.append(letter) }
    }
}
