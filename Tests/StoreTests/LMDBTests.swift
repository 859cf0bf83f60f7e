import Glibc
import LMDBStore
import Store
import Testing

@Suite struct LMDBTests {
    static func rows(_ count: Int, size: Int, from first: UInt64 = 0) -> Effects {
        var effects = Effects()
        for number in first..<first + UInt64(count) {
            effects.put(Keys.message(0, 1, sequence: number), [UInt8](repeating: 7, count: size))
        }
        return effects
    }

    static func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func aVolumeIsMadeOnceAndForItsOwnerAlone() throws {
        let scratch = try Scratch()
        let directory = scratch.path + "/store"
        #expect(throws: StoreFailure.self) { try LMDBVolume(at: directory) }
        mkdir(directory, 0o700)
        #expect(throws: StoreFailure.self) { try LMDBVolume(at: directory) }
        #expect(access(directory + "/data.mdb", F_OK) != 0, "a follower makes nothing")
        rmdir(directory)
        try LMDBVolume.initialise(at: directory, identity: KeptVolume.identity, options: KeptVolume.small)
        #expect(throws: StoreFailure.self) {
            try LMDBVolume.initialise(at: directory, identity: KeptVolume.identity, options: KeptVolume.small)
        }
        #expect(Self.mode(directory) == 0o700)
        #expect(access(directory + "/making", F_OK) != 0)
        let volume = try LMDBVolume(at: directory, options: KeptVolume.small)
        defer { volume.close() }
        for file in ["data.mdb", "lock.mdb", "volume.lock"] { #expect(Self.mode(directory + "/" + file) == 0o600) }
        #expect(volume.identity == KeptVolume.identity)
        #expect(throws: StoreFailure.self, "one environment a process") { try LMDBVolume(at: directory, options: KeptVolume.small) }
    }

    @Test func aFollowerReadsAndMayNotWrite() async throws {
        let scratch = try Scratch()
        try LMDBVolume.initialise(at: scratch.path, identity: KeptVolume.identity, options: KeptVolume.small)
        let volume = try LMDBVolume(at: scratch.path, options: KeptVolume.small)
        #expect(await volume.commitNow(Self.rows(1, size: 1)) == .failure(.notKeeper))
        #expect(throws: StoreFailure.notKeeper) { try volume.copy(to: scratch.path + "/copy") }
        #expect(throws: StoreFailure.notKeeper) { try volume.checkReaders() }
        #expect(volume.statistics.state == .following)
        #expect(try volume.read { try VolumeRows.epoch(in: $0) } == 0)
        volume.close()
        volume.close()
        #expect(await volume.commitNow(Self.rows(1, size: 1)) == .failure(.closed))
        #expect(throws: StoreFailure.closed) { try volume.read { _ in } }
        let answer = StateList()
        volume.onReader { snapshot in
            do throws(StoreFailure) { _ = try snapshot.get(Keys.inbox(0, 0)) } catch { answer.add(error == .closed ? 1 : 2) }
        }
        #expect(answer.all == [1])
    }

    @Test func theLockIsHeldByOneAndNamesItsHolder() throws {
        let kept = try KeptVolume()
        #expect(kept.epoch == 1)
        let second = try KeeperLock.acquireNow(directory: kept.scratch.path, node: "b")
        #expect(second == nil)
        let holder = try #require(KeeperLock.holder(directory: kept.scratch.path))
        #expect(holder.pid == getpid() && holder.node == "test" && holder.startTime > 0)
        #expect(throws: StoreFailure.notKeeper) { try LMDBVolume.initialise(at: kept.scratch.path, identity: KeptVolume.identity) }
        let granted = Flag()
        let withdrawn = KeeperLock.acquire(directory: kept.scratch.path, node: "c") { _ in Issue.record("withdrawn") }
        withdrawn.withdraw()
        KeeperLock.acquire(directory: kept.scratch.path, node: "d") { result in
            if case .success = result { granted.raise() }
        }
        kept.volume.close()
        granted.wait()
        #expect(KeeperLock.holder(directory: kept.scratch.path)?.node == "d")
    }

