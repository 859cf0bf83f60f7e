import AdminLanguage
import AdminSocket
import Authentication
import Glibc
import Logging
import ServerCore
public import Settings
import Stanzas
import Synchronization
import Telemetry
import Transports

/// Where the settings of a process come from: a file, and what its command line says instead.
public struct ConfigurationFile: Sendable {
    public let path: String
    private let node: String?
    private let directory: String?

    /// - Parameters:
    ///   - node: instead of `node.name` of the file.
    ///   - directory: instead of `node.directory` of the file.
    public init(_ path: String, node: String? = nil, directory: String? = nil) {
        self.path = path
        self.node = node
        self.directory = directory
    }

    /// - Throws: `SettingsError`, or `StartFailure` for a domain.
    public func load() throws -> (settings: Settings, warnings: [SettingsProblem]) {
        var (settings, warnings) = try Settings.load(file: path)
        if let node { settings.node.name = node }
        if let directory { settings.node.directory = directory }
        settings = try Node.prepared(settings)
        return (settings, warnings)
    }

    func at(_ path: String) -> ConfigurationFile { ConfigurationFile(path, node: node, directory: directory) }

    /// Whether the command line says what the value of a key is.
    func overrides(_ key: String) -> Bool { key == "node.name" && node != nil || key == "node.directory" && directory != nil }
}

/// The settings in force, and those that may come into force.
final class Configuration: ConfigurationDesk {
    /// Read and whole, and not in force yet.
    private struct Prepared {
        var run: UInt64
        var at: MonotonicTime
        var settings: Settings
        var changes: [SettingsChange]
        var clients: ClientTransports.Prepared
        var components: ComponentTransports.Prepared
    }

    /// What was prepared by a node that died is forgotten after so long, so that others may reload.
    private static let patience = Duration.seconds(60)

    private let source: ConfigurationFile
    private let core: Core
    private let clients: ClientTransports
    private let components: ComponentTransports
    private let logins: LoginCensus
    private let levels: LogLevels
    private let log: Logger
    private let prepared = Mutex<Prepared?>(nil)

    init(
        _ source: ConfigurationFile, core: Core, clients: ClientTransports, components: ComponentTransports, logins: LoginCensus,
        levels: LogLevels, log: Logger
    ) {
        self.source = source
        self.core = core
        self.clients = clients
        self.components = components
        self.logins = logins
        self.levels = levels
        self.log = log
    }

    var file: String { source.path }

    // MARK: Looking

    func check(file: String) -> (problems: [String], warnings: [String]) {
        do {
            let (settings, warnings) = try source.at(file).load()
            let texts = warnings.map(\.description)
            do {
                let clients = try clients.prepare(settings)
                _ = try components.prepare(settings)
                return ([], texts + clients.warnings)
            } catch {
                return (["\(error)"], texts)
            }
        } catch {
            return (Self.sentences(error), [])
        }
    }

    func differences(file: String) -> Result<[SettingsChange], ConfigurationRefusal> {
        do {
            return .success(core.settings.differences(to: try source.at(file).load().settings))
        } catch {
            return .failure(ConfigurationRefusal(Self.sentences(error)))
        }
    }

    func entries() -> [(entry: SettingsEntry, origin: String)] {
        core.settings.entries().map { entry in
            (entry, source.overrides(entry.key) ? "command line" : entry.isDefault ? "default" : "file")
        }
    }

    private static func sentences(_ error: any Error) -> [String] {
        (error as? SettingsError)?.problems.map(\.description) ?? ["\(error)"]
    }

    // MARK: Changing

    func answer(_ step: ConfigurationStep) -> NodeFacts {
        var facts: [(key: String, value: ReplyValue)] = [("node", .text(core.nodeName))]
        switch step {
        case .prepare(let run):
            guard !isBusy(run) else {
                facts.append(("busy", .flag(true)))
                break
            }
            do {
                facts += try prepare(run)
            } catch {
                facts += Self.sentences(error).map { ("refused", .text($0)) }
            }
        case .apply(let run): facts.append(("applied", .flag(apply(run))))
        case .drop(let run): prepared.withLock { if $0?.run == run { $0 = nil } }
        }
        return NodeFacts(facts)
    }

