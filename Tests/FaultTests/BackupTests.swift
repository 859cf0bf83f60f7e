import Glibc
import LMDBStore
import Store
import Testing

extension AllFaults {
    /// Backups, restores, compactions and removals with every call failing once: one sentence, and nothing half that looks whole.
    @Suite struct BackupTests {
        private static let moment: Int64 = 1_795_274_663_000_000

        /// A volume with rows in it, kept by nobody.
        private static func prepare(_ scratch: Scratch) throws -> String {
            let store = scratch.path + "/cluster/store"
            #expect(mkdir(scratch.path + "/cluster", 0o700) == 0)
            try LMDBVolume.initialise(at: store, identity: identity, options: options())
            let kept = try KeptVolume(store, nil)
            defer { kept.close() }
            var effects = Effects()
            for number in 0..<8 as Range<UInt64> { effects.put(Keys.inbox(1, number), [UInt8](repeating: 5, count: 3_000)) }
            let record = AccountRecord(jid: "juliet@capulet.lit", number: 5, created: 1, credentials: [7], rosterVersion: 12)
            effects.put(Keys.account(identity.partition(of: record.jid), identity.hash128(record.jid)), record.encode())
            try kept.commitNow(effects).get()
            return store
        }

        private static func order(_ directory: String) -> BackupOrder {
            var order = BackupOrder(directory: directory, server: "0", node: "a", started: moment, now: { moment + 500_000 })
            order.limits.reserveBytes = 0
            return order
        }

        /// Runs `act` on a prepared directory with each of its calls failing; the preparations are not counted.
        ///
        /// - Parameter isExact: whether the calls are the same in every run. A copy is made by two threads.
        private static func drill(
            _ scenario: String, share: Int, isExact: Bool = true, prepare: (Scratch) throws -> Void, act: (Scratch) throws -> Void,
            check: (Scratch, _ failed: Bool) throws -> Void
        ) throws {
            let whole = try Scratch()
            try prepare(whole)
            let calls = try Drill.count { try act(whole) }
            try check(whole, false)
            var failures = 0
            Drill.all(
                scenario, calls, share: share, isExact: isExact,
                prepare: { (_: Trial) in
                    let scratch = try Scratch()
                    try prepare(scratch)
                    return scratch
                },
                { (trial: Trial, scratch: Scratch) in
                    var failed = false
                    do { try act(scratch) } catch let failure as StoreFailure {
                        failed = true
                        failures += 1
                        let sentence = "\(failure)"
                        #expect(!sentence.contains("\n") && sentence.utf8.count > 10, "\(trial): one sentence, not \(sentence)")
                    }
                    Drill.pause()
                    do { try check(scratch, failed) } catch { throw Trouble("afterwards: \(error)") }
                })
            #expect(failures > 0)
        }

        @Test func aBackupIsWholeOrNotThere() throws {
            try Self.drill(
                "backup", share: 6, isExact: false, prepare: { _ = try Self.prepare($0) },
                act: { scratch in
                    let volume = try KeptVolume.open(scratch.path + "/cluster/store")
                    defer { volume.close() }
                    _ = try volume.backUp(Self.order(scratch.path + "/backups"))
                },
                check: { scratch, failed in
                    let target = scratch.path + "/backups"
                    let list = try Backups.list(in: target)
                    #expect(list.broken.isEmpty)
                    for backup in list.whole { _ = try StoreCopy(verifying: backup.path) }
                    #expect(list.whole.count == (failed ? 0 : 1))
                    // The next one finds nothing in its way, and sweeps away what could not be removed.
                    let kept = try KeptVolume(scratch.path + "/cluster/store", nil)
                    defer { kept.close() }
                    var order = Self.order(target)
                    order.started += 60_000_000
                    let backup = try kept.volume.backUp(order)
                    #expect(try StoreCopy(verifying: backup.path).identity == identity)
                    #expect(Scratch.names(target).allSatisfy { !$0.hasPrefix(".") })
                })
        }

