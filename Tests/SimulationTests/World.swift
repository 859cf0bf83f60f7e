@testable import ServerCore
import Modules
import Settings
import Stanzas
import Store
import TestKit
import XMLStream

/// One run: users who are all in contact, clients that come, talk and go, nodes that die, and after the quiet the reckoning.
final class World {
    struct Broken: Error, CustomStringConvertible {
        var description: String
    }

    let seed: UInt64
    let troubles: Troubles
    var chance: Chance
    let cluster: MemoryCluster
    let users = 4
    var actors: [Actor] = []
    private var messages = 0
    var kills = 0
    private var ticks = 0
    private let maximumKills: Int
    var log: [String] = []
    /// The keeper died, and nobody has its place yet.
    var lacksKeeper = false
    /// Nodes that are leaving, and the loops of theirs that have nothing left.
    var leaving: [Int: Departure] = [:]
    /// What was said about subscriptions and blocks, and by whom.
    var dealings: [Dealing] = []

    /// - Parameter troubles: nil: as the seed will have it.
    init(seed: UInt64, troubles: Troubles? = nil) throws {
        self.seed = seed
        chance = Chance(seed: seed)
        let nodes = 1 + chance.below(3)
        let loops = 1 + chance.below(2)
        maximumKills = nodes == 1 ? 0 : chance.below(4)
        let drawn = Troubles(seed: seed, &chance)
        self.troubles = troubles ?? drawn
        let settings = self.troubles.contains(.limits) ? Settings.narrow(&chance) : Settings()
        cluster = try MemoryCluster(
            nodes: nodes, loops: loops, modules: self.troubles.contains(.rosters) ? ModuleList.all : [], settings: settings, seed: seed,
            hasOwnClocks: self.troubles.contains(.clocks))
        for user in 0..<users { try cluster.addAccount(name(user)) }
        try befriend()
        log.append("nodes \(nodes) loops \(loops), \(self.troubles)")
    }

    deinit { cluster.dismantle() }

    func name(_ user: Int) -> String { "user\(user)" }
    func bare(_ user: Int) -> String { "\(name(user))@\(cluster.domain)" }
    func broken(_ why: String) -> Broken {
        let refused = actors.filter { !$0.refusals.isEmpty }.map {
            "\($0.lastSession?.fullJID.description ?? "?") was refused: \($0.refusals)\n"
        }
        return Broken(
            description: """
                seed \(seed): \(why), with \(troubles)
                again: SWIFT_DETERMINISTIC_HASHING=1 MARTLET_SEED=\(seed) swift test --filter SimulationTests
                \(refused.joined())\(log.suffix(400).joined(separator: "\n"))
                """)
    }

    private func befriend() throws {
        let clients = try (0..<users).map { try cluster.connect(name($0), resource: "setup", node: 0) }
        for type in ["subscribe", "subscribed"] {
            for (a, client) in clients.enumerated() {
                for b in 0..<users where b != a { try client.post("<presence to='\(bare(b))' type='\(type)'/>") }
            }
            cluster.run()
        }
        for client in clients { client.end(.closedByPeer) }
        cluster.run()
    }

    // MARK: The run

    func run(actions: Int) throws {
        cluster.isUnruly = true
        for _ in 0..<actions {
            try act()
            for _ in 0..<chance.below(25) { cluster.step(&chance) }
            for actor in actors { try actor.read() }
        }
        try quiet()
        try judge()
        try leave()
    }

    /// What two runs of one seed have in common: everything.
    var story: [String] {
        log + actors.map { "\($0.client.jid) \($0.receipts.map { "\($0.id) \($0.archived)" }) \($0.errors.sorted())" }
    }

    var alive: [Int] { cluster.nodes.indices.filter { cluster.nodes[$0].isAlive } }

    private func act() throws {
        if lacksKeeper, chance.one(in: 4) { appointKeeper() }
        if !troubles.isEmpty, chance.one(in: 6) { return try trouble() }
        switch chance.below(100) {
        case 0..<14: try connect()
        case 14..<21: end()
        case 21..<27: try manage()
        case 27..<35: try resume()
        case 35..<74: try talk()
        case 74..<88: try changePresence()
        case 88..<92:
            if let actor = some(where: \.isBound) {
                actor.client.isStalled.toggle(); if !actor.client.isStalled { actor.client.isStalled = true; actor.client.unstall() }
            }
        case 92..<95: cluster.step(&chance)
        case 95..<98: try killOne()
        default:
            // Fewer seconds in all than a letter may be under way.
            ticks += 1
            if ticks <= 8 { cluster.tick(seconds: 1) }
            advanceClocks(1)
            for node in alive { for shard in cluster.nodes[node].shards { shard.enter { $0.doChores() } } }
        }
    }

