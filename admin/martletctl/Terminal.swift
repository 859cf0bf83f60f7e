internal import AdminLanguage
internal import Glibc

/// The person's side: asking for a password, and showing progress.
enum Terminal {
    /// A password: asked for twice on a terminal, without showing it; else the first line of standard input.
    static func password(_ input: Input) throws(Failure) -> [UInt8] {
        guard input.isTerminal else {
            guard var line = try input.line() else { throw noPassword }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            guard !line.isEmpty, line.count <= Words.longestRequest else { throw noPassword }
            return line
        }
        let first = try hidden("Password: ")
        guard !first.isEmpty else { throw Failure(.usage, "the password is empty: nothing was done") }
        guard try hidden("Once more: ") == first else { throw Failure(.failure, "the two passwords differ: nothing was done") }
        return first
    }

    /// Whether the person says yes. Where standard input is no terminal nobody is asked: a script says `--yes`.
    static func consent(_ input: Input) -> Bool {
        guard input.isTerminal else { return false }
        Output.error("Go on? Write yes: ")
        return (try? input.line()) == Array("yes".utf8)
    }

    private static let noPassword = Failure(
        .usage, "standard input does not begin with a line that is a password: nothing was done")

    /// A line typed without being shown. The terminal gives each key at once, so that an interrupt still puts its state back.
    private static func hidden(_ prompt: String) throws(Failure) -> [UInt8] {
        var before = termios()
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { throw Failure(.failure, "the terminal cannot be read") }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
        withUnsafeMutableBytes(of: &silent.c_cc) { keys in
            keys[Int(VMIN)] = 1
            keys[Int(VTIME)] = 0
        }
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        Output.error(prompt)
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &before)
            Output.error("\n")
        }
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { throw Failure(.failure, "the terminal was closed: nothing was done") }
            switch byte {
            case 0x0A, 0x0D: return line
            case 0x03, 0x04, 0x1A, 0x1C: throw Failure(.failure, "interrupted: nothing was done")
            case 0x15: line.removeAll()
            case 0x08, 0x7F:
                // A whole character: its continuation bytes and its first.
                while let last = line.popLast(), last & 0xC0 == 0x80 {}
            default: if line.count < Words.longestRequest { line.append(byte) }
            }
        }
    }
}

/// How far a long command is: a line on the terminal that is drawn again and again, or where standard error is none, a line every five
/// seconds.
struct ProgressBar {
    /// Milliseconds between two lines where there is no terminal.
    private static let linePause: Int64 = 5_000

    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let start = monotonicMilliseconds()
    private var lastDrawn = monotonicMilliseconds()
    private var isDrawn = false

    /// Draws the bar, at most ten times a second but always when it is full.
    mutating func show(done: Int64, total: Int64?) {
        let now = monotonicMilliseconds()
        guard isTerminal else {
            guard now - lastDrawn >= Self.linePause else { return }
            lastDrawn = now
            return Output.error(Self.count(done, of: total) + "\n")
        }
        guard !isDrawn || now - lastDrawn >= 100 || total == done else { return }
        lastDrawn = now
        isDrawn = true
        let rate = Int64(Double(done) * 1000 / Double(max(now - start, 1)))
        var text = "\r\u{1B}[K"
        if let total, total > 0 {
            let filled = Int(min(Double(done) / Double(total), 1) * 30)
            text += "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled) + "] "
        }
        Output.error(text + "\(Self.count(done, of: total)) (\(Self.short(rate)) a second)")
    }

    private static func count(_ done: Int64, of total: Int64?) -> String {
        total.map { "\(short(done))/\(short($0))" } ?? short(done)
    }

    /// A number as people read it: 1234, 123k, 12.3M.
    static func short(_ number: Int64) -> String {
        guard number >= 100_000 else { return "\(number)" }
        for (unit, name) in [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")] as [(Int64, String)] where number >= unit {
            let tenths = number / (unit / 10)
            return tenths >= 1_000 ? "\(tenths / 10)\(name)" : "\(tenths / 10).\(tenths % 10)\(name)"
        }
        return "\(number / 1_000)k"
    }

    /// Takes the bar away, so that something else can be written.
    mutating func clear() {
        guard isDrawn else { return }
        isDrawn = false
        Output.error("\r\u{1B}[K")
    }
}
