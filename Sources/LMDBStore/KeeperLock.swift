import CShims
import Glibc
public import Store

/// Holds `volume.lock` of a volume: the right, and the only one, to write it. The kernel releases it when the process dies.
///
/// An OFD lock: it belongs to the open file and not to the process, so nothing else in the process can lose it by closing a
/// file. Close-on-exec, so no child keeps it.
public final class KeeperLock: Sendable {
    /// Who holds, or last held, the lock. For people: nothing is decided by it.
    public struct Holder: Sendable, Equatable {
        public var pid: Int32
        /// Start time of the process in clock ticks since boot (`/proc/PID/stat`, field 22): tells it from a later one of that pid.
        public var startTime: UInt64
        public var node: String
    }

    /// The real path of the volume's directory.
    let directory: String
    private let descriptor: Int32

    private init(directory: String, descriptor: Int32) {
        self.directory = directory
        self.descriptor = descriptor
    }

    deinit {
        // A child between fork and exec shares the open file: closing alone would leave the lock to it.
        _ = martlet_ofd_unlock(descriptor)
        Glibc.close(descriptor)
    }

    /// A claim that waits for its lock.
    public final class Claim: Sendable {
        private let state = Monitor(false)
        fileprivate init() {}

        /// Gives up. A lock that is granted afterwards is released at once, and the callback is not called.
        public func withdraw() { state.change { $0 = true } }

        fileprivate var isWithdrawn: Bool { state.look { $0 } }
    }

    /// Waits for the lock on a thread of its own and calls `granted` there, once.
    ///
    /// - Parameter node: the node's name, written into the file for people.
    @discardableResult
    public static func acquire(
        directory: String, node: String, granted: @escaping @Sendable (Result<KeeperLock, StoreFailure>) -> Void
    ) -> Claim {
        let claim = Claim()
        do throws(StoreFailure) {
            let thread = try Thread("keeper-lock") {
                let result = Result { () throws(StoreFailure) in try lock(directory, node: node, waiting: claim) }
                guard !claim.isWithdrawn else { return }
                switch result {
                case .success(let lock?): granted(.success(lock))
                case .success(nil): granted(.failure(.io("the lock of \(directory) was not granted")))
                case .failure(let failure): granted(.failure(failure))
                }
            }
            thread.detach()
        } catch {
            granted(.failure(error))
        }
        return claim
    }

    /// Takes the lock if nobody holds it; nil when somebody does.
    public static func acquireNow(directory: String, node: String) throws(StoreFailure) -> KeeperLock? {
        try lock(directory, node: node, waiting: nil)
    }

    /// Who holds, or last held, the lock of a volume; nil when the file does not say.
    public static func holder(directory: String) -> Holder? {
        guard let text = readSmallFile(directory + "/volume.lock") else { return nil }
        let words = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard words.count == 3, let pid = Int32(words[0]), let start = UInt64(words[1]) else { return nil }
        return Holder(pid: pid, startTime: start, node: String(words[2]))
    }

    private static func lock(_ directory: String, node: String, waiting claim: Claim?) throws(StoreFailure) -> KeeperLock? {
        guard let resolved = realpath(directory, nil) else { throw StoreFailure(system: errno, "looking for \(directory)") }
        defer { free(resolved) }
        let directory = String(cString: resolved)
        let path = directory + "/volume.lock"
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { throw StoreFailure(system: errno, "opening \(path)") }
            let lock = KeeperLock(directory: directory, descriptor: descriptor)
            let result = martlet_ofd_lock(descriptor, claim == nil ? 0 : 1)
            if result == EAGAIN { return nil }
            guard result == 0 else { throw StoreFailure(system: result, "locking \(path)") }
            // A file that was removed or replaced while we waited locks nothing.
            guard lock.isInPlace(path) else { continue }
            // Granted too late: it goes back without a trace.
            if let claim, claim.isWithdrawn { return nil }
            try lock.sign(node)
            return lock
        }
    }

    private func isInPlace(_ path: String) -> Bool {
        var mine = stat()
        var named = stat()
        return fstat(descriptor, &mine) == 0 && stat(path, &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev
    }

    private func sign(_ node: String) throws(StoreFailure) {
        let name = String(node.filter { !$0.isWhitespace }.prefix(64))
        let text = Array("\(getpid()) \(Self.startTime) \(name.isEmpty ? "-" : name)\n".utf8)
        // In this order the file is never empty.
        guard pwrite(descriptor, text, text.count, 0) == text.count, ftruncate(descriptor, off_t(text.count)) == 0 else {
            throw StoreFailure(system: errno, "signing \(directory)/volume.lock")
        }
    }

    /// The start time of this process in clock ticks since boot.
    private static var startTime: UInt64 {
        // The name of the program, in brackets, may hold blanks: the fields are counted from behind it.
        guard let text = readSmallFile("/proc/self/stat"), let bracket = text.lastIndex(of: ")") else { return 0 }
        let fields = text[bracket...].split(separator: " ")
        return fields.count > 20 ? UInt64(fields[20]) ?? 0 : 0
    }

    /// The text of a file of at most 4 KiB.
    private static func readSmallFile(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
