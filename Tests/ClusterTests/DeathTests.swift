import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// Any node may die at any moment (DESIGN §1.2).
    @Suite(.serialized) struct DeathTests {
        @Test func losesNothingWhenNodesAreKilled() throws {
            let drill = try Drill()
            for round in 0..<Rounds.count(30) {
                let keeper = try drill.cluster.keeper()
                let victim = round < 2 ? (keeper + round) % 3 : Int.random(in: 0..<3)
                try drill.strike([victim], with: SIGKILL, bound: .seconds(5))
            }
            try drill.finish()
        }

        /// The second dies while it is taking over from the first, or just has.
        @Test func losesNothingWhenTheKeepersHeirDiesToo() throws {
            let drill = try Drill()
            for round in 0..<Rounds.count(10) {
                let keeper = try drill.cluster.keeper()
                try drill.strike([keeper, (keeper + 1 + round % 2) % 3], with: SIGKILL, bound: .seconds(5))
            }
            try drill.finish()
        }

        @Test func fencesNodesThatStandStill() throws {
            let drill = try Drill()
            for round in 0..<max(2, Rounds.count(20) / 10) * 2 {
                let keeper = try drill.cluster.keeper()
                // Silence is noticed after six checks 500 ms apart.
                try drill.strike([(keeper + round % 2) % 3], with: SIGSTOP, bound: .seconds(8))
            }
            try drill.finish()
        }
    }
}
