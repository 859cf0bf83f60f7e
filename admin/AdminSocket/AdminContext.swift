public import AdminLanguage
public import Authentication
public import LMDBStore
public import Logging
public import ServerCore
import Settings
public import Stanzas
public import Store

/// What the commands work on. The room that assembles the node fills it; nothing here is specific to a connection.
public struct AdminContext: Sendable {
    public let core: Core
    /// Derives keys off the loops.
    public let passwords: PasswordPool
    /// Iterations of newly set passwords.
    public var iterations: Int { core.settings.authentication.iterations }
    /// Every module with what it implements.
    public let modules: [(name: String, implements: [XEP])]
    /// Whether the commands under `[debug]` exist.
    public let debug: Bool
    public let log: Logger
    /// The store of this host.
    public let volume: LMDBVolume
    /// Where backups go when nobody says otherwise.
    public let backups: String
    /// The configuration file and the settings in force.
    public let configuration: any ConfigurationDesk
    /// Told of every account that was written through this node.
    public let changed: @Sendable (AccountCommand, JID) -> Void

    public init(
        core: Core, passwords: PasswordPool, modules: [(name: String, implements: [XEP])], debug: Bool, log: Logger,
        volume: LMDBVolume, backups: String, configuration: any ConfigurationDesk,
        changed: @escaping @Sendable (AccountCommand, JID) -> Void
    ) {
        self.changed = changed
        self.configuration = configuration
        self.volume = volume
        self.backups = backups
        self.core = core
        self.passwords = passwords
        self.modules = modules
        self.debug = debug
        self.log = log
    }
}

/// Questions that a node answers as a whole, besides those about sessions; they travel as the bytes of `Shard.ask`.
public enum NodeQuestion: Sendable, Equatable {
    /// What is known of the node: facts.
    case facts
    /// Stop: drain and leave. Answered before it begins.
    case stop
    /// Move the protocol clock.
    case advanceClock(seconds: Int64)
    /// Stop, and begin anew in the same process.
    case restart
    /// Take no more clients and give the sessions to other nodes; take them again.
    case drain, undrain
    /// A step of `config reload`; answered when it is done.
    case configuration(ConfigurationStep)
    /// For the node that keeps the store; the others answer nothing.
    case store(StoreQuestion)
    /// What is logged at least: facts.
    case log(LogQuestion)
    /// An account comes that logs in with keys of these shapes: nobody is offered what it has none for. The keys belong to no password.
    case accountComes(host: String, keys: [UInt8])
    /// What it counted and measured so far: `NodeLoad`.
    case load

    public var bytes: [UInt8] {
        switch self {
        case .facts: [64]
        case .stop: [65]
        case .advanceClock(let seconds): [66] + withUnsafeBytes(of: seconds.bigEndian, Array.init)
        case .store(let question): [67] + question.bytes
        case .log(let question): [76] + question.bytes
        case .accountComes(let host, let keys):
            [80] + withUnsafeBytes(of: UInt16(truncatingIfNeeded: host.utf8.count).bigEndian, Array.init) + Array(host.utf8) + keys
        case .load: [88]
        case .restart: [68]
        case .drain: [69]
        case .undrain: [70]
        case .configuration(let step): [71] + step.bytes
        }
    }

    public init?(_ bytes: [UInt8]) {
        switch bytes.first {
        case 64: self = .facts
        case 65: self = .stop
        case 66 where bytes.count == 9:
            self = .advanceClock(seconds: Int64(bitPattern: bytes.dropFirst().reduce(0) { $0 << 8 | UInt64($1) }))
        case 67:
            guard let question = StoreQuestion(bytes.dropFirst()) else { return nil }
            self = .store(question)
        case 76:
            guard let question = LogQuestion(bytes.dropFirst()) else { return nil }
            self = .log(question)
        case 80 where bytes.count >= 3:
            let length = Int(bytes[1]) << 8 | Int(bytes[2])
            guard bytes.count >= 3 + length, let host = String(validating: bytes[3..<3 + length], as: UTF8.self) else { return nil }
            self = .accountComes(host: host, keys: Array(bytes[(3 + length)...]))
        case 88: self = .load
        case 68: self = .restart
        case 69: self = .drain
        case 70: self = .undrain
        case 71:
            guard let step = ConfigurationStep(bytes.dropFirst()) else { return nil }
            self = .configuration(step)
        default: return nil
        }
    }
}

/// What the node that keeps the store is asked about it.
public enum StoreQuestion: Sendable, Equatable {
    /// Begin one, in a folder on the host of the cluster; nil: where the settings say.
    case begin(directory: String?)
    /// How far it is; nil: the last one.
    case look(run: UInt64?)
    case abort
    /// Give rows that belong to nobody to the purge, when that is certain; nobody waits for it.
    case repair(OrphanRepair)

    var bytes: [UInt8] {
        switch self {
        case .begin(let directory): [0] + Array((directory ?? "").utf8)
        case .look(let run): [1] + (run.map { withUnsafeBytes(of: $0.bigEndian, Array.init) } ?? [])
        case .abort: [2]
        case .repair(let orphan):
            [3] + withUnsafeBytes(of: orphan.partition.bigEndian, Array.init) + withUnsafeBytes(of: orphan.account.bigEndian, Array.init)
        }
    }

    init?(_ bytes: ArraySlice<UInt8>) {
        let rest = bytes.dropFirst()
        switch bytes.first {
        case 0: self = .begin(directory: rest.isEmpty ? nil : String(decoding: rest, as: UTF8.self))
        case 1 where rest.isEmpty: self = .look(run: nil)
        case 1 where rest.count == 8: self = .look(run: rest.reduce(0) { $0 << 8 | UInt64($1) })
        case 2 where rest.isEmpty: self = .abort
        case 3 where rest.count == 10:
            let partition = rest.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }
            self = .repair(OrphanRepair(partition: partition, account: rest.dropFirst(2).reduce(0) { $0 << 8 | UInt64($1) }))
        default: return nil
        }
    }
}

/// What a node says about itself: named values in the order in which they are shown.
public struct NodeFacts: Sendable {
    public var facts: [(key: String, value: ReplyValue)]
    public init(_ facts: [(key: String, value: ReplyValue)] = []) { self.facts = facts }

    public subscript(_ key: String) -> ReplyValue { facts.first { $0.key == key }?.value ?? .none }

    /// As reply lines, which is what travels.
    public var bytes: [UInt8] {
        var reply = Reply()
        for (key, value) in facts { reply.fact(key, value) }
        return reply.take()
    }

    public init(_ bytes: [UInt8]) {
        var parser = ReplyParser()
        facts = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if case .fact(let key, let value)? = try? parser.next(String(decoding: line, as: UTF8.self)) { facts.append((key, value)) }
        }
    }
}
