internal import AdminLanguage
internal import Glibc

/// `top` on a terminal is `top --once` under `watch`: measured for a second and shown for another, until q.
enum Top {
    /// What `watch` is given; nil where it is shown once.
    static func watched(_ options: Options, _ display: Display) -> [String]? {
        guard options.words.first == "top", !options.words.contains("--once"), !options.json, !display.isHeld,
            isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1,
            let invocation = try? CommandTable.parse(Words.line(options.words))
        else { return nil }
        let measured = invocation.integerOption("seconds") == nil ? ["--seconds", "1"] : []
        return ["-n", "1"] + options.words + ["--once"] + measured
    }
}
