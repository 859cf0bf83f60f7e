import Modules
import ServerCore
import Stanzas
import Store
import TestKit
import Testing

/// The keeper dies, and its heir a moment later.
@Suite struct HeirTests {
    @Test(arguments: 0..<80)
    func contactsSeeTheSessionsOfBothGo(_ steps: Int) throws {
        // The second to die is the heir, or the other survivor while the heir asks it.
        for (heir, seed) in [1, 2].flatMap({ heir in (0..<8).map { (heir, $0) } }) {
            let cluster = try MemoryCluster(nodes: 3, modules: ModuleList.all)
            for name in ["pulse0", "pulse1", "watch"] { try cluster.addAccount(name) }
            let watch = try cluster.connect("watch", resource: "w", node: 2)
            for number in 0...1 {
                let pulse = try cluster.connect("pulse\(number)", resource: "p", node: number)
                try pulse.post("<presence type='subscribe' to='watch@capulet.lit'/>")
                try watch.post("<presence type='subscribe' to='pulse\(number)@capulet.lit'/>")
                cluster.run()
                try pulse.post("<presence type='subscribed' to='watch@capulet.lit'/>")
                cluster.run()
                try pulse.post("<presence/>")
                cluster.run()
            }
            try watch.post("<presence/>")
            cluster.run()
            _ = watch.takeReceived()
            cluster.kill(0)
            cluster.takeOver(by: heir)
            var chance = Chance(seed: UInt64(steps * 8 + seed))
            for _ in 0..<steps { cluster.step(&chance) }
            cluster.kill(1)
            if heir == 1 { cluster.takeOver(by: 2) }
            cluster.run()
            let seen = watch.takeReceived()
            for number in 0...1 {
                #expect(
                    seen.contains { $0.contains("pulse\(number)@") && $0.contains("unavailable") },
                    "pulse\(number) after \(steps) steps, heir \(heir)")
            }
        }
    }
}
