internal import AdminLanguage
internal import Console
internal import Glibc

/// `martletctl` without a command on a terminal: line after line, until the person leaves.
struct ConsoleLoop: ~Copyable {
    /// Milliseconds the node may take to say what a word may become.
    private static let patience: Int64 = 1_000
    /// More words than these are counted, not shown.
    private static let mostShown = 150

    private let options: Options
    private let mode: TerminalMode
    private let signals: Signals
    private let link: Link
    private let display: Display
    private let input = Input(STDIN_FILENO, endsAtDot: true)
    private let file: HistoryFile
    private var history: History
    private var kills: [[Character]] = []
    private var decoder = KeyDecoder()
    /// Keys that came behind the end of a line: pasted, or typed ahead.
    private var ahead: [Key] = []
    private var view: LineView

    init(_ options: Options, _ mode: TerminalMode, _ signals: Signals) throws(Failure) {
        self.options = options
        self.mode = mode
        self.signals = signals
        link = Link(options)
        display = Display(isJSON: options.json, manner: options.more == false ? .plain : .paged)
        file = HistoryFile()
        history = file.read()
        let size = TerminalSize.now
        view = LineView(width: size.columns, height: size.rows)
        _ = try link.open()
    }

    consuming func run() -> ExitStatus {
        Output.out("\(link.name): help shows the commands, tab completes, ctrl-d leaves.\n")
        defer { mode.enter(.before) }
        while let line = readLine() {
            kills = line.kills
            if history.add(line.text) { file.add(line.text) }
            mode.enter(.running)
            guard perform(line.text), signals.ending == nil else { break }
            reconnect()
        }
        mode.enter(.before)
        if let ending = signals.ending { Signals.die(of: ending) }
        return .success
    }

    // MARK: Commands

    /// False: the person leaves.
    private func perform(_ line: String) -> Bool {
        do {
            var words = try Words.split(line)
            var input = self.input
            // A file in the place of what would be typed.
            if words.count > 2, words[words.count - 2].text == "<", !words[words.count - 2].isQuoted {
                input = try Input(file: words[words.count - 1].text)
                words.removeLast(2)
            }
            let texts = words.map(\.text)
            switch texts.first {
            case nil: return true
            case "quit"? where texts.count == 1, "exit"? where texts.count == 1: return false
            case "connect"?:
                guard texts.count == 2 else { throw Failure(.usage, "write connect NODE; node list shows the nodes") }
                try link.move(to: texts[1])
            default:
                let runner = Runner(options: options, link: link, input: input, display: display, mode: mode, signals: signals)
                _ = try runner.run(options.with(texts))
            }
        } catch let error as LineError {
            Output.error("martletctl: \(Words.visible(error.sentence))\n")
        } catch let failure as Failure {
            Output.error("martletctl: \(Words.visible(failure.sentence))\n")
        } catch {
            Output.error("martletctl: \(error)\n")
        }
        return true
    }

    /// Finds a node again when there is none, and says so.
    private func reconnect() {
        guard link.connection == nil else { return }
        let before = link.lastNode
        do throws(Failure) {
            let connection = try link.open()
            if connection.node != before { Output.error("connected to node \(connection.node)\n") }
        } catch {
            Output.error("martletctl: \(Words.visible(error.sentence)); it is tried again with the next command\n")
        }
    }

    /// The node closed the connection while nothing was asked.
    private mutating func lost(_ prompt: inout String, _ editor: LineEditor) {
        let node = link.connection?.node ?? "-"
        link.drop()
        Output.out(view.erase())
        Output.error("node \(node) closed the connection\n")
        reconnect()
        prompt = self.prompt
        draw(prompt, editor)
    }

    // MARK: Lines

    private var prompt: String { link.name + "> " }

    /// A line, and what was killed on the way to it; nil: the person leaves, or the terminal is gone.
    private mutating func readLine() -> (text: String, kills: [[Character]])? {
        mode.enter(.editing)
        Output.out("\u{1B}[?2004h")
        defer { Output.out("\u{1B}[?2004l") }
        var editor = LineEditor(history: history.lines, kills: kills)
        var prompt = self.prompt
        view.forget()
        resize()
        draw(prompt, editor)
        while true {
            while !ahead.isEmpty {
                switch editor.take(ahead.removeFirst()) {
                case .changed: break
                case .nothing: Output.out("\u{7}")
                case .line(let text):
                    draw(prompt, editor)
                    Output.out(view.leave())
                    return (text, editor.killed)
                case .interrupt:
                    draw(prompt, editor)
                    Output.out("^C" + view.leave())
                    editor = LineEditor(history: history.lines, kills: editor.killed)
                case .end:
                    Output.out(view.leave())
                    return nil
                case .clear:
                    view.forget()
                    Output.out("\u{1B}[H\u{1B}[J")
                case .complete: complete(&editor, prompt)
                case .suspend: suspend()
                }
                if ahead.isEmpty { draw(prompt, editor) }
            }
            guard wait(&prompt, editor) else { return nil }
        }
    }

