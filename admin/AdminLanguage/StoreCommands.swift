/// `store …`: what is kept, and copies of it.
extension CommandTable {
    private static let directory = AdminCommand.Argument(
        name: "DIR", kind: .text,
        summary: "The folder, as an absolute path on the machine of the cluster; [backup] directory when not given.", isOptional: true)

    static let store: [AdminCommand] = [
        AdminCommand(
            path: ["store", "backup"], arguments: [directory],
            options: [
                .flag("detach", "Begin it and do not wait for its end."),
                .flag("status", "Show how far the one is that runs, or how the last one ended."),
                .flag("abort", "End the one that runs; nothing of it stays."),
            ],
            effect: .writes,
            summary: "Take a backup: a consistent, compact copy of the running store with a manifest.",
            details: [
                "The node that keeps the store writes it, whatever node is asked; one at a time. Everything that was acknowledged before it began is in it.",
                "It is a folder of its own in DIR, named by the moment: data.mdb and manifest.json. The folder has its name only when both are whole and on disk.",
                "It holds every secret of the server, keys of passwords among them; only the user of the server may read it.",
                "Without --detach progress is shown; whoever stops waiting does not stop the backup.",
            ],
            examples: ["store backup", "store backup /var/backups/martlet", "store backup --status", "store backup --abort"]),
        AdminCommand(
            path: ["store", "backups"], arguments: [directory], effect: .reads,
            summary: "List the backups in a folder, oldest first.",
            details: ["What is shown is what their manifests say; store verify compares a backup with its manifest."],
            examples: ["store backups", "--json store backups /var/backups/martlet"]),
        AdminCommand(
            path: ["store", "verify"], effect: .reads,
            summary: "Check every row of the running store and what must hold between them.",
            details: [
                "Checksums, keys and the records behind them, rows without their account, counters and indexes. Each finding is a line that names the row and says what to do; the exit status is 1 when there is any.",
                "It reads in small pages on the threads that read the store anyway, so the server goes on.",
            ],
            examples: ["store verify"]),
    ]
}
