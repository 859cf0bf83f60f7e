import Glibc
import Store

/// Bounds of a hot copy, which is the one long reader of a volume: pages that it sees cannot be used again meanwhile.
public struct CopyLimits: Sendable {
    /// Bytes by which the data file may grow while the copy runs.
    public var growthBytes: UInt64 = 1 << 30
    /// Bytes that stay free on the target's file system.
    public var reserveBytes: UInt64 = 64 << 20
    /// Bytes a second that are written at most; 0: as fast as it goes.
    public var bytesPerSecond: UInt64 = 0
    /// Asked between blocks: true ends the copy.
    public var isCancelled: @Sendable () -> Bool = { false }
    /// Told between blocks how many bytes are written, and about how many it will be: never less than are written.
    public var progress: @Sendable (_ bytes: UInt64, _ expected: UInt64) -> Void = { _, _ in }
    public init() {}
}

/// What a hot copy wrote.
public struct CopyReport: Sendable, Equatable {
    public var bytes: UInt64
    /// Bytes by which the data file grew meanwhile.
    public var growth: UInt64
    /// SHA-256 of the file.
    public var sha256: [UInt8] = []
    /// Every commit up to this one of the keeper's environment is in the copy, and perhaps a few more.
    public var commit: UInt64 = 0
}

/// A copy that LMDB writes into a pipe and this code into a file, so that it can be watched and ended: once the pipe is
/// closed, LMDB gives up.
struct HotCopy {
    private static let blockBytes = 1 << 20
    /// Bytes between two looks at growth and free space.
    private static let lookBytes: UInt64 = 8 << 20

    private let environment: Environment
    private let limits: CopyLimits

    init(_ environment: Environment, _ limits: CopyLimits) {
        self.environment = environment
        self.limits = limits
    }

    func write(to path: String) throws(StoreFailure) -> CopyReport {
        try environment.holdingOpen { () throws(StoreFailure) in
            // Before the copy begins: what is acknowledged now is committed now.
            let commit = environment.lastCommit
            let size = environment.size.used
            let free = try environment.freeBytes()
            let expected = size - min(free, size)
            try requireSpace(expected, at: directory(of: path))
            let partial = path + ".partial"
            let file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard file >= 0 else { throw StoreFailure(system: errno, "making \(partial)") }
            defer {
                Glibc.close(file)
                unlink(partial)
            }
            var report = try pour(into: file, directory(of: path), startingAt: size, expecting: expected)
            report.commit = commit
            guard fsync(file) == 0 else { throw StoreFailure(system: errno, "syncing \(partial)") }
            // A link and not a rename: a file that is there already stays.
            guard link(partial, path) == 0 else { throw StoreFailure(system: errno, "naming \(path)") }
            try syncDirectory(directory(of: path))
            return report
        }
    }

    private func pour(into file: Int32, _ directory: String, startingAt size: UInt64, expecting expected: UInt64) throws(StoreFailure)
        -> CopyReport
    {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw StoreFailure(system: errno, "making a pipe") }
        let (outlet, inlet) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let environment = environment
        let result = Monitor<Int32?>(nil)
        let thread: Thread
        do throws(StoreFailure) {
            // Threads of the store take no signals, so a closed pipe is an error number and no SIGPIPE.
            thread = try Thread("store-copy") {
                Thread.yieldToOthers()
                let code = environment.copy(to: inlet)
                Glibc.close(inlet)
                result.change { $0 = code }
            }
        } catch {
            Glibc.close(outlet)
            Glibc.close(inlet)
            throw error
        }
        var failure: StoreFailure?
        var report = CopyReport(bytes: 0, growth: 0)
        do throws(StoreFailure) {
            report = try drain(outlet, into: file, directory, startingAt: size, expecting: expected)
        } catch { failure = error }
        Glibc.close(outlet)
        thread.join()
        if let failure { throw failure }
        let code = result.look { $0 } ?? EIO
        guard code == 0 else { throw StoreFailure(lmdb: code, "copying the store") }
        return report
    }

    private func drain(
        _ outlet: Int32, into file: Int32, _ directory: String, startingAt size: UInt64, expecting expected: UInt64
    ) throws(StoreFailure) -> CopyReport {
        var report = CopyReport(bytes: 0, growth: 0)
        let digest = try SHA256Digest()
        let started = Clock.now
        var nextLook = Self.lookBytes
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        while true {
            let count = Glibc.read(outlet, &block, block.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw StoreFailure(system: errno, "copying the store") }
            if count == 0 { break }
            try Self.writeAll(block[..<count], to: file)
            digest.add(block[..<count])
            report.bytes += UInt64(count)
            limits.progress(report.bytes, max(expected, report.bytes))
            if limits.isCancelled() { throw .abandoned("the copy was cancelled") }
            try hold(report.bytes, since: started)
            guard report.bytes >= nextLook else { continue }
            nextLook = report.bytes + Self.lookBytes
            // Written out bit by bit: one large sync at the end would make the commits beside it wait.
            guard fdatasync(file) == 0 else { throw StoreFailure(system: errno, "syncing the copy") }
            report.growth = growth(since: size)
            guard report.growth <= limits.growthBytes else {
                throw .abandoned("the store grew by \(report.growth >> 20) MiB while it was copied; copy it at a quieter time")
            }
            try requireSpace(0, at: directory)
        }
        report.growth = growth(since: size)
        report.sha256 = try digest.finish()
        return report
    }

    /// Waits until so many bytes may have been written.
    private func hold(_ bytes: UInt64, since started: UInt64) throws(StoreFailure) {
        guard limits.bytesPerSecond > 0 else { return }
        let due = started &+ UInt64(Double(bytes) / Double(limits.bytesPerSecond) * 1e9)
        while Clock.now < due {
            if limits.isCancelled() { throw .abandoned("the copy was cancelled") }
            usleep(useconds_t(min(due &- min(Clock.now, due), 50_000_000) / 1_000))
        }
    }

    private func growth(since size: UInt64) -> UInt64 {
        let now = environment.size.used
        return now > size ? now - size : 0
    }

    static func writeAll(_ bytes: ArraySlice<UInt8>, to file: Int32) throws(StoreFailure) {
        let code: Int32 = bytes.withUnsafeBytes { raw in
            var rest = raw[...]
            while !rest.isEmpty {
                let count = Glibc.write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                rest = rest.dropFirst(count)
            }
            return 0
        }
        guard code == 0 else { throw StoreFailure(system: code, "writing the copy") }
    }

    private func requireSpace(_ bytes: UInt64, at directory: String) throws(StoreFailure) {
        var figures = statvfs()
        guard statvfs(directory, &figures) == 0 else { throw StoreFailure(system: errno, "looking at \(directory)") }
        let available = UInt64(figures.f_bavail).multipliedReportingOverflow(by: UInt64(figures.f_frsize))
        let wanted = bytes.addingReportingOverflow(limits.reserveBytes)
        guard !wanted.overflow, available.overflow || available.partialValue >= wanted.partialValue else { throw .noSpace }
    }

    private func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// Makes the names in a directory durable.
func syncDirectory(_ path: String) throws(StoreFailure) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw StoreFailure(system: errno, "opening \(path)") }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw StoreFailure(system: errno, "syncing \(path)") }
}
