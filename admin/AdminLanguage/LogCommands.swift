/// `log …`: what the server says of itself.
extension CommandTable {
    /// The areas of the log, as `LogArea` has them.
    private static let areas = ["node", "store", "bus", "c2s", "components", "backup", "admin", "watch"]
    private static let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    static let logs: [AdminCommand] = [
        AdminCommand(
            path: ["log", "level"],
            arguments: [
                .init(
                    name: "AREA", kind: .choice(["all"] + areas),
                    summary: "One area of the log, or all; every area is shown when not given.", isOptional: true),
                .init(
                    name: "LEVEL", kind: .choice(levels + ["configured"]),
                    summary: "trace, debug, info, notice, warning, error or critical; or configured, for what the settings say.",
                    isOptional: true),
            ],
            options: [.value("node", "NODE", .node, "Only on this node; on all nodes when not given.")],
            effect: .writes,
            summary: "Show what each area logs at least, or change it while the server runs.",
            details: [
                "It holds until the node is started again or reads its configuration again; [log] level and levels are for good.",
                "debug and trace name addresses and accounts. Neither ever says a password, a token or the text of a message.",
                "Nodes that do not answer within 2 seconds are named, and the exit status is 3.",
            ],
            examples: ["log level", "log level bus debug", "log level c2s debug --node b", "log level all configured"])
    ]
}
