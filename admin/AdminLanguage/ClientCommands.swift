/// What `martletctl` does by itself. Values of the same kind as the server's commands, so that help, completion and manual know them.
extension CommandTable {
    /// The commands of `martletctl`, besides `help`.
    public static let client: [AdminCommand] = [
        AdminCommand(
            path: ["watch"],
            arguments: [.init(name: "COMMAND", kind: .commandWord, summary: "A command that only reads, with its words.", repeats: true)],
            options: [
                .value("every", "SECONDS", .integer(1...3600), "How often; every 2 seconds when not given. -n SECONDS is the same.")
            ],
            effect: .reads,
            summary: "Show the answer to a command anew every few seconds, until q or ctrl-c.",
            details: [
                "Its options stand before the command. Commands that change something are refused.",
                "Where standard output is no terminal the answers follow each other, each under its time; with --json each is a line.",
            ],
            examples: ["watch status", "watch -n 5 session list --node b"]),
        AdminCommand(
            path: ["connect"], arguments: [.init(name: "NODE", kind: .node, summary: "A node on this machine.")], effect: .reads,
            summary: "Go on with another node, in the console.",
            details: ["Every node reaches the whole cluster; which one answers matters only to commands about the one that answers."],
            examples: ["connect b"]),
        AdminCommand(
            path: ["completion"],
            arguments: [.init(name: "SHELL", kind: .choice(Completion.Shell.allCases.map(\.rawValue)), summary: "The shell.")],
            effect: .reads,
            summary: "Write a script with which the shell completes commands, options and what the server knows.",
            examples: ["completion bash", "completion fish"]),
        AdminCommand(path: ["quit"], effect: .reads, summary: "Leave the console; so does exit, or ctrl-d on an empty line."),
    ]
}