    /// Waits for keys, signals and the end of the connection; false: the program is to end.
    private mutating func wait(_ prompt: inout String, _ editor: LineEditor) -> Bool {
        var events = [
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0), pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: link.connection?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&events, 3, -1) >= 0 || errno == EINTR else { return false }
        if events[1].revents != 0 {
            _ = signals.interrupts()
            if signals.ending != nil {
                Output.out(view.leave())
                return false
            }
            resize()
            draw(prompt, editor)
        }
        if events[2].revents != 0 {
            // Nothing was asked: whatever comes, the connection is of no use any more.
            lost(&prompt, editor)
        }
        guard events[0].revents != 0 else { return true }
        guard let keys = TerminalKeys.read(&decoder) else { return false }
        ahead += keys
        return true
    }

    private mutating func resize() {
        let size = TerminalSize.now
        view.resize(width: size.columns, height: size.rows)
    }

    private mutating func draw(_ prompt: String, _ editor: LineEditor) {
        var shown = prompt
        if let search = editor.search { shown = "(\(search.isFailing ? "nothing has" : "search")) \(search.wanted): " }
        Output.out(view.draw(prompt: shown, text: editor.text, cursor: editor.cursor))
    }

    private mutating func suspend() {
        Output.out(view.leave() + "\u{1B}[?2004l")
        mode.enter(.before)
        kill(getpid(), SIGSTOP)
        mode.enter(.editing)
        Output.out("\u{1B}[?2004h")
    }

    // MARK: Completion

    private mutating func complete(_ editor: inout LineEditor, _ prompt: String) {
        let line = PartialLine(Array(editor.text[..<editor.cursor]))
        let commands = CommandTable.client + CommandTable.all.filter { !$0.isDebug }
        var found = Completion.Answer(line.words, line.word, commands)
        if line.words.last == "<" {
            found.words = Files.beginning(with: line.word)
        } else if let source = found.completer.source {
            if source == .file || source == .backup { found.add(Files.beginning(with: found.completer.prefix)) }
            found.add(ask(found.completer))
        }
        let words = found.words
        guard let only = words.first else { return Output.out("\u{7}") }
        if words.count == 1 {
            let isWhole = !found.completer.isOpen && !only.hasSuffix("/") && !only.hasSuffix("=")
            // An open quote lets the word go on.
            let quoted = Words.quote(only)
            return editor.replace(
                from: line.start, with: isWhole ? quoted + " " : quoted.hasPrefix("\"") ? String(quoted.dropLast()) : quoted)
        }
        let common = Completer.common(words)
        if common.count > line.word.count {
            let quoted = Words.quote(common)
            return editor.replace(from: line.start, with: quoted.hasPrefix("\"") ? String(quoted.dropLast()) : quoted)
        }
        draw(prompt, editor)
        Output.out(view.leave())
        let shown = words.prefix(Self.mostShown).map(Words.visible)
        Output.out(Columns.lines(Array(shown), width: view.width).map { $0 + "\n" }.joined())
        if words.count > Self.mostShown { Output.out("and \(words.count - Self.mostShown) more\n") }
    }

    /// What the node knows; a node that does not say so at once is left alone.
    private func ask(_ completer: Completer) -> [String] {
        guard let request = completer.request(), let connection = link.connection else { return [] }
        do throws(Failure) {
            return try connection.words(request, within: Self.patience)
        } catch {
            link.drop()
            _ = try? link.open()
            return []
        }
    }
}

/// The history on disk: for this user alone, and bounded.
struct HistoryFile {
    private let path: String?

    init() {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil } }
        let state = variable("XDG_STATE_HOME") ?? variable("HOME").map { $0 + "/.local/state" }
        path = state.map { $0 + "/martlet/history" }
    }

    /// What is there; a file that has grown to twice the bound is cut.
    func read() -> History {
        guard let path else { return History() }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return History() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count < 16_777_216 {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        let history = History(bytes)
        if bytes.count(where: { $0 == UInt8(ascii: "\n") }) > 2 * History.most { replace(path, history.text) }
        return history
    }

    /// Adds a line. A history that cannot be kept is none; the console goes on.
    func add(_ line: String) {
        guard let path, let folder = path.lastIndex(of: "/").map({ String(path[..<$0]) }) else { return }
        var made = ""
        for part in folder.split(separator: "/") {
            made += "/" + part
            mkdir(made, 0o700)
        }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        fchmod(descriptor, 0o600)
        Output.write(descriptor, line + "\n")
    }

    private func replace(_ path: String, _ text: String) {
        let new = path + ".new"
        let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return }
        Output.write(descriptor, text)
        close(descriptor)
        rename(new, path)
    }
}
