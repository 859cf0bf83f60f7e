internal import AdminLanguage
internal import Glibc

/// Where an export goes: a new file that only its owner may read, or standard output.
final class ExportFile {
    private let path: String
    private var descriptor: Int32
    /// Whether it is a file, and not standard output, which then holds nothing else.
    let isFile: Bool
    private var buffer: [UInt8] = []

    /// - Parameter path: absolute, or `-`.
    init(_ path: String) throws(Failure) {
        self.path = path
        isFile = path != "-"
        guard isFile else {
            descriptor = STDOUT_FILENO
            return
        }
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            let reason = errno == EEXIST ? "it is there already, and nothing is overwritten" : String(cString: strerror(errno))
            throw Failure(.failure, "\(path) cannot be made: \(reason)")
        }
    }

    deinit { if isFile, descriptor >= 0 { close(descriptor) } }

    func write(_ text: String) throws(Failure) {
        buffer.append(contentsOf: text.utf8)
        if buffer.count >= 262_144 { try flush() }
    }

    private func flush() throws(Failure) {
        var rest = buffer[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else {
                let reason = String(cString: strerror(errno))
                drop()
                throw Failure(.failure, "\(isFile ? path : "standard output") cannot be written: \(reason)")
            }
            rest = rest.dropFirst(count)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// The export is whole: it is on disk when this returns.
    func finish() throws(Failure) {
        try flush()
        guard isFile else { return }
        guard fsync(descriptor) == 0, syncName() else {
            let reason = String(cString: strerror(errno))
            drop()
            throw Failure(.failure, "\(path) cannot be written: \(reason)")
        }
    }

    /// Makes the name durable too.
    private func syncName() -> Bool {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return false }
        let result = fsync(directory)
        let reason = errno
        close(directory)
        errno = reason
        return result == 0
    }

    /// Nothing of a file that is not whole stays.
    func drop() {
        guard isFile, descriptor >= 0 else { return }
        unlink(path)
        close(descriptor)
        descriptor = -1
    }
}
