internal import AdminLanguage

/// What ends the program, or one command, early: one sentence, and the status.
struct Failure: Error {
    var status: ExitStatus
    var sentence: String
    /// The node had been asked by then: what was asked for may be under way.
    var wasAsked = false
    /// The person did not wait for the answer.
    var isInterrupt = false

    init(_ status: ExitStatus, _ sentence: String) {
        self.status = status
        self.sentence = sentence
    }
}

/// The options of `martletctl` itself, which stand before the command. `--json` may stand anywhere: people write it last.
struct Options {
    static let flags = Manual.martletctlOptions.filter { $0.placeholder == nil }.map { "--" + $0.name }
    static let valued = Manual.martletctlOptions.filter { $0.placeholder != nil }.map { "--" + $0.name }

    var directory: String?
    var socket: String?
    var json = false
    var wantsHelp = false
    /// Whether long output stops at every page: as the person said, or nil.
    var more: Bool?
    /// Whether a script goes on behind a command that failed.
    var keepsGoing = false
    /// The page or the script to write.
    var generate: String?
    /// Whether the words are those of a line for which a shell asks what its last word may become.
    var completes = false
    /// Seconds of silence after which a node is given up.
    var timeout = 30
    var words: [String] = []

    init(_ arguments: [String]) throws(Failure) {
        var rest = arguments[...]
        while let word = rest.first, word.utf8.starts(with: "-".utf8), words.isEmpty {
            rest = rest.dropFirst()
            if word == "--" { break }
            try take(word, &rest)
            if completes {
                words = Array(rest)
                return
            }
        }
        takeCommand(rest)
        guard directory == nil || socket == nil else {
            throw Failure(.usage, "--directory and --socket are two ways to say the same: give one")
        }
    }

    /// The same options for another command.
    func with(_ words: [String]) -> Options {
        var options = self
        options.words = []
        options.takeCommand(words[...])
        return options
    }

    private mutating func takeCommand(_ rest: ArraySlice<String>) {
        var isPlain = false
        for word in rest {
            if word == "--" { isPlain = true }
            if word == "--json", !isPlain {
                json = true
            } else if word == "--help", !isPlain {
                wantsHelp = true
            } else {
                words.append(word)
            }
        }
    }

    private mutating func take(_ word: String, _ rest: inout ArraySlice<String>) throws(Failure) {
        let scalars = word.unicodeScalars
        let equals = scalars.firstIndex(of: "=")
        let name = equals.map { String(scalars[..<$0]) } ?? word
        switch name {
        case "--json" where equals == nil: json = true
        case "--help" where equals == nil, "-h" where equals == nil: wantsHelp = true
        case "--more" where equals == nil: more = true
        case "--no-more" where equals == nil: more = false
        case "--keep-going" where equals == nil: keepsGoing = true
        case "--complete" where equals == nil: completes = true
        case "--directory", "--socket", "--timeout", "--generate":
            guard let value = equals.map({ String(scalars[scalars.index(after: $0)...]) }) ?? rest.popFirst(), !value.isEmpty else {
                throw Failure(.usage, "\(name) needs a value after it")
            }
            switch name {
            case "--directory": directory = value
            case "--socket": socket = value
            case "--generate": generate = value
            default:
                guard let seconds = Int(value), (1...86_400).contains(seconds) else {
                    throw Failure(.usage, "\"\(value)\" is no --timeout: write seconds from 1 to 86400")
                }
                timeout = seconds
            }
        default:
            throw Failure(
                .usage, "\"\(word)\" is not known before the command: known are \((Options.valued + Options.flags).joined(separator: ", "))"
            )
        }
    }
}
