internal import AdminLanguage
internal import Glibc

/// From the words of the command line to the exit status.
enum Client {
    private static let usage = "usage: martletctl [--directory DIR | --socket PATH] [--json] [--timeout SECONDS] COMMAND…"

    static func run(_ arguments: [String]) -> Int32 {
        do throws(Failure) {
            return try run(Options(arguments)).rawValue
        } catch {
            Output.error("martletctl: \(Words.visible(error.sentence))\n")
            return error.status.rawValue
        }
    }

    private static func run(_ options: Options) throws(Failure) -> ExitStatus {
        switch options.words.first {
        case nil:
            let text =
                ([usage, ""] + Help.overview() + ["", "completion bash|zsh writes a script for the shell."]).joined(separator: "\n") + "\n"
            if options.wantsHelp {
                Output.out(text)
                return .success
            }
            Output.error(text)
            return .usage
        case "help"?: return try help(Array(options.words.dropFirst()))
        case "completion"?: return try completion(Array(options.words.dropFirst()))
        default:
            if options.wantsHelp { return try help(options.words) }
            // A line that is not well formed is for the node to refuse: it may know more commands than this program.
            let invocation = try? CommandTable.parse(Words.line(options.words))
            if invocation?.command.isOfClient == true { return try Rolling.run(options) }
            if invocation?.isAboutFiles == true {
                var conversation = try Conversation(FileProgram.start(greetingWithin: Int64(options.timeout) * 1000), options: options)
                return try conversation.run()
            }
            var conversation = try Conversation(Search.connect(options), options: options)
            return try conversation.run()
        }
    }

    /// Help needs no node: it is made from the table this program was built with.
    private static func help(_ words: [String]) throws(Failure) -> ExitStatus {
        do {
            Output.out(try Help.lines(for: words, debug: true).joined(separator: "\n") + "\n")
            return .success
        } catch {
            throw Failure(.usage, error.sentence)
        }
    }

    private static func completion(_ words: [String]) throws(Failure) -> ExitStatus {
        guard words.count == 1, let shell = Completion.Shell(rawValue: words[0]) else {
            throw Failure(.usage, "name a shell: martletctl completion \(Completion.Shell.allCases.map(\.rawValue).joined(separator: "|"))")
        }
        Output.out(Completion.script(shell, flags: Options.flags, valued: Options.valued, clientCommands: ["completion"]))
        return .success
    }
}

/// What ends the program early: one sentence, and the status.
struct Failure: Error {
    var status: ExitStatus
    var sentence: String
    /// The node had been asked by then: what was asked for may be under way.
    var wasAsked = false

    init(_ status: ExitStatus, _ sentence: String) {
        self.status = status
        self.sentence = sentence
    }
}

/// The options of `martletctl` itself, which stand before the command. `--json` may stand anywhere: people write it last.
struct Options {
    static let flags = ["--json", "--help"]
    static let valued = ["--directory", "--socket", "--timeout"]

    var directory: String?
    var socket: String?
    var json = false
    var wantsHelp = false
    /// Seconds of silence after which a node is given up.
    var timeout = 30
    var words: [String] = []

    init(_ arguments: [String]) throws(Failure) {
        var rest = arguments[...]
        while let word = rest.first, word.utf8.starts(with: "-".utf8), words.isEmpty {
            rest = rest.dropFirst()
            if word == "--" { break }
            try take(word, &rest)
        }
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
        guard directory == nil || socket == nil else {
            throw Failure(.usage, "--directory and --socket are two ways to say the same: give one")
        }
    }

    private mutating func take(_ word: String, _ rest: inout ArraySlice<String>) throws(Failure) {
        let scalars = word.unicodeScalars
        let equals = scalars.firstIndex(of: "=")
        let name = equals.map { String(scalars[..<$0]) } ?? word
        switch name {
        case "--json" where equals == nil: json = true
        case "--help" where equals == nil, "-h" where equals == nil: wantsHelp = true
        case "--directory", "--socket", "--timeout":
            guard let value = equals.map({ String(scalars[scalars.index(after: $0)...]) }) ?? rest.popFirst(), !value.isEmpty else {
                throw Failure(.usage, "\(name) needs a value after it")
            }
            switch name {
            case "--directory": directory = value
            case "--socket": socket = value
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

/// Writing, without losing a byte and without Foundation.
enum Output {
    static func out(_ text: String) { write(STDOUT_FILENO, text) }
    static func error(_ text: String) { write(STDERR_FILENO, text) }

    /// False when not all of it could be written.
    @discardableResult
    static func write(_ descriptor: Int32, _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                guard count > 0 else { return false }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
            return true
        }
    }
}
