import AdminLanguage
public import Glibc
import Synchronization

/// Nodes in processes of their own, with one directory between them, on loopback. All of it is gone when the object is.
public final class ProcessCluster {
    public let domain: String
    /// The client port that all nodes share.
    public let port: UInt16
    /// The port for components that all nodes share.
    public let componentPort: UInt16
    /// The nodes' names, in order.
    public let names: [String]
    /// The client port of each node alone.
    public let ports: [UInt16]
    /// The process of each node; 0 while it has none.
    public private(set) var pids: [pid_t]
    private let group: ProcessGroup
    private let program: String
    private let held: HeldPorts
    private let disk: PowerDisk?

    /// Starts the nodes and waits until all of them serve.
    ///
    /// - Parameters:
    ///   - count: From 1 to 26.
    ///   - loops: Event loops of each node. With one, what happens on a node happens in one order.
    ///   - missedBeats: Half seconds of silence after which a node is killed by the others. Many, so that a machine that has no time for
    ///     a node cannot end a test; six, the default of the server, where that is what is tested.
    ///   - monitoring: Ports where each node is watched, besides its socket.
    ///   - settings: Further lines of the configuration, in the table of the host.
    ///   - script: What a script asks for.
    ///   - disk: Where the cluster's directory is; nil: below `directory`.
    ///   - prepare: Given the cluster's directory before any node starts.
    public init(
        nodes count: Int, loops: Int = 1, domain: String = "capulet.lit", missedBeats: Int = 60, monitoring: [UInt16] = [],
        settings: String = "",
        script: [Script.Setting] = [],
        disk: PowerDisk? = nil,
        prepare: (_ cluster: String) throws -> Void = { _ in }
    ) throws {
        self.domain = domain
        let names = "abcdefghijklmnopqrstuvwxyz".prefix(count).map { String($0) }
        held = try HeldPorts(count + 2)
        componentPort = held.numbers[count + 1]
        self.names = names
        ports = Array(held.numbers[1...count])
        port = held.numbers[0]
        group = try ProcessGroup()
        self.disk = disk
        pids = names.map { _ in 0 }
        program = try Self.findProgram()
        var text = """
            [node]
            directory = "\(disk?.path ?? group.directory)/cluster"
            loops = \(loops)

            """
        for (index, name) in names.enumerated() {
            var watched = ["\"unix:\(group.directory)/\(name).http\""]
            if index < monitoring.count { watched.append("\"127.0.0.1:\(monitoring[index])\"") }
            text += "[node.\(name)]\nc2s = [\"127.0.0.1:\(ports[index])\"]\nhttp = [\(watched.joined(separator: ", "))]\n"
        }
        let own = [
            Script.Setting(table: "listen", line: "c2s = [\"127.0.0.1:\(port)\"]"),
            Script.Setting(table: "listen", line: "c2s_direct_tls = []"),
            Script.Setting(table: "listen", line: "component = [\"127.0.0.1:\(componentPort)\"]"),
            Script.Setting(table: "authentication", line: "iterations = 4096"), Script.Setting(table: "store", line: "map_gib = 4"),
            Script.Setting(table: "cluster", line: "missed_beats = \(missedBeats)"),
            Script.Setting(table: "debug", line: "manual_clock = true"),
        ]
        for (table, lines) in Script.tables(own + script, domain: domain) { text += table + "\n" + lines.joined(separator: "\n") + "\n" }
        text += """
            \(settings)
            [[component]]
            domain = "plays.\(domain)"
            name = "Plays"
            [[component]]
            domain = "push.\(domain)"

            """
        try write(text, to: configuration)
        try prepare(home)
        let files = names.map { Self.logFile($0, in: group.directory) }
        ProcessLogs.began(group.directory) { zip(names, files).map(Self.tail).joined(separator: "\n") }
        for index in names.indices { try start(index) }
        // That a node serves says that it knows the keeper; whoever asks all nodes needs all links.
        for index in names.indices { try waitUntilServing(index, seeing: count) }
    }

    deinit { ProcessLogs.ended(group.directory) }

    /// Asks `martletd --files`, which needs no node.
    public static func files(_ words: [String], secret: [String] = []) throws -> ProcessAdmin.Answer {
        try ProcessAdmin(program: findProgram()).ask(words, secret: secret)
    }

    /// Runs `martletctl` on this cluster to its end.
    ///
    /// - Returns: its exit status, and all that it wrote.
    public func ctl(_ words: [String], within patience: Duration = .seconds(120)) throws -> (status: Int32, text: String) {
        let slash = program.lastIndex(of: "/") ?? program.startIndex
        let log = "\(group.directory)/ctl-\(UInt32.random(in: 0...UInt32.max))"
        return try finish(
            [program[..<slash] + "/martletctl", "--directory", home] + words, log: log, within: patience)
    }

