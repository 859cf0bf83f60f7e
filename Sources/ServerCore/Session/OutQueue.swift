internal import DequeModule
import Stanzas

/// What was written towards a client and is not yet in the kernel: its size, and what must be handed back when it never gets there.
struct OutQueue {
    /// A stanza whose fate somebody waits for.
    enum Fate {
        /// The account owes this message: it is in the store.
        case owed(UInt64)
        /// Nobody keeps it: a message of an account that asked for relay, or a request that somebody waits for.
        case unkept(Stanza)
    }

    private var flights: Deque<(mark: UInt64, bytes: Int, stanzas: Int)> = []
    private var fates: Deque<(mark: UInt64, fate: Fate)> = []
    /// Handed to the socket and not yet in the kernel.
    private(set) var bytes = 0
    private(set) var stanzas = 0
    /// The mark of the last flush.
    private(set) var mark: UInt64 = 0
    /// In the buffer of this tick.
    private(set) var unflushed = 0

    /// Stanzas that the kernel has not taken.
    var count: Int { stanzas + unflushed }

    mutating func add(_ fate: Fate?) {
        unflushed += 1
        if let fate { fates.append((mark + 1, fate)) }
    }

    /// The buffer of this tick goes to the socket. Returns its mark.
    mutating func flushed(_ size: Int) -> UInt64 {
        mark += 1
        flights.append((mark, size, unflushed))
        bytes += size
        stanzas += unflushed
        unflushed = 0
        return mark
    }

    /// The kernel has everything up to `mark`: the owed messages among it go behind `acknowledged`.
    mutating func written(through mark: UInt64, _ acknowledged: inout [UInt64]) {
        while !flights.isEmpty, flights[0].mark <= mark {
            let first = flights.removeFirst()
            bytes -= first.bytes
            stanzas -= first.stanzas
        }
        while !fates.isEmpty, fates[0].mark <= mark {
            if case .owed(let message) = fates.removeFirst().fate { acknowledged.append(message) }
        }
    }

    /// Owed messages that the kernel has not taken.
    var owed: [UInt64] { fates.compactMap { if case .owed(let message) = $0.fate { message } else { nil } } }

    /// Whether somebody waits for the fate of anything here.
    var hasFates: Bool { !fates.isEmpty }

    /// The socket is gone: what it had counts no more, and its marks never come.
    mutating func abandon() {
        flights.removeAll()
        bytes = 0
        stanzas = 0
        unflushed = 0
    }

    /// Takes out the stanzas that nobody keeps.
    mutating func takeUnkept() -> [Stanza] {
        let unkept = fates.compactMap { if case .unkept(let stanza) = $0.fate { stanza } else { nil as Stanza? } }
        fates.removeAll { if case .unkept = $0.fate { true } else { false } }
        return unkept
    }
}

extension Stanza {
    /// Whether somebody misses it when its session cannot take it any more and no account owes it.
    var isMissedWhenLost: Bool {
        switch kind {
        case .message: isKeepable
        case .iq: mayBeAnswered
        case .presence: false
        }
    }
}
