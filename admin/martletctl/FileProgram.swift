internal import AdminLanguage
internal import Glibc

/// `martletd --files`, which answers what is about files and needs no node: it stands beside this program, or in the search path.
enum FileProgram {
    /// Starts it; it ends by itself when the connection does.
    static func start(greetingWithin milliseconds: Int64) throws(Failure) -> Connection {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Failure(.noConnection, "no socket can be made (\(String(cString: strerror(errno))))")
        }
        let program = beside() ?? "martletd"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        // Signals that this program waits for are the other's to die of.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var words: [UnsafeMutablePointer<CChar>?] = [strdup(program), strdup("--files"), nil]
        defer { for word in words { free(word) } }
        var process = pid_t()
        let result = posix_spawnp(&process, program, &actions, &attributes, &words, environ)
        close(ends[1])
        guard result == 0 else {
            close(ends[0])
            throw Failure(.noConnection, "martletd, which does this, cannot be started: \(String(cString: strerror(result)))")
        }
        return try Connection(descriptor: ends[0], path: program, greetingWithin: milliseconds)
    }

    private static func beside() -> String? {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        guard length > 0 else { return nil }
        let own = String(decoding: path.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { return nil }
        let program = own[...slash] + "martletd"
        return access(String(program), X_OK) == 0 ? String(program) : nil
    }
}
