import CLMDB
import Glibc
public import Store

/// One slot of the table of readers that all processes of a volume share.
public struct ReaderSlot: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Claimed, and not reading now.
        case idle
        case reading
        /// It sees the store of many commits ago: what was freed since cannot be used again.
        case lagging
        /// Its process is dead: the keeper clears it within ten seconds.
        case dead
    }

    public var process: Int32
    /// The commit that it sees; nil when it is not reading.
    public var commit: UInt64?
    /// Commits since that one; 0 when it is not reading.
    public var lag: UInt64
    public var state: State

    /// Commits behind which a reader lags: far more than come while a page is read.
    static let tolerated: UInt64 = 10_000

    /// Reads a line as `mdb_reader_list` writes it: process, thread, and the transaction or `-`.
    init?(_ line: String, lastCommit: UInt64, isAlive: (Int32) -> Bool) {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard words.count == 3, let process = Int32(words[0]) else { return nil }
        self.process = process
        commit = UInt64(words[2])
        lag = commit.map { lastCommit > $0 ? lastCommit - $0 : 0 } ?? 0
        if !isAlive(process) {
            state = .dead
        } else if commit == nil {
            state = .idle
        } else {
            state = lag > Self.tolerated ? .lagging : .reading
        }
    }
}

/// What is known of the data file, from any process.
public struct StoreFigures: Sendable, Equatable {
    public var rows: UInt64 = 0
    /// Levels of the tree.
    public var depth = 0
    public var pageBytes: UInt64 = 0
    /// Bytes of the file that have been used at one time.
    public var usedBytes: UInt64 = 0
    /// Of these, bytes that a later commit can use again.
    public var freeBytes: UInt64 = 0
    public var mapBytes: UInt64 = 0
    public var quotaBytes: UInt64 = 0
    /// Bytes free on the file system for the user of the server.
    public var diskFreeBytes: UInt64 = 0
    public var lastCommit: UInt64 = 0
    public var readers: [ReaderSlot] = []

    /// Sentences about what runs out soon; empty when nothing does.
    public var warnings: [String] {
        var warnings: [String] = []
        let live = usedBytes - min(freeBytes, usedBytes)
        if mapBytes > 0, live > mapBytes / 10 * 8 {
            warnings.append(
                "\(live / (mapBytes / 100)) % of the address space is used; raise [store] map_gib and start the nodes again before it is full"
            )
        }
        if quotaBytes > 0, live > quotaBytes / 10 * 9 {
            warnings.append("\(live / max(1, quotaBytes / 100)) % of [store] quota_mib is used; beyond it writes are refused")
        }
        if diskFreeBytes < max(256 << 20, usedBytes / 20) {
            warnings.append("only \(diskFreeBytes >> 20) MiB are free on the file system of the store")
        }
        for reader in readers where reader.state == .lagging {
            warnings.append(
                "process \(reader.process) has been reading for \(reader.lag) commits: the store grows meanwhile, because nothing can be used again"
            )
        }
        return warnings
    }
}

extension Environment {
    /// The slots of all processes. It takes no lock: what changes meanwhile is shown as it was or as it is.
    func readerSlots() -> [ReaderSlot] {
        let last = lastCommit
        let lines = Lines()
        pool.look { pool in
            guard pool.hasEnvironment else { return }
            mdb_reader_list(
                env,
                { text, context in
                    guard let text, let context else { return -1 }
                    Unmanaged<Lines>.fromOpaque(context).takeUnretainedValue().text += String(cString: text)
                    return 0
                }, Unmanaged.passUnretained(lines).toOpaque())
        }
        return lines.text.split(separator: "\n").compactMap { line in
            ReaderSlot(String(line), lastCommit: last) { kill($0, 0) == 0 || errno == EPERM }
        }
    }

    private final class Lines { var text = "" }

    var depth: Int {
        pool.look { pool in
            guard pool.hasEnvironment else { return 0 }
            var stat = MDB_stat()
            mdb_env_stat(env, &stat)
            return Int(stat.ms_depth)
        }
    }
}

extension LMDBVolume {
    /// Figures of the data file, as any process sees them. It reads LMDB's list of free pages: never on a loop.
    public func figures() throws(StoreFailure) -> StoreFigures {
        var figures = StoreFigures()
        figures.rows = environment.rows
        figures.depth = environment.depth
        figures.pageBytes = environment.pageBytes
        (figures.usedBytes, figures.mapBytes) = environment.size
        figures.freeBytes = try environment.freeBytes()
        figures.quotaBytes = options.quotaBytes
        figures.lastCommit = environment.lastCommit
        figures.readers = environment.readerSlots()
        var system = statvfs()
        if statvfs(directory, &system) == 0 {
            let free = UInt64(system.f_bavail).multipliedReportingOverflow(by: UInt64(system.f_frsize))
            figures.diskFreeBytes = free.overflow ? .max : free.partialValue
        }
        return figures
    }
}
