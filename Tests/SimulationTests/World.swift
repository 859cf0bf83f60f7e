@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import XMLStream

/// A client in the simulation, and everything it may be judged by.
final class Actor {
    struct Receipt {
        var id: String
        var from: String
        var isDelayed: Bool
        /// The ids that the receiver's account gave it.
        var archived: [String]
    }

    let user: Int
    /// Its stream; another one after a resumption.
    var client: MemoryClient
    var node: Int
    /// Ids of what it sent, by the number its session gives them, and by the number it has in stream management (0: before that).
    var sent: [(id: String, to: Int, inSeq: UInt32, counted: UInt32)] = []
    /// The session as it was last known.
    private(set) var lastSession: Session?
    /// What it heard when it could not resume.
    private(set) var refusals: [String] = []
    /// Its stream broke, and it may come back.
    var isLost = false
    var usesManagement: Bool { management != nil }
    /// As the client counts, on whatever stream.
    var management: ClientManagement? { client.management ?? kept }
    private var kept: ClientManagement?
    private var earlier: [MemoryClient] = []
    var nextSeq: UInt32 = 1
    var receipts: [Receipt] = []
    var errors: Set<String> = []
    /// The last presence of each address it heard from.
    var sees: [String: Bool] = [:]
    var isAvailable = false
    var isOver = false

    init(user: Int, client: MemoryClient, node: Int) {
        self.user = user
        self.client = client
        self.node = node
    }

    var isBound: Bool { !isOver && client.session?.bind != nil && client.closedWith == nil }

    /// It goes on over another stream, or tries to.
    func resume(by client: MemoryClient, node: Int) {
        kept = management
        earlier.append(self.client)
        self.client = client
        self.node = node
        isLost = false
    }

    /// Whether the server said that it has handled what stands at this place of `sent`.
    func isHandled(_ index: Int) -> Bool {
        let (_, _, inSeq, counted) = sent[index]
        if counted != 0 { return management.map { $0.acknowledged >= counted } ?? false }
        guard let handled = lastSession?.inbound.handledThrough else { return false }
        return Int32(bitPattern: handled &- inSeq) >= 0
    }

    func send(_ xml: String) throws {
        nextSeq &+= 1
        try client.post(xml)
    }

    /// Reads what arrived.
    func read() throws {
        lastSession = client.session ?? lastSession
        // Its stream was taken from it, as it believes by itself.
        if client.closedWith == "conflict", management?.id != nil { isLost = true }
        if let error = client.resumeError, !isOver {
            isOver = true
            // Asked for before the home heard that it can be: nobody comes back to it.
            for earlier in earlier { earlier.endAbandoned() }
            refusals.append("\(error.condition.name) h \(error.h.map { String($0) } ?? "unknown")")
        }
        for text in client.takeReceived() {
            let element = try Element.parse(Array(text.utf8))
            switch element.local {
            case "message":
                guard let id = element["id"], let from = element["from"] else { continue }
                if element["type"] == "error" {
                    errors.insert(id)
                } else {
                    let isDelayed = element.children.contains { $0.local == "delay" }
                    let archived = element.children.filter { $0.local == "stanza-id" }.compactMap { $0["id"] }
                    receipts.append(Receipt(id: id, from: from, isDelayed: isDelayed, archived: archived))
                }
            case "presence":
                guard let from = element["from"] else { continue }
                // Answers to the probes of a session that had its name before may come first.
                if from == client.jid, element["type"] == nil, sees[from] != true { sees.removeAll() }
                if element["type"] == nil { sees[from] = true } else if element["type"] == "unavailable" { sees[from] = false }
                // What it saw says nothing any more: nobody tells it while it is away.
                if from == client.jid, element["type"] == "unavailable" { sees.removeAll() }
            default: break
            }
        }
    }
}

/// One run: users who are all in contact, clients that come, talk and go, nodes that die, and after the quiet the reckoning.
final class World {
    struct Broken: Error, CustomStringConvertible {
        var description: String
    }

    let seed: UInt64
    private var chance: Chance
    private let cluster: MemoryCluster
    private let users = 4
    private var actors: [Actor] = []
    private var messages = 0
    private var kills = 0
    private var ticks = 0
    private let maximumKills: Int
    private var log: [String] = []

    init(seed: UInt64) throws {
        self.seed = seed
        chance = Chance(seed: seed)
        let nodes = 1 + chance.below(3)
        let loops = 1 + chance.below(2)
        maximumKills = nodes == 1 ? 0 : chance.below(4)
        cluster = try MemoryCluster(nodes: nodes, loops: loops, seed: seed)
        for user in 0..<users { try cluster.addAccount(name(user)) }
        try befriend()
        log.append("nodes \(nodes) loops \(loops)")
    }

