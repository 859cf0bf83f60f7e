import CShims
import Glibc
import Stanzas
public import Store

/// Puts a backup in the place of the store of a stopped cluster. In three steps, so that whoever asked can look and think in between:
/// `init` compares the copy with its manifest and takes the lock, `verify` walks through every row, `carryOut` does it.
///
/// The old store is kept aside, never removed. Everything runs on the calling thread.
public final class Restore {
    /// What stands where the backup is to go.
    public struct Replaced: Sendable, Equatable {
        public var volume: String
        public var accounts: UInt64
        public var rows: UInt64
        public var epoch: UInt64
        public var bytes: UInt64
        /// When it was last written, µs since 1970, UTC.
        public var modified: Int64
    }

    /// What was done.
    public struct Outcome: Sendable, Equatable {
        /// Where the store is now.
        public var path: String
        /// Where the old one is; nil: there was none.
        public var aside: String?
        public var accounts: UInt64
    }

    public let copy: StoreCopy
    /// What is replaced; nil: nothing is there.
    public private(set) var replaced: Replaced?
    /// Why nothing can be said of the store that is there; it is kept aside all the same.
    public private(set) var unreadable: StoreFailure?
    /// Whether something is there that the backup takes the place of.
    public let isOccupied: Bool
    private let directory: String
    private let lock: KeeperLock?

    private var store: String { directory + "/store" }

    /// - Parameters:
    ///   - backup: the folder of a backup, or its data file.
    ///   - directory: the directory of the cluster (`node.directory`), made when it is not there.
    /// - Throws: `.format` when the copy is not whole; `.notKeeper` when a node runs on the directory.
    public init(_ backup: String, to directory: String, progress: (UInt64, UInt64) -> Bool = { _, _ in true }) throws(StoreFailure) {
        self.directory = directory
        // The lock first: it costs nothing, and reading the copy may take long.
        isOccupied = access(directory + "/store", F_OK) == 0
        lock = isOccupied ? try KeeperLock.acquireNow(directory: directory + "/store", node: "restore") : nil
        guard lock != nil || !isOccupied else { throw .notKeeper }
        copy = try StoreCopy(verifying: backup, progress: progress)
        guard isOccupied, access(store + "/data.mdb", F_OK) == 0 else { return }
        do throws(StoreFailure) { replaced = try Self.look(at: store) } catch { unreadable = error }
    }

    private static func look(at store: String) throws(StoreFailure) -> Replaced {
        var status = stat()
        guard stat(store + "/data.mdb", &status) == 0 else { throw StoreFailure(system: errno, "looking at \(store)/data.mdb") }
        let environment = try Environment(store, mapBytes: 1 << 30, readers: 1, creating: false)
        defer { environment.close() }
        return try environment.reading { (snapshot) throws(StoreFailure) in
            guard let identity = try VolumeRows.identity(in: snapshot) else { throw .format("\(store) holds no volume") }
            return Replaced(
                volume: identity.name, accounts: try AccountRecord.count(in: snapshot, identity: identity), rows: environment.rows,
                epoch: try VolumeRows.epoch(in: snapshot), bytes: UInt64(clamping: status.st_size),
                modified: Int64(status.st_mtim.tv_sec) &* 1_000_000 &+ Int64(status.st_mtim.tv_nsec) / 1_000)
        }
    }

    /// Every row of the copy. Findings are no reason to throw.
    public func verify(progress: (_ rows: UInt64, _ total: UInt64) -> Void) throws(StoreFailure) -> [Finding] {
        try copy.verify(progress: progress).findings
    }

