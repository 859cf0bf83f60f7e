internal import DequeModule
import Store

/// Which messages are owed to an account: waiting for a session, or in flight to some.
///
/// A message is owed until any one session acknowledged it. Pure: it neither reads nor writes the store.
struct Inbox {
    /// Owed and handed to nobody, ascending.
    private(set) var waiting: Deque<UInt64> = []
    /// Owed and handed to sessions that have not acknowledged it.
    private(set) var inFlight: [UInt64: Flight] = [:]
    /// Everything up to here is acknowledged, but for `owed`.
    private(set) var highest: UInt64 = 0

    /// Bytes of all that is owed.
    private(set) var bytes = 0
    private var details: [UInt64: Detail] = [:]

    private struct Detail {
        var bytes: Int
        var isArchived: Bool
    }

    /// A message on its way.
    struct Flight {
        /// How many sessions hold it.
        var sessions: Int
        var origin = Origin()
    }

    init() {}

    /// - Parameters:
    ///   - owed: what the store says is owed, ascending.
    ///   - highest: the highest number the account ever gave: everything up to there that is not owed is acknowledged.
    init(owed: [OwedMessage], through highest: UInt64) {
        waiting = Deque(owed.map(\.sequence))
        self.highest = max(highest, owed.last?.sequence ?? 0)
        for message in owed { note(message) }
    }

    var isEmpty: Bool { waiting.isEmpty && inFlight.isEmpty }
    var owed: Int { waiting.count + inFlight.count }

    /// Whether the row of an owed message stays when it is acknowledged.
    func isArchived(_ message: UInt64) -> Bool { details[message]?.isArchived ?? false }

    /// Whether a message waits, or is on its way.
    func isOwed(_ message: UInt64) -> Bool { details[message] != nil }

    /// The account gave this number to something that is not owed.
    mutating func pass(_ message: UInt64) { highest = max(highest, message) }

    /// Adds a message, handed to `sessions` sessions (0: it waits).
    mutating func add(_ owed: OwedMessage, sessions: Int, origin: Origin = Origin()) {
        let message = owed.sequence
        highest = max(highest, message)
        note(owed)
        if sessions > 0 { inFlight[message] = Flight(sessions: sessions, origin: origin) } else { insertWaiting(message) }
    }

    /// The row of an owed message changed.
    mutating func renew(_ owed: OwedMessage) { if isOwed(owed.sequence) { note(owed) } }

    private mutating func note(_ owed: OwedMessage) {
        bytes +=
            owed.bytes - (details.updateValue(Detail(bytes: owed.bytes, isArchived: owed.isArchived), forKey: owed.sequence)?.bytes ?? 0)
    }

    /// Takes up to `count` waiting messages for one session.
    mutating func take(_ count: Int) -> [UInt64] {
        let taken = Array(waiting.prefix(count))
        waiting.removeFirst(taken.count)
        for message in taken { inFlight[message] = Flight(sessions: 1) }
        return taken
    }

    /// Says which submission a message in flight came from, once its record was read.
    mutating func note(_ message: UInt64, origin: Origin) { inFlight[message]?.origin = origin }

    /// Takes one particular waiting message for one more session, as a takeover finds it in flight.
    mutating func claim(_ message: UInt64) {
        if let index = waitingIndex(message) {
            waiting.remove(at: index)
            inFlight[message] = Flight(sessions: 1)
        } else {
            inFlight[message]?.sessions += 1
        }
    }

    /// A session acknowledged: the message is owed no more. Returns where it came from, nil when it was not owed.
    mutating func acknowledge(_ message: UInt64) -> Origin? {
        if let detail = details.removeValue(forKey: message) { bytes -= detail.bytes }
        if let flight = inFlight.removeValue(forKey: message) { return flight.origin }
        if let index = waitingIndex(message) {
            waiting.remove(at: index)
            return Origin()
        }
        return nil
    }

    /// A session that held the message is gone. Returns true when the message waits again.
    mutating func giveBack(_ message: UInt64) -> Bool {
        guard let flight = inFlight[message] else { return false }
        if flight.sessions > 1 {
            inFlight[message]?.sessions -= 1
            return false
        }
        inFlight[message] = nil
        insertWaiting(message)
        return true
    }

    /// Every owed message, ascending.
    var all: [OwedMessage] {
        (Array(waiting) + Array(inFlight.keys)).sorted().map { message in
            let detail = details[message]
            return OwedMessage(message, bytes: detail?.bytes ?? 0, isArchived: detail?.isArchived ?? false)
        }
    }

    private mutating func insertWaiting(_ message: UInt64) {
        if let last = waiting.last, last >= message {
            let index = lowerBound(message)
            if index == waiting.count || waiting[index] != message { waiting.insert(message, at: index) }
        } else {
            waiting.append(message)
        }
    }

    private func waitingIndex(_ message: UInt64) -> Int? {
        let index = lowerBound(message)
        return index < waiting.count && waiting[index] == message ? index : nil
    }

    private func lowerBound(_ message: UInt64) -> Int {
        var low = 0
        var high = waiting.count
        while low < high {
            let middle = (low + high) / 2
            if waiting[middle] < message { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
