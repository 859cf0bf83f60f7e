/// Every command there is. The server's dispatch, the help and the completion of `martletctl` come from this table.
public enum CommandTable {
    /// The commands in the order in which help shows them.
    public static let all: [AdminCommand] = [
        users, [userRestore], accountData,
        invitations,
        sessions,
        components, reports,
        nodes, nodeLife, configuration,
        store, moving,
        logs,
        checks,
        server,
        console,
    ].flatMap { $0 }

    /// How many rows a list gives when `--limit` does not say.
    public static let defaultLimit = 1000
    private static let limit = AdminCommand.Option.value(
        "limit", "N", .integer(1...1_000_000), "At most N rows; \(defaultLimit) when not given.")
    private static let jid = AdminCommand.Argument(name: "JID", kind: .bareJID, summary: "The account, as user@host.")

    private static let users: [AdminCommand] = [
        AdminCommand(
            path: ["user", "add"], arguments: [jid], effect: .writes, secret: .password,
            summary: "Make an account.",
            details: [
                "The password is asked for, or is the first line of standard input. It is never part of the command.",
                "Keys for every SCRAM hash are derived from it; the password itself is not kept.",
                "An account cannot be renamed, neither here nor anywhere: its address stands in the rosters and archives of everybody it knows. Make another account, let its owner tell the contacts, and delete this one later.",
            ],
            examples: ["user add juliet@example.org", "user add juliet@example.org < password-file"]),
        AdminCommand(
            path: ["user", "passwd"], arguments: [jid], effect: .writes, secret: .password,
            summary: "Give an account a new password.",
            details: ["Its sessions are ended: whoever came in with the old password is out."],
            examples: ["user passwd juliet@example.org"]),
        AdminCommand(
            path: ["user", "delete"], arguments: [jid],
            options: [.flag("dry-run", "Only show what would go.")], effect: .writes,
            summary: "Delete an account and all that is kept for it, and show what went.",
            details: [
                "Its sessions are ended. Login keys, devices, roster, waiting messages, archive, vCard, private storage and blocked addresses are gone for good; contacts see the subscription end. What others have of it, in their rosters and archives, stays.",
                "Somebody else may have the name afterwards. Where that must not be, disable the account instead. A backup from before brings it back: see user restore.",
            ],
            examples: ["user delete juliet@example.org --dry-run", "user delete juliet@example.org"]),
        AdminCommand(
            path: ["user", "list"],
            arguments: [
                .init(
                    name: "PATTERN", kind: .text, summary: "Only accounts whose JID contains it; with * and ? it must match the whole JID.",
                    isOptional: true)
            ],
            options: [
                .value("host", "HOST", .host, "Only accounts of this host."),
                .value(
                    "state", "STATE", .choice(["enabled", "disabled", "online", "offline"]),
                    "Only accounts that are enabled, disabled, online or offline now."),
                .value("idle", "DURATION", .duration, "Only accounts that nobody was logged in to for so long, as 90d."),
                .value("after", "JID", .bareJID, "Begin behind this account: the next page."),
                limit,
            ],
            effect: .reads,
            summary: "List accounts in the order of their JIDs.",
            details: [
                "last_seen is when the last session of the account left; what is logged in now is shown by --state online. An account that was never logged in to is idle since it was made."
            ],
            examples: [
                "user list --host example.org --limit 50", "user list 'jul*'", "user list --idle 365d --state enabled", "--json user list",
            ]),
        AdminCommand(
            path: ["user", "show"], arguments: [jid], effect: .reads,
            summary: "Show what is known of an account: state, login keys, devices, what is kept and how much may be, sessions.",
            examples: ["user show juliet@example.org"]),
        AdminCommand(
            path: ["user", "devices"], arguments: [jid],
            options: [
                .value("revoke", "ID", .text, "Log this device out: its token is void and its sessions end."),
                .flag("revoke-all", "Log all devices out."),
            ],
            effect: .writes,
            summary: "List the devices an account logged in from, or log them out.",
            details: [
                "A device is a client that names its installation when it logs in (XEP-0388); its token lets it come back without the password (XEP-0484).",
                "Who knows the password may log in again from a device that was logged out. Sessions of older clients belong to no device.",
            ],
            examples: [
                "user devices juliet@example.org",
                "user devices juliet@example.org --revoke d4565fa7-4d72-4749-b3d3-740edbf87770",
                "user devices juliet@example.org --revoke-all",
            ]),
        AdminCommand(
            path: ["user", "enable"], arguments: [jid], effect: .writes,
            summary: "Let a disabled account log in again.",
            examples: ["user enable juliet@example.org"]),
        AdminCommand(
            path: ["user", "disable"], arguments: [jid],
            options: [.value("reason", "TEXT", .text, "Kept with the account and shown by `user show`.")],
            effect: .writes,
            summary: "Refuse logins of an account and end its sessions; nothing of it is deleted.",
            examples: ["user disable romeo@example.org --reason 'spam, ticket 4711'"]),
        AdminCommand(
            path: ["user", "import"],
            options: [.flag("keys", "The lines hold ready SCRAM keys instead of passwords.")],
            effect: .writes, secret: .lines,
            summary: "Make many accounts from lines on standard input.",
            details: [
                "Each line is a JID, one space or tab, and the password, which runs to the end of the line.",
                "With --keys it is a JID and one or more keys as MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY, the last three in base64.",
                "Empty lines are skipped. A line that is refused is named with its number and the reason; the others are done. The exit status is 3 when any was refused.",
            ],
            examples: ["user import < accounts.txt", "user import --keys < keys.txt"]),
    ]

