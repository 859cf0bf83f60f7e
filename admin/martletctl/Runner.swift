internal import AdminLanguage
internal import Console

/// Carries out one command, whether it came from the command line, a script or the console.
struct Runner {
    let options: Options
    let link: Link
    let input: Input
    let display: Display
    var mode: TerminalMode?
    var signals: Signals?

    private var isScript: Bool { input.endsAtDot && !input.isTerminal }

    /// - Throws: what this program itself has to say; what the node says is shown, and gives the status.
    func run(_ options: Options) throws(Failure) -> ExitStatus {
        display.begin(isJSON: options.json)
        if options.wantsHelp { return try help(options.words) }
        switch options.words.first {
        case "help"?: return try help(Array(options.words.dropFirst()))
        case "completion"?: return try completion(Array(options.words.dropFirst()))
        case "watch"?:
            guard !isScript else { throw Failure(.usage, "watch has no end: it is not for a script") }
            return try Watch(options.words.dropFirst()).run(self, options)
        case "connect"?, "quit"?, "exit"?:
            throw Failure(.usage, "\(options.words[0]) is for the console: write martletctl alone to be in it")
        default:
            if !isScript, let watched = Top.watched(options, display) { return try Watch(watched[...]).run(self, options) }
            return try ask(options)
        }
    }

    /// Help needs no node: it is made from the table this program was built with.
    private func help(_ words: [String]) throws(Failure) -> ExitStatus {
        do {
            let lines = try Help.lines(for: words, debug: true, client: true, width: display.width)
            display.out(lines.joined(separator: "\n") + "\n")
            return .success
        } catch {
            throw Failure(.usage, error.sentence)
        }
    }

    private func completion(_ words: [String]) throws(Failure) -> ExitStatus {
        guard words.count == 1, let shell = Completion.Shell(rawValue: words[0]) else {
            throw Failure(.usage, "name a shell: martletctl completion \(Completion.Shell.allCases.map(\.rawValue).joined(separator: "|"))")
        }
        display.out(Completion.script(shell))
        return .success
    }

    private func ask(_ options: Options) throws(Failure) -> ExitStatus {
        // A line that is not well formed is for the node to refuse: it may know more commands than this program.
        let invocation = try? CommandTable.parse(Words.line(options.words), debug: true)
        if invocation?.command.isOfClient == true { return try Rolling.run(options, signals) }
        if invocation?.command.isEndless == true { display.goesOn() }
        let isAboutFiles = invocation?.isAboutFiles == true
        let connection = try isAboutFiles ? FileProgram.start(greetingWithin: Int64(options.timeout) * 1000) : link.open()
        let changes = invocation?.changes ?? true
        do throws(Failure) {
            var conversation = try Conversation(
                connection, options: options, changes: changes, input: input, display: display, mode: mode,
                signals: signals)
            switch try conversation.run() {
            case .status(let status): return status
            case .interrupted:
                if !isAboutFiles { link.drop() }
                if display.isLeft || invocation?.command.isEndless == true { return .success }
                var failure = Failure(.failure, changes ? "interrupted: what was asked for may or may not be done" : "interrupted")
                failure.isInterrupt = true
                throw failure
            }
        } catch {
            // The rest of the answer may come, and would be taken for that to the next request.
            if !isAboutFiles { link.drop() }
            throw error
        }
    }
}
