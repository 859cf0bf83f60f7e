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
    var handledThrough: UInt32 { (unhandled.isEmpty ? nextSeq : unhandled[0].seq) &- 1 }

    mutating func add(_ stanza: Stanza, size: Int, received: MonotonicTime? = nil) -> Entry {
        let entry = Entry(seq: nextSeq, stanza: stanza, size: size, received: received)
        nextSeq &+= 1
        unhandled.append(entry)
        bytes += size
        return entry
    }

    private func index(_ seq: UInt32) -> Int? {
        guard !unhandled.isEmpty else { return nil }
        let distance = Int(seq &- unhandled[0].seq)
        return distance < unhandled.count ? distance : nil
    }

    func entry(_ seq: UInt32) -> Entry? { index(seq).map { unhandled[$0] } }

    mutating func markSent(_ seq: UInt32, epoch: UInt64) {
        if let index = index(seq) { unhandled[index].sentEpoch = epoch }
    }

    mutating func markRefused(_ seq: UInt32) {
        if let index = index(seq) { unhandled[index].refused = true }
    }

    /// Notes one half. Returns how many stanzas, and of how many bytes, the handled prefix grew by; `handled` sees each of them.
    mutating func complete(_ seq: UInt32, _ half: CompletionHalf, handled: (Entry) -> Void = { _ in }) -> (stanzas: Int, bytes: Int) {
        guard let index = index(seq) else { return (0, 0) }
        switch half {
        case .whole:
            // Whatever an earlier home said: nobody else has a part in it.
            unhandled[index].own = true
            unhandled[index].expectsTheirs = false
        case .own:
            unhandled[index].own = true
            unhandled[index].expectsTheirs = true
        case .theirs: unhandled[index].theirs = true
        }
        var stanzas = 0
        var freed = 0
        while !unhandled.isEmpty, unhandled[0].isHandled {
            let first = unhandled.removeFirst()
            handled(first)
            stanzas += 1
            freed += first.size
        }
        bytes -= freed
        return (stanzas, freed)
    }
}