    private func name(_ user: Int) -> String { "user\(user)" }
    private func bare(_ user: Int) -> String { "\(name(user))@\(cluster.domain)" }
    private func broken(_ why: String) -> Broken {
        let refused = actors.filter { !$0.refusals.isEmpty }.map {
            "\($0.lastSession?.fullJID.description ?? "?") was refused: \($0.refusals)\n"
        }
        return Broken(description: "seed \(seed): \(why)\n" + refused.joined() + log.suffix(400).joined(separator: "\n"))
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

    private var alive: [Int] { cluster.nodes.indices.filter { cluster.nodes[$0].isAlive } }

    private func act() throws {
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
            cluster.clock.advance(seconds: 1)
            for node in alive { for shard in cluster.nodes[node].shards { shard.enter { $0.doChores() } } }
        }
    }

    private func some(where accepts: (Actor) -> Bool) -> Actor? {
        let able = actors.filter(accepts)
        return able.isEmpty ? nil : able[chance.below(able.count)]
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
            try actor.send("<message to='\(bare(to))' type='chat' id='\(id)'><body>\(id)</body></message>")
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
        kills += 1
        // The keeper half of the time.
        let victim = chance.one(in: 2) ? cluster.keeper : alive[chance.below(alive.count)]
        guard cluster.nodes[victim].isAlive else { return }
        log.append("kill \(victim)\(victim == cluster.keeper ? " (keeper)" : "")")
        for actor in actors { try actor.read() }
        let wasKeeper = victim == cluster.keeper
        cluster.killUnruly(victim, &chance)
        for actor in actors where actor.node == victim && !actor.isOver {
            // Who can resume tries it elsewhere: where the session was somewhere else, it lives.
            if actor.management?.id != nil { actor.isLost = true } else { actor.isOver = true }
        }
        if wasKeeper {
            let next = alive[chance.below(alive.count)]
            log.append("keeper \(next)")
            cluster.takeOver(by: next)
        }
    }

    private func quiet() throws {
        cluster.isUnruly = false
        for actor in actors where !actor.isOver { actor.client.unstall() }
        cluster.run()
        for actor in actors {
            try actor.read()
            if actor.client.closedWith != nil, !actor.isLost { actor.isOver = true }
            if actor.isLost { try resume(actor) }
        }
        for _ in 0..<3 {
            cluster.run()
            cluster.doChores()
            cluster.advance(seconds: 2)
        }
        for actor in actors {
            try actor.read()
            if actor.client.closedWith != nil { actor.isOver = true }
            if let asked = actor.management, asked.isEnabled, !actor.isOver { try actor.client.post("<r xmlns='urn:xmpp:sm:3'/>") }
        }
        cluster.run()
        for actor in actors { try actor.read() }
    }

    // MARK: The reckoning

    private func judge() throws {
        let living = actors.filter { !$0.isOver }
        for actor in living {
            guard actor.isBound else { throw broken("\(actor.client.jid) of user \(actor.user) was never bound") }
            guard actor.client.session?.unhandled == 0 else {
                throw broken("\(actor.client.jid) waits for \(actor.client.session?.unhandled ?? 0) completions")
            }
            if let management = actor.management, management.acknowledged != management.sent {
                throw broken("\(actor.client.jid) was told of \(management.acknowledged) of \(management.sent) stanzas")
            }
            guard actor.client.isReading else { throw broken("\(actor.client.jid) is paused for ever") }
        }
        try judgePresence(living)
        try drain()
        try judgeMessages()
        try judgeArchives()
    }

    private func judgePresence(_ living: [Actor]) throws {
        for watcher in living where watcher.isAvailable {
            let seen = Set(watcher.sees.filter(\.value).keys)
            let true_ = Set(living.filter(\.isAvailable).map(\.client.jid))
            guard seen == true_ else {
                throw broken("\(watcher.client.jid) sees \(seen.sorted()) instead of \(true_.sorted())")
            }
        }
    }

    /// Every user comes once more and reads what is left.
    private func drain() throws {
        for actor in actors where !actor.isOver {
            actor.isOver = true
            actor.client.end(.closedByPeer)
        }
        cluster.run()
        for user in 0..<users {
            let client = try cluster.connect(name(user), resource: "last", node: alive[0])
            let actor = Actor(user: user, client: client, node: alive[0])
            actors.append(actor)
            guard actor.isBound else { throw broken("\(name(user)) cannot come back: \(String(describing: client.bindError))") }
            try actor.send("<presence/>")
            cluster.run()
            cluster.advance(seconds: 2)
            try actor.read()
        }
    }

