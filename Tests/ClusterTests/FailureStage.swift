import AdminLanguage
import BusProtocol
import Glibc
import TestKit
import Testing
import XMLStream

/// Two users of a cluster whose store fills up: one writes, the other reads, and what was refused is remembered.
final class FullStage {
    let romeo: XMPPClient
    let juliet: XMPPClient
    private let cluster: ProcessCluster
    private let keeper: Int
    private var written = 0
    private(set) var refused: Set<Int> = []
    /// What the reader got.
    private var read: [Int] = []

    init(_ cluster: ProcessCluster) throws {
        self.cluster = cluster
        try cluster.addAccounts(["romeo", "juliet"])
        keeper = try cluster.keeper()
        romeo = try cluster.connect("romeo", resource: "orchard", node: 1 - keeper)
        try romeo.enableManagement(resume: false)
        juliet = try cluster.connect("juliet", resource: "balcony", node: keeper)
        try juliet.send("<presence/>")
        try juliet.ping("present")
    }

    /// Messages that were accepted.
    var kept: [Int] { (0..<written).filter { !refused.contains($0) } }

    /// Ten messages and their end: handled, or refused for now.
    func write() throws {
        let batch = written..<(written + 10)
        try romeo.send(batch.map { Chat.message(to: "juliet@\(cluster.domain)", id: "romeo-\($0)", filler: 4_000) }.joined())
        // Handled is what both accounts have committed, or what came back.
        try romeo.waitUntilHandled()
        for stanza in romeo.receiveAll() {
            let element = try Element.parse(Array(stanza.utf8))
            guard element.local == "message", element["type"] == "error", let letter = Letter(stanza) else { continue }
            let error = element.children.first { $0.local == "error" }
            #expect(error?["type"] == "wait" && error?.children.contains { $0.local == "resource-constraint" } == true)
            refused.insert(letter.number)
        }
        written = batch.upperBound
        take()
    }

    private func take() { read += juliet.receiveAll().compactMap { Letter($0)?.number } }

    func writeUntilRefused() throws {
        let deadline = Deadline(in: .patient)
        while refused.isEmpty, !deadline.isOver { try write() }
        try #require(!refused.isEmpty, "nothing is refused: \(cluster.logTails)")
    }

    /// Writes on until the store is seen shut: by the command, the metric, the log, and whoever asks whether the node is ready. A probe
    /// may open it for a moment, as it is small.
    func waitUntilShut(because reason: String) throws {
        var missing: Set = ["status", "metric", "log", "ready"]
        let deadline = Deadline(in: .patient)
        while !missing.isEmpty, !deadline.isOver {
            try write()
            let status = try cluster.admin(keeper).demand("node", "show", cluster.names[keeper])
            if status.fact("store_state") == .text("read-only"), status.fact("store_reason") == .text(reason) { missing.remove("status") }
            if try cluster.monitor(keeper, "/metrics").value("martlet_store_shut") == 1 { missing.remove("metric") }
            let ready = try cluster.monitor(keeper, "/readyz")
            if ready.status == 503, ready.body.contains("store") { missing.remove("ready") }
            if cluster.log(keeper).contains("event=store-shut") { missing.remove("log") }
        }
        #expect(missing.isEmpty, "\(cluster.logTails)")
    }

    func waitUntilOpen() throws {
        let deadline = Deadline(in: .patient)
        while !deadline.isOver {
            if try cluster.admin(keeper).demand("node", "show", cluster.names[keeper]).fact("store_state") == .text("writing"),
                cluster.log(keeper).contains("event=store-open")
            {
                return
            }
            poll(nil, 0, 20)
        }
        throw ProcessFailure("the store does not open again\n\(cluster.logTails)")
    }

    /// What was accepted was delivered, in order, once; what was refused was not.
    func finishReading() throws {
        #expect(kept.last == written - 1, "after it opened again all is taken")
        // What waited while the store was shut comes in pages, and nothing behind it.
        while read.last != kept.last { if let letter = try Letter(juliet.receive()) { read.append(letter.number) } }
        try juliet.ping("all is read") { if let letter = Letter($0) { read.append(letter.number) } }
        #expect(read == kept)
    }

