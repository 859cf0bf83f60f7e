/// The manual pages, made from the command table, and whatever else `martletctl --generate` writes.
public enum Manual {
    /// The options of `martletctl` itself, which stand before the command.
    public static let martletctlOptions: [AdminCommand.Option] = [
        .value(
            "directory", "DIR", .path, "The cluster's directory ([node] directory): any node in it that answers is asked."),
        .value("socket", "PATH", .path, "The admin socket of one node."),
        .value(
            "timeout", "SECONDS", .integer(1...86_400), "How long a node may be silent before it is given up; 30 seconds when not given."),
        .value("generate", "WHAT", .choice(generated), "Write a manual page or a shell's completion to standard output, and end."),
        .flag("json", "Write the reply as one line of JSON. It may stand behind the command, too."),
        .flag("more", "Stop at every page of a long reply."),
        .flag("no-more", "Do not stop at pages, in the console."),
        .flag("keep-going", "Go on with the next line of a script when a command failed."),
        .flag("complete", "Write what the last of the words that follow may become. The shells ask this."),
        .flag("help", "Show the commands, or all about the one that is named."),
    ]

    /// What `--generate` can write.
    public static let generated = ["man", "man-martletd"] + Completion.Shell.allCases.map(\.rawValue)

    /// One line.
    public static let usage = "usage: martletctl [--directory DIR | --socket PATH] [--json] [--timeout SECONDS] [COMMAND…]"

    /// The text of `--generate WHAT`; nil: there is none of that name.
    public static func generate(_ what: String) -> String? {
        switch what {
        case "man": martletctl
        case "man-martletd": martletd
        default: Completion.Shell(rawValue: what).map { Completion.script($0) }
        }
    }

    // MARK: martletctl(1)

    /// The page `martletctl.1`, for `man`.
    public static var martletctl: String {
        var page = Roff(title: "MARTLETCTL", section: 1)
        page.section("NAME")
        page.paragraph("martletctl - see, change and save a running Martlet cluster")
        page.section("SYNOPSIS")
        page.line(".B martletctl")
        page.line("[options] [command...]")
        page.section("DESCRIPTION")
        for text in description { page.paragraph(text) }
        page.section("OPTIONS")
        page.options(martletctlOptions)
        page.section("COMMANDS")
        for command in CommandTable.all + CommandTable.client where !command.isDebug { page.command(command) }
        page.section("CONSOLE")
        for text in console { page.paragraph(text) }
        for (keys, meaning) in keys { page.item(keys, meaning) }
        page.section("SCRIPTS")
        for text in scripts { page.paragraph(text) }
        page.section("OVER SSH")
        for text in ssh { page.paragraph(text) }
        page.section("EXIT STATUS")
        for (status, meaning) in statuses { page.item("\(status.rawValue)", meaning) }
        page.section("ENVIRONMENT")
        page.item("MARTLET_SOCKET", "An admin socket, or the directory of a cluster, when neither is given as an option.")
        page.item("TERM", "Where it is dumb, or not set, lines are not edited and replies are not drawn.")
        page.item("XDG_STATE_HOME", "Where the history is kept; ~/.local/state when not set.")
        page.section("FILES")
        page.item("data, /var/lib/martlet", "The directories that are looked in, in this order, when nothing says where the cluster is.")
        page.item("DIR/run/admin-NODE.sock", "The admin socket of a node; only the user of the server may open it.")
        page.item(
            "$XDG_STATE_HOME/martlet/history",
            "The last \(1000) lines of the console, for this user alone. What is typed when a password is asked for is not in it, nor is a line that begins with a space."
        )
        page.section("SEE ALSO")
        page.paragraph("martletd(8)")
        return page.text
    }