    private static let host = AdminCommand.Option.value("host", "HOST", .host, "The host; needed only where there are several.")

    private static let invitations: [AdminCommand] = [
        AdminCommand(
            path: ["invite", "create"],
            options: [
                host,
                .value("user", "NAME", .text, "The username that is kept for the invitee, who chooses one otherwise."),
                .value("contact", "JID", .bareJID, "An account that becomes a contact of the invitee."),
                .value(
                    "expires", "DURATION", .duration, "How long it holds, as 2h or 7d; as [invitations] lifetime_hours says when not given."
                ),
                .value("uses", "N", .integer(1...100_000), "How many accounts can be made with it; 1 when not given."),
            ],
            effect: .writes,
            summary: "Make a link that gives an account, also while registration is closed.",
            details: [
                "Whoever has the link can use it: send it like a password. It is shown this once.",
                "It needs [invitations] enabled = true. With [invitations] landing there is a link for browsers as well.",
            ],
            examples: ["invite create", "invite create --user juliet --expires 2d", "invite create --uses 30 --contact nurse@example.org"]),
        AdminCommand(
            path: ["invite", "list"], options: [host], effect: .reads,
            summary: "List the invitations that can still be used, those of users too.",
            examples: ["invite list", "--json invite list --host example.org"]),
        AdminCommand(
            path: ["invite", "revoke"],
            arguments: [.init(name: "NAME", kind: .text, summary: "The invitation, as `invite list` names it.")], options: [host],
            effect: .writes,
            summary: "Take an invitation back.",
            examples: ["invite revoke k4zq2f"]),
    ]