        @Test func aRestoreLeavesTheOldStoreOrTheNewOne() throws {
            try Self.drill(
                "restore", share: 20,
                prepare: { scratch in
                    let kept = try KeptVolume(try Self.prepare(scratch), nil)
                    defer { kept.close() }
                    _ = try kept.volume.backUp(Self.order(scratch.path + "/backups"))
                    try kept.commitNow(Self.mark).get()
                },
                act: { scratch in
                    let backup = scratch.path + "/backups/" + (Scratch.names(scratch.path + "/backups").first ?? "")
                    let restore = try Restore(backup, to: scratch.path + "/cluster")
                    _ = try restore.verify { _, _ in }
                    _ = try restore.carryOut(newSecrets: true, now: Self.moment) { _, _ in }
                },
                check: { scratch, failed in
                    try Self.look(at: scratch, mayBeNew: true, mayBeOld: failed)
                    // Once more, and the store that was there first is still there, whatever failed.
                    let backup = scratch.path + "/backups/" + (Scratch.names(scratch.path + "/backups").first ?? "")
                    _ = try Restore(backup, to: scratch.path + "/cluster").carryOut(newSecrets: false, now: Self.moment) { _, _ in }
                    try Self.look(at: scratch, mayBeNew: true, mayBeOld: false)
                    let kept = try Scratch.names(scratch.path + "/cluster").filter { $0.hasPrefix("store.before-") }.filter { name in
                        let volume = try LMDBVolume(at: scratch.path + "/cluster/" + name, options: options())
                        defer { volume.close() }
                        return try rows(volume)[Keys.inbox(1, 100).bytes] != nil
                    }
                    #expect(kept.count == 1, "the old store is kept")
                    #expect(!Scratch.names(scratch.path + "/cluster").contains("store.restoring"))
                })
        }

        @Test func aCompactionLosesNothing() throws {
            try Self.drill(
                "compaction", share: 6, isExact: false,
                prepare: { scratch in
                    let kept = try KeptVolume(try Self.prepare(scratch), nil)
                    defer { kept.close() }
                    try kept.commitNow(Self.mark).get()
                },
                act: { scratch in
                    let compaction = try Compaction(in: scratch.path + "/cluster")
                    _ = try compaction.carryOut(removesOld: true, now: Self.moment) { _, _ in }
                },
                check: { scratch, _ in
                    try Self.look(at: scratch, mayBeNew: false, mayBeOld: true)
                    // What a failed one left is in nobody's way.
                    _ = try Compaction(in: scratch.path + "/cluster").carryOut(removesOld: true, now: Self.moment) { _, _ in }
                    try Self.look(at: scratch, mayBeNew: false, mayBeOld: true)
                    let names = Scratch.names(scratch.path + "/cluster")
                    #expect(names.contains("store") && names.allSatisfy { $0 == "store" || $0.hasPrefix("store.before-") }, "\(names)")
                })
        }

        @Test func aBackupThatIsRemovedIsGoneOrWhole() throws {
            try Self.drill(
                "removal of a backup", share: 1,
                prepare: { scratch in
                    let kept = try KeptVolume(try Self.prepare(scratch), nil)
                    defer { kept.close() }
                    _ = try kept.volume.backUp(Self.order(scratch.path + "/backups"))
                },
                act: { scratch in
                    guard let backup = try Backups.list(in: scratch.path + "/backups").whole.first else {
                        throw StoreFailure.io("no backup is seen")
                    }
                    try Backups.remove(backup)
                },
                check: { scratch, failed in
                    let list = try Backups.list(in: scratch.path + "/backups")
                    #expect(list.broken.isEmpty && (failed || list.whole.isEmpty))
                    for backup in list.whole { _ = try StoreCopy(verifying: backup.path) }
                })
        }

        /// What the store has and the backup has not.
        private static var mark: Effects {
            var effects = Effects()
            effects.put(Keys.inbox(1, 100), [1])
            return effects
        }

        /// The store opens, takes writes, and is the old or the new one.
        private static func look(at scratch: Scratch, mayBeNew: Bool, mayBeOld: Bool) throws {
            let kept = try KeptVolume(scratch.path + "/cluster/store", nil)
            defer { kept.close() }
            let all = try rows(kept.volume)
            let isOld = all[Keys.inbox(1, 100).bytes] != nil
            #expect(isOld ? mayBeOld : mayBeNew)
            #expect(all.count == (isOld ? 10 : 9))
            let record = try kept.volume.read { try AccountRecord.find("juliet@capulet.lit", in: $0, identity: identity) }
            #expect(record?.rosterVersion == (isOld ? 12 : 1 << 32))
            try kept.commitNow(mark).get()
            var effects = Effects()
            if !isOld { effects.delete(Keys.inbox(1, 100)) }
            try kept.commitNow(effects).get()
        }
    }
}
