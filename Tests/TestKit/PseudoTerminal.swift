import AdminLanguage
import Glibc

/// A program on a terminal of its own, and what is seen there. It is gone when the object is.
public final class PseudoTerminal {
    private let terminal: Int32
    private var process: pid_t = 0
    private var status: Int32?
    /// What is seen.
    public private(set) var screen: TerminalScreen

    /// Starts a program that was built beside the tests.
    ///
    /// - Parameters:
    ///   - program: its name.
    ///   - environment: all of its variables, as `NAME=value`; `TERM` is added.
    public init(_ program: String, _ arguments: [String], environment: [String] = [], width: Int = 80, height: Int = 24) throws {
        screen = TerminalScreen(width: width, height: height)
        var size = winsize(ws_row: UInt16(height), ws_col: UInt16(width), ws_xpixel: 0, ws_ypixel: 0)
        var ours: Int32 = -1
        var theirs: Int32 = -1
        guard openpty(&ours, &theirs, nil, nil, &size) == 0 else { throw ProcessFailure.system("openpty") }
        terminal = ours
        defer { close(theirs) }
        for end in [ours, theirs] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var name = [CChar](repeating: 0, count: 128)
        guard ttyname_r(theirs, &name, name.count) == 0 else { throw ProcessFailure.system("ttyname") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The leader of a session gets the terminal that it opens first.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(0x80))  // POSIX_SPAWN_SETSID
        let path = try Self.find(program)
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = (["TERM=xterm"] + environment).map { strdup($0) } + [nil]
        defer { for pointer in words + variables { free(pointer) } }
        let result = posix_spawn(&process, path, &actions, &attributes, &words, &variables)
        guard result == 0 else { throw ProcessFailure("\(path) cannot be started: \(String(cString: strerror(result)))") }
    }

    deinit {
        if status == nil, process > 0 {
            kill(process, SIGKILL)
            var code: Int32 = 0
            while waitpid(process, &code, 0) < 0, errno == EINTR {}
        }
        close(terminal)
    }

    private static func find(_ program: String) throws -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        guard count > 0 else { throw ProcessFailure.system("/proc/self/exe") }
        let own = String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { throw ProcessFailure("no folder in \(own)") }
        let found = own[...slash] + program
        guard access(String(found), X_OK) == 0 else { throw ProcessFailure("\(found) is not built") }
        return String(found)
    }

    /// Types.
    public func type(_ text: String) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(terminal, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { throw ProcessFailure.system("the terminal") }
            rest = rest.dropFirst(max(count, 0))
        }
    }

    /// Gives the terminal another size, and an empty screen of that size; the program is told.
    public func resize(width: Int, height: Int) {
        var size = winsize(ws_row: UInt16(height), ws_col: UInt16(width), ws_xpixel: 0, ws_ypixel: 0)
        screen = TerminalScreen(width: width, height: height)
        _ = ioctl(terminal, UInt(TIOCSWINSZ), &size)
    }

    /// Sends the program a signal.
    public func signal(_ signal: Int32) { kill(process, signal) }

    /// Waits until the screen shows something.
    public func wait(_ what: String, within patience: Duration = .seconds(30), until isSeen: (TerminalScreen) -> Bool) throws {
        let deadline = Deadline(in: patience)
        while !isSeen(screen) {
            guard try receive(by: deadline) else {
                throw ProcessFailure("\(what) is not seen:\n\(screen.text)")
            }
        }
    }

    /// Waits until a text is seen anywhere on the screen.
    public func wait(for text: String, within patience: Duration = .seconds(30)) throws {
        try wait("“\(text)”", within: patience) { $0.lines.joined(separator: "\n").contains(text) }
    }

    /// Waits for the end of the program. Returns its exit status, or minus the signal.
    public func end(within patience: Duration = .seconds(30)) throws -> Int32 {
        let deadline = Deadline(in: patience)
        while try receive(by: deadline) {}
        guard !deadline.isOver else { throw ProcessFailure("the program does not end:\n\(screen.text)") }
        var code: Int32 = 0
        while waitpid(process, &code, 0) < 0, errno == EINTR {}
        let ending = code & 0x7F == 0 ? (code >> 8) & 0xFF : -(code & 0x7F)
        status = ending
        return ending
    }

    /// False: time is over, or the program closed the terminal.
    private func receive(by deadline: Deadline) throws -> Bool {
        var waiting = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, deadline.milliseconds) > 0 else { return false }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = read(terminal, &chunk, chunk.count)
        // EIO: nobody has the terminal open any more.
        guard count > 0 else { return false }
        screen.write(chunk[..<count])
        return true
    }
}
