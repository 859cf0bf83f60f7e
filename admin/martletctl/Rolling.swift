internal import AdminLanguage
internal import Glibc

/// `cluster restart`: every node begins anew while the others serve, asked for through one that is not concerned.
struct Rolling {
    private struct Node {
        var name: String
        var isKeeper: Bool
    }

    /// Milliseconds for a node that is alone, and so is asked by itself, to serve again; also what is given to one to greet.
    private static let alonePatience: Int64 = 120_000
    private static let greeting: Int64 = 5_000

    private let options: Options
    private let signals: Signals?
    /// The folder of the sockets.
    private let folder: String
    private var done: [String] = []

    /// - Parameter signals: where an interrupt comes; nil: it ends the program.
    static func run(_ options: Options, _ signals: Signals?) throws(Failure) -> ExitStatus {
        let path = try Search.connect(options).path
        guard let slash = path.lastIndex(of: "/") else {
            throw Failure(.usage, "\(path) says nothing of the other nodes: name the directory of the cluster with --directory")
        }
        var rolling = Rolling(options: options, signals: signals, folder: String(path[...slash]))
        return try rolling.run(through: path)
    }

    private init(options: Options, signals: Signals?, folder: String) {
        self.options = options
        self.signals = signals
        self.folder = folder
    }

    private func socket(_ name: String) -> String { "\(folder)admin-\(name).sock" }

    private mutating func run(through path: String) throws(Failure) -> ExitStatus {
        let status = try ask(["status"], at: path)
        guard case .ok? = status.last else {
            throw Failure(.failure, "no node is restarted, since not all is well: \(Self.sentence(status)); see status and node list")
        }
        // The one that keeps the store last: the store changes hands once.
        let nodes = try list(at: path).sorted { ($0.isKeeper ? 1 : 0, $0.name) < ($1.isKeeper ? 1 : 0, $1.name) }
        let names = nodes.map(\.name)
        for node in nodes {
            say("node \(node.name)\(node.isKeeper ? ", which keeps the store" : ""): leaves and begins anew")
            let began = monotonicMilliseconds()
            do throws(Failure) {
                try restart(node.name, others: names.filter { $0 != node.name })
            } catch {
                let left = names.drop { $0 != node.name }.dropFirst()
                var sentence = error.sentence
                sentence += done.isEmpty ? "; none was restarted before" : "; restarted before: \(done.joined(separator: ", "))"
                if !left.isEmpty { sentence += "; not touched: \(left.joined(separator: ", "))" }
                throw Failure(error.status, sentence)
            }
            done.append(node.name)
            let tenths = (monotonicMilliseconds() - began) / 100
            say("node \(node.name): serves again after \(tenths / 10).\(tenths % 10) s (\(done.count) of \(nodes.count))")
        }
        show(.ok(nodes.count == 1 ? "the one node there is was restarted" : "all \(nodes.count) nodes were restarted"))
        return .success
    }

    private func list(at path: String) throws(Failure) -> [Node] {
        let reply = try ask(["node", "list"], at: path)
        guard case .ok? = reply.last else { throw Failure(.failure, "no node is restarted: \(Self.sentence(reply))") }
        var columns: [String] = []
        var nodes: [Node] = []
        for line in reply {
            if case .table(_, let names) = line { columns = names }
            guard case .row(let values) = line, let place = columns.firstIndex(of: "node"), case .text(let name) = values[place] else {
                continue
            }
            let role = columns.firstIndex(of: "role").map { values[$0] }
            nodes.append(Node(name: name, isKeeper: role == .text("keeper")))
        }
        return nodes
    }