    @Test func aLockOfAnotherVolumeMakesNoKeeper() throws {
        let kept = try KeptVolume()
        let other = try Scratch()
        let lock = try #require(try KeeperLock.acquireNow(directory: other.path, node: "x"))
        kept.volume.close()
        let volume = try LMDBVolume(at: kept.scratch.path, options: KeptVolume.small)
        defer { volume.close() }
        #expect(throws: StoreFailure.self) { try volume.becomeKeeper(lock) }
    }

    @Test func readersRunBesideEachOther() async throws {
        let kept = try KeptVolume()
        try await kept.volume.commitNow(Self.rows(100, size: 50)).get()
        let met = StateList()
        let signal = Signal()
        nonisolated(unsafe) var inside = 0
        // Both reader threads are inside a snapshot at the same time, or this never ends.
        for number in 0..<2 {
            kept.volume.onReader { _ in
                signal.change { inside += 1 }
                signal.wait { inside >= 2 }
                met.add(number)
                signal.change {}
            }
        }
        signal.wait { met.all.count == 2 }
        #expect(met.all.sorted() == [0, 1])
    }

    @Test func closingCommitsWhatWaits() async throws {
        let kept = try KeptVolume()
        let answers = StateList()
        for number in 0..<200 as Range<UInt64> {
            kept.volume.commit(Self.rows(1, size: 100, from: number)) { if case .success = $0 { answers.add(Int(number)) } }
        }
        kept.volume.close()
        #expect(answers.all == Array(0..<200))
        #expect(kept.log.all == [.keeping, .closed])
        let again = try KeptVolume(reopening: kept.scratch)
        #expect(try again.volume.rows().count == 200)
    }

    @Test func aFullMapShutsTheVolume() async throws {
        var options = KeptVolume.small
        options.mapBytes = 1 << 20
        // Longer than the test: nothing may be open again between the failure and what comes after it.
        options.probeInterval = .seconds(3_600)
        let kept = try KeptVolume(options)
        try await kept.volume.commitNow(Self.rows(10, size: 100)).get()
        let answers = StateList()
        kept.volume.commit(Self.rows(100, size: 20_000, from: 100)) { if case .failure(.mapFull) = $0 { answers.add(1) } }
        kept.volume.commit(Self.rows(1, size: 10, from: 1_000)) { if case .failure = $0 { answers.add(2) } }
        // The second may share the transaction of the first, or come after it: it fails either way.
        _ = await kept.volume.commitNow(Effects())
        #expect(answers.all == [1, 2])
        #expect(try kept.volume.rows().count == 10)
        #expect(await kept.volume.commitNow(Self.rows(1, size: 10, from: 2_000)) == .failure(.readOnly))
        #expect(kept.log.all.last == .readOnly(.mapFull))
    }

    @Test func aVolumeThatWasFullReopensByItself() async throws {
        var options = KeptVolume.small
        options.mapBytes = 1 << 20
        options.probeInterval = .milliseconds(50)
        let kept = try KeptVolume(options)
        try await kept.volume.commitNow(Self.rows(10, size: 100)).get()
        #expect(await kept.volume.commitNow(Self.rows(100, size: 20_000, from: 100)) == .failure(.mapFull))
        var result = await kept.volume.commitNow(Self.rows(1, size: 10, from: 2_000))
        let deadline = ContinuousClock.now + .seconds(60)
        while result == .failure(.readOnly), ContinuousClock.now < deadline {
            result = await kept.volume.commitNow(Self.rows(1, size: 10, from: 2_000))
        }
        #expect(result == .success(()))
        #expect(kept.log.all.contains(.readOnly(.mapFull)) && kept.log.all.last == .keeping)
        #expect(try kept.volume.rows().count == 11)
    }

    @Test func atItsQuotaAVolumeShrinksAndDoesNotGrow() async throws {
        var options = KeptVolume.small
        options.quotaBytes = 2 << 20
        options.probeInterval = .milliseconds(20)
        let kept = try KeptVolume(options)
        var next: UInt64 = 0
        var result: Result<Void, StoreFailure> = .success(())
        while result == .success(()), next < 1_000 {
            result = await kept.volume.commitNow(Self.rows(10, size: 3_000, from: next))
            next += 10
        }
        #expect(result == .failure(.quota))
        #expect(next > 300 && next < 900)
        #expect(kept.volume.statistics.state == .readOnly(.quota))
        // Deletes pass after a quiet interval, and once enough is gone the volume grows again.
        let deadline = ContinuousClock.now + .seconds(120)
        for number in stride(from: 0, to: next - 10, by: 10) {
            var effects = Effects()
            for row in number..<(number + 10) { effects.delete(Keys.message(0, 1, sequence: row)) }
            while ContinuousClock.now < deadline {
                if await kept.volume.commitNow(effects) == .success(()) { break }
            }
        }
        #expect(try kept.volume.rows().isEmpty)
        while result != .success(()), ContinuousClock.now < deadline { result = await kept.volume.commitNow(Self.rows(10, size: 3_000)) }
        #expect(result == .success(()))
        #expect(kept.log.all.last == .keeping)
    }

