import Glibc
public import Store

/// A volume in an LMDB environment.
///
/// Opened as a follower, it reads. With the `KeeperLock` in hand, `becomeKeeper` starts the one thread that writes. A process
/// that does not hold the lock never takes LMDB's writer mutex, and claims its reader slots once, here.
public final class LMDBVolume: Volume {
    public struct Options: Sendable {
        /// Reserved address space in bytes; costs no disk. Every node of a volume gives the same.
        public var mapBytes: UInt64 = 64 << 30
        /// Bytes in use at which rows may no longer be added; 0: no bound.
        public var quotaBytes: UInt64 = 0
        /// Puts and deletes of one transaction, unless a single submission has more.
        public var commitOperations = 2_000
        /// Reader threads; at least 1.
        public var readers = 2
        /// Time between a failed commit and the next probe.
        public var probeInterval: Duration = .seconds(1)
        /// Told of every transaction that was committed, on the one thread that writes: puts and deletes, submissions, and nanoseconds with
        /// the sync to disk.
        public var committed: @Sendable (_ operations: Int, _ submissions: Int, _ nanoseconds: UInt64) -> Void = { _, _, _ in }
        public init() {}
    }

    public let identity: VolumeIdentity
    /// The real path of the volume's directory.
    public let directory: String
    /// The reader threads.
    public let readers: ReaderPool
    let environment: Environment
    let options: Options
    private let stateChanged: @Sendable (VolumeState) -> Void
    private let role = Monitor(Role.follower)

    private enum Role {
        case follower
        /// Its lock was given, its first commit is under way.
        case rising
        case keeper(Committer, KeeperLock)
        case closed
    }

    // MARK: Making and opening