    private static let description = [
        "martletctl asks one node of a cluster, on the machine it runs on, and reaches all nodes through it. It finds the node by --directory, --socket, MARTLET_SOCKET, or in the usual directories, and takes another one when a node does not answer.",
        "With a command it carries that out and ends. Without one it is a console on a terminal, and elsewhere reads commands from standard input, a line each.",
        "Passwords are asked for on a terminal and never shown, or are the next line of standard input. They are never part of a command.",
        "On a terminal tables fit its width: the widest texts are cut in their middle, numbers never. Written elsewhere nothing is cut. --json is for programs.",
        "Words that hold spaces, quotes or nothing stand in double quotes, with \\\" and \\\\ inside.",
    ]

    private static let console = [
        "The prompt names the cluster and the node that answers. When that node goes, the console finds another one and says so.",
        "Tab completes commands, options and their values, nodes, hosts, JIDs, sessions and backups; where there are several, it shows them. Long replies stop at every page: space goes on, enter goes on by a line, q leaves. ctrl-c ends a command that goes on by itself.",
        "COMMAND < FILE takes the lines or the password that a command asks for from a file. Pasted lines become one line, which is not run before enter.",
    ]

    private static let keys = [
        ("left, right, ctrl-b, ctrl-f", "A character back or forward; with ctrl or alt, or alt-b and alt-f, a word."),
        ("ctrl-a, ctrl-e, home, end", "The beginning or the end of the line."),
        ("up, down, ctrl-p, ctrl-n", "The line before or behind in the history; alt-< and alt-> its ends."),
        (
            "ctrl-r, ctrl-s",
            "Search the history as it is typed; again for older and newer ones. enter takes the line, escape edits it, ctrl-g gives up."
        ),
        ("ctrl-w, alt-backspace, alt-d", "Kill the word before the cursor, up to a space or a sign, or the one behind it."),
        ("ctrl-u, ctrl-k", "Kill to the beginning or the end of the line."),
        ("ctrl-y, alt-y", "Yank what was killed last; then what was killed before."),
        ("ctrl-t, ctrl-_", "Swap two characters; undo."),
        ("ctrl-l", "Clear the screen."),
        ("ctrl-c, ctrl-d", "Give the line up; leave, on an empty line."),
    ]

    private static let scripts = [
        "Where standard input is no terminal, each of its lines is a command; empty lines and lines that begin with # are skipped. A command that asks for a password takes the next line, one that asks for lines takes those up to a dot alone.",
        "The first command that fails ends the script; its line is named and its exit status is that of the script. With --keep-going all lines are done, and the exit status is that of the first that failed.",
    ]

    private static let ssh = [
        "ssh HOST martletctl COMMAND… works as on the host itself. ssh gives the words to a shell there, so what holds spaces needs quotes twice: ssh HOST \"martletctl user disable a@b --reason 'two words'\".",
        "ssh -t HOST martletctl is the console. Without -t there is no terminal: ssh HOST martletctl < script runs a script, and a password is read from standard input, which the local terminal shows as it is typed; so use -t for commands that ask for one, or give it from a file: ssh HOST martletctl user add a@b < password-file.",
    ]

    private static let statuses: [(ExitStatus, String)] = [
        (.success, "Done."), (.failure, "The server says why not, or the command was interrupted."),
        (.usage, "The command was not understood."),
        (.partial, "Done in part: a node did not answer, or lines were refused; they are named."),
        (.noConnection, "No node could be reached, or it fell silent."),
    ]

    // MARK: martletd(8)

    /// The page `martletd.8`, for `man`.
    public static var martletd: String {
        var page = Roff(title: "MARTLETD", section: 8)
        page.section("NAME")
        page.paragraph("martletd - one node of a Martlet cluster")
        page.section("SYNOPSIS")
        page.line(".B martletd")
        page.line("[options]")
        page.section("DESCRIPTION")
        for text in nodeDescription { page.paragraph(text) }
        page.section("OPTIONS")
        page.options(nodeOptions)
        page.section("SIGNALS")
        page.item(
            "SIGTERM, SIGINT",
            "Stop in order: streams are closed, and what is unacknowledged is handed over. A second one ends the process at once.")
        page.item("SIGHUP", "Read again what can change while the node runs.")
        page.section("EXIT STATUS")
        page.item("0", "The node was told to stop, and did.")
        page.item("1", "It could not start, or --check-config found something; a sentence on standard error says what.")
        page.item("64", "The options were not understood.")
        page.item("78", "The configuration cannot be used; file, line, key and mend are named.")
        page.section("FILES")
        page.item("/etc/martlet/martlet.toml", "The configuration, the same for all nodes; --node tells them apart.")
        page.item("DIR/store", "What is kept: data.mdb and the lock of the node that writes it.")
        page.item("DIR/run", "Sockets: between the nodes, and admin-NODE.sock for martletctl.")
        page.section("SEE ALSO")
        page.paragraph("martletctl(1)")
        return page.text
    }

