public import AdminLanguage
import Glibc

/// A connection to a node's admin socket: one request after the other, each within a deadline.
public final class ProcessAdmin {
    private let descriptor: Int32
    /// The program at the other end, when it was started here.
    private var process: pid_t = 0
    private var framer = LineFramer(longest: Words.longestReply)
    private var liveParser = ReplyParser()
    /// The name the node greeted with.
    public private(set) var node = ""

    /// A whole reply.
    public struct Answer: Sendable {
        public var lines: [ReplyLine] = []

        /// The code of the error it ended with; nil: it ended with `ok`.
        public var error: ReplyCode? {
            guard case .error(let code, _)? = lines.last else { return nil }
            return code
        }
        /// The sentence it ended with.
        public var sentence: String {
            switch lines.last {
            case .ok(let sentence), .error(_, let sentence): sentence
            default: ""
            }
        }
        /// The rows of its tables, by column.
        public var rows: [[String: ReplyValue]] {
            var columns: [String] = []
            var rows: [[String: ReplyValue]] = []
            for line in lines {
                if case .table(_, let names) = line { columns = names }
                if case .row(let values) = line { rows.append(Dictionary(zip(columns, values)) { $1 }) }
            }
            return rows
        }
        /// A fact; nil when the reply has none of that name.
        public func fact(_ key: String) -> ReplyValue? {
            for case .fact(key, let value) in lines { return value }
            return nil
        }
    }

    /// Connects and waits for the greeting.
    public init(socket path: String, within patience: Duration = .patient) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw ProcessFailure("\(path) is too long for a socket")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard result == 0 else { throw ProcessFailure.system(path) }
        let line = try nextLine(by: Deadline(in: patience))
        guard let greeting = Greeting(line) else { throw ProcessFailure("\(path) greets with “\(line)”") }
        node = greeting.node
    }

    /// Starts `martletd --files`, which answers one request about files.
    public init(program: String, within patience: Duration = .patient) throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ProcessFailure.system("socketpair")
        }
        descriptor = ends[0]
        defer { close(ends[1]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        var words: [UnsafeMutablePointer<CChar>?] = [strdup(program), strdup("--files"), nil]
        defer { for word in words { free(word) } }
        let result = posix_spawn(&process, program, &actions, nil, &words, environ)
        guard result == 0 else { throw ProcessFailure("\(program) cannot be started: \(String(cString: strerror(result)))") }
        let line = try nextLine(by: Deadline(in: patience))
        guard let greeting = Greeting(line) else { throw ProcessFailure("\(program) greets with “\(line)”") }
        node = greeting.node
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        var status: Int32 = 0
        if process > 0 { while waitpid(process, &status, 0) < 0, errno == EINTR {} }
    }

    /// Asks, hands over what the node prompts for, and reads the reply to its end.
    ///
    /// - Parameters:
    ///   - words: The request.
    ///   - secret: The password, or the lines, that the node asks for.
    public func ask(_ words: [String], secret: [String] = [], within patience: Duration = .patient) throws -> Answer {
        let deadline = Deadline(in: patience)
        var answer = Answer()
        var parser = ReplyParser()
        try send(Words.line(words) + "\n", by: deadline)
        while true {
            let line = try parser.next(try nextLine(by: deadline))
            switch line {
            case .prompt(.password): try send((secret.first ?? "") + "\n", by: deadline)
            case .prompt(.lines): try send(secret.map { ($0.hasPrefix(".") ? "." : "") + $0 + "\n" }.joined() + ".\n", by: deadline)
            case .prompt(.consent): try send((secret.first ?? "no") + "\n", by: deadline)
            default: answer.lines.append(line)
            }
            if line.isEnd { return answer }
        }
    }

    /// Asks for a reply that goes on: its lines come from `next`.
    public func begin(words: [String], within patience: Duration = .patient) throws {
        liveParser = ReplyParser()
        try send(Words.line(words) + "\n", by: Deadline(in: patience))
    }

    /// The next line of a reply that goes on; progress is left out.
    public func next(within patience: Duration = .patient) throws -> ReplyLine {
        let deadline = Deadline(in: patience)
        while true {
            let line = try liveParser.next(try nextLine(by: deadline))
            if case .progress = line { continue }
            return line
        }
    }

    /// Asks and wants `ok`. A node that has no time for the two seconds that a scattered question waits is named in the answer; then
    /// it is asked again.
    @discardableResult
    public func demand(_ words: String..., secret: [String] = []) throws -> Answer {
        let deadline = Deadline(in: .patient)
        var answer = try ask(words, secret: secret)
        while answer.error == .partial, answer.sentence.contains("did not answer in time"), !deadline.isOver {
            answer = try ask(words, secret: secret)
        }
        guard answer.error == nil else {
            throw ProcessFailure(
                "node \(node) answers “\(words.joined(separator: " "))” with \(answer.lines.map(\.text).joined(separator: " / "))")
        }
        return answer
    }

    private func send(_ text: String, by deadline: Deadline) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) }
            if count > 0 {
                rest = rest.dropFirst(count)
                continue
            }
            guard errno == EAGAIN || errno == EINTR else { throw ProcessFailure.system("the admin socket of node \(node)") }
            // Warnings and progress come while lines go out: both directions move, or both ends wait.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT | POLLIN), revents: 0)
            let ready = poll(&waiting, 1, deadline.milliseconds)
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw ProcessFailure("node \(node) takes no more of the request") }
            if waiting.revents & Int16(POLLIN) != 0 { try receive() }
        }
    }

    private func nextLine(by deadline: Deadline) throws -> String {
        while true {
            switch framer.next() {
            case .text(let line)?: return line
            case .tooLong?, .notUTF8?: throw ProcessFailure("node \(node) does not speak the admin language")
            case nil: break
            }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, deadline.milliseconds)
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw ProcessFailure("node \(node) did not answer on its admin socket in time") }
            try receive()
        }
    }

    private func receive() throws {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { throw ProcessFailure("node \(node) closed its admin socket") }
        framer.append(chunk[..<count])
    }
}