    private func judgeMessages() throws {
        var receipts: [String: [Actor]] = [:]
        for actor in actors { for receipt in actor.receipts { receipts[receipt.id, default: []].append(actor) } }
        for sender in actors {
            for (index, (id, to, _, _)) in sender.sent.enumerated() {
                let got = receipts[id] ?? []
                if sender.isHandled(index), got.isEmpty, !sender.errors.contains(id) {
                    throw broken("\(id) to \(name(to)) was handled and is lost")
                }
                if got.contains(where: { $0.user != to }) { throw broken("\(id) reached somebody else") }
                guard kills == 0, got.count > 1 else { continue }
                // Only what a client had and never acknowledged comes to another.
                if Set(got.map(ObjectIdentifier.init)).count < got.count { throw broken("\(id) came twice to the same session") }
                if got.count(where: { !$0.usesManagement }) > 1 { throw broken("\(id) came \(got.count) times and nobody died") }
                let late = got.flatMap(\.receipts).filter { $0.id == id && $0.isDelayed }
                if late.count < got.count - 1 { throw broken("\(id) came again without its time") }
            }
        }
        // By session, not by address: two sessions of one resource follow each other on ways of their own.
        var senders: [String: ObjectIdentifier] = [:]
        for sender in actors { for message in sender.sent { senders[message.id] = ObjectIdentifier(sender) } }
        for actor in actors {
            var last: [ObjectIdentifier: Int] = [:]
            var known: Set<String> = []
            for receipt in actor.receipts where known.insert(receipt.id).inserted && !receipt.isDelayed {
                guard let number = Int(receipt.id.dropFirst()), let sender = senders[receipt.id] else { continue }
                guard number > last[sender, default: 0] else {
                    throw broken("\(actor.client.jid) received m\(last[sender, default: 0]) before \(receipt.id) from \(receipt.from)")
                }
                last[sender] = number
            }
        }
    }

    /// What is handled stands once in the archive of each, in order, and under the id that it was delivered with.
    private func judgeArchives() throws {
        let archives = try (0..<users).map { try archive(of: $0) }
        for user in 0..<users {
            let ids = archives[user].map(\.id)
            guard Set(ids).count == ids.count else { throw broken("the archive of \(name(user)) has a message twice: \(ids)") }
        }
        for sender in actors {
            guard let handled = sender.client.session?.inbound.handledThrough else { continue }
            // What somebody sends to himself is archived when it comes in, so behind what he sent on at the same moment.
            var last = [[Int]](repeating: [-1, -1], count: users)
            for (id, to, inSeq, _) in sender.sent {
                let isHandled = Int32(bitPattern: handled &- inSeq) >= 0
                for user in Set([sender.user, to]) {
                    guard let place = archives[user].firstIndex(where: { $0.id == id }) else {
                        guard !isHandled || sender.errors.contains(id) else { throw broken("\(id) is not in the archive of \(name(user))") }
                        continue
                    }
                    let own = to == sender.user ? 1 : 0
                    guard place > last[user][own] else { throw broken("\(id) stands too early in the archive of \(name(user))") }
                    last[user][own] = place
                }
            }
        }
        for actor in actors {
            for receipt in actor.receipts {
                let known = archives[actor.user].filter { $0.id == receipt.id }.map(\.archived)
                guard receipt.archived == known else {
                    throw broken("\(receipt.id) came to \(name(actor.user)) as \(receipt.archived) and is archived as \(known)")
                }
            }
        }
    }

    private func archive(of user: Int) throws -> [(id: String, archived: String)] {
        let identity = cluster.volume.identity
        let jid = bare(user)
        return try cluster.volume.read { snapshot in
            guard let record = try AccountRecord.find(jid, in: snapshot, identity: identity) else { return [] }
            let rows = AccountRows(partition: identity.partition(of: jid), number: record.number, identity: identity)
            let ids = ArchiveIDs(key: record.archiveKey)
            var all: [(id: String, archived: String)] = []
            _ = try rows.scanArchive(0...UInt64.max, peer: nil, reverse: false, rows: .max, in: snapshot) { message in
                all.append((String(decoding: message.stanza.id ?? .init(start: nil, count: 0), as: UTF8.self), ids.id(message.sequence)))
                return true
            }
            return all
        }
    }

    /// When everybody is gone nothing is left of them.
    private func leave() throws {
        for actor in actors where !actor.isOver { actor.client.end(.closedByPeer) }
        cluster.run()
        cluster.doChores()
        for node in alive {
            for shard in cluster.nodes[node].shards {
                guard shard.sessions.isEmpty else {
                    let left = shard.sessions.values.map {
                        "\($0.fullJID) bind \(String(describing: $0.bind)) ended \(String(describing: $0.ended)) leaving \(String(describing: $0.leaving)) \($0.isHandedOver) detached \($0.isDetached) unhandled \($0.inbound.unhandled.map { "\($0.seq) \($0.stanza.kind) sent \($0.sentEpoch) own \($0.own) theirs \($0.theirs)" }) placement \(shard.placement.epoch)"
                    }
                    throw broken("node \(node) still holds \(left)")
                }
                guard shard.unhandledBytes == 0 else { throw broken("node \(node) still counts \(shard.unhandledBytes) unhandled bytes") }
                guard shard.resuming.isEmpty, shard.resumable.isEmpty else { throw broken("node \(node) still resumes") }
                for account in shard.accounts.values {
                    guard account.resources.isEmpty, account.departing.isEmpty, account.gate.isEmpty, account.heldBack.isEmpty,
                        !account.isPumping
                    else {
                        throw broken("\(account.jid) is not empty: \(account.resources.map(\.name)) \(account.departing.count)")
                    }
                    guard account.inbox.isEmpty else { throw broken("\(account.jid) is still owed \(account.inbox.all)") }
                }
            }
        }
    }
}
