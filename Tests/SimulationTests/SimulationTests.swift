import Glibc
import Testing

/// `MARTLET_SEED=n` plays one run again, `MARTLET_SEEDS=n` plays that many.
@Suite struct SimulationTests {
    private static func number(_ name: String) -> UInt64? {
        guard let value = getenv(name) else { return nil }
        return UInt64(String(cString: value))
    }

    @Test func nothingIsLostWhoeverDies() throws {
        if let seed = Self.number("MARTLET_SEED") {
            try World(seed: seed).run(actions: 150)
            return
        }
        var failed = 0
        for seed in 1...max(1, Self.number("MARTLET_SEEDS") ?? 60) {
            do {
                try World(seed: seed).run(actions: 150)
            } catch {
                failed += 1
                Issue.record("\(error)")
                if failed == 3 { return }
            }
        }
    }
}
