import Glibc

/// Processes that do not outlive the test: a guard process reads from a socket whose other end only this process holds. When this
/// process ends, however it ends, the guard kills the group and removes the directory.
final class ProcessGroup {
    /// A directory of its own below `/tmp`, removed at the end.
    let directory: String
    private let line: Int32
    private let guardian: pid_t
    private var children: Set<pid_t> = []

    init() throws {
        var template = Array("/tmp/martlet-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ProcessFailure.system("mkdtemp") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ProcessFailure.system("socketpair")
        }
        line = ends[1]
        // The guard leads the group; what kills the group must stand outside it.
        let script = "cat >/dev/null; exec setsid sh -c 'kill -KILL -- -\"$0\"; rm -rf -- \"$1\"' $$ \"$0\""
        defer { close(ends[0]) }
        guardian = try Self.spawn(["/bin/sh", "-c", script, directory], group: 0, input: ends[0], output: nil)
    }

    deinit {
        for child in children { kill(child, SIGKILL) }
        for child in children { Self.reap(child) }
        close(line)
        Self.reap(guardian)
        // The guard kills an empty group and removes the directory as well; this only makes sure that it is gone now.
        if let remover = try? Self.spawn(["/bin/rm", "-rf", "--", directory], group: 0, input: nil, output: nil) { Self.reap(remover) }
    }

    /// Starts a program, its output appended to a file.
    func start(_ arguments: [String], log: String) throws -> pid_t {
        let pid = try Self.spawn(arguments, group: guardian, input: nil, output: log)
        children.insert(pid)
        return pid
    }

    /// How a child ended, if it did: its exit status, or minus the signal.
    func ended(_ pid: pid_t) -> Int32? {
        var status: Int32 = 0
        guard children.contains(pid), waitpid(pid, &status, WNOHANG) == pid else { return nil }
        children.remove(pid)
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F)
    }

    private static func reap(_ pid: pid_t) {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }

    private static func spawn(_ arguments: [String], group: pid_t, input: Int32?, output: String?) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_addopen(&actions, 1, output ?? "/dev/null", O_WRONLY | O_APPEND | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, group)
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, arguments[0], &actions, &attributes, &pointers, environ)
        guard result == 0 else { throw ProcessFailure("\(arguments[0]) cannot be started: \(String(cString: strerror(result)))") }
        return pid
    }
}

/// Loopback ports that nobody else gets while this lives, below the ephemeral range.
///
/// Nodes share their addresses (SO_REUSEPORT): without this a cluster of another test run could take the port of a node that is just
/// being started again, and get its clients. A socket that is bound and does not listen keeps it for who shares it, and takes nothing.
final class HeldPorts {
    let numbers: [UInt16]
    private let sockets: [Int32]

    init(_ count: Int) throws {
        var held: [(number: UInt16, socket: Int32)] = []
        for _ in 0..<10_000 where held.count < count {
            let number = UInt16.random(in: 15_000...32_000)
            if let socket = Self.hold(number) { held.append((number, socket)) }
        }
        numbers = held.map(\.number)
        sockets = held.map(\.socket)
        guard held.count == count else { throw ProcessFailure("no free ports between 15000 and 32000") }
    }

    deinit { for socket in sockets { close(socket) } }

    /// Bound as by one who shares nothing, so that it fails where anybody is; shared from then on.
    private static func hold(_ number: UInt16) -> Int32? {
        let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { return nil }
        var address = sockaddr_in.loopback(number)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        var yes: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard result == 0, setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, size) == 0,
            setsockopt(file, SOL_SOCKET, SO_REUSEPORT, &yes, size) == 0
        else {
            close(file)
            return nil
        }
        return file
    }
}

enum FreePorts {
    /// Ports below the ephemeral range that nobody has now. Another may take one before it is used: for what shares no port.
    static func find(_ count: Int) throws -> [UInt16] {
        var found: Set<UInt16> = []
        for _ in 0..<10_000 where found.count < count {
            let number = UInt16.random(in: 10_000...14_999)
            let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(file) }
            var address = sockaddr_in.loopback(number)
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            if result == 0 { found.insert(number) }
        }
        guard found.count == count else { throw ProcessFailure("no free ports between 10000 and 15000") }
        return Array(found)
    }
}

extension sockaddr_in {
    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
