@testable import ServerCore
import Stanzas
import Store
import Synchronization
import TestKit

/// Loops of a leaving node that have nothing left.
final class Departure: Sendable {
    private let loops = Atomic<Int>(0)
    func loopIsDone() { loops.wrappingAdd(1, ordering: .relaxed) }
    var count: Int { loops.load(ordering: .relaxed) }
}

/// A stanza about a subscription or a block.
struct Dealing {
    var id: String
    var actor: Actor
    /// The two it is about, the smaller first.
    var pair: [Int]
    var inSeq: UInt32
    var counted: UInt32
    var isBlock: Bool
}

extension World {
    /// One of the troubles of this world comes, or goes.
    func trouble() throws {
        let kinds = (0..<Troubles.names.count).map { Troubles(rawValue: 1 << $0) }.filter { troubles.contains($0) }
        switch kinds[chance.below(kinds.count)] {
        case .links: silenceLink()
        case .hangs: hang()
        case .clocks: setClock()
        case .drains: try drainOne()
        case .failures: fail()
        case .rosters: try deal()
        case .pauses: pause(seconds: [1, 12, 61, 130, 700][chance.below(5)])
        default: break
        }
    }

    private func silenceLink() {
        guard alive.count > 1, chance.one(in: 2) else {
            log.append("links speak")
            return cluster.releaseLinks()
        }
        let one = alive[chance.below(alive.count)]
        let other = alive[chance.below(alive.count)]
        guard one != other else { return }
        log.append("link \(one)-\(other) is silent")
        cluster.holdLink(one, other)
    }

    private func hang() {
        if let hung = alive.first(where: { cluster.nodes[$0].isHung }) {
            // Its judge has looked long enough, or it was not as long as that.
            if chance.one(in: 2) { return kill(hung) }
            log.append("\(hung) goes on")
            cluster.nodes[hung].isHung = false
        } else if alive.count > 1 {
            let hung = alive[chance.below(alive.count)]
            log.append("\(hung) hangs")
            cluster.nodes[hung].isHung = true
        }
    }

    private func setClock() {
        let node = alive[chance.below(alive.count)]
        let seconds = [-86_400, -3_600, -60, -1, 1, 60, 3_600][chance.below(7)]
        log.append("the clock of \(node) is set by \(seconds)")
        cluster.nodes[node].clock.advance(seconds: Int64(seconds))
    }

    private func fail() {
        let count = 1 + chance.below(4)
        log.append("\(count) commits will fail")
        cluster.volume.failNext(count, with: chance.one(in: 2) ? .noSpace : .io("the disk is on fire"))
    }

    /// A node begins to leave; one that leaves stays after all, or goes when it has nothing left, and another comes in its place.
    private func drainOne() throws {
        guard let node = leaving.keys.sorted().first else {
            guard alive.count > 1 else { return }
            let node = alive[chance.below(alive.count)]
            let departure = Departure()
            leaving[node] = departure
            log.append("\(node) leaves")
            for shard in cluster.nodes[node].shards {
                shard.enter { $0.drain(patience: .seconds(30)) { departure.loopIsDone() } }
            }
            return
        }
        let isDone = leaving[node]?.count == cluster.nodes[node].shards.count
        if isDone, alive.count > 1, !cluster.nodes[node].isHung {
            log.append("\(node) is gone")
            let wasKeeper = node == cluster.keeper
            // What it was asked meanwhile it refuses as one that dies.
            gone(node) { cluster.killUnruly(node, &chance) }
            kills += 1
            if wasKeeper { lacksKeeper = true }
            try cluster.addNode(loops: 1 + chance.below(2))
        } else if chance.one(in: 3) {
            log.append("\(node) stays")
            leaving[node] = nil
            for shard in cluster.nodes[node].shards { shard.enter { $0.undrain() } }
        }
    }

    // MARK: Subscriptions and blocks

    /// Somebody says something about a subscription or a block, when all that was said between the two is done: requests that cross each
    /// other have no common meaning (RFC 6121 §3 knows no numbers).
    private func deal() throws {
        guard let actor = some(where: \.isBound) else { return }
        if chance.one(in: 6) {
            log.append("\(actor.client.jid) asks for copies")
            return try actor.send("<iq type='set' id='copies'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        }
        let other = chance.below(users)
        guard other != actor.user else { return }
        let pair = [actor.user, other].sorted()
        guard dealings.allSatisfy({ $0.pair != pair || $0.actor.isHandled($0.inSeq, $0.counted) || $0.actor.isOver }) else { return }
        let id = "d\(dealings.count)"
        let to = bare(other)
        let kind = chance.below(13)
        let (inSeq, isBlock) = (actor.nextSeq, kind >= 11)
        let xml =
            switch kind {
            case 0..<3: "<presence to='\(to)' type='subscribe' id='\(id)'/>"
            case 3..<6: "<presence to='\(to)' type='subscribed' id='\(id)'/>"
            case 6..<8: "<presence to='\(to)' type='unsubscribe' id='\(id)'/>"
            case 8..<10: "<presence to='\(to)' type='unsubscribed' id='\(id)'/>"
            case 10:
                "<iq type='set' id='\(id)'><query xmlns='jabber:iq:roster'><item jid='\(to)' subscription='remove'/></query></iq>"
            case 11: "<iq type='set' id='\(id)'><block xmlns='urn:xmpp:blocking'><item jid='\(to)'/></block></iq>"
            default: "<iq type='set' id='\(id)'><unblock xmlns='urn:xmpp:blocking'><item jid='\(to)'/></unblock></iq>"
            }
        try actor.send(xml)
        dealings.append(
            Dealing(id: id, actor: actor, pair: pair, inSeq: inSeq, counted: actor.management?.sent ?? 0, isBlock: isBlock))
        log.append("\(actor.client.jid) sends \(id): \(xml)")
    }

    /// Pairs of whom one blocked the other once.
    var blockedPairs: Set<[Int]> { Set(dealings.filter(\.isBlock).map(\.pair)) }

    /// Pairs of whose dealings one was refused, or is not known to be done.
    var doubtfulPairs: Set<[Int]> {
        Set(
            dealings.filter { dealing in
                !dealing.actor.isHandled(dealing.inSeq, dealing.counted) || dealing.actor.errors.contains(dealing.id)
                    // Who was away may have missed the refusal.
                    || dealing.actor.isOver && !troubles.isDisjoint(with: [.failures, .limits])
            }.map(\.pair)
        ).union(blockedPairs)
    }
}
