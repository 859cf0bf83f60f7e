internal import AdminLanguage
internal import Glibc

/// How a request ended.
enum Ending {
    case status(ExitStatus)
    /// The person wants no more of the reply: the connection cannot be used again.
    case interrupted
}

/// One request and its reply. Reads while it writes, so that neither side ever waits for the other with full buffers.
struct Conversation: ~Copyable {
    /// Bytes waiting to be sent above which standard input is left alone.
    private static let enough = 262_144

    private let connection: Connection
    private let input: Input
    private let display: Display
    private let mode: TerminalMode?
    private let signals: Signals?
    private let changes: Bool
    private let timeout: Int64
    private var parser = ReplyParser()
    private var text: TextRenderer
    private var json = JSONRenderer()
    private var live: LiveOutput?
    private var bar = ProgressBar()
    private var outgoing: [UInt8]
    private var sent = 0
    /// Whether the server takes lines and standard input may have more of them.
    private var isSendingLines = false
    private var linesRead: Int64 = 0
    /// Whether all lines of standard input have been read: then their number is the total.
    private var hasAllLines = false
    private var lastHeard = monotonicMilliseconds()
    /// The files of an import, in the place of standard input.
    private var feed: ImportFeed?
    /// Where the prose of an export goes.
    private var export: ExportFile?

    /// - Parameters:
    ///   - changes: whether the request changes the server: then its reply is waited for also when nobody looks.
    ///   - mode: the terminal, when it is not in the state in which a line can be typed.
    ///   - signals: where an interrupt comes; nil: it ends the program.
    init(
        _ connection: Connection, options: Options, changes: Bool, input: Input, display: Display, mode: TerminalMode?,
        signals: Signals?
    ) throws(Failure) {
        live = try LiveOutput(options)
        let resolved = CommandTable.resolvingPaths(live?.words ?? options.words, in: Self.workingDirectory)
        let line = Words.line(resolved)
        guard line.utf8.count <= Words.longestRequest else {
            throw Failure(.usage, "the command is longer than \(Words.longestRequest) bytes: shorten it")
        }
        if let invocation = try? CommandTable.parse(line), let file = invocation.text("FILE") {
            switch invocation.command.name {
            case "import xep0227": feed = try ImportFeed(file, host: invocation.option("host"), input: input)
            case "export xep0227": export = try ExportFile(file)
            default: break
            }
        }
        self.connection = connection
        self.input = input
        self.display = display
        self.mode = mode
        self.signals = signals
        self.changes = changes
        text = TextRenderer(width: display.width)
        timeout = Int64(options.timeout) * 1000
        outgoing = Array(line.utf8) + [UInt8(ascii: "\n")]
    }

    private static var workingDirectory: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    /// Sends the request and shows the reply, to its end.
    mutating func run() throws(Failure) -> Ending {
        do throws(Failure) {
            while true {
                while let line = try connection.nextLine() {
                    if let status = try take(line) { return .status(status) }
                    if display.isLeft, !changes { return .interrupted }
                }
                if try wait() {
                    bar.clear()
                    export?.drop()
                    return .interrupted
                }
            }
        } catch {
            bar.clear()
            export?.drop()
            throw error
        }
    }

    /// Shows one line of the reply; the status when it was the last.
    private mutating func take(_ line: String) throws(Failure) -> ExitStatus? {
        let reply: ReplyLine
        do {
            reply = try parser.next(line)
        } catch {
            throw Failure(.noConnection, "node \(connection.node) answers in words this program does not know: \(error)")
        }
        switch reply {
        case .progress(let done, let total):
            guard !display.isHeld else { return nil }
            bar.show(done: done, total: total ?? (hasAllLines ? feed?.users ?? linesRead : nil))
            return nil
        case .prompt(.password):
            outgoing += try Terminal.password(input) + [UInt8(ascii: "\n")]
            lastHeard = monotonicMilliseconds()
            return nil
        case .prompt(.consent):
            bar.clear()
            mode?.enter(.lines)
            defer { mode?.enter(.running) }
            outgoing += Array((Terminal.consent(input) ? "yes" : "no").utf8) + [UInt8(ascii: "\n")]
            lastHeard = monotonicMilliseconds()
            return nil
        case .prompt(.lines):
            isSendingLines = true
            if feed == nil, input.isTerminal {
                input.resume()
                mode?.enter(.lines)
                Output.error("Write the lines; one with a dot alone, or ctrl-d, ends them.\n")
            }
            return nil
        case .prose(let text):
            guard let export else { break }
            try export.write(text)
            return nil
        case .ok: try export?.finish()
        case .error: export?.drop()
        case .fact, .table, .row, .warning: break
        }
        bar.clear()
        var shown = try live?.take(reply) ?? (display.isJSON ? json.take(reply) : text.take(reply))
        // The file may be standard output itself.
        if export?.isFile == false { shown = Rendered(err: shown.out + shown.err) }
        display.show(shown)
        // What a page took to read was not the node's time.
        lastHeard = monotonicMilliseconds()
        switch reply {
        case .ok: return .success
        case .error(let code, _): return ExitStatus(code)
        default: return nil
        }
    }

