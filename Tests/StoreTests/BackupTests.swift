import Glibc
import Stanzas
import Store
import Synchronization
import Testing

@testable import LMDBStore

/// Backups of a volume, and what becomes of them.
@Suite struct BackupTests {
    static let moment: Int64 = 1_795_274_663_000_000

    static func rows(_ count: UInt64, size: Int, from first: UInt64 = 0) -> Effects {
        var effects = Effects()
        for number in first..<(first + count) {
            effects.put(Keys.inbox(UInt16(number % 64), number), [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))
        }
        return effects
    }

    static func order(_ directory: String, started: Int64 = moment) -> BackupOrder {
        BackupOrder(directory: directory, server: "0.1.0 \"quoted\" \\ é", node: "a", started: started, now: { started + 2_500_000 })
    }

    static func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    static func flip(_ path: String, at offset: off_t) throws {
        let file = open(path, O_RDWR)
        try #require(file >= 0)
        defer { close(file) }
        var byte: UInt8 = 0
        try #require(pread(file, &byte, 1, offset) == 1)
        byte ^= 0x20
        try #require(pwrite(file, &byte, 1, offset) == 1)
    }

    static func isEmpty(_ directory: String) -> Bool {
        guard let opened = opendir(directory) else { return true }
        defer { closedir(opened) }
        var count = 0
        while readdir(opened) != nil { count += 1 }
        return count == 2
    }

