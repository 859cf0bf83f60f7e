import Settings
import Store
import TestKit

/// What befalls a world besides the deaths of nodes.
struct Troubles: OptionSet, CustomStringConvertible {
    let rawValue: Int
    /// Links are silent for a while; then everything arrives, in order.
    static let links = Troubles(rawValue: 1)
    /// Nodes stand still; then they go on, or are killed for it.
    static let hangs = Troubles(rawValue: 2)
    /// Wall clocks of nodes are set, back or forth.
    static let clocks = Troubles(rawValue: 4)
    /// Nodes leave, and stay after all, or go and are begun anew.
    static let drains = Troubles(rawValue: 8)
    /// The store refuses to write.
    static let failures = Troubles(rawValue: 16)
    /// Everything that has a bound has a small one.
    static let limits = Troubles(rawValue: 32)
    /// Subscriptions come and go, people block each other.
    static let rosters = Troubles(rawValue: 64)
    /// Minutes pass, in which nobody says anything.
    static let pauses = Troubles(rawValue: 128)

    static let names = ["links", "hangs", "clocks", "drains", "failures", "limits", "rosters", "pauses"]
    var description: String {
        let all = Self.names.enumerated().filter { rawValue & 1 << $0.offset != 0 }.map(\.element)
        return all.isEmpty ? "no troubles" : all.joined(separator: " ")
    }

    /// Every other world has none but deaths, so that what is promised of those is judged as sharply as it can be.
    init(seed: UInt64, _ chance: inout Chance) {
        rawValue = seed % 2 == 0 ? 0 : Int(truncatingIfNeeded: chance.next() & chance.next() & 255)
    }
    init(rawValue: Int) { self.rawValue = rawValue }
}

extension Settings {
    /// Settings under which a handful of clients reaches the bounds; those of queues are in the hundreds at least.
    static func narrow(_ chance: inout Chance) -> Settings {
        var settings = Settings()
        func some(_ values: [Int]) -> Int { values[chance.below(values.count)] }
        settings.limits.unhandledStanzas = some([1, 3, 64])
        settings.limits.stanzasPerSecond = some([0, 2])
        settings.sessions.resourcesPerAccount = some([1, 2, 20])
        settings.sessions.detachedPerAccount = some([1, 10])
        settings.sessions.detachedPerNode = some([2, 50_000])
        settings.sessions.ackAfterStanzas = some([1, 10])
        settings.sessions.resumeSeconds = some([5, 60, 600])
        settings.sessions.conflict = chance.one(in: 2) ? .refuse : .replace
        settings.offline.messages = some([2, 10, 10_000])
        settings.store.idleAccounts = some([0, 2, 10_000])
        return settings
    }
}