    private static let components: [AdminCommand] = [
        AdminCommand(
            path: ["component", "list"], effect: .reads,
            summary: "List the configured components, and where each is connected.",
            details: ["Nodes that do not answer within 2 seconds are named, and the exit status is 3."],
            examples: ["component list", "--json component list"]),
        AdminCommand(
            path: ["component", "kick"],
            arguments: [.init(name: "DOMAIN", kind: .component, summary: "The domain that the component speaks for.")],
            options: [.value("reason", "TEXT", .text, "Told to the component in the stream error.")],
            effect: .writes,
            summary: "End the connection of a component; it may connect again.",
            examples: ["component kick gateway.example.org --reason 'please update'"]),
        AdminCommand(
            path: ["push", "list"], arguments: [jid], effect: .reads,
            summary: "List the push services that are told when nobody sees the messages of an account.",
            examples: ["push list juliet@example.org"]),
        AdminCommand(
            path: ["push", "disable"], arguments: [jid],
            options: [.value("service", "JID", .text, "Only this service, with all of its nodes.")],
            effect: .writes,
            summary: "Have push services of an account told no more; its clients may enable them again.",
            examples: ["push disable juliet@example.org --service push.example.net"]),
    ]

    private static let reportHost = AdminCommand.Option.value("host", "HOST", .host, "Only reports that this host keeps.")

    private static let reports: [AdminCommand] = [
        AdminCommand(
            path: ["report", "list"],
            options: [
                reportHost,
                .value(
                    "about", "TEXT", .text, "Only reports of addresses that contain TEXT; with * and ? it must match the whole address."),
                limit,
            ],
            effect: .reads,
            summary: "List what users reported as spam or abuse when they blocked somebody, oldest first.",
            details: ["Each host keeps limits.reports of them, until they are deleted."],
            examples: ["report list", "report list --about '*@spam.example'", "--json report list --host example.org"]),
        AdminCommand(
            path: ["report", "show"],
            arguments: [.init(name: "ID", kind: .text, summary: "The report, as report list names it.")], options: [reportHost],
            effect: .reads,
            summary: "Show all of one report: text, messages, and to whom its reporter lets it be sent on.",
            examples: ["report show k3x9q2a-7fh2k1z"]),
        AdminCommand(
            path: ["report", "delete"],
            arguments: [.init(name: "ID", kind: .text, summary: "The report, as report list names it.", repeats: true)],
            options: [reportHost], effect: .writes,
            summary: "Delete reports.",
            examples: ["report delete k3x9q2a-7fh2k1z"]),
    ]

    private static let nodes: [AdminCommand] = [
        AdminCommand(
            path: ["node", "list"], effect: .reads,
            summary: "List the nodes of the cluster, who keeps the store, and how they do.",
            examples: ["node list"]),
        AdminCommand(
            path: ["node", "show"],
            arguments: [.init(name: "NODE", kind: .node, summary: "The node; the one that answers when not given.", isOptional: true)],
            effect: .reads,
            summary: "Show one node: process, loops, links, listeners, memory.",
            examples: ["node show", "node show b"]),
    ]

    private static let server: [AdminCommand] = [
        AdminCommand(
            path: ["module", "list"], effect: .reads,
            summary: "List the modules with the standards they implement.",
            examples: ["module list"]),
        AdminCommand(
            path: ["status"], effect: .reads,
            summary: "Show in a few lines whether the cluster is well.",
            details: ["Nodes, keeper, sessions, accounts, commits a second, and anything that needs a person."],
            examples: ["status", "--json status"]),
        AdminCommand(
            path: ["version"], effect: .reads,
            summary: "Show the versions of the node that answers and of this language.",
            examples: ["version"]),
        AdminCommand(
            path: ["help"],
            arguments: [.init(name: "COMMAND", kind: .commandWord, summary: "The words of a command.", isOptional: true, repeats: true)],
            effect: .reads,
            summary: "Show the commands, or all about one of them.",
            examples: ["help", "help user add"]),
        AdminCommand(
            path: ["clock"],
            arguments: [.init(name: "DURATION", kind: .duration, summary: "How far, as +300s, 5m, 2h or 1d.")],
            effect: .writes, isDebug: true,
            summary: "Move the protocol clock of the cluster forward.",
            details: ["Only where [debug] manual_clock is set. Clocks that watch over life stay real."],
            examples: ["clock +300s"]),
    ]
}
