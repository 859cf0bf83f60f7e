import ArgumentParser
import Glibc
import Node
import Settings

/// `martletd`: one node of a Martlet cluster.
@main
struct Martletd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martletd", abstract: "One node of a Martlet cluster.", version: "martletd \(Version.text)")

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config = "/etc/martlet/martlet.toml"

    @Option(help: ArgumentHelp("The node's name, instead of node.name of the configuration.", valueName: "name"))
    var node: String?

    @Option(help: ArgumentHelp("The cluster's directory, instead of node.directory of the configuration.", valueName: "dir"))
    var directory: String?

    @Flag(help: "Check the configuration, say what is wrong with it, and end.")
    var checkConfig = false

    @Flag(help: "Print a configuration with every setting and its meaning, and end.")
    var sampleConfig = false

    @Flag(help: "Print the standards that are followed as a table in Markdown, and end.")
    var xepTable = false

    @Flag(
        help:
            "Take one request of the admin language about files on standard input, answer it on standard output, and end: what martletctl store restore and store verify BACKUP do."
    )
    var files = false

    mutating func run() async throws {
        if files {
            signal(SIGPIPE, SIG_IGN)
            var commands = FileCommands()
            commands.run()
            return
        }
        if sampleConfig {
            print(Settings.sample(), terminator: "")
            return
        }
        if xepTable {
            print(Node.xepTable, terminator: "")
            return
        }
        if checkConfig {
            let (text, isGood) = Settings.check(file: config)
            print(text)
            if !isGood { throw ExitCode(1) }
            do {
                _ = try ConfigurationFile(config).load()
            } catch {
                print("\(config): \(error)")
                throw ExitCode(1)
            }
            return
        }
        var settings: Settings
        do {
            // By its whole path, as it is read again: what it names relative to itself is then named alike.
            let (loaded, warnings) = try Settings.load(file: Self.absolute(config))
            settings = loaded
            for warning in warnings { complain("\(warning)") }
        } catch {
            complain("\(error)")
            throw ExitCode(78)  // EX_CONFIG of sysexits.h
        }
        if let node {
            guard Settings.isNodeName(node) else {
                complain("--node \(node): a node's name is 1 to 32 of a to z, 0 to 9 and '-'")
                throw ExitCode(64)
            }
            settings.node.name = node
        }
        if let directory { settings.node.directory = directory }
        let file = ConfigurationFile(Self.absolute(config), node: node, directory: directory)
        signal(SIGPIPE, SIG_IGN)
        let supervisor = Supervisor.fromEnvironment()
        do {
            try await serve(settings, file, supervisor)
        } catch {
            supervisor?.failed("\(error)")
            complain("martletd: \(error)")
            throw ExitCode(1)
        }
    }

    private func serve(_ settings: Settings, _ file: ConfigurationFile, _ supervisor: Supervisor?) async throws {
        let (leaves, continuation) = AsyncStream.makeStream(of: Node.Leave.self)
        let signals = TerminationSignals { continuation.yield(.stop) }
        let node = try Node(settings, from: file) { continuation.yield($0) }
        let reload = ReloadSignal {
            if let supervisor { supervisor.reload { node.reload() } } else { node.reload() }
        }
        try await node.start()
        try supervisor?.watch(node)
        var wish = Node.Leave.stop
        for await leave in leaves {
            wish = leave
            break
        }
        // Twice what is waited for in it, and time to write.
        supervisor?.stopping(within: .seconds(2 * settings.cluster.drainSeconds + 60), comesBack: wish == .restart)
        await node.stop()
        supervisor?.end()
        withExtendedLifetime((signals, reload)) {}
        if wish == .restart { throw StartFailure(NewProcess.begin()) }
    }

    /// As those who ask for it elsewhere would have to name it.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }

    private func complain(_ sentence: String) {
        var line = sentence + "\n"
        line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
    }
}