    private func restart(_ name: String, others: [String]) throws(Failure) {
        guard !others.isEmpty else { return try restartAlone(name) }
        var last: Failure?
        for other in others {
            let reply: [ReplyLine]
            do throws(Failure) {
                reply = try ask(["node", "restart", name], at: socket(other))
            } catch {
                last = error
                // One that went silent in the midst of it may have told the node: it is not told twice.
                if error.wasAsked { throw error }
                continue
            }
            guard case .ok? = reply.last else { throw Failure(.failure, Self.sentence(reply)) }
            return
        }
        throw last ?? Failure(.noConnection, "no other node answers in \(folder)")
    }

    /// Nobody else can be asked: it is told, and then looked for until it serves.
    private func restartAlone(_ name: String) throws(Failure) {
        let before = try incarnation(of: name)
        let reply = try ask(["node", "restart", name], at: socket(name))
        guard case .ok? = reply.last else { throw Failure(.failure, Self.sentence(reply)) }
        let deadline = monotonicMilliseconds() + Self.alonePatience
        while monotonicMilliseconds() < deadline {
            poll(nil, 0, 200)
            // The process id stays; the moment it was started at does not.
            if let now = try? incarnation(of: name), now != before, case .ok? = (try? ask(["status"], at: socket(name)))?.last {
                return
            }
        }
        throw Failure(.failure, "node \(name) does not serve after \(Self.alonePatience / 1_000) s: look at its log")
    }

    private func incarnation(of name: String) throws(Failure) -> ReplyValue {
        for case .fact("incarnation", let value) in try ask(["node", "show", name], at: socket(name)) { return value }
        throw Failure(.failure, "node \(name) does not say who it is")
    }

    // MARK: Asking

    /// One request to its end, shown to nobody.
    private func ask(_ words: [String], at path: String) throws(Failure) -> [ReplyLine] {
        let connection = try Connection(path, greetingWithin: min(Self.greeting, Int64(options.timeout) * 1000))
        var rest = Array((Words.line(words) + "\n").utf8)[...]
        var lines: [ReplyLine] = []
        var parser = ReplyParser()
        var lastHeard = monotonicMilliseconds()
        do throws(Failure) {
            while true {
                while let text = try connection.nextLine() {
                    guard let line = try? parser.next(text) else {
                        throw Failure(.noConnection, "\(path): the answer is not in the admin language")
                    }
                    lines.append(line)
                    if line.isEnd { return lines }
                }
                if !rest.isEmpty { rest = rest.dropFirst(try connection.send(rest)) }
                var waiting = pollfd(fd: connection.descriptor, events: Int16(rest.isEmpty ? POLLIN : POLLIN | POLLOUT), revents: 0)
                let left = lastHeard + Int64(options.timeout) * 1000 - monotonicMilliseconds()
                guard left > 0 else { throw Failure(.noConnection, "\(path): no answer in \(options.timeout) s") }
                if signals?.interrupts() == true {
                    throw Failure(.failure, "interrupted: what was begun goes on; see node list")
                }
                guard poll(&waiting, 1, Int32(clamping: signals == nil ? left : min(left, 200))) > 0,
                    waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0
                else {
                    continue
                }
                lastHeard = monotonicMilliseconds()
                guard try connection.receive() else { throw Failure(.noConnection, "\(path): the node closed the connection") }
            }
        } catch {
            var error = error
            error.wasAsked = true
            throw error
        }
    }

    private static func sentence(_ reply: [ReplyLine]) -> String {
        guard case .error(_, let sentence)? = reply.last else { return "" }
        return sentence
    }

    // MARK: Showing

    /// What happens, while it does; for people alone.
    private func say(_ sentence: String) {
        if !options.json { Output.error(Words.visible(sentence) + "\n") }
    }

    private func show(_ end: ReplyLine) {
        var lines: [ReplyLine] = []
        if options.json {
            lines.append(.table(name: "nodes", columns: ["node"]))
            lines += done.map { .row([.text($0)]) }
        }
        var text = TextRenderer()
        var json = JSONRenderer()
        for line in lines + [end] {
            let shown = options.json ? json.take(line) : text.take(line)
            Output.out(shown.out)
        }
    }
}
