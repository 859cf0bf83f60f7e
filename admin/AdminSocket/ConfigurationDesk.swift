import AdminLanguage
public import Settings

/// What a node knows of its configuration file. The room that assembles the node fills it; every call may wait for the disk.
public protocol ConfigurationDesk: Sendable {
    /// The file that the node was started with.
    var file: String { get }
    /// What is wrong with a file, and what should be mended; certificates and secrets that it names are tried.
    func check(file: String) -> (problems: [String], warnings: [String])
    /// What differs between the settings in force and a file.
    func differences(file: String) -> Result<[SettingsChange], ConfigurationRefusal>
    /// Every key in force, and where its value comes from: `default`, `file`, `command line`.
    func entries() -> [(entry: SettingsEntry, origin: String)]
    /// A step of `config reload`, asked by a node of the cluster.
    func answer(_ step: ConfigurationStep) -> NodeFacts
}

/// Why a file cannot be used: sentences.
public struct ConfigurationRefusal: Error, Sendable {
    public var sentences: [String]
    public init(_ sentences: [String]) { self.sentences = sentences }
}

/// The steps in which all nodes of a cluster take a new configuration, or none does.
public enum ConfigurationStep: Sendable, Equatable {
    /// Read the file and all that it names, and keep it ready.
    case prepare(run: UInt64)
    /// Put in force what was prepared in this run.
    case apply(run: UInt64)
    /// Forget what was prepared in this run.
    case drop(run: UInt64)

    var bytes: [UInt8] {
        switch self {
        case .prepare(let run): [0] + withUnsafeBytes(of: run.bigEndian, Array.init)
        case .apply(let run): [1] + withUnsafeBytes(of: run.bigEndian, Array.init)
        case .drop(let run): [2] + withUnsafeBytes(of: run.bigEndian, Array.init)
        }
    }

    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count == 9 else { return nil }
        let run = bytes.dropFirst().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch bytes.first {
        case 0: self = .prepare(run: run)
        case 1: self = .apply(run: run)
        case 2: self = .drop(run: run)
        default: return nil
        }
    }
}
