internal import Console
internal import Glibc

/// Rows and columns of the terminal.
struct TerminalSize: Equatable {
    var rows: Int
    var columns: Int

    /// As the terminal says; one that does not say has 24 rows of 80.
    static var now: TerminalSize {
        var size = winsize()
        for descriptor in [STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO] where ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 {
            if size.ws_col > 0, size.ws_row > 0 { return TerminalSize(rows: Int(size.ws_row), columns: Int(size.ws_col)) }
        }
        return TerminalSize(rows: 24, columns: 80)
    }
}

/// How the terminal of standard input hands over keys.
final class TerminalMode {
    enum Mode {
        /// As it was when this was made.
        case before
        /// Each key at once and unseen, ctrl-c among them.
        case editing
        /// A command works: keys wait unseen for the next line, ctrl-c is a signal.
        case running
        /// Whole lines, seen.
        case lines
    }

    private let before: termios

    /// nil: standard input is no terminal.
    init?() {
        var before = termios()
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { return nil }
        self.before = before
    }

    func enter(_ mode: Mode) {
        var wanted = before
        withUnsafeMutableBytes(of: &wanted.c_cc) { keys in
            switch mode {
            case .before: break
            case .editing, .running:
                keys[Int(VMIN)] = 1
                keys[Int(VTIME)] = 0
                // Nobody would put the terminal right again.
                keys[Int(VSUSP)] = 0
            case .lines: break
            }
        }
        switch mode {
        case .before: break
        case .editing:
            wanted.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG | IEXTEN)
            wanted.c_iflag &= ~tcflag_t(IXON | ICRNL | INLCR)
        case .running:
            wanted.c_lflag &= ~tcflag_t(ECHO | ICANON)
            wanted.c_lflag |= tcflag_t(ISIG)
        case .lines: wanted.c_lflag |= tcflag_t(ECHO | ICANON | ISIG)
        }
        while tcsetattr(STDIN_FILENO, TCSADRAIN, &wanted) != 0, errno == EINTR {}
    }
}

/// Keys from standard input.
enum TerminalKeys {
    /// Milliseconds after which an escape with nothing behind it is one.
    private static let patience: Int32 = 50

    /// Waits for keys; nil: the terminal is gone.
    static func read(_ decoder: inout KeyDecoder) -> [Key]? {
        if decoder.isWaiting {
            var waiting = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, patience) == 0 { return decoder.flush() }
        }
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return [] }
        guard count > 0 else { return nil }
        let keys = decoder.take(chunk[..<count])
        return keys.isEmpty && decoder.isWaiting ? read(&decoder) : keys
    }
}

/// Signals as bytes of a pipe, so that one `poll` waits for them too.
final class Signals {
    /// Readable when a signal came.
    let descriptor: Int32
    /// The signal that is to end the program, when the terminal is as it was.
    private(set) var ending: Int32?

    /// From here on interrupts, endings and changes of size come here; nil: there are no pipes left.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        descriptor = ends[0]
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        var wanted = Signals.wanted
        pthread_sigmask(SIG_BLOCK, &wanted, nil)
        var thread = pthread_t()
        let end = UnsafeMutableRawPointer(bitPattern: Int(ends[1]) + 1)
        // It sleeps as long as the program lives.
        pthread_create(&thread, nil, { Signals.pass(to: $0) }, end)
        pthread_detach(thread)
    }

    private static var wanted: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGWINCH] { sigaddset(&set, number) }
        return set
    }

    private static func pass(to end: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        // One more than the descriptor, which may be 0.
        let descriptor = Int32(truncatingIfNeeded: Int(bitPattern: end) - 1)
        var set = wanted
        var number: Int32 = 0
        while true {
            guard sigwait(&set, &number) == 0 else { continue }
            var byte = UInt8(truncatingIfNeeded: number)
            _ = write(descriptor, &byte, 1)
        }
    }

    /// The signals that came since the last call.
    func take() -> [Int32] {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? bytes[..<count].map { Int32($0) } : []
    }

    /// Whether the person, or whoever ends the program, interrupts what is being done.
    func interrupts() -> Bool {
        let all = take()
        if let end = all.first(where: { $0 == SIGTERM || $0 == SIGHUP }) { ending = end }
        return ending != nil || all.contains(SIGINT)
    }

    /// Ends the program as the signal would have.
    static func die(of number: Int32) {
        var set = wanted
        signal(number, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        kill(getpid(), number)
    }
}
