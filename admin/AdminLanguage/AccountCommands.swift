/// What belongs to an account besides its login: roster, archive, inbox, vCard, private data, blocked addresses; and messages to accounts.
extension CommandTable {
    private static let jid = AdminCommand.Argument(name: "JID", kind: .bareJID, summary: "The account, as user@host.")
    private static let contact = AdminCommand.Argument(name: "CONTACT", kind: .text, summary: "The contact, as user@host, or a domain.")
    private static let owner = AdminCommand.Argument(
        name: "JID", kind: .text, summary: "The account, as user@host; or a host, which has a vCard of its own.")
    private static let mutual = AdminCommand.Option.flag("mutual", "Change the contact's roster to fit; it must be an account here.")
    private static func before(_ what: String) -> AdminCommand.Option {
        .value("before", "DATE", .text, "Only \(what) from before a moment: 2026-11-21, 2026-11-21T17:00:00Z, or 90d for 90 days ago.")
    }
    private static func with(_ what: String) -> AdminCommand.Option { .value("with", "CONTACT", .text, what) }
    private static func limit(_ standard: Int) -> AdminCommand.Option {
        .value("limit", "N", .integer(1...1_000_000), "At most N rows; \(standard) when not given.")
    }
    /// How many messages a list gives when `--limit` does not say.
    public static let defaultMessages = 100
    private static let subject = AdminCommand.Option.value("subject", "TEXT", .text, "A subject above the text.")
    private static let bodies = AdminCommand.Option.flag("bodies", "Show the texts too; the log says that they were looked at.")
    private static let text = AdminCommand.Argument(
        name: "TEXT", kind: .text, summary: "The text, as one word in quotes; when not given, the lines of standard input.",
        isOptional: true)

    static let accountData: [AdminCommand] = rosters + archives + inboxes + profiles + messages

    private static let rosters: [AdminCommand] = [
        AdminCommand(
            path: ["roster", "show"], arguments: [jid], effect: .reads,
            summary: "Show the contacts of an account and who asks to be one.",
            details: [
                "ask is true while the account has asked for a contact's presence and has no answer; approved is true where a request will be granted at once. The second table is of those who ask for the account's own presence."
            ],
            examples: ["roster show juliet@example.org", "--json roster show juliet@example.org"]),
        AdminCommand(
            path: ["roster", "add"], arguments: [jid, contact],
            options: [
                .value("name", "TEXT", .text, "What the contact is called."),
                .flag("no-name", "Take its name away."),
                .value("groups", "LIST", .text, "The groups it is in, with commas between them."),
                .flag("no-groups", "Take it out of all groups."),
                .value("subscription", "WHO", .choice(["none", "to", "from", "both"]), "none, to, from or both: who sees whose presence."),
                mutual,
            ],
            effect: .writes,
            summary: "Put a contact into a roster, or change one that is there.",
            details: [
                "What is not given stays as it is; of a new contact the subscription is none. Clients that are connected get the change at once.",
                "A subscription that is given stands at once, without a request: with from the contact gets the account's presence, with to the account gets the contact's. One that is taken away ends as if the account had ended it.",
                "to and both need the contact's consent, or they end with the account's next login: with --mutual the contact's roster gets the other side of it.",
            ],
            examples: [
                "roster add juliet@example.org romeo@example.org --name Romeo --groups 'Montagues,Friends' --subscription both --mutual",
                "roster add juliet@example.org nurse@example.org --no-groups",
            ]),
        AdminCommand(
            path: ["roster", "remove"], arguments: [jid, contact], options: [mutual], effect: .writes,
            summary: "Take a contact off a roster; the subscriptions of both sides end.",
            details: [
                "The contact sees both subscriptions end, as when the account's owner removes it; it stays in the contact's own roster unless --mutual is given."
            ],
            examples: ["roster remove juliet@example.org paris@example.org --mutual"]),
        AdminCommand(
            path: ["roster", "push"], arguments: [jid], effect: .writes,
            summary: "Send all contacts again to the connected clients of an account.",
            details: ["For a client that shows something else than the server has. Clients that never asked for the roster get nothing."],
            examples: ["roster push juliet@example.org"]),
        AdminCommand(
            path: ["block", "list"], arguments: [jid], effect: .reads,
            summary: "List the addresses that an account has blocked.",
            examples: ["block list juliet@example.org"]),
    ]

