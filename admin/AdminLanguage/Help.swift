/// The help pages, made from the command table: the server sends them as prose, `martletctl` prints them by itself.
public enum Help {
    /// All commands, one line each, by the first word of their paths.
    public static func overview(debug: Bool = false) -> [String] {
        let commands = CommandTable.all.filter { debug || !$0.isDebug }
        let width = commands.map { shortUsage($0).count }.max() ?? 0
        var lines: [String] = []
        var group: String?
        for command in commands {
            // Commands of one word stand together at the end, under no heading of their own.
            let next = command.path.count > 1 ? command.path[0] : nil
            if next != group || lines.isEmpty {
                if !lines.isEmpty { lines.append("") }
                group = next
            }
            let usage = shortUsage(command)
            lines.append(usage + String(repeating: " ", count: width - usage.count + 2) + command.summary)
        }
        lines.append("")
        lines.append("help COMMAND… shows everything about one of them.")
        return lines
    }

    private static func shortUsage(_ command: AdminCommand) -> String {
        (command.path + command.arguments.map { $0.isOptional ? "[\($0.name)]" : $0.name }).joined(separator: " ")
    }

    /// Everything about one command.
    public static func page(_ command: AdminCommand) -> [String] {
        var lines = [command.usage, "", command.summary]
        lines += wrapped(command.details)
        let rows =
            command.arguments.map { ($0.name, $0.summary) }
            + command.options.map { ("--\($0.name)\($0.placeholder.map { " " + $0 } ?? "")", $0.summary) }
        if !rows.isEmpty {
            let width = rows.map(\.0.count).max() ?? 0
            lines.append("")
            lines += rows.map { "  " + $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 }
        }
        if !command.examples.isEmpty {
            lines.append("")
            lines += command.examples.map { "  martletctl " + $0 }
        }
        return lines
    }

    /// What `help WORDS…` shows: the overview, one page, or the pages of all commands that begin with the words.
    /// - Throws: `LineError` when no command begins so, with the nearest that does.
    public static func lines(for words: [String], debug: Bool = false) throws(LineError) -> [String] {
        guard !words.isEmpty else { return overview(debug: debug) }
        let known = CommandTable.all.filter { debug || !$0.isDebug }
        // A whole request is asked about as its command is.
        let found = known.filter { $0.path.starts(with: words) || words.starts(with: $0.path) }
        if found.count == 1 { return page(found[0]) }
        if !found.isEmpty {
            let width = found.map(\.usage.count).max() ?? 0
            return found.map {
                $0.usage + String(repeating: " ", count: min(width, 60) > $0.usage.count ? min(width, 60) - $0.usage.count + 2 : 2)
                    + $0.summary
            }
        }
        // No command begins so: the parser of requests says which word is wrong, and its mend.
        return page(try CommandTable.parse(Words.line(words), debug: debug).command)
    }

    /// Breaks paragraphs at 100 characters.
    private static func wrapped(_ paragraphs: [String]) -> [String] {
        var lines: [String] = []
        for paragraph in paragraphs {
            var line = ""
            for word in paragraph.split(separator: " ") {
                if !line.isEmpty, line.count + word.count + 1 > 100 {
                    lines.append(line)
                    line = ""
                }
                line += line.isEmpty ? String(word) : " " + word
            }
            if !line.isEmpty { lines.append(line) }
        }
        return lines
    }
}
