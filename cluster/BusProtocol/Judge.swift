/// Decides which nodes are silent for too long. Pure: told who was heard, and when it looks.
///
/// A judge that was itself stopped, or starved, has heard nobody and may blame nobody: it must have looked `missedBeats` times in a
/// row, a beat apart, with no gap in its own schedule, before it condemns. After a gap it counts anew.
public struct Judge: Sendable {
    private let beat: UInt64
    private let missedBeats: Int
    private var missed: [UInt64: Int] = [:]
    private var heard: Set<UInt64> = []
    private var lastCheck: UInt64?

    /// `beatMilliseconds` lies between two checks; `missedBeats` checks in silence condemn.
    public init(beatMilliseconds: Int, missedBeats: Int) {
        beat = UInt64(max(1, min(beatMilliseconds, 3_600_000))) * 1_000_000
        self.missedBeats = max(1, missedBeats)
    }

    /// Begins to watch an incarnation.
    public mutating func watch(_ incarnation: UInt64) { missed[incarnation] = 0 }

    /// It is gone, or condemned by another.
    public mutating func forget(_ incarnation: UInt64) {
        missed[incarnation] = nil
        heard.remove(incarnation)
    }

    /// A beat came.
    public mutating func heard(_ incarnation: UInt64) {
        if missed[incarnation] != nil { heard.insert(incarnation) }
    }

    /// Looks. Answers those to be killed, each once: they are watched no more. A check that comes too early does not count.
    public mutating func check(at now: UInt64) -> [UInt64] {
        guard let last = lastCheck else {
            lastCheck = now
            return []
        }
        // A quarter of tolerance: timers are late, never early, and the next one follows the late one sooner.
        guard now >= last, now - last >= beat - beat / 4 else { return [] }
        lastCheck = now
        defer { heard.removeAll(keepingCapacity: true) }
        guard now - last < 2 * beat else {
            for incarnation in missed.keys { missed[incarnation] = 0 }
            return []
        }
        var condemned: [UInt64] = []
        for (incarnation, count) in missed {
            let silent = heard.contains(incarnation) ? 0 : count + 1
            missed[incarnation] = silent
            if silent >= missedBeats { condemned.append(incarnation) }
        }
        for incarnation in condemned { missed[incarnation] = nil }
        return condemned.sorted()
    }
}