    private static let archives: [AdminCommand] = [
        AdminCommand(
            path: ["archive", "show"], arguments: [jid],
            options: [
                with("Only messages from or to this address; a bare one stands for all its resources."),
                .value("start", "DATE", .text, "Only from this moment on: 2026-11-21, 2026-11-21T17:00:00Z, or 2h for two hours ago."),
                .value("end", "DATE", .text, "Only up to this moment."),
                .flag("last", "The newest messages; the oldest when not given."),
                bodies, limit(defaultMessages),
            ],
            effect: .reads,
            summary: "Show the archived messages of an account, oldest first, without their texts.",
            details: ["The id is the one that clients know the message by (XEP-0359)."],
            examples: [
                "archive show juliet@example.org --last --limit 20",
                "archive show juliet@example.org --with romeo@example.org --start 2026-11-01 --bodies",
            ]),
        AdminCommand(
            path: ["archive", "purge"],
            arguments: [
                .init(name: "JID", kind: .bareJID, summary: "The account; not given with --host.", isOptional: true)
            ],
            options: [
                .value("host", "HOST", .host, "All accounts of this host."),
                before("messages"),
                with("Only messages from or to this bare JID."),
                .flag("all", "Everything, where neither --before nor --with is given."),
            ],
            effect: .writes,
            summary: "Remove messages from an archive, or from all archives of a host.",
            details: [
                "It is gone for good, here; what clients have, and what the others have in their archives, stays. Messages that were not delivered yet are owed and stay, whatever is said.",
                "It is done in small steps between other work. Whoever stops waiting stops it; what is gone by then is gone. How long archives are kept by themselves is said in [archive].",
            ],
            examples: [
                "archive purge juliet@example.org --before 365d", "archive purge juliet@example.org --with romeo@example.org",
                "archive purge --host example.org --before 2025-01-01",
            ]),
    ]

    private static let inboxes: [AdminCommand] = [
        AdminCommand(
            path: ["inbox", "show"], arguments: [jid], options: [bodies, limit(defaultMessages)], effect: .reads,
            summary: "Show the messages that wait for an account to come back, oldest first.",
            details: ["Those among them that a session has got and not acknowledged yet are owed as well."],
            examples: ["inbox show juliet@example.org"]),
        AdminCommand(
            path: ["inbox", "purge"], arguments: [jid],
            options: [
                before("messages"), with("Only messages from this bare JID."),
                .flag("all", "Everything, where neither --before nor --with is given."),
            ],
            effect: .writes,
            summary: "Let waiting messages wait no more: they are never delivered.",
            details: [
                "Their senders are not told. What is archived of them stays in the archive. A message that is on its way to a session is left to it."
            ],
            examples: ["inbox purge juliet@example.org --with spam@example.net", "inbox purge juliet@example.org --all"]),
    ]

    private static let profiles: [AdminCommand] = [
        AdminCommand(
            path: ["vcard", "show"], arguments: [owner], options: [.flag("xml", "The whole card as it is kept.")], effect: .reads,
            summary: "Show the vCard of an account or of a host.",
            examples: ["vcard show juliet@example.org", "vcard show example.org --xml"]),
        AdminCommand(
            path: ["vcard", "set"], arguments: [owner], effect: .writes, secret: .lines,
            summary: "Give an account or a host the vCard on standard input.",
            details: ["It is XML: one vCard element in the namespace vcard-temp (XEP-0054), of profile.vcard_bytes at most."],
            examples: ["vcard set juliet@example.org < juliet.xml"]),
        AdminCommand(
            path: ["vcard", "remove"], arguments: [owner], effect: .writes,
            summary: "Take the vCard of an account or a host away.",
            examples: ["vcard remove juliet@example.org"]),
        AdminCommand(
            path: ["private", "list"], arguments: [jid], effect: .reads,
            summary: "List what the clients of an account keep in its private storage: names and sizes, never what is in it.",
            examples: ["private list juliet@example.org"]),
    ]

    private static let messages: [AdminCommand] = [
        AdminCommand(
            path: ["message", "send"], arguments: [jid, text],
            options: [.value("from", "HOST", .host, "The host that it comes from; the account's own when not given."), subject],
            effect: .writes, secret: .lines, linesArgument: "TEXT",
            summary: "Send a message from a host to one account; it waits for an account that is away.",
            details: ["Whoever answers it writes to the host, where nobody reads it."],
            examples: [
                "message send juliet@example.org 'Your export is ready.'", "message send juliet@example.org --subject News < news.txt",
            ]),
        AdminCommand(
            path: ["message", "broadcast"], arguments: [text],
            options: [
                .value("host", "HOST", .host, "Only users of this host; those of all hosts when not given."),
                .flag("online", "To whoever is online, and to nobody later: the same as when neither is given."),
                .flag("all", "To all accounts; it waits for those that are away."),
                subject,
                .value("rate", "N", .integer(1...10_000), "Accounts a second at most; \(defaultBroadcastRate) when not given."),
            ],
            effect: .writes, secret: .lines, linesArgument: "TEXT",
            summary: "Send a message to everybody who is online, or to all accounts.",
            details: [
                "It comes from the host of each user. Disabled accounts get nothing. With --all it is one more message in every inbox and archive.",
                "Progress is shown; whoever stops waiting stops it, and who has it by then has it.",
            ],
            examples: [
                "message broadcast 'Maintenance at 22:00, ten minutes.'", "message broadcast --all --host example.org --rate 50 < news.txt",
            ]),
    ]

    /// Accounts a second that a broadcast goes to when `--rate` does not say.
    public static let defaultBroadcastRate = 200
}
