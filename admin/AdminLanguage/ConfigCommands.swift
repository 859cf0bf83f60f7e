/// `config …`: the configuration file, and the settings in force.
extension CommandTable {
    private static let file = AdminCommand.Argument(
        name: "FILE", kind: .path, summary: "A file on the machine of the cluster; the one the node was started with when not given.",
        isOptional: true)

    static let configuration: [AdminCommand] = [
        AdminCommand(
            path: ["config", "check"], arguments: [file], effect: .reads,
            summary: "Say what is wrong with a configuration file, and what should be mended.",
            details: [
                "As martletd --check-config, and besides the certificates, keys and secrets that the file names are read as the server would. The exit status is 1 when it cannot be used."
            ],
            examples: ["config check", "config check /etc/martlet/martlet.toml.new"]),
        AdminCommand(
            path: ["config", "diff"], arguments: [file], effect: .reads,
            summary: "Show every key whose value in force is not what the file says.",
            details: [
                "The effect is \"live\" where config reload puts it in force, and \"restart\" where it counts when the nodes begin anew: cluster restart does that while the others serve."
            ],
            examples: ["config diff", "config diff /etc/martlet/martlet.toml.new"]),
        AdminCommand(
            path: ["config", "reload"],
            options: [.flag("dry-run", "Read and compare everything on all nodes, and change nothing.")],
            effect: .writes,
            summary: "Put in force what can change while the nodes run, on all nodes or on none.",
            details: [
                "Every node reads the file, the certificates, keys and secrets. If one of them cannot use it, or they read different things, nothing is changed anywhere. Otherwise all put it in force: limits, hosts that came or went, certificates, who may register, and whatever config show calls live.",
                "Connections that stand keep their certificate. Sessions of a host that is served no more end with host-gone; its accounts stay in the store. What needs a restart is named.",
                "The signal HUP to any node does the same, and says in the log how it came out.",
            ],
            examples: ["config reload", "config reload --dry-run"]),
        AdminCommand(
            path: ["config", "show"],
            arguments: [
                .init(
                    name: "KEY", kind: .text,
                    summary: "A key, as limits.depth, a table, as limits, or a host, as host example.org; all when not given.",
                    isOptional: true,
                    repeats: true)
            ],
            effect: .reads,
            summary: "Show the settings in force, and where each comes from.",
            details: [
                "The origin is the file, the command line of martletd, or the default. The last column says whether config reload can change it."
            ],
            examples: ["config show limits", "config show host example.org", "--json config show"]),
    ]
}