    /// Waits until something can be read or sent, and does it. True: the person interrupted it.
    private mutating func wait() throws(Failure) -> Bool {
        let wantsInput = isSendingLines && outgoing.count - sent < Conversation.enough
        if wantsInput {
            guard let feed else {
                try takeLines()
                return try waitForEvents(reading: isSendingLines ? input.descriptor : -1)
            }
            guard let descriptor = feed.waitsFor else {
                try readFiles(feed)
                return try waitForEvents(reading: -1, polling: true)
            }
            return try waitForEvents(reading: descriptor)
        }
        return try waitForEvents(reading: -1)
    }

    private mutating func waitForEvents(reading descriptor: Int32, polling: Bool = false) throws(Failure) -> Bool {
        var events = [
            pollfd(fd: connection.descriptor, events: Int16(POLLIN) | (sent < outgoing.count ? Int16(POLLOUT) : 0), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        // While standard input is what is waited for, the node has nothing to answer.
        let isWaitingForInput = descriptor >= 0 && sent == outgoing.count
        let left = polling ? 0 : isWaitingForInput ? -1 : max(0, lastHeard + timeout - monotonicMilliseconds())
        let ready = poll(&events, 3, Int32(clamping: left))
        if ready < 0 {
            guard errno == EINTR else { throw Failure(.failure, "waiting failed (\(String(cString: strerror(errno))))") }
            return false
        }
        guard ready > 0 else {
            if polling { return false }
            throw Failure(
                .noConnection, "node \(connection.node) has not answered for \(timeout / 1000) s: what was asked for may or may not be done"
            )
        }
        if events[2].revents != 0, signals?.interrupts() == true { return true }
        if events[0].revents & Int16(POLLOUT) != 0 { try send() }
        if events[1].revents != 0 {
            if let feed { try readFiles(feed) } else { try input.fill() }
            // The node's patience begins when it has something to answer.
            lastHeard = monotonicMilliseconds()
        }
        if events[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            lastHeard = monotonicMilliseconds()
            guard try connection.receive() else {
                throw Failure(
                    .noConnection,
                    "node \(connection.node) closed the connection before its answer was whole: what was asked for may or may not be done")
            }
        }
        return false
    }

    private mutating func send() throws(Failure) {
        let count = try connection.send(outgoing[sent...])
        if count > 0 { lastHeard = monotonicMilliseconds() }
        sent += count
        if sent == outgoing.count {
            outgoing.removeAll(keepingCapacity: true)
            sent = 0
        }
    }

    /// Takes more lines of an import; behind the last one sends the lone dot.
    private mutating func readFiles(_ feed: ImportFeed) throws(Failure) {
        lastHeard = monotonicMilliseconds()
        guard try !feed.more(into: &outgoing) else { return }
        outgoing += [UInt8(ascii: "."), UInt8(ascii: "\n")]
        isSendingLines = false
        hasAllLines = true
    }

    /// Takes the lines that were read, and doubles the dot at their beginnings; at their end sends the lone dot.
    private mutating func takeLines() throws(Failure) {
        while outgoing.count - sent < Conversation.enough {
            guard let line = input.next() else {
                if input.isAtEnd { break }
                return
            }
            if input.endsAtDot, line == [UInt8(ascii: ".")] || line == Array(".\r".utf8) { break }
            if line.first == UInt8(ascii: ".") { outgoing.append(UInt8(ascii: ".")) }
            outgoing += line
            outgoing.append(UInt8(ascii: "\n"))
            linesRead += 1
            if outgoing.count - sent >= Conversation.enough { return }
        }
        outgoing += [UInt8(ascii: "."), UInt8(ascii: "\n")]
        isSendingLines = false
        hasAllLines = true
        input.resume()
        if input.isTerminal { mode?.enter(.running) }
    }
}
