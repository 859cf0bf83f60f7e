import Bus
import BusProtocol
import Glibc
import Logging
import Settings
import Synchronization
import Testing

/// Remembers what the bus told, and lets a test wait for it.
final class Recorder: BusDelegate {
    enum Event: Equatable, Sendable {
        case up(NodeID)
        case down(NodeID, NodeDownReason)
        case received([UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane)
    }

    private let events = Mutex<[Event]>([])

    func busNodeUp(_ node: NodeInfo) { events.withLock { $0.append(.up(node.id)) } }
    func busNodeDown(_ node: NodeID, reason: NodeDownReason) { events.withLock { $0.append(.down(node, reason)) } }
    func busReceived(_ payload: [UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        events.withLock { $0.append(.received(payload, from: from, fromLoop: fromLoop, toLoop: toLoop, lane: lane)) }
    }

    var all: [Event] { events.withLock { $0 } }

    func payloads(from node: NodeID, _ lane: Lane = .stanza) -> [[UInt8]] {
        all.compactMap { event in
            guard case .received(let payload, node, _, _, lane) = event else { return nil }
            return payload
        }
    }

    /// Ups and downs.
    var changes: [Event] {
        all.filter { event in
            if case .received = event { return false }
            return true
        }
    }
}

/// Looks until `condition` holds. Fails the test after `seconds`, which is long: a machine may stand still for a while.
func eventually(
    within seconds: Double = 60, _ what: Comment, at location: SourceLocation = #_sourceLocation, _ condition: () -> Bool
) throws {
    let deadline = now() + UInt64(seconds * 1e9)
    while !condition() {
        try #require(now() < deadline, what, sourceLocation: location)
        poll(nil, 0, 1)
    }
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A run directory, and the nodes of this process in it. Everything is removed at the end.
final class Cluster {
    final class Node {
        let links: StanzaLinks
        let recorder: Recorder
        var id: NodeID { links.me.id }

        init(_ name: String, _ directory: String, _ settings: Settings.Cluster, volume: String) throws {
            recorder = Recorder()
            let me = NodeInfo.ofThisProcess(name: name, featureLevel: 1, loops: 2, volumeID: Array(volume.utf8), product: "Martlet test")
            links = StanzaLinks(
                directory: directory, me: me, settings: settings, delegate: recorder,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try links.start()
        }

        func post(_ payload: [UInt8], to other: NodeID, lane: Lane = .stanza) {
            links.post(payload, to: other, fromLoop: 1, toLoop: 0, lane: lane)
        }
    }

    let directory: String
    var settings = Settings.Cluster()
    private var nodes: [Node] = []
    private var peers: [Peer] = []

    init() throws {
        var template = Array("/tmp/martlet-bus-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // Half a minute of silence: the judge has a part only where a test gives it one.
        settings.beatMilliseconds = 5_000
    }

    deinit {
        for peer in peers { peer.end() }
        for node in nodes { node.links.stop() }
        if let files = opendir(directory) {
            while let entry = readdir(files) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                if name != ".", name != ".." { unlink("\(directory)/\(name)") }
            }
            closedir(files)
        }
        rmdir(directory)
    }

    func node(_ name: String, volume: String = "test") throws -> Node {
        let node = try Node(name, directory, settings, volume: volume)
        nodes.append(node)
        return node
    }

    /// Nodes that all know each other.
    func nodes(_ names: String...) throws -> [Node] {
        let all = try names.map { try node($0) }
        try eventually("all nodes see each other") { all.allSatisfy { $0.links.members.count == all.count - 1 } }
        return all
    }

    func peer(_ name: String) throws -> Peer {
        let peer = try Peer(name, directory, settings)
        peers.append(peer)
        return peer
    }

    /// Cuts the connections between nodes of this process underneath them, as if the kernel had lost them. Answers how many ends it cut.
    @discardableResult func cut() -> Int {
        var count = 0
        for file in Int32(3)..<1024 {
            var address = sockaddr_un()
            var length = socklen_t(MemoryLayout<sockaddr_un>.size)
            let result = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(file, $0, &length) }
            }
            guard result == 0, address.sun_family == sa_family_t(AF_UNIX) else { continue }
            let path = withUnsafeBytes(of: &address.sun_path) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            // The dialler's end names the file it was bound to before it got its name.
            guard path.hasPrefix(directory), path.contains(".sock") else { continue }
            if shutdown(file, Int32(SHUT_RDWR)) == 0 { count += 1 }
        }
        return count
    }
}

/// A node in a process of its own.
final class Peer {
    let pid: pid_t
    private var input: Int32
    private var isReaped = false

    init(_ name: String, _ directory: String, _ settings: Settings.Cluster) throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        try #require(length > 0)
        let executable = String(decoding: path.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let program = executable[..<(try #require(executable.lastIndex(of: "/")))] + "/bus-peer"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let arguments = [String(program), directory, name, String(settings.beatMilliseconds), String(settings.missedBeats)]
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, String(program), &actions, nil, &pointers, environ)
        close(ends[1])
        input = ends[0]
        self.pid = pid
        try #require(result == 0, "bus-peer is built beside the tests")
    }

    func signal(_ number: Int32) { if !isReaped { kill(pid, number) } }

    func sayGoodbye() {
        var line: UInt8 = 10
        _ = write(input, &line, 1)
    }

    /// The number of the signal that ended it; 0 when it ended by itself.
    func ended() throws -> Int32 {
        var status: Int32 = 0
        try eventually("the peer ends") { waitpid(pid, &status, WNOHANG) == pid }
        isReaped = true
        return status & 0x7F
    }

    func end() {
        if input >= 0 { close(input) }
        input = -1
        guard !isReaped else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        isReaped = true
    }
}