    func some(where accepts: (Actor) -> Bool) -> Actor? {
        let able = actors.filter(accepts)
        return able.isEmpty ? nil : able[chance.below(able.count)]
    }

    private func advanceClocks(_ seconds: Int64) {
        cluster.clock.advance(seconds: seconds)
        if troubles.contains(.clocks) { for node in cluster.nodes { node.clock.advance(seconds: seconds) } }
    }

    /// Everything under way arrives, and time passes without anybody's doing.
    func pause(seconds: Int64) {
        log.append("\(seconds) seconds pass")
        settle()
        ticks = 0
        var left = seconds
        while left > 0 {
            let step = min(left, 1 + Int64(chance.below(40)))
            advanceClocks(step)
            cluster.tick(seconds: UInt64(step))
            cluster.doChores()
            left -= step
        }
        cluster.isUnruly = true
    }

    /// Time passes in which clients say what they have, as they are asked to.
    private func wait(seconds: Int64) throws {
        for _ in 0..<seconds / 20 {
            for actor in actors {
                try actor.read()
                guard !actor.isOver, let management = actor.management, management.isEnabled else { continue }
                try actor.client.post("<a xmlns='urn:xmpp:sm:3' h='\(management.received)'/>")
            }
            cluster.advance(seconds: 20)
            cluster.doChores()
        }
    }

    /// Nothing holds anything up any more.
    func settle() {
        cluster.releaseLinks()
        for node in alive { cluster.nodes[node].isHung = false }
        if lacksKeeper { appointKeeper() }
        cluster.volume.stopFailing()
        cluster.isUnruly = false
        cluster.run()
    }

    private func connect() throws {
        let user = chance.below(users)
        let node = alive[chance.below(alive.count)]
        let loop = chance.below(cluster.nodes[node].shards.count)
        let resource = "r\(chance.below(3))"
        let client = try cluster.begin(name(user), resource: resource, node: node, loop: loop)
        actors.append(Actor(user: user, client: client, node: node))
        log.append("connect \(name(user))/\(resource) at \(node)/\(loop)")
    }

    private func end() {
        guard let actor = some(where: { !$0.isOver && !$0.isLost }) else { return }
        // Who has no SM-ID yet could never come back to a session that waits for it.
        let isAwaiting = actor.management.map { !$0.isEnabled } ?? false
        // Nor could who closes a stream on which nothing is resumed yet end it.
        let isResuming = actor.client.session == nil && actor.management?.id != nil
        let reason: StreamEnd = isResuming ? .lost : chance.one(in: 2) || isAwaiting ? .closedByPeer : .lost
        log.append("end \(actor.client.jid) \(reason)")
        if reason == .lost, actor.management?.id != nil { actor.isLost = true } else { actor.isOver = true }
        actor.client.end(reason)
    }

    /// Enables stream management, or acknowledges, or asks.
    private func manage() throws {
        guard let actor = some(where: \.isBound) else { return }
        guard let management = actor.management else {
            log.append("\(actor.client.jid) enables")
            return try actor.client.post("<enable xmlns='urn:xmpp:sm:3' resume='\(!chance.one(in: 5))'/>")
        }
        guard management.isEnabled else { return }
        if chance.one(in: 2) {
            try actor.read()
            log.append("\(actor.client.jid) acknowledges \(actor.management?.received ?? 0)")
            try actor.client.post("<a xmlns='urn:xmpp:sm:3' h='\(actor.management?.received ?? 0)'/>")
        } else {
            try actor.client.post("<r xmlns='urn:xmpp:sm:3'/>")
        }
    }

    /// Somebody whose stream broke, or who believes so, comes back at any loop of any node.
    private func resume() throws {
        guard let actor = some(where: { !$0.isOver && $0.management?.id != nil && ($0.isLost || chance.one(in: 4)) }) else { return }
        try resume(actor)
    }