    /// Writes the copy, gives every account a new era, and exchanges the stores in one step.
    ///
    /// - Parameters:
    ///   - newSecrets: whether tokens, resumable streams and tickets that were given out before are to end: for a copy that others may
    ///     have seen.
    ///   - now: µs since 1970, UTC.
    public func carryOut(newSecrets: Bool, now: Int64, progress: (UInt64, UInt64) -> Void) throws(StoreFailure) -> Outcome {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw StoreFailure(system: errno, "making \(directory)") }
        let new = directory + "/store.restoring"
        try Self.clear(new)
        guard mkdir(new, 0o700) == 0 else { throw StoreFailure(system: errno, "making \(new)") }
        var accounts: UInt64 = 0
        do throws(StoreFailure) {
            try duplicate(to: new + "/data.mdb", progress)
            accounts = try beginEra(in: new, newSecrets: newSecrets, now: now)
            try syncDirectory(new)
        } catch {
            try? Self.clear(new)
            throw error
        }
        guard isOccupied else {
            guard rename(new, store) == 0 else {
                let failure = StoreFailure(system: errno, "naming \(store)")
                try? Self.clear(new)
                throw failure
            }
            try syncDirectory(directory)
            return Outcome(path: store, aside: nil, accounts: accounts)
        }
        let aside = try Self.exchange(new, with: store, in: directory, now: now)
        try syncDirectory(directory)
        return Outcome(path: store, aside: aside, accounts: accounts)
    }

    /// Puts a whole new store in the place of the old one, in one step, and answers where the old one is then: it has its lasting name at
    /// that moment, so whatever fails, or whoever dies, the old store never lies where the next attempt clears up.
    static func exchange(_ new: String, with store: String, in directory: String, now: Int64) throws(StoreFailure) -> String {
        let aside = freeName(in: directory, now: now)
        guard rename(new, aside) == 0 else {
            let failure = StoreFailure(system: errno, "naming \(aside)")
            try? clear(new)
            throw failure
        }
        let result = martlet_exchange(aside, store)
        guard result == 0 else {
            try? clear(aside)
            throw StoreFailure(system: result, "exchanging \(aside) and \(store)")
        }
        return aside
    }

    /// A name for the store that was replaced, which nothing has yet.
    static func freeName(in directory: String, now: Int64) -> String {
        let name = directory + "/store.before-" + Backups.stamp(of: now)
        guard access(name, F_OK) == 0 else { return name }
        return (2...).lazy.map { "\(name)-\($0)" }.first { access($0, F_OK) != 0 } ?? name
    }

    static func clear(_ folder: String) throws(StoreFailure) {
        for file in ["data.mdb", "data.mdb.partial", "lock.mdb", "volume.lock"] {
            guard unlink(folder + "/" + file) == 0 || errno == ENOENT else {
                throw StoreFailure(system: errno, "removing \(folder)/\(file)")
            }
        }
        guard rmdir(folder) == 0 || errno == ENOENT else { throw StoreFailure(system: errno, "removing \(folder)") }
    }

    /// Copies the data file, and looks once more that what was read is what the manifest says.
    private func duplicate(to path: String, _ progress: (UInt64, UInt64) -> Void) throws(StoreFailure) {
        let source = open(copy.path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw StoreFailure(system: errno, "opening \(copy.path)") }
        defer { Glibc.close(source) }
        let target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard target >= 0 else { throw StoreFailure(system: errno, "making \(path)") }
        defer { Glibc.close(target) }
        let total = copy.manifest.bytes
        let digest = try SHA256Digest()
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var done: UInt64 = 0
        while true {
            let count = Glibc.read(source, &block, block.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw StoreFailure(system: errno, "reading \(copy.path)") }
            if count == 0 { break }
            digest.add(block[..<count])
            try HotCopy.writeAll(block[..<count], to: target)
            done += UInt64(count)
            progress(done, total)
        }
        guard Hex.text(try digest.finish()) == copy.manifest.sha256 else { throw .format("\(copy.path) changed while it was read") }
        guard fsync(target) == 0 else { throw StoreFailure(system: errno, "syncing \(path)") }
    }

    /// What a store must not say a second time after it went back in time.
    private func beginEra(in directory: String, newSecrets: Bool, now: Int64) throws(StoreFailure) -> UInt64 {
        let environment = try Environment(
            directory, mapBytes: max(1 << 30, copy.manifest.bytes &* 4), readers: 1, creating: false)
        defer { environment.close() }
        if newSecrets {
            var effects = Effects()
            for kind in SecretRecord.Kind.allCases { effects.put(Keys.secret(kind), SecretRecord.random(kind, created: now).encode()) }
            try environment.commit(CollectionOfOne(effects))
        }
        var accounts: UInt64 = 0
        var after: Key?
        let identity = copy.identity
        repeat {
            // The copy is the snapshot: what is written here does not disturb the walk.
            let (effects, next, count) = try copy.read { (snapshot) throws(StoreFailure) in
                let page = try AccountRecord.page(
                    ofHost: nil, hosts: true, after: after, limit: 1_000, in: snapshot, identity: identity)
                var effects = Effects()
                for record in page.accounts {
                    effects.put(
                        Keys.account(identity.partition(of: record.jid), identity.hash128(record.jid)), record.inNewEra().encode())
                }
                return (effects, page.next, page.accounts.count)
            }
            if !effects.isEmpty { try environment.commit(CollectionOfOne(effects)) }
            accounts += UInt64(count)
            after = next
        } while after != nil
        return accounts
    }
}

extension StoreCopy {
    /// Walks through every row.
    public func verify(progress: (_ rows: UInt64, _ total: UInt64) -> Void) throws(StoreFailure) -> (
        findings: [Finding], walk: Verification
    ) {
        var walk = Verification(identity: identity)
        var findings: [Finding] = []
        let total = rows
        while !walk.isDone {
            let found = try read { (snapshot) throws(StoreFailure) in
                try walk.step(limit: 20_000, limitBytes: 64 << 20, in: snapshot)
            }
            findings += found
            progress(walk.rows, max(total, walk.rows))
        }
        if manifest.rows != walk.rows {
            findings.append(
                Finding(kind: .missing, key: "", sentence: "the copy has \(walk.rows) rows and its manifest says \(manifest.rows)"))
        }
        return (findings, walk)
    }
}
