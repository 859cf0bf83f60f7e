import CLMDB
import Glibc
public import Store

/// A copy of a store that nobody writes, opened to be read: the data file of a backup.
///
/// LMDB believes the pages it reads, and what a flipped byte in one does is not defined: so nothing is opened whose checksum was not
/// compared with the manifest before. Safe from any thread, and takes no lock.
public final class StoreCopy: @unchecked Sendable {
    // @unchecked: each read has a transaction of its own.
    public let manifest: Manifest
    /// The data file.
    public let path: String
    public let identity: VolumeIdentity
    private let env: OpaquePointer
    private let database: MDB_dbi

    /// Opens the copy in a backup's folder, or named by its data file, after its size and checksum were compared with the manifest.
    ///
    /// - Parameter progress: told the bytes checked and how many there are; false ends it.
    /// - Throws: `.format` with one sentence when it is not a whole copy as it was written.
    public convenience init(verifying name: String, progress: (_ bytes: UInt64, _ total: UInt64) -> Bool = { _, _ in true })
        throws(StoreFailure)
    {
        let folder = Self.folder(of: name)
        let manifest = try Self.manifest(of: folder)
        let path = folder + "/" + Manifest.dataName
        try Self.compare(path, with: manifest, progress)
        try self.init(unverified: path, manifest)
        guard identity.name == manifest.volume else {
            throw .format("\(path) is of volume \(identity.name) and its manifest of \(manifest.volume)")
        }
        guard identity.featureLevel <= VolumeIdentity.currentFeatureLevel else {
            throw .format("the copy is of level \(identity.featureLevel); this program knows up to \(VolumeIdentity.currentFeatureLevel)")
        }
    }

    /// As `init(verifying:)`, on a thread of its own; `done` is called there, once.
    public static func open(
        _ name: String, progress: @escaping @Sendable (_ bytes: UInt64, _ total: UInt64) -> Bool,
        done: @escaping @Sendable (Result<StoreCopy, StoreFailure>) -> Void
    ) throws(StoreFailure) {
        let thread = try Thread("store-copy") {
            Thread.yieldToOthers()
            done(Result { () throws(StoreFailure) in try StoreCopy(verifying: name, progress: progress) })
        }
        thread.detach()
    }

    /// Opens a file that this program just wrote.
    init(unverified path: String, _ manifest: Manifest) throws(StoreFailure) {
        var created: OpaquePointer?
        var result = mdb_env_create(&created)
        guard result == MDB_SUCCESS, let env = created else { throw StoreFailure(lmdb: result, "making an environment") }
        var database: MDB_dbi = 0
        result = mdb_env_open(env, path, UInt32(MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NOTLS), 0o600)
        if result == MDB_SUCCESS {
            var transaction: OpaquePointer?
            result = mdb_txn_begin(env, nil, UInt32(MDB_RDONLY), &transaction)
            if result == MDB_SUCCESS, let transaction {
                result = mdb_dbi_open(transaction, nil, 0, &database)
                mdb_txn_abort(transaction)
            }
        }
        guard result == MDB_SUCCESS else {
            mdb_env_close(env)
            throw StoreFailure(lmdb: result, "opening \(path)")
        }
        do throws(StoreFailure) {
            let found = try Self.reading(env, database) { (snapshot) throws(StoreFailure) in try VolumeRows.identity(in: snapshot) }
            guard let identity = found else { throw .format("\(path) holds no volume") }
            self.identity = identity
        } catch {
            mdb_env_close(env)
            throw error
        }
        self.env = env
        self.database = database
        self.path = path
        self.manifest = manifest
    }

    deinit { mdb_env_close(env) }

    /// Runs `body` on the copy, on the calling thread, which may wait for the disk.
    public func read<T>(_ body: (any Snapshot) throws(StoreFailure) -> T) throws(StoreFailure) -> T {
        try Self.reading(env, database, body)
    }

    /// Rows of the copy.
    public var rows: UInt64 {
        var stat = MDB_stat()
        mdb_env_stat(env, &stat)
        return UInt64(stat.ms_entries)
    }

    private static func reading<T>(
        _ env: OpaquePointer, _ database: MDB_dbi, _ body: (any Snapshot) throws(StoreFailure) -> T
    ) throws(StoreFailure) -> T {
        var begun: OpaquePointer?
        let result = mdb_txn_begin(env, nil, UInt32(MDB_RDONLY), &begun)
        guard result == MDB_SUCCESS, let transaction = begun else { throw StoreFailure(lmdb: result, "reading the copy") }
        let snapshot = LMDBSnapshot(transaction, database)
        defer {
            snapshot.end()
            mdb_txn_abort(transaction)
        }
        return try body(snapshot)
    }

    // MARK: Files

    /// The folder of a backup that is named by itself or by its data file.
    public static func folder(of name: String) -> String {
        var path = name
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard path.hasSuffix("/" + Manifest.dataName) else { return path == Manifest.dataName ? "." : path }
        let folder = path.dropLast(Manifest.dataName.count + 1)
        return folder.isEmpty ? "/" : String(folder)
    }

    /// The manifest in the folder of a backup.
    public static func manifest(of folder: String) throws(StoreFailure) -> Manifest {
        let path = folder + "/" + Manifest.fileName
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno == ENOENT || errno == ENOTDIR else { throw StoreFailure(system: errno, "opening \(path)") }
            throw .format("\(folder) is not a backup: there is no \(Manifest.fileName) in it")
        }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65_537)
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count) }
            if more < 0, errno == EINTR { continue }
            guard more >= 0 else { throw StoreFailure(system: errno, "reading \(path)") }
            if more == 0 { break }
            count += more
        }
        return try Manifest(Array(bytes[..<count]))
    }

    private static func compare(
        _ path: String, with manifest: Manifest, _ progress: (UInt64, UInt64) -> Bool
    ) throws(StoreFailure) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreFailure(system: errno, "opening \(path)") }
        defer { Glibc.close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw StoreFailure(system: errno, "looking at \(path)") }
        guard UInt64(clamping: status.st_size) == manifest.bytes else {
            throw .format("\(path) has \(status.st_size) bytes and not the \(manifest.bytes) of its manifest: it is not whole")
        }
        let found = try SHA256Digest.ofFile(descriptor) { progress($0, manifest.bytes) }
        guard Hex.text(found.sha256) == manifest.sha256 else {
            throw .format("\(path) was changed or is damaged: its SHA-256 is not the one of its manifest")
        }
    }
}
