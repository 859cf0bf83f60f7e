import Glibc
import LMDBStore
import Store
import Testing

/// Real processes, killed.
@Suite(.serialized) struct CrashTests {
    /// A running VolumeHammer.
    final class Process {
        let pid: pid_t
        private let output: Int32
        private var buffer: [UInt8] = []
        private(set) var acknowledged: [UInt64] = []
        private(set) var epoch: UInt64?
        private(set) var refusals: [String] = []
        private(set) var failure: String?
        private var isReaped = false

        init(_ directory: String, node: String, mapMiB: Int = 256, batch: Int, fileKiB: Int = 0) throws {
            var own = [CChar](repeating: 0, count: 4096)
            try #require(readlink("/proc/self/exe", &own, own.count - 1) > 0)
            let path = String(decoding: own.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let program = (path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ".") + "/VolumeHammer"
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
            _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
            posix_spawn_file_actions_addclose(&actions, ends[1])
            defer { posix_spawn_file_actions_destroy(&actions) }
            let words: [String] = [program, directory, node, String(mapMiB), String(batch), String(fileKiB)]
            var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
            arguments.append(nil)
            defer { for argument in arguments { free(argument) } }
            var pid: pid_t = 0
            let result = posix_spawn(&pid, program, &actions, nil, arguments, environ)
            Glibc.close(ends[1])
            try #require(result == 0, "\(program) does not start")
            self.pid = pid
            output = ends[0]
        }

        deinit {
            kill()
            Glibc.close(output)
        }

        func kill() {
            guard !isReaped else { return }
            Glibc.kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
            isReaped = true
        }

        /// Reads what it says until `enough`, or for a minute; then whether it was enough.
        func listen(until enough: () -> Bool) -> Bool {
            let deadline = ContinuousClock.now + .seconds(60)
            while !enough(), failure == nil, ContinuousClock.now < deadline {
                var interest = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
                poll(&interest, 1, 100)
                if !take() { break }
            }
            return enough()
        }

        /// What is in the pipe now; false at its end.
        @discardableResult
        func take() -> Bool {
            var block = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(output, &block, block.count)
                if count == 0 { return false }
                if count < 0 { return errno == EAGAIN || errno == EINTR }
                buffer.append(contentsOf: block[..<count])
                while let end = buffer.firstIndex(of: 10) {
                    hear(String(decoding: buffer[..<end], as: UTF8.self))
                    buffer.removeSubrange(...end)
                }
            }
        }

        private func hear(_ line: String) {
            if let number = UInt64(line) {
                acknowledged.append(number)
            } else if line.hasPrefix("keeper ") {
                epoch = UInt64(line.dropFirst(7))
            } else if line.hasPrefix("refused ") {
                refusals.append(String(line.dropFirst(8)))
            } else if line.hasPrefix("failed") {
                failure = line
            }
        }
    }

    static func makeVolume() throws -> Scratch {
        let scratch = try Scratch()
        var options = LMDBVolume.Options()
        options.mapBytes = 256 << 20
        try LMDBVolume.initialise(at: scratch.path, identity: KeptVolume.identity, options: options)
        return scratch
    }

    /// The groups in the volume: each whole, without a gap from 1.
    static func groups(in volume: any Volume) throws -> UInt64 {
        let sequences: [UInt64] = try volume.read { snapshot in
            var sequences: [UInt64] = []
            var first: UInt64 = 0
            while true {
                let page = try MessageRecord.page(0, 7, in: first...UInt64.max, limit: 10_000, bytes: .max, from: snapshot)
                #expect(page.damaged.isEmpty)
                sequences += page.messages.map(\.sequence)
                guard page.hasMore, let last = sequences.last else { return sequences }
                first = last + 1
            }
        }
        #expect(sequences == Array(3..<3 + UInt64(sequences.count)))
        #expect(sequences.count % 3 == 0)
        return UInt64(sequences.count / 3)
    }

    @Test func nothingAcknowledgedIsLostByAKill() throws {
        var random = SplitMix(seed: 21)
        let scratch = try Self.makeVolume()
        var options = LMDBVolume.Options()
        options.mapBytes = 256 << 20
        var promised: UInt64 = 0
        for round in 1...20 as ClosedRange<UInt64> {
            let process = try Process(scratch.path, node: "h", batch: [1, 7, 40][Int(round % 3)])
            let wanted = Int.random(in: 1...120, using: &random)
            #expect(process.listen { process.acknowledged.count >= wanted }, "\(process.failure ?? "no acknowledgement")")
            process.kill()
            process.take()
            #expect(process.epoch == round)
            promised = max(promised, process.acknowledged.last ?? 0)
            let volume = try LMDBVolume(at: scratch.path, options: options)
            let found = try Self.groups(in: volume)
            volume.close()
            #expect(found >= promised, "round \(round)")
        }
        #expect(promised > 20)
    }

