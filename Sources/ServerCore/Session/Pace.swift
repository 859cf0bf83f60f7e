/// How fast a session may send: on average so many stanzas a second, with the allowance of one second saved up.
struct Pace {
    /// When the last stanza would be due at an even pace.
    private var due = MonotonicTime(nanoseconds: 0)

    /// Notes a stanza. Returns how long to wait before the next one when the client is more than a second ahead.
    ///
    /// - Parameter perSecond: 0 or less: no bound.
    mutating func note(at now: MonotonicTime, perSecond: Int) -> Duration? {
        guard perSecond > 0 else { return nil }
        due = max(due, now) + .nanoseconds(1_000_000_000 / max(1, perSecond))
        let ahead = due.nanoseconds > now.nanoseconds ? due.nanoseconds - now.nanoseconds : 0
        guard ahead > 1_000_000_000 else { return nil }
        // Half a second of allowance is back when reading goes on.
        return .nanoseconds(Int64(clamping: ahead - 500_000_000))
    }
}
