import Glibc
import Testing

/// `MARTLET_SEED=n` plays one run again, `MARTLET_SEEDS=n` plays that many.
///
/// Sets and dictionaries have an order of their own in each process unless `SWIFT_DETERMINISTIC_HASHING` is set: without it a seed need
/// not play again.
@Suite struct SimulationTests {
    private static func number(_ name: String) -> UInt64? {
        guard let value = getenv(name) else { return nil }
        return UInt64(String(cString: value))
    }

    @Test func nothingIsLostWhateverHappens() throws {
        if let seed = Self.number("MARTLET_SEED") {
            try World(seed: seed).run(actions: 150)
            return
        }
        var failed = 0
        let first = Self.number("MARTLET_FIRST_SEED") ?? 1
        for seed in first..<first + max(1, Self.number("MARTLET_SEEDS") ?? 120) {
            do {
                try World(seed: seed).run(actions: 150)
            } catch {
                failed += 1
                Issue.record("\(error)")
                if failed == 10 { return }
            }
        }
    }

    /// The same seed is the same run, to the last id.
    @Test(
        .enabled(if: getenv("SWIFT_DETERMINISTIC_HASHING") != nil, "without SWIFT_DETERMINISTIC_HASHING sets have an order of their own"),
        arguments: 1...8 as ClosedRange<UInt64>) func aSeedPlaysAgain(_ seed: UInt64) throws
    {
        let stories = try (0..<2).map { _ in
            let world = try World(seed: seed, troubles: Troubles(rawValue: 255))
            // What breaks there is for the other test to say.
            try? world.run(actions: 100)
            return world.story
        }
        let place = zip(stories[0], stories[1]).enumerated().first { $0.element.0 != $0.element.1 }
        #expect(stories[0] == stories[1], "\(place.map { "\($0.offset): \($0.element.0) | \($0.element.1)" } ?? "one is longer")")
    }
}
