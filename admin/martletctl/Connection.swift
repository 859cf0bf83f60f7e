internal import AdminLanguage
internal import Glibc

/// Milliseconds of a clock that nobody sets.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

/// A Unix socket to a node that has greeted.
final class Connection {
    let descriptor: Int32
    let path: String
    /// The node's name, from its greeting.
    private(set) var node = ""
    private var framer = LineFramer(longest: Words.longestReply)

    /// Connects, and waits for the greeting.
    init(_ path: String, greetingWithin milliseconds: Int64) throws(Failure) {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(.noConnection, "no socket can be made (\(String(cString: strerror(errno))))") }
        // Linux bounds a connect to a Unix socket whose backlog is full by the send timeout.
        var bound = timeval(tv_sec: Int(milliseconds / 1000), tv_usec: Int(milliseconds % 1000) * 1000)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
        guard Connection.connect(descriptor, path) else { throw Connection.failure(path, errno) }
        try greet(within: milliseconds)
    }

    /// Takes a socket that is connected, and waits for the greeting.
    init(descriptor: Int32, path: String, greetingWithin milliseconds: Int64) throws(Failure) {
        self.descriptor = descriptor
        self.path = path
        try greet(within: milliseconds)
    }

    private func greet(within milliseconds: Int64) throws(Failure) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        let deadline = monotonicMilliseconds() + milliseconds
        while true {
            if let line = try nextLine() {
                guard let greeting = Greeting(line) else {
                    throw Failure(.noConnection, "\(path): something answers there, but no Martlet node")
                }
                guard greeting.version == Greeting.currentVersion else {
                    throw Failure(
                        .noConnection,
                        "\(path): node \(greeting.node) speaks version \(greeting.version) of the admin language, this program version \(Greeting.currentVersion): use the martletctl of its own build"
                    )
                }
                node = greeting.node
                return
            }
            let left = deadline - monotonicMilliseconds()
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = left > 0 ? poll(&waiting, 1, Int32(clamping: left)) : 0
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else {
                throw Failure(.noConnection, "\(path): no answer in \(milliseconds / 1000) s: the node is stopped or has no time")
            }
            guard try receive() else { throw Failure(.noConnection, "\(path): the node closed the connection: it is stopping") }
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Takes what has come; false when the node closed the connection.
    func receive() throws(Failure) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count < 0 {
            guard errno == EAGAIN || errno == EINTR else {
                throw Failure(.noConnection, "\(path): the connection was lost (\(String(cString: strerror(errno))))")
            }
            return true
        }
        framer.append(chunk[..<count])
        return count > 0
    }

    /// The next whole line that was received.
    func nextLine() throws(Failure) -> String? {
        switch framer.next() {
        case .text(let line)?: return line
        case .tooLong?, .notUTF8?: throw Failure(.noConnection, "\(path): the answer is not in the admin language")
        case nil: return nil
        }
    }

    /// Sends as much as the socket takes; the count, 0 when it takes nothing now.
    func send(_ bytes: ArraySlice<UInt8>) throws(Failure) -> Int {
        let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if count >= 0 { return count }
        guard errno == EAGAIN || errno == EINTR else {
            throw Failure(.noConnection, "\(path): the connection was lost (\(String(cString: strerror(errno))))")
        }
        return 0
    }

    /// Connects a socket to a path of any length: one that does not fit the address goes by its directory's descriptor.
    private static func connect(_ descriptor: Int32, _ path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        var reachable = path
        var directory: Int32 = -1
        defer { if directory >= 0 { close(directory) } }
        if path.utf8.count > room, let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) {
            directory = open(String(path[..<slash]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard directory >= 0 else { return false }
            reachable = "/proc/self/fd/\(directory)\(path[slash...])"
        }
        guard reachable.utf8.count <= room else {
            errno = ENAMETOOLONG
            return false
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: reachable.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, size) == 0 }
        }
    }

    private static func failure(_ path: String, _ reason: Int32) -> Failure {
        let sentence =
            switch reason {
            case ENOENT: "there is no such socket: is the node running?"
            case EACCES, EPERM: "permission denied: run martletctl as the user of the server"
            case ECONNREFUSED: "no node listens there any more: start it"
            case EAGAIN, EINPROGRESS, ETIMEDOUT: "the node takes no connection: it is stopped or has no time"
            default: "no connection (\(String(cString: strerror(reason))))"
            }
        return Failure(.noConnection, "\(path): \(sentence)")
    }
}
