/// `import …` and `export …`: accounts from other servers, and to them.
extension CommandTable {
    private static let host = AdminCommand.Option.value("host", "DOMAIN", .host, "Only the users of this host.")

    static let moving: [AdminCommand] = [
        AdminCommand(
            path: ["import", "xep0227"],
            arguments: [
                .init(
                    name: "FILE", kind: .path,
                    summary: "A file of XEP-0227, a folder of such files, or - for standard input; on the machine of martletctl.")
            ],
            options: [
                .flag("dry-run", "Change nothing: say what would be carried and what cannot."),
                .value(
                    "host", "DOMAIN", .host,
                    "Only the users of this host; of a file that is one user and names no host, the host it belongs to."),
                .flag("merge", "Add to accounts that are there what they lack; their passwords stay."),
                .flag("replace", "As --merge, and where the account has something else, the file wins, the password too."),
            ],
            effect: .writes, secret: .lines,
            summary: "Take accounts over from another server: passwords, rosters, vCards, messages and archives.",
            details: [
                "Prosody writes such files with prosody-migrator (its xep0227 storage makes a folder with a file for each user), ejabberd with ejabberdctl export_piefxis DIR (a folder whose files include each other). Give the folder. Files that a file includes are followed inside the folder only; entities are never expanded.",
                "Carried are SCRAM keys as they are and plain passwords as keys, rosters with both subscriptions and requests not answered yet, vCards, private storage, blocked addresses (also out of a default privacy list), messages not delivered yet, and archives. PEP nodes are not, nor what else the server does not know: each kind is named once with its number.",
                "What is not taken is a line with the file, the line and the account, and the exit status is then 3. An account that is there stays as it is, unless --merge or --replace is given: so an import that was broken off is simply begun again. The accounts are opened for logins together, at the end.",
                "A login is offered only the hashes of which every account of the host has a key: while there are accounts that came with SCRAM-SHA-1 keys alone, the host offers SCRAM-SHA-1.",
                "Archived messages get ids of this server, the same ones when the file is imported again. Those older than archive.days go within minutes.",
            ],
            examples: [
                "import xep0227 /var/lib/prosody/export --dry-run", "import xep0227 ./ejabberd-export --host example.org",
                "import xep0227 - --replace",
            ]),
        AdminCommand(
            path: ["export", "xep0227"],
            arguments: [
                .init(
                    name: "FILE", kind: .path, summary: "The file to make, or - for standard output; on the machine of martletctl.")
            ],
            options: [
                host, .value("user", "JID", .bareJID, "Only this account."),
                .flag("ejabberd", "Keys in base 64 twice, as ejabberd writes and reads them (seen with 23.01)."),
            ],
            effect: .reads,
            summary: "Write accounts into a file of XEP-0227, which other servers read: all of them, those of a host, or one.",
            details: [
                "It holds the keys of passwords and what people wrote: the file is made anew, and only its owner may read it. One that is there is never overwritten.",
                "Each account is as it stood at one moment; the server goes on meanwhile. Tokens, push services and invitations are not in it: another server cannot use them.",
                "For a copy to come back to, take store backup.",
            ],
            examples: [
                "export xep0227 ./example.org.xml --host example.org", "export xep0227 - --user juliet@example.org",
                "export xep0227 ./for-ejabberd.xml --ejabberd",
            ]),
    ]
}
