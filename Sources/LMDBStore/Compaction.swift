import Glibc
public import Store

/// Makes the data file of a stopped cluster as small as what is in it: LMDB uses freed pages again, but never gives them back.
///
/// Not for a cluster that runs: every node has the file mapped, and would go on with the old one.
public final class Compaction {
    public struct Outcome: Sendable, Equatable {
        public var bytesBefore: UInt64
        public var bytesAfter: UInt64
        public var rows: UInt64
        /// Where the old store is; nil: it is removed.
        public var aside: String?
    }

    private let directory: String
    private let lock: KeeperLock
    private var store: String { directory + "/store" }

    /// - Parameter directory: the directory of the cluster (`node.directory`).
    /// - Throws: `.notKeeper` when a node runs on it; `.format` when there is no store.
    public init(in directory: String) throws(StoreFailure) {
        self.directory = directory
        guard access(directory + "/store/data.mdb", F_OK) == 0 else { throw .format("there is no store in \(directory)") }
        guard let lock = try KeeperLock.acquireNow(directory: directory + "/store", node: "compact") else { throw .notKeeper }
        self.lock = lock
    }

    /// Writes the compact copy, compares it row by row with the store, and exchanges the two in one step.
    ///
    /// - Parameters:
    ///   - removesOld: whether the old store goes at the end.
    ///   - now: µs since 1970, UTC.
    public func carryOut(removesOld: Bool, now: Int64, progress: @escaping @Sendable (UInt64, UInt64) -> Void) throws(StoreFailure)
        -> Outcome
    {
        let new = directory + "/store.compact"
        try Restore.clear(new)
        guard mkdir(new, 0o700) == 0 else { throw StoreFailure(system: errno, "making \(new)") }
        var outcome: Outcome
        do throws(StoreFailure) {
            outcome = try write(into: new, progress)
            try syncDirectory(new)
        } catch {
            try? Restore.clear(new)
            throw error
        }
        let aside = try Restore.exchange(new, with: store, in: directory, now: now)
        try syncDirectory(directory)
        if removesOld {
            try Restore.clear(aside)
            try syncDirectory(directory)
        } else {
            outcome.aside = aside
        }
        return outcome
    }

    private func write(into folder: String, _ progress: @escaping @Sendable (UInt64, UInt64) -> Void) throws(StoreFailure) -> Outcome {
        let source = try Environment(store, mapBytes: 1 << 30, readers: 2, creating: false)
        defer { source.close() }
        var limits = CopyLimits()
        limits.progress = progress
        let report = try HotCopy(source, limits).write(to: folder + "/data.mdb")
        let target = try Environment(folder, mapBytes: max(1 << 30, report.bytes), readers: 2, creating: false)
        defer { target.close() }
        try Self.compare(source, target)
        return Outcome(bytesBefore: source.size.used, bytesAfter: report.bytes, rows: target.rows, aside: nil)
    }

    /// The same rows in both, by a sum over all of them in order.
    private static func compare(_ one: Environment, _ other: Environment) throws(StoreFailure) {
        let sums = [try sum(of: one), try sum(of: other)]
        guard one.rows == other.rows, sums[0] == sums[1] else {
            throw .io("the compact copy does not hold the same rows; nothing was done")
        }
    }

    private static func sum(of environment: Environment) throws(StoreFailure) -> [UInt8] {
        let digest = try SHA256Digest()
        try environment.reading { (snapshot) throws(StoreFailure) in
            try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { key, value in
                // The lengths are part of it: no two walks have the same bytes.
                let head = withUnsafeBytes(of: UInt64(key.count) << 32 | UInt64(value.count)) { [UInt8]($0) }
                digest.add(head[...])
                digest.add([UInt8](key)[...])
                digest.add([UInt8](value)[...])
                return true
            }
        }
        return try digest.finish()
    }
}
