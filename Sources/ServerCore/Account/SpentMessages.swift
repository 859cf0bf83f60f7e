internal import DequeModule

/// Which submission a message came from: the session's key and its number of the stanza. All zero when nobody knows.
struct Origin: Hashable {
    var session: UInt64 = 0
    var inSeq: UInt32 = 0

    init() {}
    init(_ ticket: Ticket?) {
        session = RecentMessages.key(ticket)
        inSeq = ticket?.inSeq ?? 0
    }
    init(session: UInt64, inSeq: UInt32) {
        self.session = session
        self.inSeq = inSeq
    }
}

/// Messages that were acknowledged and are still in the store, because their submission may be repeated after a takeover and must
/// then be known again.
///
/// A row may go once its sender's session says that everything up to that submission is handled (`Ticket.settled`), and in any case
/// after `RecentMessages.graceMicroseconds`. So a busy conversation keeps no more rows than its sender has stanzas unhandled.
struct SpentMessages {
    private struct Entry {
        var message: UInt64
        var origin: Origin
        /// The µs after which it may go whatever its sender says.
        var after: Int64
    }

    private var entries: Deque<Entry> = []
    /// Taken out with a batch that may not be durable yet.
    private var going: (batch: UInt64, entries: [Entry]) = (0, [])
    /// How far the senders of `entries` are settled.
    private var settled: [UInt64: UInt32] = [:]

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }
    /// In the order of their acknowledgement.
    var messages: [UInt64] { entries.map(\.message) }

    mutating func append(_ message: UInt64, origin: Origin, after: Int64) {
        entries.append(Entry(message: message, origin: origin, after: after))
        if origin.session != 0, settled[origin.session] == nil { settled[origin.session] = 0 }
    }

    /// Adds what the store names and this does not.
    mutating func adopt(_ messages: [UInt64], after: Int64) {
        let known = Set(self.messages)
        for message in messages where !known.contains(message) { append(message, origin: Origin(), after: after) }
    }

    /// Hears from a session how far it is settled. Sessions that sent nothing that waits here are not remembered.
    mutating func note(_ ticket: Ticket?) {
        guard let ticket else { return }
        let key = ticket.session.key
        guard settled[key] != nil else { return }
        settled[key] = ticket.settled
    }

    /// Takes out up to `limit` messages whose rows may go, with this batch.
    ///
    /// - Parameter durable: the last batch that is committed.
    mutating func take(_ limit: Int, now: Int64, in batch: UInt64, durable: UInt64) -> [UInt64] {
        var taken: [Entry] = []
        var kept: Deque<Entry> = []
        while taken.count < limit, let entry = entries.popFirst() {
            if entry.after <= now || isSettled(entry.origin) { taken.append(entry) } else { kept.append(entry) }
        }
        // What was looked at and stays is older than what was not looked at.
        kept.append(contentsOf: entries)
        entries = kept
        if entries.isEmpty { settled.removeAll() }
        going = (batch, (going.batch > durable ? going.entries : []) + taken)
        return taken.map(\.message)
    }

    /// What was taken out last stands in the store still: it is to go again.
    mutating func commitFailed() {
        entries = Deque(going.entries.map { Entry(message: $0.message, origin: Origin(), after: 0) }) + entries
        going = (0, [])
    }

    /// Whether `take` would find something.
    func hasDue(now: Int64) -> Bool { entries.contains { $0.after <= now || isSettled($0.origin) } }

    mutating func removeAll() { self = SpentMessages() }

    private func isSettled(_ origin: Origin) -> Bool {
        guard origin.session != 0, let through = settled[origin.session], through != 0 else { return false }
        // Numbers wrap: the difference decides.
        return Int32(bitPattern: through &- origin.inSeq) >= 0
    }
}
