import Glibc
import LMDBStore
import Store
import Synchronization
import Testing

extension AllFaults {
    /// A volume from its making to its closing, with every call of it failing once.
    @Suite struct VolumeTests {
        /// Groups of rows, a commit each: small ones, one that needs pages of its own, deletes.
        private static let groups: [Effects] = (0..<6).map { number in
            var effects = Effects()
            for row in 0..<4 {
                let size = number == 3 ? 9_000 : 40
                effects.put(Keys.message(1, 1, sequence: UInt64(number * 10 + row)), [UInt8](repeating: UInt8(number + 1), count: size))
            }
            // The group before it goes with it, half.
            if number > 0 { effects.delete(Keys.message(1, 1, sequence: UInt64((number - 1) * 10))) }
            return effects
        }

        @Test func whatWasAcknowledgedStaysAndWhatWasNotIsNotThere() throws {
            let calls = try Drill.count { try Self.life(expecting: nil) }
            let again = try Drill.count { try Self.life(expecting: nil) }
            #expect(calls == again, "the same calls in every run")
            Drill.all("volume", calls, share: 6) { try Self.life(expecting: $0) }
        }

        /// What a commit must have left, and what it must not.
        private struct Ledger {
            var rows: [[UInt8]: [UInt8]] = [:]
            mutating func take(_ effects: Effects) {
                for operation in effects.operations {
                    switch operation {
                    case .put(let key, let value): rows[key.bytes] = value
                    case .delete(let key): rows[key.bytes] = nil
                    }
                }
            }
        }

        private static func life(expecting trial: Trial?) throws {
            let scratch = try Scratch()
            let store = scratch.path + "/store"
            var ledger = Ledger()
            do {
                try once("made", trial) { () throws(StoreFailure) in
                    try LMDBVolume.initialise(at: store, identity: identity, options: options())
                }
                let volume = try KeptVolume(store, trial)
                defer { volume.close() }
                for group in groups {
                    // One fault in a run: a second failure is the first one's doing.
                    var failures = 0
                    while failures < 2 {
                        switch volume.commitNow(group) {
                        case .success: ledger.take(group)
                        case .failure(let failure):
                            failures += 1
                            #expect(trial != nil, "\(failure)")
                            try check(volume.volume, ledger, trial)
                            try volume.reopens(trial)
                            continue
                        }
                        break
                    }
                    #expect(failures < 2, "a failed commit is followed by working ones: \(trial.map { "\($0)" } ?? "")")
                }
                try check(volume.volume, ledger, trial)
            }
            let volume = try KeptVolume(store, trial)
            defer { volume.close() }
            try check(volume.volume, ledger, trial)
        }

        /// Every row that was acknowledged, and no other.
        private static func check(_ volume: LMDBVolume, _ ledger: Ledger, _ trial: Trial?) throws {
            var found: [[UInt8]: [UInt8]] = [:]
            try eventually("the rows can be read, \(trial.map { "\($0)" } ?? "")") {
                do {
                    found = try rows(volume)
                    return true
                } catch { return false }
            }
            #expect(found == ledger.rows, "\(trial.map { "\($0)" } ?? "")")
        }
    }
}
