internal import DequeModule
import Stanzas

/// The numbers of what a client sent: which stanzas are handled, and the longest prefix of them.
struct InboundLedger {
    struct Entry {
        let seq: UInt32
        let stanza: Stanza
        let size: Int
        /// When it came, where that is known.
        var received: MonotonicTime?
        /// The epoch of the home it was last posted to; 0 before the first.
        var sentEpoch: UInt64 = 0
        var own = false
        var expectsTheirs = false
        var theirs = false
        var refused = false
        var isHandled: Bool { own && (!expectsTheirs || theirs) }

        /// Notes one half. Returns whether it is handled now.
        fileprivate mutating func note(_ half: CompletionHalf) -> Bool {
            switch half {
            case .whole:
                // Whatever an earlier home said: nobody else has a part in it.
                own = true
                expectsTheirs = false
            case .own:
                own = true
                expectsTheirs = true
            case .theirs: theirs = true
            }
            return isHandled
        }
    }

    private(set) var unhandled: Deque<Entry> = []
    private(set) var bytes = 0
    /// The number of the next submission; wraps after 2³² - 1 like the counters of XEP-0198.
    private(set) var nextSeq: UInt32

    init(nextSeq: UInt32 = 1) { self.nextSeq = nextSeq }

    /// From another loop.
    init(nextSeq: UInt32, unhandled: [Entry]) {
        self.nextSeq = nextSeq
        self.unhandled = Deque(unhandled)
        bytes = unhandled.reduce(0) { $0 + $1.size }
    }

    var count: Int { unhandled.count }
    /// The longest handled prefix.
    var handledThrough: UInt32 { firstSeq &- 1 }
    /// The number of the first unhandled one: they have no gaps. (Told without a look at it, which would copy it.)
    private var firstSeq: UInt32 { nextSeq &- UInt32(truncatingIfNeeded: unhandled.count) }

    mutating func add(_ stanza: Stanza, size: Int, received: MonotonicTime? = nil) -> Entry {
        let entry = Entry(seq: nextSeq, stanza: stanza, size: size, received: received)
        nextSeq &+= 1
        unhandled.append(entry)
        bytes += size
        return entry
    }

    private func index(_ seq: UInt32) -> Int? {
        let distance = Int(seq &- firstSeq)
        return distance < unhandled.count ? distance : nil
    }

    func contains(_ seq: UInt32) -> Bool { index(seq) != nil }
    func entry(_ seq: UInt32) -> Entry? { index(seq).map { unhandled[$0] } }

    mutating func markSent(_ seq: UInt32, epoch: UInt64) {
        if let index = index(seq) { unhandled[index].sentEpoch = epoch }
    }

    mutating func markRefused(_ seq: UInt32) {
        if let index = index(seq) { unhandled[index].refused = true }
    }

    /// Notes one half. Returns how many stanzas, and of how many bytes, the handled prefix grew by; `handled` sees each of them.
    mutating func complete(_ seq: UInt32, _ half: CompletionHalf, handled: (Entry) -> Void = { _ in }) -> (stanzas: Int, bytes: Int) {
        guard let index = index(seq), unhandled[index].note(half), index == 0 else { return (0, 0) }
        var stanzas = 0
        var freed = 0
        while !unhandled.isEmpty, stanzas == 0 || unhandled[0].isHandled {
            let first = unhandled.removeFirst()
            handled(first)
            stanzas += 1
            freed += first.size
        }
        bytes -= freed
        return (stanzas, freed)
    }
}
