internal import AdminLanguage
internal import Glibc

/// One request and its reply. Reads while it writes, so that neither side ever waits for the other with full buffers.
struct Conversation: ~Copyable {
    /// Bytes waiting to be sent above which standard input is left alone.
    private static let enough = 262_144

    private var connection: Connection
    private let timeout: Int64
    private let isJSON: Bool
    private var parser = ReplyParser()
    private var text = TextRenderer()
    private var json = JSONRenderer()
    private var live: LiveOutput?
    private var bar = ProgressBar()
    private var outgoing: [UInt8]
    private var sent = 0
    /// Whether the server takes lines and standard input may have more of them.
    private var isSendingLines = false
    private var isAtLineStart = true
    private var linesRead: Int64 = 0
    /// Whether all lines of standard input have been read: then their number is the total.
    private var hasAllLines = false
    private var lastHeard = monotonicMilliseconds()
    /// The files of an import, in the place of standard input.
    private var feed: ImportFeed?
    /// Where the prose of an export goes.
    private var export: ExportFile?

    init(_ connection: consuming Connection, options: Options) throws(Failure) {
        live = try LiveOutput(options)
        let words = CommandTable.resolvingPaths(live?.words ?? options.words, in: Self.workingDirectory)
        let line = Words.line(words)
        guard line.utf8.count <= Words.longestRequest else {
            throw Failure(.usage, "the command is longer than \(Words.longestRequest) bytes: shorten it")
        }
        if let invocation = try? CommandTable.parse(line), let file = invocation.text("FILE") {
            switch invocation.command.name {
            case "import xep0227": feed = try ImportFeed(file, host: invocation.option("host"))
            case "export xep0227": export = try ExportFile(file)
            default: break
            }
        }
        self.connection = connection
        timeout = Int64(options.timeout) * 1000
        isJSON = options.json
        outgoing = Array(line.utf8) + [UInt8(ascii: "\n")]
    }

    private static var workingDirectory: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    /// Sends the request and shows the reply, to its end.
    mutating func run() throws(Failure) -> ExitStatus {
        do throws(Failure) {
            while true {
                while let line = try connection.nextLine() {
                    if let status = try take(line) { return status }
                }
                try wait()
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
            bar.show(done: done, total: total ?? (hasAllLines ? feed?.users ?? linesRead : nil))
            return nil
        case .prompt(.password):
            outgoing += try Terminal.password() + [UInt8(ascii: "\n")]
            lastHeard = monotonicMilliseconds()
            return nil
        case .prompt(.consent):
            bar.clear()
            outgoing += Array((Terminal.consent() ? "yes" : "no").utf8) + [UInt8(ascii: "\n")]
            lastHeard = monotonicMilliseconds()
            return nil
        case .prompt(.lines):
            isSendingLines = true
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
        let shown = try live?.take(reply) ?? (isJSON ? json.take(reply) : text.take(reply))
        // The file may be standard output itself.
        if !shown.out.isEmpty { if export?.isFile == false { Output.error(shown.out) } else { Output.out(shown.out) } }
        if !shown.err.isEmpty { Output.error(shown.err) }
        switch reply {
        case .ok: return .success
        case .error(let code, _): return ExitStatus(code)
        default: return nil
        }
    }

    /// Waits until something can be read or sent, and does it.
    private mutating func wait() throws(Failure) {
        let wantsInput = isSendingLines && outgoing.count - sent < Conversation.enough
        if wantsInput, let feed, feed.waitsFor == nil { return try readFiles(feed) }
        var events = [
            pollfd(fd: connection.descriptor, events: Int16(POLLIN) | (sent < outgoing.count ? Int16(POLLOUT) : 0), revents: 0),
            pollfd(fd: wantsInput ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
        ]
        // While standard input is what is waited for, the node has nothing to answer.
        let isWaitingForInput = wantsInput && sent == outgoing.count
        let left = isWaitingForInput ? -1 : max(0, lastHeard + timeout - monotonicMilliseconds())
        let ready = poll(&events, 2, Int32(clamping: left))
        if ready < 0 {
            guard errno == EINTR else { throw Failure(.failure, "waiting failed (\(String(cString: strerror(errno))))") }
            return
        }
        guard ready > 0 else {
            throw Failure(
                .noConnection, "node \(connection.node) has not answered for \(timeout / 1000) s: what was asked for may or may not be done"
            )
        }
        if events[0].revents & Int16(POLLOUT) != 0 { try send() }
        if events[1].revents != 0 {
            if let feed { try readFiles(feed) } else { try readInput() }
        }
        if events[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            lastHeard = monotonicMilliseconds()
            guard try connection.receive() else {
                throw Failure(
                    .noConnection,
                    "node \(connection.node) closed the connection before its answer was whole: what was asked for may or may not be done")
            }
        }
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

    /// Reads lines from standard input and doubles the dot at their beginnings; at its end sends the lone dot.
    private mutating func readInput() throws(Failure) {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = read(STDIN_FILENO, &chunk, chunk.count)
        if count < 0 {
            guard errno == EINTR || errno == EAGAIN else {
                throw Failure(.failure, "standard input cannot be read (\(String(cString: strerror(errno))))")
            }
            return
        }
        // The node's patience begins when it has something to answer.
        lastHeard = monotonicMilliseconds()
        guard count > 0 else {
            if !isAtLineStart {
                outgoing.append(UInt8(ascii: "\n"))
                linesRead += 1
            }
            outgoing += [UInt8(ascii: "."), UInt8(ascii: "\n")]
            isSendingLines = false
            hasAllLines = true
            return
        }
        for byte in chunk[..<count] {
            if isAtLineStart, byte == UInt8(ascii: ".") { outgoing.append(byte) }
            outgoing.append(byte)
            isAtLineStart = byte == UInt8(ascii: "\n")
            if isAtLineStart { linesRead += 1 }
        }
    }
}