    @Test func aBackupIsAFolderWithAManifest() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(500, size: 500)).get()
        let backup = try kept.volume.backUp(Self.order(target.path + "/all"))
        #expect(backup.path == target.path + "/all/martlet-20261121T152423Z")
        #expect(Self.mode(target.path + "/all") == 0o700 && Self.mode(backup.path) == 0o700)
        for file in ["/data.mdb", "/manifest.json"] { #expect(Self.mode(backup.path + file) == 0o600) }
        #expect(backup.manifest.rows == 500 + 2 + UInt64(SecretRecord.Kind.allCases.count))
        #expect(backup.manifest.epoch == 1 && backup.manifest.volume == KeptVolume.identity.name)
        #expect(backup.manifest.finished - backup.manifest.started == 2_500_000)
        let copy = try StoreCopy(verifying: backup.path)
        #expect(copy.manifest == backup.manifest && copy.identity == kept.volume.identity)
        #expect(try StoreCopy(verifying: backup.path + "/data.mdb").manifest == backup.manifest)
        #expect(try Backups.list(in: target.path + "/all").whole == [backup])
        #expect(throws: StoreFailure.self, "never over another") { try kept.volume.backUp(Self.order(target.path + "/all")) }
    }

    @Test func aBackupThatIsEndedLeavesNothing() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(40, size: 500_000)).get()
        var order = Self.order(target.path)
        let seen = Mutex<[UInt64]>([])
        order.limits.progress = { bytes, expected in seen.withLock { $0.append(min(bytes, expected)) } }
        order.limits.isCancelled = { seen.withLock { ($0.last ?? 0) > 5 << 20 } }
        #expect(throws: StoreFailure.abandoned("the copy was cancelled")) { try kept.volume.backUp(order) }
        #expect(seen.withLock { $0 == $0.sorted() && $0.count > 3 })
        #expect(Self.isEmpty(target.path))
        order.limits.reserveBytes = .max
        #expect(throws: StoreFailure.noSpace) { try kept.volume.backUp(order) }
        #expect(Self.isEmpty(target.path))
        #expect(throws: StoreFailure.self) { try kept.volume.backUp(Self.order("/nowhere/at/all")) }
    }

    @Test func whatADeadProcessLeftIsSweptAway() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        let partial = target.path + "/.martlet-20200101T000000Z.partial"
        #expect(mkdir(partial, 0o700) == 0)
        close(open(partial + "/data.mdb.partial", O_CREAT | O_WRONLY, 0o600))
        #expect(mkdir(target.path + "/martlet-20200101T000000Z", 0o700) == 0)
        let list = try Backups.list(in: target.path)
        #expect(list.whole.isEmpty && list.broken.map(\.name) == ["martlet-20200101T000000Z"])
        _ = try kept.volume.backUp(Self.order(target.path))
        #expect(access(partial, F_OK) != 0)
    }

    @Test func onlyTheKeeperTakesOne() throws {
        let kept = try KeptVolume()
        let scratch = kept.scratch
        kept.volume.close()
        let follower = try LMDBVolume(at: scratch.path, options: KeptVolume.small)
        defer { follower.close() }
        #expect(throws: StoreFailure.notKeeper) { try follower.backUp(Self.order(scratch.path + "/b")) }
    }

    @Test func aDamagedBackupIsRefusedWhereverItIsDamaged() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(300, size: 700)).get()
        let backup = try kept.volume.backUp(Self.order(target.path))
        let size = off_t(backup.manifest.bytes)
        let data = backup.path + "/data.mdb"
        // Both pages of LMDB's own, the tree, a leaf, the end.
        for offset in [0, 17, 4_096 + 24, size / 3, size / 2, size - 1] {
            try Self.flip(data, at: offset)
            #expect(throws: StoreFailure.self, "byte \(offset)") { try StoreCopy(verifying: backup.path) }
            try Self.flip(data, at: offset)
        }
        _ = try StoreCopy(verifying: backup.path)
        let text = backup.manifest.encode()
        for offset in stride(from: 0, to: text.count, by: 7) {
            try Self.flip(backup.path + "/manifest.json", at: off_t(offset))
            #expect(throws: StoreFailure.self, "byte \(offset) of the manifest") { try StoreCopy(verifying: backup.path) }
            try Self.flip(backup.path + "/manifest.json", at: off_t(offset))
        }
        #expect(truncate(data, size - 4_096) == 0)
        #expect(throws: StoreFailure.self) { try StoreCopy(verifying: backup.path) }
        unlink(backup.path + "/manifest.json")
        #expect(throws: StoreFailure.self) { try StoreCopy(verifying: backup.path) }
    }

    @Test func aManifestReadsWhatItWrites() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        let manifest = try kept.volume.backUp(Self.order(target.path)).manifest
        #expect(try Manifest(manifest.encode()) == manifest)
        for bytes in [[], Array("{}".utf8), Array("{\"format\": 2}".utf8), [0xFF, 0xFE], Array("[1]".utf8)] as [[UInt8]] {
            #expect(throws: StoreFailure.self) { try Manifest(bytes) }
        }
    }

    @Test(arguments: [
        "{", "{\"a\"}", "{\"a\":1,}", "{\"a\":1}x", "{\"a\":-1}", "{\"a\":1,\"a\":2}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}",
        "{\"a\":\"b",
    ])
    func whatIsNoFlatObjectIsRefused(text: String) { #expect(FlatJSON.members(Array(text.utf8)) == nil) }

    // MARK: Restore

    @Test func aRestoreTakesThePlaceAndKeepsTheOldAside() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.put([Self.juliet()])
        let backup = try kept.volume.backUp(Self.order(target.path + "/b"))
        let cluster = target.path + "/cluster"
        let first = try Restore(backup.path, to: cluster)
        #expect(!first.isOccupied && first.replaced == nil)
        #expect(try first.verify { _, _ in }.isEmpty)
        #expect(
            try first.carryOut(newSecrets: false, now: Self.moment) { _, _ in } == .init(path: cluster + "/store", aside: nil, accounts: 1))
        #expect(Self.mode(cluster + "/store/data.mdb") == 0o600)

        // Over it once more: what is there is told, and kept.
        var second: Restore? = try Restore(backup.path + "/data.mdb", to: cluster)
        #expect(second?.replaced?.accounts == 1 && second?.replaced?.volume == KeptVolume.identity.name)
        #expect(throws: StoreFailure.notKeeper, "the lock is held meanwhile") { try Restore(backup.path, to: cluster) }
        let outcome = try second?.carryOut(newSecrets: true, now: Self.moment) { _, _ in }
        #expect(outcome?.aside == cluster + "/store.before-20261121T152423Z")
        #expect(access(cluster + "/store.before-20261121T152423Z/data.mdb", F_OK) == 0)
        second = nil
        // In the same second once more.
        let compact = try Compaction(in: cluster).carryOut(removesOld: false, now: Self.moment) { _, _ in }
        #expect(compact.aside == cluster + "/store.before-20261121T152423Z-2" && compact.rows > 0)
        let restored = try LMDBVolume(at: cluster + "/store", options: KeptVolume.small)
        defer { restored.close() }
        let record = try #require(
            try restored.read { try AccountRecord.find("juliet@capulet.lit", in: $0, identity: restored.identity) })
        #expect(record.rosterVersion == 1 << 32 && record.credentials == [7])
        let secrets = try [restored, kept.volume].map { volume in
            try volume.read { snapshot in try SecretRecord.Kind.allCases.map { try SecretRecord.load($0, from: snapshot)?.bytes } }
        }
        #expect(zip(secrets[0], secrets[1]).allSatisfy { $0 != nil && $0 != $1 })
    }

    @Test func aRestoreIsRefusedWhileANodeKeepsTheStore() async throws {
        let target = try Scratch()
        let cluster = target.path + "/cluster"
        #expect(mkdir(cluster, 0o700) == 0)
        try LMDBVolume.initialise(at: cluster + "/store", identity: KeptVolume.identity, options: KeptVolume.small)
        let volume = try LMDBVolume(at: cluster + "/store", options: KeptVolume.small)
        _ = try volume.becomeKeeper(try #require(try KeeperLock.acquireNow(directory: cluster + "/store", node: "a")))
        let backup = try volume.backUp(Self.order(target.path + "/b"))
        #expect(throws: StoreFailure.notKeeper) { try Restore(backup.path, to: cluster) }
        volume.close()
        // A node that had the old store open never writes the new one.
        let late = try LMDBVolume(at: cluster + "/store", options: KeptVolume.small)
        defer { late.close() }
        do {
            let restore = try Restore(backup.path, to: cluster)
            _ = try restore.carryOut(newSecrets: false, now: Self.moment) { _, _ in }
        }
        let lock = try #require(try KeeperLock.acquireNow(directory: cluster + "/store", node: "late"))
        #expect(throws: StoreFailure.self) { try late.becomeKeeper(lock) }
    }

    static func juliet() -> (Key, [UInt8]) {
        let identity = KeptVolume.identity
        let record = AccountRecord(jid: "juliet@capulet.lit", number: 5, created: 1, credentials: [7], rosterVersion: 12)
        return (Keys.account(identity.partition(of: record.jid), identity.hash128(record.jid)), record.encode())
    }

    // MARK: Schedule

    @Test func aBackupIsDueAtItsTimeOrAsSoonAsItWasMissed() {
        let hour: Int64 = 3_600_000_000
        let day = 24 * hour
        let midnight = Self.moment - Self.moment % day
        let daily = BackupSchedule(everyHours: 24, atMinute: 180)
        let at = { (hours: Double) in midnight + Int64(hours * Double(hour)) }
        #expect(daily.planned(before: at(2)) == at(3) - day)
        #expect(daily.planned(before: at(3)) == at(3))
        #expect(!daily.isDue(now: at(2.9), lastSuccess: at(3) - day, lastAttempt: at(3) - day))
        #expect(daily.isDue(now: at(3), lastSuccess: at(3) - day, lastAttempt: at(3) - day))
        #expect(daily.isDue(now: at(9), lastSuccess: at(3) - day, lastAttempt: 0), "missed while nobody kept the store")
        #expect(!daily.isDue(now: at(3.1), lastSuccess: at(3) - day, lastAttempt: at(3)), "just failed")
        #expect(daily.isDue(now: at(3.2), lastSuccess: at(3) - day, lastAttempt: at(3)), "tried again")
        #expect(!daily.isDue(now: at(20), lastSuccess: at(3), lastAttempt: at(3)))
        #expect(daily.isDue(now: at(3), lastSuccess: at(3) + 9 * day, lastAttempt: 0), "a clock that went back")
        let often = BackupSchedule(everyHours: 6, atMinute: 0)
        #expect(often.planned(before: at(13)) == at(12))
        #expect(!BackupSchedule(everyHours: 0, atMinute: 0).isDue(now: at(3), lastSuccess: 0, lastAttempt: 0))
        #expect(daily.isDue(now: at(3), lastSuccess: 0, lastAttempt: 0))
    }

    @Test func theNewestAlwaysStays() {
        let day: Int64 = 86_400_000_000
        let days = (0..<10).map { Int64($0) * day }
        #expect(BackupSchedule.spare(days, keep: 3, days: 0, now: 9 * day) == [0, 1, 2, 3, 4, 5, 6])
        #expect(BackupSchedule.spare(days, keep: 0, days: 4, now: 9 * day) == [0, 1, 2, 3, 4])
        #expect(BackupSchedule.spare(days, keep: 0, days: 0, now: 99 * day).isEmpty)
        #expect(BackupSchedule.spare([0], keep: 1, days: 1, now: 99 * day).isEmpty)
        #expect(BackupSchedule.spare([], keep: 1, days: 1, now: 0).isEmpty)
    }

    @Test func onlyBackupsAreRemoved() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        let backup = try kept.volume.backUp(Self.order(target.path))
        #expect(throws: StoreFailure.self) { try Backups.remove(Backup(path: target.path, manifest: backup.manifest)) }
        try Backups.remove(backup)
        #expect(Self.isEmpty(target.path))
    }

    /// A small file system of the test's own, where it may make one.
    @Test func aFullDiskLeavesNothingAndTheStoreGoesOn() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(40, size: 500_000)).get()
        guard Self.run(["/bin/mount", "-t", "tmpfs", "-o", "size=24m", "none", target.path]) else {
            withKnownIssue("not root: no small file system can be made, so a full disk is not tried") { Issue.record("skipped") }
            return
        }
        defer { _ = Self.run(["/bin/umount", target.path]) }
        // Known before the first byte is written.
        #expect(throws: StoreFailure.noSpace) { try kept.volume.backUp(Self.order(target.path + "/b")) }
        #expect(Self.isEmpty(target.path + "/b"))
        // Others fill it meanwhile.
        var order = Self.order(target.path + "/b")
        order.limits.reserveBytes = 0
        let filler = target.path + "/filler"
        order.limits.progress = { bytes, _ in
            guard bytes < 3 << 20, access(filler, F_OK) != 0 else { return }
            let file = open(filler, O_CREAT | O_WRONLY, 0o600)
            let block = [UInt8](repeating: 1, count: 1 << 20)
            while write(file, block, block.count) == block.count {}
            close(file)
        }
        #expect(throws: StoreFailure.noSpace) { try kept.volume.backUp(order) }
        #expect(access(filler, F_OK) == 0)
        #expect(Self.isEmpty(target.path + "/b"))
        try await kept.volume.commitNow(Self.rows(1, size: 10)).get()
        unlink(filler)
        _ = try kept.volume.backUp(order.free())
    }

    /// Runs a program; whether it succeeded.
    private static func run(_ words: [String]) -> Bool {
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var process = pid_t()
        guard posix_spawn(&process, words[0], &actions, nil, &pointers, environ) == 0 else { return false }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status == 0
    }
}

extension BackupOrder {
    /// Without what a test hung on it.
    fileprivate func free() -> BackupOrder {
        var order = self
        order.limits.progress = { _, _ in }
        return order
    }
}
