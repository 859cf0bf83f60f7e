internal import DequeModule
import Stanzas
import XMLStream

/// What was said to a client since it enabled stream management and is not acknowledged by it, in order (XEP-0198 §4).
///
/// Pure: it knows neither sockets nor clocks. Its counters wrap at 2³² on the wire and not inside.
struct AckLedger {
    struct Entry {
        let stanza: Stanza
        /// The record's number when the account is owed it, 0 otherwise.
        let message: UInt64
        /// When it was said, wall clock µs.
        let stamp: Int64
        /// Bytes it takes in the books.
        var size: Int { stanza.payload.bytes.count + 256 }
    }

    enum Answer: Equatable {
        /// The owed messages that the client has now.
        case acknowledged([UInt64])
        /// More than was ever sent.
        case tooHigh(sent: UInt32)
    }

    private(set) var entries: Deque<Entry> = []
    private(set) var bytes = 0
    /// Stanzas that the client acknowledged.
    private(set) var acknowledged: UInt64 = 0
    /// How many of `entries`, from the first, were written to a socket.
    private(set) var written = 0

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    /// Stanzas written to any of the client's sockets, as the client counts them.
    var sent: UInt32 { UInt32(truncatingIfNeeded: acknowledged &+ UInt64(written)) }
    /// The last acknowledged, as the client counts.
    var acknowledgedThrough: UInt32 { UInt32(truncatingIfNeeded: acknowledged) }
    /// Owed messages among what is not acknowledged.
    var owed: [UInt64] { entries.compactMap { $0.message != 0 ? $0.message : nil } }

    init() {}

    /// A ledger that comes from another loop; nothing of it was written to a socket here, but the client may have `written` of it.
    init(acknowledged: UInt64, written: Int, entries: [Entry]) {
        self.acknowledged = acknowledged
        self.entries = Deque(entries)
        self.written = max(0, min(written, entries.count))
        bytes = entries.reduce(0) { $0 + $1.size }
    }

    /// Adds a stanza. What cannot be written now is written by `writeAll`, before anything that is added later.
    mutating func add(_ stanza: Stanza, message: UInt64, stamp: Int64, isWritten: Bool) {
        let entry = Entry(stanza: stanza, message: message, stamp: stamp)
        entries.append(entry)
        bytes += entry.size
        if isWritten { written = entries.count }
    }

    /// Everything is written, for the first time or again.
    mutating func noteAllWritten() { written = entries.count }

    /// The client has handled the first `h` stanzas. An `h` that was true before changes nothing.
    mutating func acknowledge(_ h: UInt32) -> Answer {
        let ahead = Int(h &- acknowledgedThrough)
        guard ahead <= written else {
            // Behind what it said before: late, not wrong.
            let behind = UInt64(acknowledgedThrough &- h)
            return behind <= min(acknowledged, 1 << 31) ? .acknowledged([]) : .tooHigh(sent: sent)
        }
        var messages: [UInt64] = []
        for entry in entries.prefix(ahead) {
            bytes -= entry.size
            if entry.message != 0 { messages.append(entry.message) }
        }
        entries.removeFirst(ahead)
        acknowledged &+= UInt64(ahead)
        written -= ahead
        return .acknowledged(messages)
    }

    /// Takes out what somebody misses and no account owes, as it goes back: with the time at which it was said (XEP-0203).
    mutating func takeUnkept(from domain: JID) -> [Stanza] {
        let unkept = entries.filter { $0.message == 0 && $0.stanza.isMissedWhenLost }.map { $0.stamped(by: domain) }
        entries.removeAll { $0.message == 0 && $0.stanza.isMissedWhenLost }
        return unkept
    }
}

extension AckLedger.Entry {
    /// The stanza with the time at which it was first said, if it is a message without one (XEP-0203).
    func stamped(by domain: JID) -> Stanza {
        guard stanza.kind == .message, stanza.type != .error, !stanza.payload.facts.mask.contains(.delay) else { return stanza }
        var delay = XMLWriter()
        Delay(stamp: DateTime(microseconds: stamp), from: domain).write(into: &delay)
        var copy = stanza
        copy.payload = stanza.payload.appending(delay.bytes, as: .delay)
        return copy
    }
}