    /// Whether another run was prepared and is not over.
    private func isBusy(_ run: UInt64) -> Bool {
        prepared.withLock { prepared in prepared.map { $0.run != run && $0.at + Self.patience > .now } ?? false }
    }

    private func prepare(_ run: UInt64) throws -> [(key: String, value: ReplyValue)] {
        let (loaded, warnings) = try source.load()
        let changes = core.settings.differences(to: loaded)
        let settings = core.settings.taking(liveOf: loaded)
        let clients = try clients.prepare(settings)
        let components = try components.prepare(settings)
        prepared.withLock {
            $0 = Prepared(
                run: run, at: .now, settings: settings, changes: changes, clients: clients, components: components)
        }
        return [("digest", .text(Self.digest(loaded)))] + NodeFacts.facts(of: changes)
            + (warnings.map(\.description) + clients.warnings).map { ("warning", .text($0)) }
    }

    /// What all nodes must have read alike: every key but the node's own, and the files of the certificates.
    private static func digest(_ settings: Settings) -> String {
        var bytes: [UInt8] = []
        for entry in settings.entries() where !entry.key.hasPrefix("node.") { bytes += Array("\(entry.key)=\(entry.value)\n".utf8) }
        for path in settings.hosts.flatMap({ [$0.certificate, $0.key] }) where !path.isEmpty {
            var status = stat()
            guard stat(path, &status) == 0 else { continue }
            bytes += Array("\(path) \(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)\n".utf8)
        }
        return SHA1.hash(bytes).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    private func apply(_ run: UInt64) -> Bool {
        let wanted = prepared.withLock { prepared -> Prepared? in
            guard prepared?.run == run else { return nil }
            defer { prepared = nil }
            return prepared
        }
        guard let wanted else { return false }
        let old = core.settings
        core.replace(wanted.settings)
        clients.take(wanted.clients)
        components.take(wanted.components)
        let authentication = wanted.settings.authentication
        logins.change(iterations: authentication.iterations, mechanisms: authentication.mechanisms)
        if old.log != wanted.settings.log { levels.apply(wanted.settings.log) }
        if old != wanted.settings {
            for shard in core.shards {
                shard.enter { [log] shard in
                    do {
                        try shard.settingsChanged()
                    } catch {
                        log.error("the modules stay as they were", metadata: ["reason": "\(error)"])
                    }
                }
            }
        }
        for change in wanted.changes {
            log.notice(
                change.effect == .live ? "setting changed" : "setting counts from the next start",
                metadata: ["key": "\(change.key)", "old": "\(change.old)", "new": "\(change.new)"])
        }
        log.notice("the configuration is in force", metadata: ["file": "\(source.path)"])
        return true
    }

    // MARK: By signal

    /// How often a reload by signal is tried while another runs: the signal may have been sent to every node.
    private static let attempts = 5

    /// Reloads the whole cluster, and says in the log how it came out.
    ///
    /// - Parameter done: called when it is over.
    func reload(attempt: Int = 1, done: @escaping @Sendable () -> Void) {
        Reload.run(core: core, isDry: false) { [self] outcome in
            switch outcome {
            case .busy where attempt < Self.attempts:
                guard let loop = core.shards.first?.loop else { return done() }
                _ = loop.schedule(after: .milliseconds(Int64.random(in: 200...1_500))) { self.reload(attempt: attempt + 1, done: done) }
                return
            case .busy: log.notice("the configuration is not reloaded from here: other reloads are under way")
            case .refused(let sentences):
                log.error(
                    "the configuration is not reloaded, on any node",
                    metadata: ["event": "\(Event.reloadFailed)", "reason": "\(sentences.joined(separator: "; "))"])
            case .partial(_, let sentences):
                log.error(
                    "the configuration is not in force on all nodes",
                    metadata: ["event": "\(Event.reloadFailed)", "reason": "\(sentences.joined(separator: "; "))"])
            case .done(let changes, let warnings):
                let waiting = changes.filter { $0.effect == .restart }.map(\.key)
                log.notice(
                    "the configuration is reloaded on all nodes",
                    metadata: ["changes": "\(changes.count - waiting.count)", "need_restart": "\(waiting.joined(separator: ", "))"])
                for warning in warnings { log.warning("\(warning)") }
            }
            done()
        }
    }
}
