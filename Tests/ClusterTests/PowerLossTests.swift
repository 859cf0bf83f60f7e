import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// What was acknowledged is there after the power failed.
    ///
    /// Two rounds in every run; many, each with a cut at another moment, when MARTLET_ROUNDS says so. MARTLET_SEED repeats the moments of
    /// a run, as far as processes repeat anything.
    @Suite(
        .serialized,
        .enabled("a disk whose power can be cut wants root, loop devices and ext4; what is missing is printed") { PowerDisk.isPermitted() })
    struct PowerLossTests {
        @Test func losesNothingWhenThePowerFails() throws {
            let drill = try PowerDrill(seed: Rounds.seed)
            for _ in 0..<Rounds.count(2) { try drill.strike() }
            try drill.finish()
        }
    }
}