    @Test func aCopyIsTheVolumeAsItWas() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(2_000, size: 500)).get()
        let report = try kept.volume.copy(to: target.path + "/data.mdb")
        #expect(report.bytes > 1_000_000)
        #expect(Self.mode(target.path + "/data.mdb") == 0o600)
        #expect(access(target.path + "/data.mdb.partial", F_OK) != 0)
        #expect(throws: StoreFailure.self, "never over a file") { try kept.volume.copy(to: target.path + "/data.mdb") }
        let restored = try LMDBVolume(at: target.path, options: KeptVolume.small)
        defer { restored.close() }
        #expect(restored.identity == kept.volume.identity)
        #expect(try restored.rows().map(\.1) == kept.volume.rows().map(\.1))
    }

    @Test func aCopyIsEndedByItsBoundsAndLeavesNothing() async throws {
        let kept = try KeptVolume()
        let target = try Scratch()
        try await kept.volume.commitNow(Self.rows(40, size: 500_000)).get()
        var limits = CopyLimits()
        limits.reserveBytes = .max
        #expect(throws: StoreFailure.noSpace) { try kept.volume.copy(to: target.path + "/a", limits: limits) }
        limits = CopyLimits()
        limits.isCancelled = { true }
        #expect(throws: StoreFailure.abandoned("the copy was cancelled")) { try kept.volume.copy(to: target.path + "/a", limits: limits) }
        // While it is copied, the store grows by more than was allowed.
        limits = CopyLimits()
        limits.growthBytes = 1 << 20
        let volume = kept.volume
        let grown = Flag()
        let calls = StateList()
        limits.isCancelled = {
            if calls.all.isEmpty {
                volume.commit(Self.rows(5, size: 500_000, from: 100)) { _ in grown.raise() }
                grown.wait()
            }
            calls.add(1)
            return false
        }
        let failure = #expect(throws: StoreFailure.self) { try volume.copy(to: target.path + "/a", limits: limits) }
        guard case .abandoned = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(throws: StoreFailure.self) { try volume.copy(to: target.path + "/nowhere/a") }
        for name in ["/a", "/a.partial"] { #expect(access(target.path + name, F_OK) != 0) }
        try await volume.commitNow(Self.rows(1, size: 1)).get()
    }

    @Test func aVolumeOfANewerLevelIsRefused() throws {
        let scratch = try Scratch()
        let old = KeptVolume.identity
        let newer = VolumeIdentity(
            volumeID: old.volumeID, partitions: 64, hashKey: old.hashKey, featureLevel: VolumeIdentity.currentFeatureLevel + 1, created: 0,
            unicodeVersion: "15")
        try LMDBVolume.initialise(at: scratch.path, identity: newer, options: KeptVolume.small)
        #expect(throws: StoreFailure.self) { try LMDBVolume(at: scratch.path, options: KeptVolume.small) }
    }

    @Test func aDataFileOfSomethingElseIsRefused() throws {
        let scratch = try Scratch()
        let file = open(scratch.path + "/data.mdb", O_CREAT | O_WRONLY, 0o600)
        let bytes = [UInt8](repeating: 0x55, count: 65_536)
        #expect(write(file, bytes, bytes.count) == bytes.count)
        close(file)
        #expect(throws: StoreFailure.self) { try LMDBVolume(at: scratch.path, options: KeptVolume.small) }
    }
}

extension Result where Success == Void, Failure == StoreFailure {
    static func == (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.success, .success): true
        case (.failure(let a), .failure(let b)): a == b
        default: false
        }
    }
    static func != (a: Self, b: Self) -> Bool { !(a == b) }
}
