import Synchronization

/// Carries letters to the loops of other nodes. Implemented over the bus; a loopback in tests.
public protocol StanzaBus: AnyObject, Sendable {
    /// Queues one batch of encoded letters. FIFO per pair of loops and lane; never blocks.
    func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane)
}

/// Letters of a lane keep their order among themselves.
public enum LetterLane: UInt8, Sendable {
    case stanza = 1
    case bulk = 2
}

/// Where the letters for one loop arrive: the only lock on a stanza's way.
public final class Mailbox: Sendable {
    struct Mail: Sendable {
        var from: ShardAddress
        var letters: [Letter]
    }

    private let waiting = Mutex<[Mail]>([])

    public init() {}

    /// Adds letters. Returns true when the box was empty: the caller then wakes the loop.
    func put(_ mail: Mail) -> Bool {
        waiting.withLock { waiting in
            waiting.append(mail)
            return waiting.count == 1
        }
    }

    /// Takes everything.
    func takeAll() -> [Mail] {
        waiting.withLock { waiting in
            let all = waiting
            waiting = []
            return all
        }
    }
}

/// A loop's outgoing mail: collected during a tick, posted once at its end.
struct Mailroom {
    private var trays: [ShardAddress: [Letter]] = [:]
    private var order: [ShardAddress] = []

    var isEmpty: Bool { order.isEmpty }

    mutating func add(_ letter: consuming Letter, to address: ShardAddress) {
        if trays[address] == nil {
            trays[address] = []
            order.append(address)
        }
        trays[address]?.append(letter)
    }

    /// Empties the trays, in the order in which they were first used.
    mutating func empty() -> [(ShardAddress, [Letter])] {
        let all = order.map { ($0, trays[$0] ?? []) }
        trays.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        return all
    }
}
