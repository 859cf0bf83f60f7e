@testable import ServerCore
import Stanzas
import Store
import TestKit

/// After the quiet: what was promised, and what is left.
extension World {
    func judge() throws {
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
        try judgeHome()
        let rosters = try (0..<users).map { try roster(of: $0) }
        let doubtful = doubtfulPairs
        try judgeRosters(rosters, but: doubtful)
        try judgePresence(living, rosters, but: doubtful)
        try drain()
        try judgeMessages(living)
        try judgeArchives(living)
        try judgeCopies()
    }

    /// XEP-0280: of each message one, from the own account alone.
    private func judgeCopies() throws {
        for actor in actors {
            if let forged = actor.forgedCopies.first { throw broken("\(actor.client.jid) got a copy from \(forged)") }
            guard kills == 0, let twice = actor.copies.sorted(by: { $0.key < $1.key }).first(where: { $0.value > 1 }) else { continue }
            throw broken("\(actor.client.jid) got \(twice.value) copies, \(twice.key)")
        }
    }

    private func judgePresence(_ living: [Actor], _ rosters: [[String: SubscriptionState]], but doubtful: Set<[Int]>) throws {
        for watcher in living where watcher.isAvailable {
            var known: Set<String> = []
            var expected: Set<String> = []
            for actor in living where actor.isAvailable {
                let isOwn = actor.user == watcher.user
                if !isOwn, doubtful.contains([actor.user, watcher.user].sorted()) { continue }
                known.insert(actor.client.jid)
                if isOwn || rosters[watcher.user][bare(actor.user)]?.hasTo == true { expected.insert(actor.client.jid) }
            }
            let doubted = (0..<users).filter { doubtful.contains([$0, watcher.user].sorted()) }.map { bare($0) + "/" }
            let seen = Set(watcher.sees.filter(\.value).keys).filter { jid in !doubted.contains { jid.hasPrefix($0) } }
            guard seen == expected else {
                throw broken("\(watcher.client.jid) sees \(seen.sorted()) instead of \(expected.sorted())")
            }
        }
    }

    /// RFC 6121 §3: what the one gets of the other is what the other gives him.
    private func judgeRosters(_ rosters: [[String: SubscriptionState]], but doubtful: Set<[Int]>) throws {
        for one in 0..<users {
            for other in 0..<users where one != other && !doubtful.contains([one, other].sorted()) {
                let mine = rosters[one][bare(other)] ?? SubscriptionState()
                let theirs = rosters[other][bare(one)] ?? SubscriptionState()
                guard mine.hasTo == theirs.hasFrom, mine.pendingOut == theirs.pendingIn else {
                    throw broken("\(name(one)) has \(mine) for \(name(other)), who has \(theirs)")
                }
            }
        }
    }

    private func roster(of user: Int) throws -> [String: SubscriptionState] {
        let identity = cluster.volume.identity
        let snapshot = try cluster.volume.read { snapshot in
            try AccountSnapshot.load(jid: bare(user), from: snapshot, identity: identity, repeatsSince: 0)
        }
        return Dictionary((snapshot?.roster ?? []).map { ($0.jid, SubscriptionState(code: $0.state)) }) { $1 }
    }

    /// The home knows the sessions that there are, and no others.
    private func judgeHome() throws {
        var there: [SessionRef: JID] = [:]
        for node in alive {
            for shard in cluster.nodes[node].shards {
                for session in shard.sessions.values where session.bind != nil && session.ended == nil {
                    there[session.ref] = session.fullJID
                }
            }
        }
        var known: [SessionRef: JID] = [:]
        for shard in cluster.nodes[cluster.keeper].shards {
            for account in shard.accounts.values { for resource in account.resources { known[resource.session] = resource.jid } }
        }
        for (ref, jid) in there where known[ref] != jid { throw broken("the home does not know \(jid), session \(ref)") }
        for (ref, jid) in known where there[ref] != jid { throw broken("the home knows \(jid), session \(ref), that nobody has") }
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

    /// Whether somebody may have been told that a stanza was refused, and did not hear it, as he is gone.
    private func mayHaveMissed(_ sender: Actor, _ living: [Actor]) -> Bool {
        !troubles.isDisjoint(with: [.failures, .limits, .rosters]) && !living.contains { $0 === sender }
    }

    private func judgeMessages(_ living: [Actor]) throws {
        let blocked = blockedPairs
        var receipts: [String: [Actor]] = [:]
        for actor in actors { for receipt in actor.receipts { receipts[receipt.id, default: []].append(actor) } }
        for sender in actors {
            for (index, (id, to, _, _)) in sender.sent.enumerated() {
                let got = receipts[id] ?? []
                if sender.isHandled(index), got.isEmpty, !sender.errors.contains(id), !mayHaveMissed(sender, living),
                    !blocked.contains([sender.user, to].sorted())
                {
                    throw broken("\(id) to \(name(to)) was handled and is lost")
                }
                if got.contains(where: { $0.user != to }) { throw broken("\(id) reached somebody else") }
                guard kills == 0, got.count > 1 else { continue }
                // Only what a client had and never acknowledged comes to another.
                if Set(got.map(ObjectIdentifier.init)).count < got.count { throw broken("\(id) came twice to the same session") }
                if got.count(where: { !$0.usesManagement }) > 1 { throw broken("\(id) came and nobody died to \(got.map(\.client.jid))") }
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
    private func judgeArchives(_ living: [Actor]) throws {
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
                        guard !isHandled || sender.errors.contains(id) || mayHaveMissed(sender, living) else {
                            throw broken("\(id) is not in the archive of \(name(user))")
                        }
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
    func leave() throws {
        for actor in actors where !actor.isOver { actor.client.end(.closedByPeer) }
        cluster.run()
        // A client that said goodbye to a stream that was cut for it is waited for.
        if troubles.contains(.drains) { cluster.advance(seconds: 700) }
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
                guard shard.effects.isEmpty, shard.gated.isEmpty, shard.settled.isEmpty, shard.waitingForHome.isEmpty,
                    shard.takeover == nil,
                    shard.pendingCommands.isEmpty, shard.pendingQuestions.isEmpty, shard.pendingKeys.isEmpty
                else { throw broken("node \(node) is not at rest") }
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
