/// One command of the admin language, as a value. Parsing, help and completion are derived from it.
public struct AdminCommand: Sendable {
    /// What a word must look like. Only the shape is checked here; whether a JID or a host is good is for the server to say.
    public enum Kind: Sendable, Equatable {
        /// `local@domain`
        case bareJID
        /// `local@domain/resource`
        case fullJID
        /// A bare or a full JID.
        case anyJID
        /// Any address: a JID, or a domain alone.
        case address
        /// The domain of a virtual host.
        case host
        /// The name of a node: 1 to 32 of a–z, 0–9, '-'.
        case node
        /// Anything that is not empty.
        case text
        /// An integer in the range.
        case integer(ClosedRange<Int>)
        /// `+90s`, `5m`, `2h`, `1d`: becomes seconds.
        case duration
        /// One word of a command.
        case commandWord
        /// A file or folder on the machine of the cluster; `martletctl` completes one that begins where it was started.
        case path
        /// The folder of a backup: a path, of which the server knows some.
        case backup
        /// The domain of a configured component.
        case component
        /// One of these words.
        case choice([String])
        /// Some of these words, with commas between them.
        case choices([String])

        /// Whether it names something in the file system.
        var isPath: Bool { self == .path || self == .backup }
    }

    /// A word that follows the path, by its place.
    public struct Argument: Sendable {
        /// Its name in usage and errors, in capitals.
        public var name: String
        /// What the word must look like.
        public var kind: Kind
        /// One sentence for the help page.
        public var summary: String
        /// Whether it may be left out; then all behind it may, too.
        public var isOptional = false
        /// Whether it may stand several times; only the last argument may.
        public var repeats = false
    }

    /// `--name VALUE` or `--name=VALUE` anywhere after the path.
    public struct Option: Sendable {
        /// Without the dashes.
        public var name: String
        /// The name of its value in usage, in capitals; `nil`: a flag without value.
        public var placeholder: String?
        /// What the value must look like; of no meaning for a flag.
        public var kind: Kind
        /// One sentence for the help page.
        public var summary: String
        /// Whether it makes a command that reads one that changes something.
        public var changes = false

        static func flag(_ name: String, _ summary: String, changes: Bool = false) -> Option {
            Option(name: name, placeholder: nil, kind: .text, summary: summary, changes: changes)
        }

        static func value(_ name: String, _ placeholder: String, _ kind: Kind, _ summary: String) -> Option {
            Option(name: name, placeholder: placeholder, kind: kind, summary: summary)
        }
    }

    /// What it does to the server.
    public enum Effect: Sendable, Equatable { case reads, writes }

    /// What the server asks for after the request.
    public enum Secret: Sendable, Equatable {
        case none
        /// `? password`
        case password
        /// `? lines`
        case lines
    }

    /// The words that name it: `["user", "add"]`.
    public var path: [String]
    /// What follows the path, by place.
    public var arguments: [Argument] = []
    /// What may stand anywhere behind the path.
    public var options: [Option] = []
    /// Reads scatter over the cluster; writes are commands at a home.
    public var effect: Effect
    /// What the server asks for after the request.
    public var secret = Secret.none
    /// The argument that makes the lines needless when it is given: their text in one word.
    public var linesArgument: String?
    /// The argument with which it is about files and no longer about a running cluster; `martletctl` then asks no node, but `martletd` as
    /// a program that reads and writes them.
    public var filesArgument: String?
    /// Whether `martletctl` does it by itself, by requests to several nodes one after the other.
    public var isOfClient = false
    /// Whether its reply goes on until whoever asked goes away: it is ended by closing the connection, and no list in pages.
    public var isEndless = false
    /// Whether it is about this machine and a configuration, so that no node is asked: `martletd` does it as a program.
    public var isOfMachine = false
    /// Whether it exists only where a `[debug]` setting allows it.
    public var isDebug = false
    /// One sentence.
    public var summary: String
    /// Paragraphs for the help page.
    public var details: [String] = []
    /// Whole command lines of `martletctl`, without its name.
    public var examples: [String] = []

    /// The path as one text.
    public var name: String { path.joined(separator: " ") }

    /// One line: path, arguments, options.
    public var usage: String {
        var words = path
        for argument in arguments {
            let name = argument.repeats ? argument.name + "…" : argument.name
            words.append(argument.isOptional ? "[\(name)]" : name)
        }
        for option in options {
            words.append("[--\(option.name)\(option.placeholder.map { " " + $0 } ?? "")]")
        }
        return words.joined(separator: " ")
    }
}

/// A request that is well formed: which command, and its words by name.
public struct Invocation: Sendable {
    /// One value of a request.
    enum Value: Equatable, Sendable {
        case text(String)
        case integer(Int)
        case flag
    }

    /// The command that was named.
    public let command: AdminCommand
    let arguments: [String: [Value]]
    let options: [String: Value]

    /// The text of an argument (`"JID"`) or, when `nil`, of an optional one that was not given. An integer gives its digits.
    public func text(_ argument: String) -> String? { arguments[argument]?.first.flatMap(Invocation.text) }

    /// All texts of an argument that repeats.
    public func texts(_ argument: String) -> [String] { arguments[argument, default: []].compactMap(Invocation.text) }

    /// The integer (or the seconds of a duration) of an argument.
    public func integer(_ argument: String) -> Int? { arguments[argument]?.first.flatMap(Invocation.integer) }

    /// The text of an option (`"host"`), when it was given.
    public func option(_ name: String) -> String? { options[name].flatMap(Invocation.text) }

    /// The integer (or the seconds of a duration) of an option, when it was given.
    public func integerOption(_ name: String) -> Int? { options[name].flatMap(Invocation.integer) }

    /// Whether a flag was given.
    public func flag(_ name: String) -> Bool { options[name] == .flag }

    /// What the server asks for before it does this.
    public var wanted: AdminCommand.Secret {
        command.linesArgument.map { text($0) != nil } ?? false ? .none : command.secret
    }

    /// Whether this is about files, and not for a node.
    public var isAboutFiles: Bool { command.isOfMachine || (command.filesArgument.map { text($0) != nil } ?? false) }

    /// Whether it changes something, because its command does or one of the options that were given.
    public var changes: Bool { command.effect == .writes || command.options.contains { $0.changes && options[$0.name] != nil } }

    private static func text(_ value: Value) -> String? {
        switch value {
        case .text(let text): text
        case .integer(let integer): "\(integer)"
        case .flag: nil
        }
    }

    private static func integer(_ value: Value) -> Int? {
        if case .integer(let integer) = value { integer } else { nil }
    }
}
