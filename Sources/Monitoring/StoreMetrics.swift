public import LMDBStore
internal import ServerCore
internal import Store
internal import Synchronization
public import Telemetry

/// What the committer does, counted on its own thread. Made before the volume is opened, because the volume tells it.
public final class CommitMetrics: Sendable {
    private let seconds = LoopHistogram()
    private let operations = LoopHistogram()
    private let submissions = LoopHistogram()

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        try registry.distribution(
            "martlet_commit_seconds", help: "Time of one transaction of the store, from its begin to the end of the sync to disk.",
            unit: .microseconds
        ) { [seconds] in seconds.reading }
        try registry.distribution(
            "martlet_commit_operations", help: "Puts and deletes in one transaction of the store.", unit: .one, shown: 0...14
        ) { [operations] in operations.reading }
        try registry.distribution(
            "martlet_commit_submissions", help: "What several accounts asked for, committed in one transaction of the store.", unit: .one,
            shown: 0...12
        ) { [submissions] in submissions.reading }
    }

    /// Microseconds of transactions.
    public var latency: Distribution { seconds.reading }
    /// Puts and deletes of transactions.
    public var batch: Distribution { operations.reading }

    /// One transaction; for `LMDBVolume.Options.committed`.
    public func committed(operations: Int, submissions: Int, nanoseconds: UInt64) {
        seconds.observe(nanoseconds / 1_000)
        self.operations.observe(UInt64(clamping: operations))
        self.submissions.observe(UInt64(clamping: submissions))
    }
}

/// The data file and what is known of it from any node. Looked at when somebody asks, at most every five seconds.
public final class StoreMetrics: Sendable {
    private let volume: LMDBVolume
    private let look = Mutex<(figures: StoreFigures, at: MonotonicTime)?>(nil)
    private static let age = Duration.seconds(5)

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ volume: LMDBVolume, _ registry: Registry) throws(RegistrationError) {
        self.volume = volume
        try registerFile(registry)
        try registerCommitter(registry)
    }

    /// Looks again, when the last look is old. It reads LMDB's list of free pages: never on a loop.
    public func refresh() {
        let now = MonotonicTime.now
        if let last = look.withLock({ $0?.at }), now < last + Self.age { return }
        guard let figures = try? volume.figures() else { return }
        look.withLock { $0 = (figures, now) }
    }

    private func registerFile(_ registry: Registry) throws(RegistrationError) {
        func one(_ name: String, _ help: String, _ value: @escaping @Sendable (StoreFigures) -> UInt64?) throws(RegistrationError) {
            try registry.samples(name, help: help) { [weak self] in
                guard let figures = self?.look.withLock({ $0?.figures }), let value = value(figures) else { return [] }
                return [Registry.Sample([], Double(value))]
            }
        }
        try one("martlet_store_map_bytes", "Address space reserved for the store, which can never grow beyond it.") { $0.mapBytes }
        try one("martlet_store_file_bytes", "Bytes of the data file that have been used at one time.") { $0.usedBytes }
        try one("martlet_store_free_bytes", "Bytes of the data file that can be used again.") { $0.freeBytes }
        try one("martlet_store_live_bytes", "Bytes of the data file that hold something.") {
            $0.usedBytes - min($0.freeBytes, $0.usedBytes)
        }
        try one("martlet_store_quota_bytes", "Size of the store at which writes are refused; not there when none is set.") {
            $0.quotaBytes > 0 ? $0.quotaBytes : nil
        }
        try one("martlet_store_disk_free_bytes", "Bytes free on the file system of the store.") { $0.diskFreeBytes }
        try one("martlet_store_rows", "Rows in the store.") { $0.rows }
        try one("martlet_store_last_commit", "Number of the last transaction, by whichever node.") { $0.lastCommit }
        try one("martlet_store_reader_lag_commits", "Commits behind which the oldest reader reads: what was freed since cannot be used.") {
            $0.readers.map(\.lag).max() ?? 0
        }
        try registry.samples("martlet_store_readers", help: "Reader slots of all processes, by what they do.") { [weak self] in
            guard let readers = self?.look.withLock({ $0?.figures.readers }) else { return [] }
            return [ReaderSlot.State.idle, .reading, .lagging, .dead].map { state in
                Registry.Sample([("state", state.rawValue)], Double(readers.count { $0.state == state }))
            }
        }
    }

    private func registerCommitter(_ registry: Registry) throws(RegistrationError) {
        let volume = volume
        try registry.reading("martlet_store_writable", help: "1 while this node keeps the store and the store takes writes.") {
            volume.statistics.state == .keeping ? 1 : 0
        }
        try registry.reading(
            "martlet_store_shut", help: "1 while this node keeps the store and the store takes no writes: a commit failed."
        ) { if case .readOnly = volume.statistics.state { 1 } else { 0 } }
        try registry.tally("martlet_commits_total", help: "Transactions of the store that this node committed.") {
            volume.statistics.commits
        }
        try registry.tally("martlet_commit_put_bytes_total", help: "Bytes of keys and values that were put.") { volume.statistics.bytesPut }
        try registry.tally("martlet_commit_failures_total", help: "What accounts asked for and the store refused.") {
            volume.statistics.failures
        }
        try registry.reading("martlet_commits_waiting", help: "What accounts asked for and is not begun.") {
            Double(volume.statistics.waiting)
        }
    }
}