    /// Makes a volume in a directory, which is made too: identity, secrets, epoch 0. Takes the keeper lock for the moment.
    ///
    /// - Throws: `.format` when there is a volume already, `.notKeeper` when a node runs on the directory.
    public static func initialise(at directory: String, identity: VolumeIdentity, options: Options = Options()) throws(StoreFailure) {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw StoreFailure(system: errno, "making \(directory)") }
        guard let lock = try KeeperLock.acquireNow(directory: directory, node: "init") else { throw .notKeeper }
        // The lock outlives the environment.
        defer { withExtendedLifetime(lock) {} }
        let directory = lock.directory
        guard access(directory + "/data.mdb", F_OK) != 0 else { throw .format("there is a volume in \(directory) already") }
        guard access(directory + "/lock.mdb", F_OK) != 0 else {
            throw .format(
                "data.mdb is gone from \(directory), where lock.mdb says that there was one; restore a backup, or remove lock.mdb as well to begin with nothing"
            )
        }
        do throws(StoreFailure) { try fill(directory, identity, options) } catch {
            // What nobody was told is there would stand in the way of the next attempt.
            unlink(directory + "/data.mdb")
            throw error
        }
    }

    /// The file is whole before it has its name: one without a volume in it is never one that is just being made.
    private static func fill(_ directory: String, _ identity: VolumeIdentity, _ options: Options) throws(StoreFailure) {
        let making = directory + "/making"
        try Restore.clear(making)
        guard mkdir(making, 0o700) == 0 else { throw StoreFailure(system: errno, "making \(making)") }
        try write(identity, to: making, options)
        guard rename(making + "/data.mdb", directory + "/data.mdb") == 0 else {
            throw StoreFailure(system: errno, "naming \(directory)/data.mdb")
        }
        try Restore.clear(making)
        // LMDB syncs the file; the names of file and directory are synced here.
        try syncDirectory(directory)
        try syncDirectory(directory + "/..")
    }

    private static func write(_ identity: VolumeIdentity, to folder: String, _ options: Options) throws(StoreFailure) {
        let environment = try Environment(folder, mapBytes: options.mapBytes, readers: 1, creating: true)
        defer { environment.close() }
        try environment.commit(CollectionOfOne(VolumeRows.initial(identity)))
    }

    /// Opens a volume as a follower.
    ///
    /// - Parameter stateChanged: called whenever the volume begins or ceases to take writes, on a thread of the store.
    public init(
        at directory: String, options: Options = Options(), stateChanged: @escaping @Sendable (VolumeState) -> Void = { _ in }
    ) throws(StoreFailure) {
        self.options = options
        self.stateChanged = stateChanged
        // Beside the reader threads: whoever reads on a thread of its own, and the committer that counts free pages.
        let environment = try Environment(directory, mapBytes: options.mapBytes, readers: max(1, options.readers) + 4, creating: false)
        do throws(StoreFailure) {
            let found = try environment.reading { (snapshot) throws(StoreFailure) in try VolumeRows.identity(in: snapshot) }
            guard let identity = found else { throw .format("\(environment.directory) holds no volume") }
            guard identity.featureLevel <= VolumeIdentity.currentFeatureLevel else {
                throw .format(
                    "the volume is of level \(identity.featureLevel); this program knows up to \(VolumeIdentity.currentFeatureLevel)")
            }
            self.identity = identity
            readers = try ReaderPool(environment, threads: options.readers)
        } catch {
            environment.close()
            throw error
        }
        self.environment = environment
        self.directory = environment.directory
    }

    /// Commits what waits, ends the threads, closes the environment and gives the keeper lock back. Waits for all of it, so
    /// never on a loop or on a thread of the store. Call it before the volume is dropped.
    public func close() {
        let before: Role? = role.wait { role in
            if case .rising = role { return nil }
            defer { role = .closed }
            return role
        }
        switch before {
        case .keeper(let committer, let lock):
            committer.close()
            readers.close()
            environment.close()
            withExtendedLifetime(lock) {}
        case .follower:
            readers.close()
            environment.close()
        case .rising, .closed, nil: return
        }
        stateChanged(.closed)
    }

    // MARK: Reading

    public func read<T>(_ body: (any Snapshot) throws -> T) throws -> T { try environment.read(body) }

    /// Runs `body` with a fresh snapshot on a reader thread.
    public func onReader(_ body: @escaping @Sendable (any Snapshot) -> Void) { readers.read(body) }

    /// Clears the reader slots of dead processes, which keep pages from being used again; returns how many. The keeper does so
    /// when it starts and every 10 s; call it there after the death of a node too.
    @discardableResult
    public func checkReaders() throws(StoreFailure) -> Int {
        // It may take LMDB's reader mutex: that is the keeper's alone.
        guard case .keeper = role.look({ $0 }) else { throw .notKeeper }
        return environment.checkReaders()
    }

    // MARK: Keeping

    /// Makes this process the keeper: starts the committer and raises the epoch in a synced commit, for which it waits.
    /// The volume holds the lock until it is closed. On failure the lock is given back.
    ///
    /// - Returns: the new epoch, at least 1.
    public func becomeKeeper(_ lock: KeeperLock) throws(StoreFailure) -> UInt64 {
        guard lock.directory == directory else { throw .format("the lock is that of another volume") }
        let mayRise = role.look { role in
            guard case .follower = role else { return false }
            role = .rising
            return true
        }
        guard mayRise else { throw .format("the volume is kept or closed already") }
        do throws(StoreFailure) {
            // An earlier attempt may have failed.
            try environment.reopenIfDoubtful()
            guard environment.isInPlace else {
                throw .format("the store in \(directory) was replaced while this node had the old one open; start the node again")
            }
            let epoch = try environment.reading { (snapshot) throws(StoreFailure) in try VolumeRows.epoch(in: snapshot) } &+ 1
            let committer = try Committer(
                environment,
                Committer.Options(
                    quotaBytes: options.quotaBytes, operations: max(1, options.commitOperations),
                    probeInterval: options.probeInterval.nanoseconds, stateChanged: stateChanged, committed: options.committed))
            let answer = Monitor<Result<Void, StoreFailure>?>(nil)
            committer.submit(.init(effects: VolumeRows.epoch(epoch)) { result in answer.change { $0 = result } })
            switch answer.wait({ $0 }) {
            case .success: break
            case .failure(let failure):
                committer.close()
                throw failure
            case nil: throw .closed
            }
            role.change { $0 = .keeper(committer, lock) }
            return epoch
        } catch {
            role.change { $0 = .follower }
            throw error
        }
    }

    public func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        switch role.look({ $0 }) {
        case .keeper(let committer, _): committer.submit(.init(effects: effects, completion: completion))
        case .follower, .rising: completion(.failure(.notKeeper))
        case .closed: completion(.failure(.closed))
        }
    }

    public var statistics: VolumeStatistics {
        var statistics = VolumeStatistics()
        switch role.look({ $0 }) {
        case .keeper(let committer, _): statistics = committer.statistics
        case .follower, .rising: break
        case .closed: statistics.state = .closed
        }
        (statistics.usedBytes, statistics.mapBytes) = environment.size
        return statistics
    }

    /// Rows of the volume as the last commit left it.
    public var rowCount: UInt64 { environment.rows }

    // MARK: Backup

    /// Writes a consistent, compact copy of the running volume to a new file, readable by its owner alone. Waits for it: never
    /// on a loop. To restore, place the file as `data.mdb` in an empty directory.
    ///
    /// - Throws: `.notKeeper`; `.noSpace`; `.abandoned` when `limits` were passed; `.io`. Nothing is left of a failed copy.
    public func copy(to path: String, limits: CopyLimits = CopyLimits()) throws(StoreFailure) -> CopyReport {
        guard case .keeper = role.look({ $0 }) else { throw .notKeeper }
        return try HotCopy(environment, limits).write(to: path)
    }
}

extension Environment {
    /// `read` for bodies that throw nothing but the store's own failures.
    func reading<T>(_ body: (any Snapshot) throws(StoreFailure) -> T) throws(StoreFailure) -> T {
        do { return try read(body) } catch { throw error as? StoreFailure ?? .io("reading: \(error)") }
    }
}

extension Duration {
    /// Whole nanoseconds; 0 when negative.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : whole &+ UInt64(attoseconds) / 1_000_000_000
    }
}