    @Test func aSurvivorCommitsAfterTheKeeperIsKilled() throws {
        let scratch = try Self.makeVolume()
        var processes: [Process] = []
        for node in ["a", "b", "c"] { processes.append(try Process(scratch.path, node: node, batch: 5)) }
        var promised: UInt64 = 0
        var keeper = try Self.awaitKeeper(&processes, epoch: 1)
        for round in 2...21 as ClosedRange<UInt64> {
            #expect(keeper.listen { keeper.acknowledged.count >= 5 })
            keeper.kill()
            keeper.take()
            promised = max(promised, keeper.acknowledged.last ?? 0)
            processes.removeAll { $0 === keeper }
            keeper = try Self.awaitKeeper(&processes, epoch: round)
            #expect(keeper.listen { !keeper.acknowledged.isEmpty })
            // The new keeper goes on behind everything that was acknowledged.
            #expect(keeper.acknowledged.first ?? 0 > promised)
            processes.append(try Process(scratch.path, node: "n\(round)", batch: 5))
        }
        // The keeper last, or another one rises.
        for process in processes where process !== keeper { process.kill() }
        keeper.kill()
        keeper.take()
        promised = max(promised, keeper.acknowledged.last ?? 0)
        var options = LMDBVolume.Options()
        options.mapBytes = 256 << 20
        let volume = try LMDBVolume(at: scratch.path, options: options)
        defer { volume.close() }
        #expect(try Self.groups(in: volume) >= promised)
        #expect(try volume.read { try VolumeRows.epoch(in: $0) } == 21)
    }

    /// The one process that says it is the keeper of this epoch.
    static func awaitKeeper(_ processes: inout [Process], epoch: UInt64) throws -> Process {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            for process in processes {
                process.take()
                if let failure = process.failure { Issue.record("\(failure)") }
                if process.epoch == epoch { return process }
            }
            sched_yield()
        }
        throw StoreFailure.notKeeper
    }

    @Test func aFullDiskShutsTheVolumeAndHarmsNothing() throws {
        let scratch = try Self.makeVolume()
        let process = try Process(scratch.path, node: "f", batch: 20, fileKiB: 1_024)
        #expect(process.listen { !process.refusals.isEmpty })
        // liblmdb calls a write that was cut short an input/output error.
        let reasons = [StoreFailure.noSpace.description, StoreFailure.io("committing: Input/output error").description]
        #expect(process.refusals.first.map { reasons.contains($0) } ?? false, "\(process.refusals)")
        let before = process.acknowledged.last ?? 0
        #expect(before > 0)
        // There is space again: it goes on behind what was acknowledged last, without a gap.
        #expect(process.listen { process.acknowledged.last ?? 0 > before + 500 }, "\(process.refusals.suffix(3))")
        process.kill()
        process.take()
        #expect(process.acknowledged == Array(1...(process.acknowledged.last ?? 1)))
        var options = LMDBVolume.Options()
        options.mapBytes = 256 << 20
        let volume = try LMDBVolume(at: scratch.path, options: options)
        defer { volume.close() }
        #expect(try Self.groups(in: volume) >= process.acknowledged.last ?? .max)
    }

    @Test func aFollowerSeesWhatAKeeperWithALargerMapWrites() throws {
        let scratch = try Self.makeVolume()
        var options = LMDBVolume.Options()
        options.mapBytes = 1 << 20
        let follower = try LMDBVolume(at: scratch.path, options: options)
        defer { follower.close() }
        let process = try Process(scratch.path, node: "k", mapMiB: 256, batch: 100)
        #expect(process.listen { process.acknowledged.count >= 3_000 })
        process.kill()
        process.take()
        #expect(try Self.groups(in: follower) >= process.acknowledged.last ?? .max)
        // The follower's map has followed, and it can keep.
        let lock = try #require(try KeeperLock.acquireNow(directory: scratch.path, node: "f"))
        #expect(try follower.becomeKeeper(lock) == 2)
        #expect(try follower.checkReaders() >= 0)
    }
}
