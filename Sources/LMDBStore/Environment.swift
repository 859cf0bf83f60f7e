import CLMDB
import CShims
import Glibc
import Store
import Synchronization

/// One LMDB environment, opened once in this process, and its read transactions.
///
/// Every reader slot is claimed here, at once: claiming takes LMDB's reader mutex, and a process that dies with it can leave
/// others asleep. Later, transactions are only renewed and reset, which takes no lock.
final class Environment: @unchecked Sendable {
    // @unchecked: `env` may be used from any thread, and changes only while nobody is at work and `pool` says that it is lost; each
    // transaction is used by the one who took it out of `pool`.
    struct Pool {
        var idle: [OpaquePointer] = []
        /// Transactions that are at work: readers taken out, and the writer.
        var busy = 0
        /// The map is being moved: nobody may start.
        var isResizing = false
        var isClosed = false
        /// liblmdb gave the environment up, it was closed, and it is not open again yet.
        var isLost = false
        /// A commit failed at its end: liblmdb may have given the environment up.
        var isDoubtful = false

        /// Whether there is an environment to ask.
        var hasEnvironment: Bool { !isClosed && !isLost }
    }

    /// Environments that are open in this process: LMDB's locks do not work when one is opened twice.
    private static let opened = Mutex<Set<String>>([])

    let directory: String
    let pageBytes: UInt64
    private(set) var env: OpaquePointer
    private let database: MDB_dbi
    private let mapBytes: UInt64
    private let readers: Int
    let pool: Monitor<Pool>

    /// Opens an environment whose data file exists, or makes it when `creating` (only with the keeper lock held).
    init(_ directory: String, mapBytes: UInt64, readers: Int, creating: Bool) throws(StoreFailure) {
        let path = try Self.resolve(directory)
        self.mapBytes = mapBytes
        self.readers = max(1, readers)
        guard creating || access(path + "/data.mdb", F_OK) == 0 else { throw .format("there is no volume in \(path)") }
        if !creating { try DataFile.requireContent(of: path + "/data.mdb") }
        guard Self.note({ $0.insert(path).inserted }) else { throw .format("the volume in \(path) is already open in this process") }
        do throws(StoreFailure) {
            let env = try Self.open(path, mapBytes: mapBytes)
            do throws(StoreFailure) {
                var stat = MDB_stat()
                mdb_env_stat(env, &stat)
                try DataFile.requireLength(of: env, path + "/data.mdb", pageBytes: UInt64(stat.ms_psize))
                let (database, transactions) = try Self.claim(self.readers, of: env)
                self.env = env
                self.database = database
                self.directory = path
                pageBytes = UInt64(stat.ms_psize)
                pool = Monitor(Pool(idle: transactions))
            } catch {
                mdb_env_close(env)
                throw error
            }
        } catch {
            Self.note { _ = $0.remove(path) }
            throw error
        }
    }

    /// Changes what is open, and which files a fault may be of.
    private static func note<T>(_ change: (inout Set<String>) -> T) -> T {
        opened.withLock { paths in
            defer { DataFile.explainFaults(of: paths.map { $0 + "/data.mdb" }) }
            return change(&paths)
        }
    }