    /// Runs another program of the package to its end, with a file as its standard input.
    ///
    /// - Returns: its exit status, and all that it wrote.
    public func run(
        _ name: String, _ words: [String], input: String, within patience: Duration = .seconds(120)
    ) throws -> (status: Int32, text: String) {
        let slash = program.lastIndex(of: "/") ?? program.startIndex
        let log = "\(group.directory)/\(name)-\(UInt32.random(in: 0...UInt32.max))"
        return try finish(
            ["/bin/sh", "-c", "exec \"$@\" <\"$0\"", input, program[..<slash] + "/" + name] + words, log: log, within: patience)
    }

    /// Starts a program beside the nodes; it ends with the cluster at the latest.
    public func startBeside(_ words: [String], log: String) throws { _ = try group.start(words, log: log) }

    /// Runs a program to its end.
    func finish(_ words: [String], log: String, within patience: Duration) throws -> (status: Int32, text: String) {
        let pid = try group.start(words, log: log)
        let deadline = Deadline(in: patience)
        while !deadline.isOver {
            if let status = group.ended(pid) { return (status, Self.text(of: log)) }
            poll(nil, 0, 5)
        }
        throw ProcessFailure("\(words.joined(separator: " ")) does not end:\n\(Self.text(of: log))\n\(logTails)")
    }