    private static let nodeDescription = [
        "A cluster is any number of nodes with one configuration and one directory on one machine. They share their listening ports, sessions and store. Any node may be killed at any moment: the others go on, and what was acknowledged is kept.",
        "A node needs no service beside it. One of them writes the store; when it goes, another takes over by itself.",
    ]

    private static let nodeOptions: [AdminCommand.Option] = [
        .value("config", "FILE", .path, "The configuration file; /etc/martlet/martlet.toml when not given."),
        .value("node", "NAME", .node, "The node's name, instead of node.name of the configuration."),
        .value("directory", "DIR", .path, "The cluster's directory, instead of node.directory of the configuration."),
        .flag("check-config", "Check the configuration, say what is wrong with it, and end."),
        .flag("sample-config", "Print a configuration with every setting and its meaning, and end."),
        .flag("xep-table", "Print the standards that are followed as a table in Markdown, and end."),
        .flag("files", "Answer one request of the admin language about files on standard input, and end: what martletctl does with it."),
        .flag("version", "Print the version, and end."), .flag("help", "Print the options, and end."),
    ]
}

/// A page in the man macros of groff and mandoc.
private struct Roff {
    private(set) var text: String

    init(title: String, section: Int) {
        text = ".TH \(title) \(section) \"\" \"Martlet\" \"Martlet\"\n"
    }

    mutating func line(_ line: String) { text += line + "\n" }

    mutating func section(_ title: String) { line(".SH \"\(title)\"") }

    mutating func paragraph(_ paragraph: String) {
        line(".PP")
        line(Roff.escape(paragraph))
    }

    mutating func item(_ term: String, _ meaning: String) {
        line(".TP")
        line(".B " + Roff.escape(term, isArgument: true))
        line(Roff.escape(meaning))
    }

    mutating func options(_ options: [AdminCommand.Option]) {
        for option in options { item("--\(option.name)\(option.placeholder.map { " " + $0 } ?? "")", option.summary) }
    }

    mutating func command(_ command: AdminCommand) {
        line(".SS \"\(Roff.escape(command.name, isArgument: true))\"")
        line(".B " + Roff.escape(command.usage, isArgument: true))
        for paragraph in [command.summary] + command.details { self.paragraph(paragraph) }
        for argument in command.arguments { item(argument.name, argument.summary) }
        options(command.options)
        guard !command.examples.isEmpty else { return }
        line(".PP")
        line(".nf")
        for example in command.examples { line(".RS 4\n\(Roff.escape("martletctl " + example))\n.RE") }
        line(".fi")
    }

    /// Backslashes, hyphens and dots at the beginning are what roff would take for its own; quotes end an argument of a macro.
    private static func escape(_ text: String, isArgument: Bool = false) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\e"
            case "-": escaped += "\\-"
            case "\"" where isArgument: escaped += "\\(dq"
            case "'": escaped += "\\(aq"
            case "`": escaped += "\\(ga"
            case "^": escaped += "\\(ha"
            case "~": escaped += "\\(ti"
            case "…": escaped += "..."
            case _ where !scalar.isASCII: escaped += "\\[u\(Roff.hex(scalar))]"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped.hasPrefix(".") ? "\\&" + escaped : escaped
    }

    private static func hex(_ scalar: Unicode.Scalar) -> String {
        let hex = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - hex.count)) + hex
    }
}