    private static func resolve(_ directory: String) throws(StoreFailure) -> String {
        guard let resolved = realpath(directory, nil) else { throw StoreFailure(system: errno, "looking for \(directory)") }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func open(_ path: String, mapBytes: UInt64) throws(StoreFailure) -> OpaquePointer {
        var created: OpaquePointer?
        var result = mdb_env_create(&created)
        guard result == MDB_SUCCESS, let env = created else { throw StoreFailure(lmdb: result, "making an environment") }
        _ = mdb_env_set_assert(env, martlet_store_assertion)
        result = mdb_env_set_mapsize(env, Int(clamping: mapBytes))
        if result == MDB_SUCCESS { result = mdb_env_set_maxreaders(env, 1024) }
        // NOTLS: a reader slot belongs to its transaction, not to a thread.
        if result == MDB_SUCCESS { result = mdb_env_open(env, path, UInt32(MDB_NOTLS), 0o600) }
        guard result == MDB_SUCCESS else {
            mdb_env_close(env)
            if result == MDB_INVALID || result == MDB_VERSION_MISMATCH { throw DataFile.notOurs(path + "/data.mdb") }
            throw StoreFailure(lmdb: result, "opening \(path)/data.mdb")
        }
        return env
    }

    /// Claims all reader slots and the handle of the one database.
    private static func claim(_ count: Int, of env: OpaquePointer) throws(StoreFailure) -> (MDB_dbi, [OpaquePointer]) {
        var transactions: [OpaquePointer] = []
        var database: MDB_dbi = 0
        var failure: StoreFailure?
        while transactions.count < count, failure == nil {
            var begun: OpaquePointer?
            var result = mdb_txn_begin(env, nil, UInt32(MDB_RDONLY), &begun)
            if result == MDB_MAP_RESIZED {
                // Another process has a larger map. All transactions are reset here, so the map may move.
                result = mdb_env_set_mapsize(env, 0)
                if result == MDB_SUCCESS { continue }
            }
            guard result == MDB_SUCCESS, let transaction = begun else {
                failure = StoreFailure(lmdb: result, "claiming a reader slot")
                break
            }
            if transactions.isEmpty {
                result = mdb_dbi_open(transaction, nil, 0, &database)
                if result != MDB_SUCCESS { failure = StoreFailure(lmdb: result, "opening the database") }
            }
            mdb_txn_reset(transaction)
            transactions.append(transaction)
        }
        if let failure {
            for transaction in transactions { mdb_txn_abort(transaction) }
            throw failure
        }
        return (database, transactions)
    }

    /// Closes the environment when the last transaction has ended.
    func close() {
        let rest: (idle: [OpaquePointer], isLost: Bool)? = pool.wait { pool in
            if pool.isClosed { return .some(nil) }
            guard pool.busy == 0, !pool.isResizing else { return nil }
            pool.isClosed = true
            defer { pool.idle.removeAll() }
            return (pool.idle, pool.isLost)
        }.flatMap { $0 }
        guard let rest else { return }
        if !rest.isLost {
            for transaction in rest.idle { mdb_txn_abort(transaction) }
            mdb_env_close(env)
        }
        Self.note { _ = $0.remove(directory) }
    }

    // MARK: Reading

    func read<T>(_ body: (any Snapshot) throws -> T) throws -> T {
        let transaction = try beginReading()
        let snapshot = LMDBSnapshot(transaction, database)
        defer {
            snapshot.end()
            mdb_txn_reset(transaction)
            pool.change {
                $0.idle.append(transaction)
                $0.busy -= 1
            }
        }
        return try body(snapshot)
    }

    private func beginReading() throws(StoreFailure) -> OpaquePointer {
        while true {
            let taken: Result<OpaquePointer, StoreFailure>? = pool.wait { pool in
                if pool.isClosed { return .failure(.closed) }
                guard !pool.isResizing else { return nil }
                if pool.isLost { return .failure(Self.lost) }
                guard let transaction = pool.idle.popLast() else { return nil }
                pool.busy += 1
                return .success(transaction)
            }
            guard let transaction = try taken?.get() else { throw .closed }
            let result = mdb_txn_renew(transaction)
            if result == MDB_SUCCESS { return transaction }
            pool.change {
                $0.idle.append(transaction)
                $0.busy -= 1
            }
            guard result == MDB_MAP_RESIZED else { throw StoreFailure(lmdb: result, "reading") }
            try adoptMapSize()
        }
    }

    /// Another process made the map larger: follows it, with no transaction at work in this process.
    private func adoptMapSize() throws(StoreFailure) {
        let mine: Bool? = pool.wait { pool in
            if pool.isClosed { return false }
            guard !pool.isResizing, pool.busy == 0 else { return nil }
            pool.isResizing = true
            return true
        }
        guard mine == true else { throw .closed }
        let result = mdb_env_set_mapsize(env, 0)
        pool.change { $0.isResizing = false }
        guard result == MDB_SUCCESS else { throw StoreFailure(lmdb: result, "following the size of the map") }
    }

    // MARK: Writing: only on the keeper's committer thread, or in `LMDBVolume.initialise`

    /// Commits the effects of all groups in one synced transaction.
    func commit(_ groups: some Sequence<Effects>) throws(StoreFailure) {
        while true {
            do throws(StoreFailure) { try enter() } catch Self.lost {
                try reopen()
                continue
            }
            let result = write(groups)
            pool.change { pool in
                pool.busy -= 1
                if case .failure(.atItsEnd) = result { pool.isDoubtful = true }
            }
            switch result {
            case .success: return
            case .failure(.resized): try adoptMapSize()
            case .failure(.givenUp): try reopen()
            case .failure(.store(let failure)), .failure(.atItsEnd(let failure)): throw failure
            }
        }
    }

    private enum WriteFailure: Error {
        case resized
        /// liblmdb wants nothing more to do with the environment.
        case givenUp
        case store(StoreFailure)
        /// Everything was put, and the commit itself failed.
        case atItsEnd(StoreFailure)
    }

    private func write(_ groups: some Sequence<Effects>) -> Result<Void, WriteFailure> {
        var begun: OpaquePointer?
        var result = mdb_txn_begin(env, nil, 0, &begun)
        guard result == MDB_SUCCESS, let transaction = begun else {
            switch result {
            case MDB_MAP_RESIZED: return .failure(.resized)
            case MDB_PANIC: return .failure(.givenUp)
            default: return .failure(.store(StoreFailure(lmdb: result, "beginning a commit")))
            }
        }
        for effects in groups {
            for operation in effects.operations {
                result = perform(operation, transaction)
                guard result == MDB_SUCCESS else {
                    mdb_txn_abort(transaction)
                    return .failure(.store(StoreFailure(lmdb: result, "writing a row")))
                }
            }
        }
        result = mdb_txn_commit(transaction)
        if result == EIO, !hasRoom { return .failure(.atItsEnd(.noSpace)) }
        return result == MDB_SUCCESS ? .success(()) : .failure(.atItsEnd(StoreFailure(lmdb: result, "committing")))
    }

    /// liblmdb calls a write that was cut short an input/output error; where the file system has no room for some pages, it was full.
    private var hasRoom: Bool {
        var figures = statvfs()
        guard statvfs(directory, &figures) == 0 else { return true }
        let (free, overflow) = UInt64(figures.f_bavail).multipliedReportingOverflow(by: UInt64(figures.f_frsize))
        return overflow || free >= 16 * pageBytes
    }

    private func perform(_ operation: Effect, _ transaction: OpaquePointer) -> Int32 {
        switch operation {
        case .put(let key, let value):
            return key.bytes.withUnsafeBytes { rawKey in
                value.withUnsafeBytes { rawValue in
                    var key = MDB_val(rawKey)
                    var value = MDB_val(rawValue)
                    return mdb_put(transaction, database, &key, &value, 0)
                }
            }
        case .delete(let key):
            return key.bytes.withUnsafeBytes { rawKey in
                var key = MDB_val(rawKey)
                let result = mdb_del(transaction, database, &key, nil)
                return result == MDB_NOTFOUND ? MDB_SUCCESS : result
            }
        }
    }

    // MARK: Figures

    /// Bytes of the data file that have been used at one time, and of the reserved map.
    var size: (used: UInt64, map: UInt64) {
        pool.look { pool in
            guard pool.hasEnvironment else { return (0, 0) }
            var info = MDB_envinfo()
            mdb_env_info(env, &info)
            return ((UInt64(info.me_last_pgno) &+ 1) &* pageBytes, UInt64(info.me_mapsize))
        }
    }

    /// Whether the data file that is open is the one that stands in the directory now.
    var isInPlace: Bool {
        pool.look { pool in
            var descriptor: mdb_filehandle_t = -1
            var mine = stat()
            var named = stat()
            return pool.hasEnvironment && mdb_env_get_fd(env, &descriptor) == MDB_SUCCESS && fstat(descriptor, &mine) == 0
                && stat(directory + "/data.mdb", &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev
        }
    }

    /// Rows as the last commit left them.
    var rows: UInt64 {
        pool.look { pool in
            guard pool.hasEnvironment else { return 0 }
            var stat = MDB_stat()
            mdb_env_stat(env, &stat)
            return UInt64(stat.ms_entries)
        }
    }

    /// The number of the last commit. It rises by one with each, and begins again in a compact copy.
    var lastCommit: UInt64 {
        pool.look { pool in
            guard pool.hasEnvironment else { return 0 }
            var info = MDB_envinfo()
            mdb_env_info(env, &info)
            return UInt64(info.me_last_txnid)
        }
    }

    /// Bytes of freed pages that a later commit can use again.
    func freeBytes() throws(StoreFailure) -> UInt64 {
        let transaction = try beginReading()
        defer {
            mdb_txn_reset(transaction)
            pool.change {
                $0.idle.append(transaction)
                $0.busy -= 1
            }
        }
        var opened: OpaquePointer?
        // Database 0 is LMDB's own list of free pages: each value is a count and as many page numbers.
        guard mdb_cursor_open(transaction, 0, &opened) == MDB_SUCCESS, let cursor = opened else { return 0 }
        defer { mdb_cursor_close(cursor) }
        var pages: UInt64 = 0
        var key = MDB_val()
        var value = MDB_val()
        while mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS {
            guard let data = value.mv_data, value.mv_size >= MemoryLayout<UInt>.size else { continue }
            pages &+= UInt64(data.loadUnaligned(as: UInt.self))
        }
        return pages &* pageBytes
    }

    /// Clears the reader slots of dead processes; returns how many.
    @discardableResult
    func checkReaders() -> Int {
        pool.look { pool in
            guard pool.hasEnvironment else { return 0 }
            var dead: Int32 = 0
            mdb_reader_check(env, &dead)
            return Int(dead)
        }
    }

    /// Writes a compact copy to a descriptor; only in the keeper, and within `holdingOpen`.
    func copy(to descriptor: Int32) -> Int32 { mdb_env_copyfd2(env, descriptor, UInt32(MDB_CP_COMPACT)) }

    /// Keeps the environment open, and its map in place, while `body` runs.
    func holdingOpen<T>(_ body: () throws(StoreFailure) -> T) throws(StoreFailure) -> T {
        try enter()
        defer { pool.change { $0.busy -= 1 } }
        return try body()
    }

    /// Counts the caller among those at work.
    private func enter() throws(StoreFailure) {
        let entered: Result<Void, StoreFailure>? = pool.wait { pool in
            if pool.isClosed { return .failure(.closed) }
            guard !pool.isResizing else { return nil }
            if pool.isLost { return .failure(Self.lost) }
            pool.busy += 1
            return .success(())
        }
        guard let entered else { throw .closed }
        try entered.get()
    }

    // MARK: Given up by liblmdb

    private static let lost = StoreFailure.io("it is not open again yet after a failed commit")

    /// Opens the environment anew if a commit may have made liblmdb give it up; only in the process that may write.
    func reopenIfDoubtful() throws(StoreFailure) {
        if pool.look({ $0.isDoubtful || $0.isLost }) { try reopen() }
    }

    /// When liblmdb could not write the page that makes a commit true, it refuses everything from then on, reads too. What is on disk is
    /// whole, up to the commit before: opened anew, it works. Nobody is waited for, since a copy may run for minutes and every commit
    /// meanwhile wants an answer: while transactions are at work this fails, and the next probe tries again.
    private func reopen() throws(StoreFailure) {
        let rest: (idle: [OpaquePointer], wasLost: Bool)? = pool.change { pool in
            guard pool.busy == 0, !pool.isResizing, !pool.isClosed else { return nil }
            let wasLost = pool.isLost
            pool.isResizing = true
            pool.isLost = true
            defer { pool.idle.removeAll() }
            return (pool.idle, wasLost)
        }
        guard let rest else { throw .io("a commit failed, and the store is still being read") }
        if !rest.wasLost {
            for transaction in rest.idle { mdb_txn_abort(transaction) }
            mdb_env_close(env)
        }
        do throws(StoreFailure) {
            let fresh = try Self.open(directory, mapBytes: mapBytes)
            do throws(StoreFailure) {
                let (_, transactions) = try Self.claim(readers, of: fresh)
                env = fresh
                pool.change { pool in
                    pool.idle = transactions
                    pool.isLost = false
                    pool.isDoubtful = false
                    pool.isResizing = false
                }
            } catch {
                mdb_env_close(fresh)
                throw error
            }
        } catch {
            pool.change { $0.isResizing = false }
            throw error
        }
    }
}

extension MDB_val {
    init(_ bytes: UnsafeRawBufferPointer) {
        // liblmdb takes a pointer to mutable bytes but does not write through it here.
        self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: mv_data, count: mv_size) }
}
