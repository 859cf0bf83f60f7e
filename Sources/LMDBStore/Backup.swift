import Glibc
import Stanzas
public import Store

/// What is wanted of a backup.
public struct BackupOrder: Sendable {
    /// The folder in which the backup's own folder appears; made with mode 0700 where there is none.
    public var directory: String
    /// The program and the node that write it, for the manifest.
    public var server: String
    public var node: String
    /// µs since 1970, UTC: names the folder.
    public var started: Int64
    /// The clock of `finished`.
    public var now: @Sendable () -> Int64
    public var limits = CopyLimits()

    public init(directory: String, server: String, node: String, started: Int64, now: @escaping @Sendable () -> Int64) {
        self.directory = directory
        self.server = server
        self.node = node
        self.started = started
        self.now = now
    }
}

/// A backup that is there: a folder with a data file and its manifest.
public struct Backup: Sendable, Equatable {
    public var path: String
    public var manifest: Manifest
}

/// The folders of backups: `martlet-20261121T152423Z` and the like. A folder gets its name when everything in it is written and synced,
/// so none is ever half a backup.
public enum Backups {
    private static let prefix = "martlet-"
    private static let partialPrefix = ".martlet-"

    /// Whether the text names a folder that `take` could have made.
    static func isName(_ text: some StringProtocol) -> Bool {
        let stamp = text.utf8.dropFirst(prefix.utf8.count)
        return text.hasPrefix(prefix) && stamp.count >= 16
            && stamp.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || "TZ-".utf8.contains($0) }
    }

    static func name(of moment: Int64) -> String { prefix + stamp(of: moment) }

    /// A moment as names of files have it: 20261121T152423Z.
    static func stamp(of moment: Int64) -> String {
        DateTime(microseconds: moment - moment % 1_000_000).description.filter { $0 != "-" && $0 != ":" }
    }

    /// The whole backups in a folder, oldest first, and the names of those whose manifest cannot be read.
    public static func list(in directory: String) throws(StoreFailure) -> (whole: [Backup], broken: [(name: String, reason: StoreFailure)])
    {
        var whole: [Backup] = []
        var broken: [(name: String, reason: StoreFailure)] = []
        for name in try names(in: directory).sorted() where isName(name) {
            do throws(StoreFailure) {
                let path = directory + "/" + name
                whole.append(Backup(path: path, manifest: try StoreCopy.manifest(of: path)))
            } catch { broken.append((name, error)) }
        }
        whole.sort { ($0.manifest.started, $0.path) < ($1.manifest.started, $1.path) }
        return (whole, broken)
    }

    /// Removes one backup of `list`: its name first, so that what is left of it is no backup.
    public static func remove(_ backup: Backup) throws(StoreFailure) {
        let folder = directory(of: backup.path)
        let name = backup.path.dropFirst(folder == "/" ? 1 : folder.utf8.count + 1)
        guard isName(name) else { throw .format("\(backup.path) is not the folder of a backup") }
        let hidden = folder + "/." + name + ".removed"
        guard rename(backup.path, hidden) == 0 else { throw StoreFailure(system: errno, "renaming \(backup.path)") }
        try clear(hidden)
        try syncDirectory(folder)
    }

    /// Removes what an earlier process left of backups that it did not finish, or did not finish to remove. Only for the keeper, which
    /// takes one at a time.
    static func sweep(_ directory: String) throws(StoreFailure) {
        for name in try names(in: directory)
        where name.hasPrefix(partialPrefix) && (name.hasSuffix(".partial") || name.hasSuffix(".removed")) {
            try clear(directory + "/" + name)
        }
    }

    /// Removes a folder with the two files of a backup, and nothing else.
    static func clear(_ folder: String) throws(StoreFailure) {
        for file in [Manifest.fileName, Manifest.dataName, Manifest.dataName + ".partial"] {
            guard unlink(folder + "/" + file) == 0 || errno == ENOENT else {
                throw StoreFailure(system: errno, "removing \(folder)/\(file)")
            }
        }
        guard rmdir(folder) == 0 || errno == ENOENT else { throw StoreFailure(system: errno, "removing \(folder)") }
    }

    /// The folder a path lies in.
    public static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func names(in directory: String) throws(StoreFailure) -> [String] {
        guard let opened = opendir(directory) else {
            guard errno == ENOENT else { throw StoreFailure(system: errno, "reading \(directory)") }
            return []
        }
        defer { closedir(opened) }
        var names: [String] = []
        while let entry = readdir(opened) {
            names.append(withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names
    }
}

extension LMDBVolume {
    /// Takes a backup: a consistent, compact copy of the running volume with its manifest. Waits for it: never on a loop. Everything
    /// acknowledged before the call is in it.
    ///
    /// - Throws: `.notKeeper`; `.noSpace`; `.abandoned` when the limits were passed; `.io`. Nothing is left of a failed one.
    public func backUp(_ order: BackupOrder) throws(StoreFailure) -> Backup {
        let directory = order.directory
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw StoreFailure(system: errno, "making \(directory)") }
        try Backups.sweep(directory)
        let name = Backups.name(of: order.started)
        let path = directory + "/" + name
        guard access(path, F_OK) != 0 else { throw .format("\(path) is there already; wait a second") }
        let partial = directory + "/." + name + ".partial"
        guard mkdir(partial, 0o700) == 0 else { throw StoreFailure(system: errno, "making \(partial)") }
        do throws(StoreFailure) {
            let manifest = try write(order, into: partial)
            // The folder has both files, each synced: now it may have its name.
            guard rename(partial, path) == 0 else { throw StoreFailure(system: errno, "naming \(path)") }
            do throws(StoreFailure) { try syncDirectory(directory) } catch {
                // What is reported as failed is not there.
                _ = rename(path, partial)
                throw error
            }
            return Backup(path: path, manifest: manifest)
        } catch {
            try? Backups.clear(partial)
            throw error
        }
    }

    private func write(_ order: BackupOrder, into folder: String) throws(StoreFailure) -> Manifest {
        let data = folder + "/" + Manifest.dataName
        let epoch = try environment.reading { (snapshot) throws(StoreFailure) in try VolumeRows.epoch(in: snapshot) }
        let report = try copy(to: data, limits: order.limits)
        var generator = SystemRandomNumberGenerator()
        let id = Hex.text((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
        var manifest = Manifest(
            backup: id, identity: identity, server: order.server, node: order.node, epoch: epoch, started: order.started,
            finished: order.now(), report: report, rows: 0, accounts: 0)
        // What was written is looked at once before it counts: it opens, and is this volume.
        let copy = try StoreCopy(unverified: data, manifest)
        guard copy.identity == identity else { throw .io("the copy is not of this volume") }
        manifest.rows = copy.rows
        manifest.accounts = try copy.read { (snapshot) throws(StoreFailure) in
            try AccountRecord.count(in: snapshot, identity: copy.identity)
        }
        try Self.write(manifest.encode(), to: folder + "/" + Manifest.fileName)
        try syncDirectory(folder)
        return manifest
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(StoreFailure) {
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw StoreFailure(system: errno, "making \(path)") }
        defer { Glibc.close(file) }
        let count = Glibc.write(file, bytes, bytes.count)
        guard count == bytes.count else { throw StoreFailure(system: count < 0 ? errno : ENOSPC, "writing \(path)") }
        guard fsync(file) == 0 else { throw StoreFailure(system: errno, "syncing \(path)") }
    }

    /// `backUp` on a thread of its own.
    ///
    /// - Parameter done: called once, on that thread.
    public func startBackup(
        _ order: BackupOrder, done: @escaping @Sendable (Result<Backup, StoreFailure>) -> Void
    ) throws(StoreFailure) {
        let thread = try Thread("store-backup") { [self] in
            Thread.yieldToOthers()
            done(Result { () throws(StoreFailure) in try backUp(order) })
        }
        thread.detach()
    }
}
