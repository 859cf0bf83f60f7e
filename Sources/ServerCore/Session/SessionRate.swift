internal import Glibc
import Stanzas

/// How many stanzas a second a session sent and got of late: the mean of the last minute or so, older ones counting less and less. Chores
/// look every ten seconds; nothing is done for it when a stanza passes.
struct SessionRate {
    /// Seconds after which a moment counts a third of what it did.
    private static let memory = 60.0

    private let start: MonotonicTime
    private var at: MonotonicTime
    private var countedIn: UInt64
    private var countedOut: UInt64
    private var perSecondIn: Float = 0
    private var perSecondOut: Float = 0

    init(at now: MonotonicTime, stanzasIn: UInt64 = 0, stanzasOut: UInt64 = 0) {
        start = now
        at = now
        countedIn = stanzasIn
        countedOut = stanzasOut
    }

    /// Takes what passed since the last time into account.
    mutating func sample(_ now: MonotonicTime, stanzasIn: UInt64, stanzasOut: UInt64) {
        let elapsed = Double(now.milliseconds(since: at)) / 1000
        guard elapsed >= 1 else { return }
        (perSecondIn, perSecondOut) = values(now, stanzasIn: stanzasIn, stanzasOut: stanzasOut)
        at = now
        countedIn = stanzasIn
        countedOut = stanzasOut
    }

    /// Stanzas a second in and out, as it stands now.
    func values(_ now: MonotonicTime, stanzasIn: UInt64, stanzasOut: UInt64) -> (Float, Float) {
        let elapsed = Double(now.milliseconds(since: at)) / 1000
        guard elapsed >= 1 else { return (perSecondIn, perSecondOut) }
        // A session that is younger than the memory has no older moments than its own.
        let age = Double(now.milliseconds(since: start)) / 1000
        let weight = max(1 - exp(-elapsed / Self.memory), elapsed / max(age, elapsed))
        func mix(_ old: Float, _ count: UInt64, _ before: UInt64) -> Float {
            Float(Double(old) + (Double(count &- before) / elapsed - Double(old)) * min(weight, 1))
        }
        return (mix(perSecondIn, stanzasIn, countedIn), mix(perSecondOut, stanzasOut, countedOut))
    }
}

extension Session {
    /// Stanzas a second in and out, over the last minute.
    var rates: (Float, Float) { rate.values(shard.loop.now, stanzasIn: stanzasIn, stanzasOut: stanzasOut) }

    /// Stanzas that wait: for the socket, for an acknowledgement, or for a client that is inactive or has too much already.
    var stanzasUnderWay: Int { max(queue.count, management?.ledger.count ?? 0) + held.count + clientState.count + latePresence.count }

    /// About what the session takes of the memory of its node, in bytes: its objects and socket by what they were measured to take, what
    /// waits by its size.
    var memoryEstimate: Int {
        let objects = facts.tlsVersion == nil || connection == nil ? Self.plainBytes : Self.encryptedBytes
        let waiting = queue.bytes + out.count + inbound.bytes + (management?.ledger.bytes ?? 0) + clientState.bytes
        let presences = (latePresence.values.map(\.payload) + [presence.available?.payload].compactMap { $0 })
            .reduce(0) { $0 + $1.bytes.count + 512 }
        return objects + waiting + presences + presence.directed.count * 128 + ackedLately.count * 16
    }

    /// Measured: an idle session with its handlers and kernel-free buffers.
    private static let plainBytes = 7_700
    private static let encryptedBytes = 22_300
}
