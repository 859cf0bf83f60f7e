internal import AdminLanguage
internal import CShims
internal import Glibc
public import Settings
internal import Stanzas

/// `check clocks`: whether the machine's clock is kept by anybody, and whether the nodes agree with it.
public struct ClockCheck {
    private let settings: Settings
    private let milliseconds: Int64
    private var findings: [CheckFinding] = []

    /// µs by which a node's clock may differ, besides what the question took.
    private static let tolerance: Int64 = 1_000_000

    public init(_ settings: Settings, milliseconds: Int64 = 5_000) {
        self.settings = settings
        self.milliseconds = milliseconds
    }

    public mutating func run() -> [CheckFinding] {
        findings = []
        checkMachine()
        let sockets = AdminProbe.sockets(in: settings.node.directory + "/run")
        if sockets.isEmpty {
            add(
                settings.node.directory, .note, "no node runs here, so that no clocks can be compared",
                mend: "start the nodes, if they should run")
        }
        for socket in sockets { checkNode(socket) }
        return findings
    }

    private mutating func add(_ subject: String, _ state: CheckFinding.State, _ says: String, mend: String = "") {
        findings.append(CheckFinding("clocks", subject, state, says, mend: mend))
    }

    /// What the kernel knows (RFC 5905 as adjtimex(2) tells it).
    private mutating func checkMachine() {
        var worst: Int64 = 0
        let isKept = martlet_clock_synchronised(&worst)
        guard isKept >= 0 else {
            return add("machine", .note, "the kernel does not say how its clock is kept (\(String(cString: strerror(errno))))")
        }
        let mend = "let a time service keep it: apt install systemd-timesyncd (in a container: on its host)"
        if isKept == 0 {
            add("machine", .mend, "nobody keeps its clock: it is not synchronised", mend: mend)
        } else if worst > 1_000_000 {
            add("machine", .mend, "its clock may be wrong by \(worst / 1_000) ms", mend: mend)
        } else {
            add("machine", .good, "its clock is synchronised, and wrong by \(max(1, worst / 1_000)) ms at most")
        }
    }

    private static var now: Int64 { DateTime.now.microseconds }

    private mutating func checkNode(_ socket: (node: String, path: String)) {
        let subject = "node \(socket.node)"
        let before: Int64
        let after: Int64
        let clock: Int64
        do throws(ProbeFailure) {
            let probe = try AdminProbe(socket.path, milliseconds: milliseconds)
            before = Self.now
            let facts = try probe.facts(of: "node show \(Words.quote(socket.node))")
            after = Self.now
            guard case .text(let text)? = facts["clock"], let moment = DateTime(text) else {
                return add(subject, .note, "it does not say what time it has", mend: "update it to this version")
            }
            clock = moment.microseconds
        } catch {
            return add(
                subject, .mend, "it \(error.says)",
                mend: "see martletctl node list and its log; a socket of a dead node is removed when it starts")
        }
        let slack = (after - before) + Self.tolerance
        let difference = clock - (before + after) / 2
        if abs(difference) <= slack {
            add(subject, .good, "its clock is this machine's, as far as \((after - before) / 1_000 + 1) ms can tell")
        } else {
            let direction = difference > 0 ? "ahead" : "behind"
            add(
                subject, .mend, "its clock is \(abs(difference) / 1_000_000) s \(direction)",
                mend: "nodes stamp messages by their clocks: let a time service keep those of all machines")
        }
    }
}

/// One request on a node's admin socket.
private final class AdminProbe {
    private let descriptor: Int32
    private var framer = LineFramer(longest: Words.longestReply)
    private let milliseconds: Int64

    /// The admin sockets in a run directory, by node.
    static func sockets(in directory: String) -> [(node: String, path: String)] {
        guard let folder = opendir(directory) else { return [] }
        defer { closedir(folder) }
        var found: [(node: String, path: String)] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix("admin-"), name.hasSuffix(".sock") else { continue }
            found.append((String(name.dropFirst(6).dropLast(5)), directory + "/" + name))
        }
        return found.sorted { $0.node < $1.node }
    }

    init(_ path: String, milliseconds: Int64) throws(ProbeFailure) {
        self.milliseconds = milliseconds
        descriptor = try UnixSocket.connect(path)
        guard Greeting(try line()) != nil else { throw ProbeFailure("does not speak the admin language") }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Asks, and gives the facts of the answer.
    func facts(of request: String) throws(ProbeFailure) -> [String: ReplyValue] {
        var rest = Array((request + "\n").utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ProbeFailure("takes no request") }
            rest = rest.dropFirst(count)
        }
        var parser = ReplyParser()
        var facts: [String: ReplyValue] = [:]
        while true {
            guard let reply = try? parser.next(try line()) else { throw ProbeFailure("does not speak the admin language") }
            switch reply {
            case .fact(let key, let value): facts[key] = value
            case .error(_, let sentence): throw ProbeFailure("answers: \(sentence)")
            case .ok: return facts
            default: break
            }
        }
    }

    private func line() throws(ProbeFailure) -> String {
        while true {
            switch framer.next() {
            case .text(let line)?: return line
            case .tooLong?, .notUTF8?: throw ProbeFailure("does not speak the admin language")
            case nil: break
            }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, Int32(clamping: milliseconds))
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw ProbeFailure("does not answer in time") }
            var chunk = [UInt8](repeating: 0, count: 16_384)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { throw ProbeFailure("ends the connection") }
            framer.append(chunk[..<count])
        }
    }
}
