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
    private var bar = ProgressBar()
    private var outgoing: [UInt8]
    private var sent = 0
    /// Whether the server takes lines and standard input may have more of them.
    private var isSendingLines = false
    private var linesRead: Int64 = 0
    /// Whether all lines of standard input have been read: then their number is the total.
    private var hasAllLines = false
    private var lastHeard = monotonicMilliseconds()

    /// - Parameters:
    ///   - changes: whether the request changes the server: then its reply is waited for also when nobody looks.
    ///   - mode: the terminal, when it is not in the state in which a line can be typed.
    ///   - signals: where an interrupt comes; nil: it ends the program.
    init(
        _ connection: Connection, words: [String], options: Options, changes: Bool, input: Input, display: Display, mode: TerminalMode?,
        signals: Signals?
    ) throws(Failure) {
        let line = Words.line(CommandTable.resolvingPaths(words, in: Self.workingDirectory))
        guard line.utf8.count <= Words.longestRequest else {
            throw Failure(.usage, "the command is longer than \(Words.longestRequest) bytes: shorten it")
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
                    return .interrupted
                }
            }
        } catch {
            bar.clear()
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
            bar.show(done: done, total: total ?? (hasAllLines ? linesRead : nil))
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
            if input.isTerminal {
                input.resume()
                mode?.enter(.lines)
                Output.error("Write the lines; one with a dot alone, or ctrl-d, ends them.\n")
            }
            return nil
        case .fact, .table, .row, .warning, .prose, .ok, .error: break
        }
        bar.clear()
        display.show(display.isJSON ? json.take(reply) : text.take(reply))
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
        if wantsInput { try takeLines() }
        let readsInput = isSendingLines && wantsInput
        var events = [
            pollfd(fd: connection.descriptor, events: Int16(POLLIN) | (sent < outgoing.count ? Int16(POLLOUT) : 0), revents: 0),
            pollfd(fd: readsInput ? input.descriptor : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        // While standard input is what is waited for, the node has nothing to answer.
        let isWaitingForInput = readsInput && sent == outgoing.count
        let left = isWaitingForInput ? -1 : max(0, lastHeard + timeout - monotonicMilliseconds())
        let ready = poll(&events, 3, Int32(clamping: left))
        if ready < 0 {
            guard errno == EINTR else { throw Failure(.failure, "waiting failed (\(String(cString: strerror(errno))))") }
            return false
        }
        guard ready > 0 else {
            throw Failure(
                .noConnection, "node \(connection.node) has not answered for \(timeout / 1000) s: what was asked for may or may not be done"
            )
        }
        if events[2].revents != 0, signals?.interrupts() == true { return true }
        if events[0].revents & Int16(POLLOUT) != 0 { try send() }
        if events[1].revents != 0 {
            try input.fill()
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
