import Dispatch
import Glibc

/// Starts another node of this host, as this one was started: by systemd, or by the program `start` in the directory of the cluster.
struct NodeStarter: Sendable {
    /// The cluster's directory.
    let directory: String
    /// This node's name.
    let own: String

    /// Bytes of what the program says that are told.
    private static let told = 1_000

    /// Starts it, on a thread that may wait.
    ///
    /// - Parameter done: called with one sentence when that was not possible.
    func start(_ name: String, done: @escaping @Sendable (String?) -> Void) {
        DispatchQueue.global().async { done(begin(name)) }
    }

    private func begin(_ name: String) -> String? {
        if Self.isUnit(of: own) {
            let other = "martletd@\(name).service"
            guard let complaint = Self.run(["systemctl", "--no-ask-password", "start", other]) else { return nil }
            return "systemd does not start \(other) for this node (\(complaint)): as root, run systemctl start \(other)"
        }
        let program = directory + "/start"
        var status = stat()
        guard stat(program, &status) == 0 else {
            return
                "nothing here starts nodes: node \(own) does not run as martletd@\(own).service, and there is no \(program); start node \(name) as the others were started"
        }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() || status.st_uid == 0, status.st_mode & 0o022 == 0 else {
            return "\(program) is not run: others than the user of the server may write it; chmod it to 0700"
        }
        guard let complaint = Self.run([program, name]) else { return nil }
        return "\(program) does not start node \(name): \(complaint)"
    }

    /// Whether systemd runs this process as the unit of its node.
    private static func isUnit(of name: String) -> Bool {
        guard let file = fopen("/proc/self/cgroup", "re") else { return false }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self).contains("/martletd@\(name).service")
    }

    /// Runs a program to its end. Returns nil when it ended well, else what it said.
    private static func run(_ words: [String]) -> String? {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            return String(cString: strerror(errno))
        }
        // Nobody reads while it runs: what does not fit is not said.
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The server ignores some signals; what it starts should not.
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let result = posix_spawnp(&pid, words[0], &actions, &attributes, &arguments, environ)
        close(ends[1])
        defer { close(ends[0]) }
        guard result == 0 else { return String(cString: strerror(result)) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        guard status != 0 else { return nil }
        // What it leaves running may hold the other end: only what is there now is read.
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        var said = [UInt8](repeating: 0, count: told)
        let count = read(ends[0], &said, said.count)
        let text = String(decoding: said.prefix(max(0, count)), as: UTF8.self)
        let line = text.split(whereSeparator: \.isNewline).joined(separator: "; ")
        return line.isEmpty ? "it ended with status \(status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F))" : line
    }
}