    /// The text of a file.
    public static func text(of path: String) -> String {
        guard let file = fopen(path, "re") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// Puts a program into the cluster's directory that starts nodes by name.
    ///
    /// - Parameter starter: shell; PROGRAM, CONFIGURATION and LOG stand for what they are here.
    public func install(starter: String) throws {
        let filled = [("PROGRAM", program), ("CONFIGURATION", configuration), ("LOG", group.directory + "/$1.log")]
        var text = ""
        var rest = starter[...]
        while let first = rest.first {
            if let (word, value) = filled.first(where: { rest.hasPrefix($0.0) }) {
                text += value
                rest = rest.dropFirst(word.count)
            } else {
                text.append(first)
                rest = rest.dropFirst()
            }
        }
        let path = home + "/start"
        try write("#!/bin/sh\n\(text)\n", to: path)
        guard chmod(path, 0o700) == 0 else { throw ProcessFailure.system(path) }
    }

    /// Where a node is watched.
    func monitoringSocket(_ index: Int) -> String { "\(group.directory)/\(names[index]).http" }

    /// A folder for whatever a test writes; it goes with the cluster.
    public var directory: String { group.directory }

    /// The directory of the cluster itself: store, sockets and run files.
    public var home: String { (disk?.seen ?? group.directory) + "/cluster" }

    /// The configuration file of all nodes.
    public var configuration: String { group.directory + "/martlet.toml" }

    /// Writes the configuration file anew: what stands in it and further lines, or what `change` makes of it.
    public func configure(adding lines: String = "", change: (String) -> String = { $0 }) throws {
        try write(change(Self.text(of: configuration)) + lines, to: configuration)
    }
    private static func logFile(_ name: String, in directory: String) -> String { "\(directory)/\(name).log" }

    // MARK: Life and death

    /// Starts the process of a node that has none.
    ///
    /// - Parameter environment: further variables, each as `NAME=value`.
    public func start(_ index: Int, environment: [String] = []) throws {
        guard pids[index] == 0 else { throw ProcessFailure("node \(names[index]) runs already") }
        let variables = environment.isEmpty ? [] : ["/usr/bin/env"] + environment
        pids[index] = try group.start(
            (disk?.entrance ?? []) + variables + [program, "--config", configuration, "--node", names[index]],
            log: Self.logFile(names[index], in: group.directory))
    }

    /// Waits until a node answers that the cluster serves.
    ///
    /// - Parameter nodes: so many of them must be there, itself included; nil: as many as it likes.
    public func waitUntilServing(_ index: Int, seeing nodes: Int? = nil, within patience: Duration = .patient) throws {
        let deadline = Deadline(in: patience)
        var last = "its admin socket does not answer"
        while !deadline.isOver {
            if pids[index] != 0, let ending = group.ended(pids[index]) {
                pids[index] = 0
                throw ProcessFailure("node \(names[index]) ended with \(ending):\n\(logTail(index))")
            }
            if let answer = try? admin(index).ask(["status"], within: .seconds(10)) {
                let isWhole = nodes.map { answer.fact("nodes") == .integer(Int64($0)) } ?? true
                if answer.error == nil, isWhole { return }
                last = answer.error == nil ? "it does not know all nodes" : answer.sentence
            }
            poll(nil, 0, 5)
        }
        throw ProcessFailure("node \(names[index]) does not serve: \(last):\n\(logTail(index))")
    }

    /// Sends a signal to a node's process.
    public func signal(_ index: Int, _ signal: Int32) {
        if pids[index] != 0 { kill(pids[index], signal) }
    }

    /// Kills a node with -9 and waits until the kernel has buried it.
    public func kill9(_ index: Int) throws {
        signal(index, SIGKILL)
        try waitForEnd(index)
    }

    /// Waits until a node's process has ended. Returns its exit status, or minus the signal.
    @discardableResult
    public func waitForEnd(_ index: Int, within patience: Duration = .patient) throws -> Int32 {
        let deadline = Deadline(in: patience)
        while !deadline.isOver {
            if let ending = group.ended(pids[index]) {
                pids[index] = 0
                return ending
            }
            poll(nil, 0, 1)
        }
        throw ProcessFailure("node \(names[index]) does not end:\n\(logTail(index))")
    }

    /// The node that keeps the store, as the first node that answers says.
    public func keeper(within patience: Duration = .patient) throws -> Int {
        let deadline = Deadline(in: patience)
        while !deadline.isOver {
            for index in names.indices where pids[index] != 0 {
                guard let answer = try? admin(index).ask(["status"], within: .seconds(10)), case .text(let name)? = answer.fact("keeper")
                else { continue }
                if let keeper = names.firstIndex(of: name) { return keeper }
            }
            poll(nil, 0, 5)
        }
        throw ProcessFailure("nobody says who keeps the store:\n\(logTails)")
    }

    // MARK: Administration

    public func admin(_ index: Int) throws -> ProcessAdmin {
        try ProcessAdmin(socket: "\(home)/run/admin-\(names[index]).sock")
    }

    /// Makes accounts with the password of `XMPPClient`.
    public func addAccounts(_ users: [String]) throws {
        let keys = Self.keys
        let lines = users.map { "\($0)@\(domain) \(keys)" }
        let index = pids.firstIndex { $0 != 0 } ?? 0
        try admin(index).demand("user", "import", "--keys", secret: lines)
    }

    private static let keys = SCRAMClient.importKeys(password: XMPPClient.password)

    /// Connects a client to a node's own port.
    public func connect(_ user: String, resource: String?, node index: Int, within patience: Duration = .patient) throws -> XMPPClient {
        try XMPPClient(port: ports[index], domain: domain, user: user, resource: resource, within: patience)
    }

    /// Connects one of the components `plays` and `push`; which node it comes to is for the kernel to say.
    ///
    /// - Parameter secret: nil: the one that the server made.
    public func connectComponent(_ name: String, secret: String? = nil, within patience: Duration = .patient) throws -> XMPPClient {
        let file = "\(home)/components/\(name).\(domain).secret"
        return try XMPPClient(
            port: componentPort, component: "\(name).\(domain)", secret: secret ?? Self.firstLine(of: file), within: patience)
    }

    // MARK: Files

    private static func firstLine(of path: String) throws -> String {
        guard let file = fopen(path, "re") else { throw ProcessFailure.system(path) }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count).prefix { $0 != 0x0A }, as: UTF8.self)
    }

    /// All that a node has written to its log.
    public func log(_ index: Int) -> String { (try? ProcessMonitoring.text(of: Self.logFile(names[index], in: group.directory))) ?? "" }

    /// Starts a second process under a node's name, and waits for its end.
    ///
    /// - Returns: its exit status, and all that it wrote.
    public func startTwin(of index: Int) throws -> (status: Int32, text: String) {
        try finish(
            (disk?.entrance ?? []) + [program, "--config", configuration, "--node", names[index]],
            log: "\(group.directory)/twin-\(names[index])", within: .patient)
    }

    /// The end of a node's log.
    public func logTail(_ index: Int) -> String { Self.tail(names[index], Self.logFile(names[index], in: group.directory)) }

    private static func tail(_ name: String, _ path: String) -> String {
        guard let file = fopen(path, "re") else { return "--- \(name) --- (no log)" }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        fseek(file, max(0, ftell(file) - 4000), SEEK_SET)
        var bytes = [UInt8](repeating: 0, count: 4000)
        let count = fread(&bytes, 1, bytes.count, file)
        return "--- \(name) ---\n" + String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// The ends of all logs, for a failure.
    public var logTails: String { names.indices.map(logTail).joined(separator: "\n") }

    /// Writes a file anew.
    public func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "we") else { throw ProcessFailure.system(path) }
        defer { fclose(file) }
        guard fputs(text, file) >= 0 else { throw ProcessFailure.system(path) }
    }

    /// `martletd` stands beside the tests, or where MARTLETD says.
    private static func findProgram() throws -> String {
        if let named = getenv("MARTLETD") { return String(cString: named) }
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        guard length > 0 else { throw ProcessFailure.system("/proc/self/exe") }
        let executable = String(decoding: path.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = executable.lastIndex(of: "/") else { throw ProcessFailure("no folder in \(executable)") }
        let program = executable[...slash] + "martletd"
        guard access(String(program), X_OK) == 0 else { throw ProcessFailure("\(program) is not built; build it, or name it in MARTLETD") }
        return String(program)
    }
}
