internal import AdminLanguage
internal import Console
internal import Glibc

/// `watch [-n SECONDS] COMMAND…`: a command that only reads, asked again and again.
struct Watch {
    private static let usual = 2

    private let seconds: Int
    private let words: [String]

    init(_ arguments: ArraySlice<String>) throws(Failure) {
        var rest = arguments
        var seconds = Self.usual
        if let word = rest.first, word.utf8.starts(with: "-".utf8) {
            rest = rest.dropFirst()
            let value: String?
            switch word {
            case "-n", "--every": value = rest.popFirst()
            case _ where word.hasPrefix("--every="): value = String(word.dropFirst(8))
            case _ where word.hasPrefix("-n"): value = String(word.dropFirst(2))
            default: throw Failure(.usage, "watch has no option \(word): write watch -n SECONDS COMMAND…")
            }
            guard let number = value.flatMap({ Int($0) }), (1...3600).contains(number) else {
                throw Failure(.usage, "\"\(value ?? "")\" is no -n: write seconds from 1 to 3600, then the command")
            }
            seconds = number
        }
        self.seconds = seconds
        words = Array(rest)
        guard !words.isEmpty else { throw Failure(.usage, "watch needs a command that reads, as: watch -n 5 session list") }
        do {
            let invocation = try CommandTable.parse(Words.line(words), debug: true)
            let name = invocation.command.name
            guard !invocation.changes, invocation.command.secret == .none else {
                throw Failure(.usage, "\(name) changes something: watch is for commands that only read")
            }
            guard !invocation.isAboutFiles || invocation.command.isOfMachine, invocation.text("FILE") == nil else {
                throw Failure(.usage, "\(name) is about files: run it once, without watch")
            }
            guard !invocation.command.isEndless else { throw Failure(.usage, "\(name) goes on by itself: run it without watch") }
        } catch let error as LineError {
            throw Failure(.usage, error.sentence)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.usage, "\(error)")
        }
    }

    /// Asks until the person has seen enough; where standard output is no terminal, until the program is ended.
    func run(_ runner: Runner, _ options: Options) throws(Failure) -> ExitStatus {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1, let mode = TerminalMode(), let signals = runner.signals ?? Signals()
        else { return try print(runner, options) }
        let held = Display(isJSON: options.json, manner: .held)
        let inner = Runner(options: options, link: runner.link, input: runner.input, display: held, mode: mode, signals: signals)
        mode.enter(.running)
        Output.out("\u{1B}[?1049h\u{1B}[?25l")
        defer {
            Output.out("\u{1B}[?25h\u{1B}[?1049l")
            mode.enter(.before)
            if runner.signals == nil, let ending = signals.ending { Signals.die(of: ending) }
        }
        while true {
            // An interrupt may come while a node is asked: it is meant for all of this.
            guard let text = round(inner, options) else { return .success }
            draw(text, runner.link)
            let next = monotonicMilliseconds() + Int64(seconds) * 1000
            if leaves(next, signals) || signals.ending != nil { return .success }
        }
    }

    /// One answer, or why there is none; nil: the person has seen enough.
    private func round(_ runner: Runner, _ options: Options) -> String? {
        do throws(Failure) {
            _ = try runner.run(options.with(words))
            return runner.display.held
        } catch {
            if error.isInterrupt { return nil }
            return runner.display.held + "martletctl: \(Words.visible(error.sentence))\n"
        }
    }

    private func draw(_ text: String, _ link: Link) {
        let size = TerminalSize.now
        let head = "every \(seconds) s: \(Words.visible(Words.line(words)))"
        let end = "\(link.name)  \(Self.clock)  q ends"
        let space = size.columns - CellWidth.of(head) - CellWidth.of(end)
        let line = space >= 2 ? head + String(repeating: " ", count: space) + end : CellWidth.shortened(head, to: size.columns)
        var lines = [line, ""] + text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        if lines.count > size.rows {
            lines = lines.prefix(size.rows - 1) + ["… \(lines.count - size.rows + 1) more lines"]
        }
        Output.out("\u{1B}[H\u{1B}[J" + lines.map { CellWidth.prefix(of: $0, cells: size.columns) }.joined(separator: "\r\n"))
    }

    private static var clock: String {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        func two(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
        return "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    /// Waits for the time of the next round. True: the person has seen enough.
    private func leaves(_ next: Int64, _ signals: Signals) -> Bool {
        var decoder = KeyDecoder()
        while true {
            var events = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let left = next - monotonicMilliseconds()
            guard left > 0 else { return false }
            guard poll(&events, 2, Int32(clamping: left)) >= 0 || errno == EINTR else { return true }
            if events[1].revents != 0 {
                if signals.interrupts() { return true }
                // The screen has another size.
                return false
            }
            guard events[0].revents != 0 else { continue }
            guard let keys = TerminalKeys.read(&decoder) else { return true }
            for key in keys {
                switch key {
                case .text("q"), .text("Q"), .escape, .control("c"), .control("d"): return true
                case .text(" "), .enter: return false
                default: break
                }
            }
        }
    }

    /// Without a terminal: one answer below the other, each under its time; with --json a line each.
    private func print(_ runner: Runner, _ options: Options) throws(Failure) -> ExitStatus {
        while true {
            if !options.json { Output.out("\(Self.clock) \(runner.link.name)\n") }
            do throws(Failure) {
                _ = try runner.run(options.with(words))
            } catch {
                runner.display.error("martletctl: \(Words.visible(error.sentence))\n")
            }
            if !options.json { Output.out("\n") }
            var none = [pollfd]()
            poll(&none, 0, Int32(seconds * 1000))
        }
    }
}
