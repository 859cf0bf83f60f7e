internal import AdminLanguage
internal import Glibc

/// From the words of the command line to the exit status.
enum Client {
    static func run(_ arguments: [String]) -> Int32 {
        do throws(Failure) {
            return try run(Options(arguments)).rawValue
        } catch {
            Output.error("martletctl: \(Words.visible(error.sentence))\n")
            return error.status.rawValue
        }
    }

    private static func run(_ options: Options) throws(Failure) -> ExitStatus {
        if let what = options.generate {
            guard options.words.isEmpty, let page = Manual.generate(what) else {
                throw Failure(.usage, "\(what) cannot be generated: write --generate \(Manual.generated.joined(separator: "|")) alone")
            }
            Output.out(page)
            return .success
        }
        if options.completes { return ShellCompletion(options).run() }
        guard options.words.isEmpty else {
            let manner = options.more == true && isatty(STDIN_FILENO) == 1 ? Display.Manner.paged : .plain
            let runner = Runner(
                options: options, link: Link(options), input: Input(STDIN_FILENO, endsAtDot: isatty(STDIN_FILENO) == 1),
                display: Display(isJSON: options.json, manner: manner))
            return try runner.run(options)
        }
        if options.wantsHelp {
            Output.out(
                Manual.usage + "\n\n" + Help.overview(client: true, width: Display(isJSON: false).width).joined(separator: "\n") + "\n")
            return .success
        }
        let isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
        let kind = getenv("TERM").map { String(cString: $0) } ?? "dumb"
        if isTerminal, kind != "dumb", let mode = TerminalMode(), let signals = Signals() {
            return try ConsoleLoop(options, mode, signals).run()
        }
        return try Script(options: options).run()
    }
}