    private func resume(_ actor: Actor) throws {
        try actor.read()
        guard !actor.isOver, let id = actor.management?.id, actor.client.closedWith == nil || actor.isLost else { return }
        // What the old stream still writes nobody reads; the server may not know.
        if chance.one(in: 2) { actor.client.end(.lost) } else { actor.client.abandon() }
        let node = alive[chance.below(alive.count)]
        let loop = chance.below(cluster.nodes[node].shards.count)
        log.append(
            "resume \(name(actor.user)) \(actor.lastSession?.fullJID.description ?? "") at \(node)/\(loop) h \(actor.management?.received ?? 0)"
        )
        let client = try cluster.beginResume(name(actor.user), id, continuing: actor.management, node: node, loop: loop)
        actor.resume(by: client, node: node)
    }

    private func talk() throws {
        guard let actor = some(where: \.isBound) else { return }
        for _ in 0...chance.below(3) {
            messages += 1
            let to = chance.below(users)
            let id = "m\(messages)"
            let inSeq = actor.nextSeq
            // To a session that may be gone by then is to whoever is there (RFC 6121 §8.5.3.2.1).
            let address = chance.one(in: 6) ? "\(bare(to))/r\(chance.below(3))" : bare(to)
            try actor.send("<message to='\(address)' type='chat' id='\(id)'><body>\(id)</body></message>")
            actor.sent.append((id, to, inSeq, actor.management?.sent ?? 0))
            log.append("\(actor.client.jid) sends \(id) to \(name(to))")
        }
    }

    private func changePresence() throws {
        guard let actor = some(where: \.isBound) else { return }
        if actor.isAvailable, chance.one(in: 3) {
            try actor.send("<presence type='unavailable'/>")
            actor.isAvailable = false
        } else {
            // Resources of different priorities: each message goes to one session only.
            let priority = actor.client.jid.hasSuffix("0") ? 0 : actor.client.jid.hasSuffix("1") ? 1 : 2
            try actor.send("<presence><priority>\(priority)</priority></presence>")
            actor.isAvailable = true
        }
        log.append("\(actor.client.jid) \(actor.isAvailable ? "available" : "unavailable")")
    }

    private func killOne() throws {
        guard kills < maximumKills, alive.count > 1 else {
            if alive.count < 3, kills > 0 { try cluster.addNode(loops: 1 + chance.below(2)) }
            return
        }
        // The keeper half of the time.
        kill(chance.one(in: 2) ? cluster.keeper : alive[chance.below(alive.count)])
    }

    func kill(_ victim: Int) {
        guard cluster.nodes[victim].isAlive, alive.count > 1 else { return }
        kills += 1
        let wasKeeper = victim == cluster.keeper
        log.append("kill \(victim)\(wasKeeper ? " (keeper)" : "")")
        gone(victim) { cluster.killUnruly(victim, &chance) }
        if wasKeeper { lacksKeeper = true }
    }

    /// A node ends, and with it the streams of its clients.
    func gone(_ victim: Int, _ end: () -> Void) {
        for actor in actors { try? actor.read() }
        end()
        leaving[victim] = nil
        for actor in actors where actor.node == victim && !actor.isOver {
            // Who can resume tries it elsewhere: where the session was somewhere else, it lives.
            if actor.management?.id != nil { actor.isLost = true } else { actor.isOver = true }
        }
    }

    /// The lock goes to one of those who wait for it, be it awake or not.
    func appointKeeper() {
        lacksKeeper = false
        let next = alive[chance.below(alive.count)]
        log.append("keeper \(next)")
        cluster.takeOver(by: next)
    }

    private func quiet() throws {
        settle()
        for node in leaving.keys.sorted() { for shard in cluster.nodes[node].shards { shard.enter { $0.undrain() } } }
        for actor in actors where !actor.isOver { actor.client.unstall() }
        cluster.run()
        for actor in actors {
            try actor.read()
            if actor.client.closedWith != nil, !actor.isLost { actor.isOver = true }
            if actor.isLost, !actor.isOver { try resume(actor) }
        }
        for _ in 0..<3 {
            cluster.run()
            cluster.doChores()
            cluster.advance(seconds: 2)
        }
        // Sessions to which nobody can come back, those who said goodbye to a stream that was cut for them, and those that wait for a
        // client which asked before their home had heard of them.
        if !troubles.isDisjoint(with: [.drains, .pauses]) || actors.contains(where: { !$0.refusals.isEmpty }) { try wait(seconds: 700) }
        for actor in actors {
            try actor.read()
            if actor.client.closedWith != nil { actor.isOver = true }
            if let asked = actor.management, asked.isEnabled, !actor.isOver { try actor.client.post("<r xmlns='urn:xmpp:sm:3'/>") }
        }
        cluster.run()
        for actor in actors { try actor.read() }
    }
}
