/// The help pages, made from the command table: the server sends them as prose, `martletctl` prints them by itself.
public enum Help {
    /// All commands, one line each, by the first word of their paths.
    ///
    /// - Parameters:
    ///   - debug: whether the commands under `[debug]` exist.
    ///   - client: whether those of `martletctl` are among them.
    ///   - width: the cells of a line of the terminal; nil: lines are as long as they are.
    public static func overview(debug: Bool = false, client: Bool = false, width: Int? = nil) -> [String] {
        let commands = (CommandTable.all + (client ? CommandTable.client : [])).filter { debug || !$0.isDebug }
        let column = commands.map { shortUsage($0).count }.max() ?? 0
        var lines: [String] = []
        var group: String?
        for command in commands {
            // Commands of one word stand together at the end, under no heading of their own.
            let next = command.path.count > 1 ? command.path[0] : nil
            if next != group || lines.isEmpty {
                if !lines.isEmpty { lines.append("") }
                group = next
            }
            lines += row(shortUsage(command), command.summary, column: column, width: width)
        }
        lines.append("")
        let hint = "help COMMAND… shows everything about one of them."
        return lines + (width.map { CellWidth.wrapped(hint, cells: $0) } ?? [hint])
    }

    private static func shortUsage(_ command: AdminCommand) -> String {
        (command.path + command.arguments.map { $0.isOptional ? "[\($0.name)]" : $0.name }).joined(separator: " ")
    }

    /// A term and its meaning beside it; where that is too long it goes on below its beginning.
    private static func row(_ term: String, _ meaning: String, column: Int, width: Int?) -> [String] {
        let lead = String(repeating: " ", count: column + 2)
        let first = term + String(repeating: " ", count: max(0, column - term.count) + 2)
        guard let width, first.count + meaning.count > width else { return [first + meaning] }
        guard width - column - 2 >= 24 else {
            return CellWidth.wrapped(term, cells: width) + CellWidth.wrapped(meaning, cells: width - 8).map { "        " + $0 }
        }
        let parts = CellWidth.wrapped(meaning, cells: width - column - 2)
        return [first + parts[0]] + parts.dropFirst().map { lead + $0 }
    }

    /// Everything about one command.
    public static func page(_ command: AdminCommand, width: Int? = nil) -> [String] {
        let measure = min(width ?? 100, 100)
        var lines = CellWidth.wrapped(command.usage, cells: max(measure, 40)) + [""]
        lines += ([command.summary] + command.details).flatMap { CellWidth.wrapped($0, cells: measure) }
        let rows =
            command.arguments.map { ($0.name, $0.summary) }
            + command.options.map { ("--\($0.name)\($0.placeholder.map { " " + $0 } ?? "")", $0.summary) }
        if !rows.isEmpty {
            let column = 2 + (rows.map(\.0.count).max() ?? 0)
            lines.append("")
            lines += rows.flatMap { row("  " + $0.0, $0.1, column: column, width: width) }
        }
        if !command.examples.isEmpty {
            lines.append("")
            lines += command.examples.map { "  martletctl " + $0 }
        }
        return lines
    }

    /// What `help WORDS…` shows: the overview, one page, or the pages of all commands that begin with the words.
    /// - Throws: `LineError` when no command begins so, with the nearest that does.
    public static func lines(
        for words: [String], debug: Bool = false, client: Bool = false, width: Int? = nil
    ) throws(LineError) -> [String] {
        guard !words.isEmpty else { return overview(debug: debug, client: client, width: width) }
        let known = (CommandTable.all + (client ? CommandTable.client : [])).filter { debug || !$0.isDebug }
        // A whole request is asked about as its command is.
        let found = known.filter { $0.path.starts(with: words) || words.starts(with: $0.path) }
        if found.count == 1 { return page(found[0], width: width) }
        if !found.isEmpty {
            let column = min(found.map(\.usage.count).max() ?? 0, 60)
            return found.flatMap { row($0.usage, $0.summary, column: column, width: width) }
        }
        // No command begins so: the parser of requests says which word is wrong, and its mend.
        return page(try CommandTable.parse(Words.line(words), debug: debug).command, width: width)
    }
}
