/// `node …` and `cluster …`: nodes come and go while the others serve.
extension CommandTable {
    private static let node = AdminCommand.Argument(name: "NODE", kind: .node, summary: "The node.")
    private static let nodeOrThis = AdminCommand.Argument(
        name: "NODE", kind: .node, summary: "The node; the one that answers when not given.", isOptional: true)

    static let nodeLife: [AdminCommand] = [
        AdminCommand(
            path: ["node", "drain"], arguments: [nodeOrThis], effect: .writes,
            summary: "Let a node take no more clients and give its sessions to the others.",
            details: [
                "Sessions with stream management (XEP-0198) move to other nodes with all that is in them; then their sockets are cut, and the clients come back and resume, at any node, without a stanza lost. Others end with system-shutdown, and their clients log in elsewhere.",
                "The node goes on otherwise, and keeps the store if it did; node stop ends it, node undrain lets it take clients again.",
                "[cluster] drain_seconds bounds it, drain_sessions_per_second is its pace.",
            ],
            examples: ["node drain b"]),
        AdminCommand(
            path: ["node", "undrain"], arguments: [nodeOrThis], effect: .writes,
            summary: "Let a node that was drained take clients again.",
            examples: ["node undrain b"]),
        AdminCommand(
            path: ["node", "stop"], arguments: [nodeOrThis], effect: .writes,
            summary: "Drain a node and end its process.",
            details: [
                "As node drain, and then another node keeps the store if this one did. A service manager leaves it stopped; node start starts it.",
                "The answer comes when it is gone; a node that is asked to stop itself answers before.",
            ],
            examples: ["node stop b"]),
        AdminCommand(
            path: ["node", "start"], arguments: [node], effect: .writes,
            summary: "Start a node that does not run, by a node that does.",
            details: [
                "Nodes that systemd runs as martletd@NAME.service start another as such. Without systemd, a program named start in the directory of the cluster is run with the name; ops/run puts one there.",
                "The answer comes when the node serves.",
            ],
            examples: ["node start b"]),
        AdminCommand(
            path: ["node", "restart"], arguments: [nodeOrThis], effect: .writes,
            summary: "Drain a node and let it begin anew in the same process.",
            details: [
                "It needs no service manager: the process replaces itself by its program file, which may be a newer version, reads the configuration again, and keeps its process id.",
                "The answer comes when it serves again; a node that is asked to restart itself answers before.",
            ],
            examples: ["node restart b"]),
        AdminCommand(
            path: ["cluster", "restart"], effect: .writes, isOfClient: true,
            summary: "Restart all nodes, one after the other, while the others serve.",
            details: [
                "The node that keeps the store comes last. Clients that resume (XEP-0198) see no error and lose nothing. The first failure ends it, and it is said how things stand; done again it begins from the front.",
                "martletctl does it by itself, by node restart through nodes that are not concerned, since it outlives each of them.",
            ],
            examples: ["cluster restart"]),
    ]
}