    /// As `finishReading`, and it is archived.
    func finish() throws {
        try finishReading()
        let archive = try Chat.archive("juliet", on: 1 - keeper, of: cluster).map(\.id)
        #expect(archive == kept.map { "romeo-\($0)" })
        #expect(try cluster.admin(keeper).demand("store", "verify").fact("findings") == .integer(0))
    }
}

/// The descriptors of another process, and sockets that take them.
enum Descriptors {
    static func count(of pid: pid_t) -> Int? {
        guard let directory = opendir("/proc/\(pid)/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) { if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 } }
        return count
    }

    static func bound(_ pid: pid_t, to count: Int, _ cluster: ProcessCluster) throws {
        let answer = try cluster.run(["/usr/bin/prlimit", "--pid", "\(pid)", "--nofile=\(count):\(count)"])
        guard answer.status == 0 else { throw ProcessFailure(answer.text) }
    }

    /// A connection that says nothing.
    static func connect(to port: UInt16) throws -> Int32 {
        let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(file)
            throw ProcessFailure("port \(port): \(String(cString: strerror(errno)))")
        }
        return file
    }

    /// Processor time of a process, in clock ticks.
    static func ticks(of pid: pid_t) -> Int? {
        let text = ProcessCluster.text(of: "/proc/\(pid)/stat")
        guard let bracket = text.lastIndex(of: ")") else { return nil }
        let fields = text[bracket...].split(separator: " ")
        // Fields 14 and 15 of proc(5), counted from behind the name.
        guard fields.count > 13, let user = Int(fields[12]), let system = Int(fields[13]) else { return nil }
        return user + system
    }
}

/// A process that comes to a node's socket for links.
enum Stranger {
    /// Says hello, and returns with what farewell the node ended the connection; nil: without one.
    static func greet(_ path: String, with hello: Hello) throws -> Farewell? {
        let file = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(file) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(file, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw ProcessFailure("\(path): \(String(cString: strerror(errno)))") }
        var bytes: [UInt8] = []
        Frame(sequence: 0, acknowledged: 0, body: .hello(hello)).encode(into: &bytes)
        guard send(file, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw ProcessFailure("\(path) takes no hello") }
        var answer: [UInt8] = []
        let deadline = Deadline(in: .patient)
        while true {
            var waiting = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.milliseconds) > 0 else { throw ProcessFailure("\(path) does not answer a hello") }
            var chunk = [UInt8](repeating: 0, count: 4096)
            let count = recv(file, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            answer += chunk[..<count]
            while let (frame, size) = try answer.withUnsafeBytes({ try FrameCodec.decode($0) }) {
                answer.removeFirst(size)
                if case .goodbye(let farewell) = frame.body { return farewell }
            }
        }
    }
}

extension NodeInfo {
    /// Number and start time of the process of the tests.
    static var own: (pid: pid_t, startTime: UInt64) {
        let text = ProcessCluster.text(of: "/proc/self/stat")
        let fields = text.lastIndex(of: ")").map { text[$0...].split(separator: " ") } ?? []
        return (getpid(), fields.count > 20 ? UInt64(fields[20]) ?? 0 : 0)
    }
}

extension Chat {
    /// The stamps (XEP-0203) of everything in an account's archive, in its order: one page.
    static func stamps(_ user: String, on node: Int, of cluster: ProcessCluster) throws -> [String] {
        let client = try cluster.connect(user, resource: "archivist", node: node)
        try client.send("<iq type='set' id='stamps'><query xmlns='urn:xmpp:mam:2'/></iq>")
        var stamps: [String] = []
        try client.receive { stanza in
            let forwarded = stanza.first(local: "result", namespace: "urn:xmpp:mam:2")?.first(
                local: "forwarded", namespace: "urn:xmpp:forward:0")
            if let stamp = forwarded?.first(local: "delay", namespace: "urn:xmpp:delay")?["stamp"] { stamps.append(stamp) }
            return stanza["id"] == "stamps"
        }
        try client.close()
        return stamps
    }
}
