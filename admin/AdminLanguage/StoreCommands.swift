/// `store …`: what is kept, and copies of it.
extension CommandTable {
    private static let directory = AdminCommand.Argument(
        name: "DIR", kind: .path,
        summary: "The folder, on the machine of the cluster; [backup] directory when not given.", isOptional: true)

    static let userRestore = AdminCommand(
        path: ["user", "restore"],
        arguments: [.init(name: "JID", kind: .bareJID, summary: "The account, as user@host.")],
        options: [
            .value("from", "BACKUP", .backup, "The folder of a backup, on the machine of the cluster."),
            .value(
                "what", "PARTS", .choices(["credentials", "roster", "items", "messages"]),
                "Some of credentials, roster, items, messages, with commas; all of them when not given."),
            .flag("replace", "Where the account has something else, what is in the backup wins."),
        ],
        effect: .writes,
        summary: "Bring one account, or parts of it, back out of a backup while the server runs.",
        details: [
            "An account that is not there is made, with its old password. One that is there keeps its password, and what it has stays: contacts, blocked addresses, vCard and archived messages that it lacks are added. With --replace the password, contacts and items of the backup win; what only the account has stays all the same.",
            "Messages come back into the archive under their old ids. What was owed at the time of the backup is owed again only to an account that was not there.",
            "Subscriptions come back on this side alone, as they were. Tokens, push services and invitations do not come back.",
            "The backup is compared with its manifest first.",
        ],
        examples: [
            "user restore juliet@example.org --from /var/backups/martlet/martlet-20261121T152423Z",
            "user restore juliet@example.org --from /var/backups/martlet/martlet-20261121T152423Z --what roster --replace",
        ])

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
            path: ["store", "stats"],
            options: [.flag("tables", "Count rows and bytes of each table too; every row is looked at.")],
            effect: .reads,
            summary: "Show how large the store is, how much of it is free, what it commits, and who reads it.",
            details: [
                "file_bytes is what the data file has used at one time; free_bytes of it can be used again, but the file never becomes smaller by itself: see store compact.",
                "The readers are the slots of all processes. One that lags, or is dead, keeps what was freed from being used again.",
                "Rates are those of one second.",
            ],
            examples: ["store stats", "--json store stats --tables"]),
        AdminCommand(
            path: ["store", "compact"],
            arguments: [.init(name: "DIR", kind: .path, summary: "The directory of the cluster ([node] directory).")],
            options: [.flag("remove-old", "Remove the old data file at the end instead of keeping it aside.")],
            effect: .writes, filesArgument: "DIR",
            summary: "Make the data file of a stopped cluster as small as what is in it.",
            details: [
                "The store uses freed space again, so this is worth it only after much was deleted for good: store stats shows how much is free.",
                "All nodes must be stopped, because every one has the file mapped. It is done by martletd as a program on this machine, as the user of the server: a compact copy is written, compared row by row, and takes the place of the old one in one step.",
            ],
            examples: ["store compact /var/lib/martlet", "store compact /var/lib/martlet --remove-old"]),
        AdminCommand(
            path: ["store", "restore"],
            arguments: [
                .init(name: "BACKUP", kind: .backup, summary: "The folder of a backup, as store backup made it, or the data file in it.")
            ],
            options: [
                .value("to", "DIR", .path, "The directory of the cluster ([node] directory). It is made when it is not there."),
                .flag("yes", "Do not ask before a store is replaced."),
                .flag(
                    "new-secrets",
                    "End what was given out before: tokens, resumable streams, tickets. For a copy that others may have seen."),
                .flag("anyway", "Restore a copy with findings too, when there is no better one."),
            ],
            effect: .writes, filesArgument: "BACKUP",
            summary: "Put a backup in the place of the store of a stopped cluster.",
            details: [
                "It is done by martletd as a program on this machine, as the user of the server; no node takes part, and while one runs on DIR nothing is done.",
                "The copy is compared with its manifest and every row is verified first. It is told what will be replaced, and asked whether to go on. The old store stays beside the new one, as store.before-TIME.",
                "What happened after the backup was begun is gone; messages that were owed then are owed again. Clients get their rosters anew.",
            ],
            examples: [
                "store restore /var/backups/martlet/martlet-20261121T152423Z --to /var/lib/martlet",
                "store restore ./martlet-20261121T152423Z --to /srv/martlet --yes",
            ]),
        AdminCommand(
            path: ["store", "verify"],
            arguments: [
                .init(
                    name: "BACKUP", kind: .backup, summary: "The folder of a backup; the running store when not given.", isOptional: true)
            ],
            options: [.flag("repair", "Remove what certainly belongs to nobody: rows of accounts that are not there.", changes: true)],
            effect: .reads, filesArgument: "BACKUP",
            summary: "Check every row of the running store, or of a backup, and what must hold between them.",
            details: [
                "Checksums, keys and the records behind them, rows without their account, counters and indexes. Each finding is a line that names the row and says what to do; the exit status is 1 when there is any.",
                "The running store is read in small pages on the threads that read it anyway, so the server goes on. A backup is read by martletd as a program on this machine, and compared with its manifest first; no node takes part.",
            ],
            examples: ["store verify", "store verify /var/backups/martlet/martlet-20261121T152423Z"]),
    ]
}
