/// When a backup is due, and which may go. Pure: every moment is µs since 1970, UTC.
public struct BackupSchedule: Sendable {
    private static let hour: Int64 = 3_600_000_000
    private static let day: Int64 = 24 * hour
    /// After a failure.
    private static let retry: Int64 = hour / 6

    /// Hours between two; 0: never.
    public var everyHours: Int
    /// Minute of the day, UTC, from which the hours are counted.
    public var atMinute: Int

    public init(everyHours: Int, atMinute: Int) {
        self.everyHours = everyHours
        self.atMinute = atMinute
    }

    /// The last planned moment that is not after `now`.
    public func planned(before now: Int64) -> Int64 {
        let step = Int64(max(1, everyHours)) * Self.hour
        let offset = Int64(atMinute) * 60_000_000
        // Counted from the minute of 1970's first day, so that 24 hours is that minute of every day.
        let since = now - offset
        return since - ((since % step) + step) % step + offset
    }

    /// Whether one should begin: a planned moment has come since the last one was begun. One that was missed is made up for at once; one
    /// that failed is tried again after ten minutes.
    public func isDue(now: Int64, lastSuccess: Int64, lastAttempt: Int64) -> Bool {
        guard everyHours > 0 else { return false }
        // A clock that was put back must not stop backups for ever.
        guard lastAttempt <= now, lastSuccess <= now else { return true }
        return lastSuccess < planned(before: now) && now - lastAttempt >= Self.retry
    }

    /// The indexes of those of `started`, oldest first, that are not to be kept: beyond the newest `keep` (0: any number), or more than
    /// `days` old (0: any age). The newest is always kept.
    public static func spare(_ started: [Int64], keep: Int, days: Int, now: Int64) -> [Int] {
        started.indices.dropLast().filter { index in
            let isBeyond = keep > 0 && started.count - index > keep
            let isOld = days > 0 && now - started[index] > Int64(days) * day
            return isBeyond || isOld
        }
    }
}
