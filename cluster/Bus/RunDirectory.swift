import BusProtocol
import CShims
import Glibc

/// `F_OFD_GETLK` of `linux/fcntl.h`, which the Glibc module does not show.
private let ofdGetLock: Int32 = 36

/// The directory where the nodes of a volume find each other: of each node a socket for links, one for beats, and a lock.
///
/// The lock says who lives: the kernel releases it when the process ends, however it ends. Lock files are never removed, because a
/// process that waits for the old file would not see the new one. A node's sockets are removed only by that node, under its lock.
struct RunDirectory: Sendable {
    let path: String

    func linkSocket(of name: String) -> String { "\(path)/node-\(name).sock" }
    /// Where the socket for links stands until it accepts connections.
    func newLinkSocket(of name: String) -> String { linkSocket(of: name) + ".new" }
    func beatSocket(of name: String) -> String { "\(path)/node-\(name).beat" }
    func lockFile(of name: String) -> String { "\(path)/node-\(name).lock" }

    /// Makes the directory if need be, and refuses one that others can reach.
    func prepare() throws(BusError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .system("mkdir \(path)", errno: errno) }
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .system("lstat \(path)", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() else { throw .unsafeDirectory(path) }
        if status.st_mode & 0o077 != 0, chmod(path, 0o700) != 0 { throw .unsafeDirectory(path) }
    }

    /// Names that have a socket for links, whether they live or not.
    func names() -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let file = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard file.hasPrefix("node-"), file.hasSuffix(".sock") else { continue }
            let name = String(file.dropFirst(5).dropLast(5))
            if NodeID.isValid(name: name) { found.append(name) }
        }
        return found.sorted()
    }

    enum Holder: Equatable {
        case nobody
        /// The incarnation, once it has been written.
        case living(UInt64?)
    }

    /// Who lives under a name. Only looks: a lock that is taken to try it would refuse a node that starts at that moment.
    func holder(of name: String) -> Holder {
        let file = open(lockFile(of: name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return .nobody }
        defer { close(file) }
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        let result = withUnsafeMutablePointer(to: &lock) { fcntl(file, ofdGetLock, UnsafeMutableRawPointer($0)) }
        guard result == 0, lock.l_type == Int16(F_UNLCK) else { return .living(NodeLock.owner(of: file)?.incarnation) }
        return .nobody
    }
}

/// The lock that makes a process the node of its name, for as long as it lives.
final class NodeLock: Sendable {
    private let file: Int32

    init(_ node: NodeInfo, in directory: RunDirectory) throws(BusError) {
        let path = directory.lockFile(of: node.id.name)
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw .system("open \(path)", errno: errno) }
        let result = martlet_ofd_lock(file, 0)
        guard result == 0 else {
            let pid = Self.owner(of: file)?.pid
            close(file)
            if result == EAGAIN { throw .nameTaken(node.id.name, pid: pid) }
            throw .system("lock \(path)", errno: result)
        }
        // The incarnation first: who reads half of it takes it for unknown, never for another.
        let text = Array("\(String(node.id.incarnation, radix: 16)) \(node.pid)\n".utf8)
        guard ftruncate(file, 0) == 0, pwrite(file, text, text.count, 0) == text.count else {
            let number = errno
            close(file)
            throw .system("write \(path)", errno: number)
        }
    }

    /// What the holder wrote of itself; nil while it is being written.
    static func owner(of file: Int32) -> (incarnation: UInt64, pid: Int32)? {
        guard let bytes = firstBytes(of: file, count: 64), bytes.last == UInt8(ascii: "\n") else { return nil }
        let words = bytes.dropLast().split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 2, let incarnation = UInt64(words[0], radix: 16), let pid = Int32(words[1]) else { return nil }
        return (incarnation, pid)
    }

    /// From now on the name is free.
    func release() {
        _ = ftruncate(file, 0)
        close(file)
    }
}
