/// Looking at what happens now: sessions, the ways of stanzas, rates.
extension CommandTable {
    /// Seconds a trace runs when `--seconds` does not say.
    public static let defaultTraceSeconds = 600
    /// Seconds over which `top` measures, and sessions that it shows, when nothing else is said.
    public static let defaultTopSeconds = 2
    public static let defaultTopSessions = 10

    private static let limit = AdminCommand.Option.value(
        "limit", "N", .integer(1...1_000_000), "At most N sessions; \(defaultLimit) when not given.")

    /// Options that say which sessions are meant.
    private static let filters: [AdminCommand.Option] = [
        .value("user", "JID", .bareJID, "Only sessions of this account."),
        .value("match", "TEXT", .text, "Only sessions whose full JID contains TEXT; with * and ? it must match the whole of it."),
        .value("domain", "DOMAIN", .host, "Only sessions of this host."),
        .value("node", "NODE", .node, "Only sessions whose socket is on this node."),
        .value("address", "PREFIX", .text, "Only clients whose network address begins so."),
        .flag("tls", "Only sessions with TLS."),
        .flag("no-tls", "Only sessions without."),
        .value("client", "TEXT", .text, "Only clients that call themselves so, or announce it in presence; capitals do not count."),
        .value("idle", "DURATION", .duration, "Only clients that sent nothing for longer."),
        .value("queue", "N", .integer(0...1_000_000), "Only sessions for which more than N stanzas wait."),
        .value("state", "STATE", .choice(["attached", "detached"]), "attached: with a socket; detached: waiting to be resumed."),
    ]

    static let sessions: [AdminCommand] = [
        AdminCommand(
            path: ["session", "list"],
            arguments: [
                .init(name: "JID", kind: .anyJID, summary: "Only this session, or the sessions of this account.", isOptional: true)
            ],
            options: filters + [
                .value(
                    "sort", "ORDER", .choice(["jid", "idle", "queue", "rate"]),
                    "jid, idle, queue or rate: what the first have most of; jid when not given."),
                .value("after", "FULLJID", .fullJID, "Begin behind this session: the next page. Only in the order of JIDs."),
                limit,
            ],
            effect: .reads,
            dispensable: ["cipher", "mechanism", "since", "sm", "rate", "tls", "address", "in", "out"],
            summary: "List the sessions of the whole cluster.",
            details: [
                "A terminal shows the columns that fit; --json has all of them.",
                "in and out count stanzas, rate is both together a second over the last minute; waiting counts stanzas that wait for the socket, for an acknowledgement, or for an inactive client; queue is bytes that the socket has not taken.",
                "Every loop looks at some hundred sessions at a time, so that stanzas pass in between.",
                "Nodes that do not answer within 2 seconds are named, and the exit status is 3.",
            ],
            examples: [
                "session list", "session list --node b --limit 20", "session list --sort queue --limit 10",
                "session list --idle 1h --state attached", "--json session list --user juliet@example.org",
                "session list --limit 1000 --after juliet@example.org/balcony",
            ]),
        AdminCommand(
            path: ["session", "show"],
            arguments: [.init(name: "FULLJID", kind: .fullJID, summary: "The session, as user@host/resource.")], effect: .reads,
            summary: "Show everything about one session.",
            details: [
                "h_in is what the client was told to be handled, h_out what it acknowledged (XEP-0198). memory_bytes is an estimate: objects and socket by what they were measured to take, what waits by its size.",
                "software is what the client calls itself at login (XEP-0388) or in its answer to disco#info (XEP-0115).",
            ],
            examples: ["session show juliet@example.org/balcony"]),
        AdminCommand(
            path: ["session", "kick"],
            arguments: [
                .init(
                    name: "JID", kind: .anyJID, summary: "One session, or with a bare JID all sessions of the account.", isOptional: true)
            ],
            options: filters + [
                .value("reason", "TEXT", .text, "Told to the clients in the stream error."),
                .flag("yes", "End all sessions that the options name; without it they are only counted."),
            ],
            effect: .writes,
            summary: "End sessions with a stream error; their clients may log in again.",
            examples: [
                "session kick juliet@example.org/balcony", "session kick romeo@example.org --reason 'please update'",
                "session kick --address 203.0.113. --yes", "session kick --domain example.org --idle 1d --yes",
            ]),
        trace,
        top,
    ]

    private static let top = AdminCommand(
        path: ["top"],
        options: [
            .flag("once", "Show it once, as where the output is no terminal."),
            .value("seconds", "S", .integer(1...60), "Measure rates over S seconds; \(defaultTopSeconds) when not given."),
            .value("sessions", "N", .integer(0...100), "Show the N busiest sessions; \(defaultTopSessions) when not given."),
        ],
        effect: .reads,
        dispensable: [
            "bus_queued_bytes", "queued_bytes", "role", "bus_p99_ms", "unacked", "unhandled", "memory_mib", "handled_p50_ms", "lag_p50_ms",
            "idle",
        ],
        summary: "Show at a glance how busy the cluster is: rates, queues, latencies, loops, commits, sessions.",
        details: [
            "On a terminal it is drawn anew every two seconds until q is pressed.",
            "Rates are those of the seconds that were measured. Latencies are bounds: half, or all but one in a hundred, took no longer; each is a power of two, of what was measured in these seconds.",
        ],
        examples: ["top", "top --once --seconds 5", "--json top --once"])

    private static let trace = AdminCommand(
        path: ["trace"],
        arguments: [
            .init(
                name: "JID", kind: .address, summary: "Stanzas from or to this account, session, component or domain.", isOptional: true,
                repeats: true)
        ],
        options: [
            .value("domain", "DOMAIN", .host, "Only stanzas from or to addresses of this domain."),
            .value("node", "NODE", .node, "Only stanzas from or to sessions whose socket is on this node."),
            .value("kind", "KINDS", .text, "Only these: message, presence, iq, error, or a type as iq:set; several with commas."),
            .value("count", "N", .integer(1...100_000), "End when N stanzas have passed."),
            .value("seconds", "S", .integer(1...86_400), "End after S seconds; \(defaultTraceSeconds) when not given."),
            .value("file", "FILE", .path, "Write to a file that is not there yet instead of the screen."),
            .flag("bodies", "Show texts too."),
        ],
        effect: .reads, isEndless: true,
        summary: "Follow stanzas through the whole cluster, live: a line for each station of their way.",
        details: [
            "Stations: received, found (made by the server, read from the inbox, or met on its way to a traced node), admitted, bounced or dropped with the reason, archived with the id, routed, broadcast, chosen sessions, kept (owed), copied, answered, held and for what, pushed, released behind its commit, written, sent to the kernel, acknowledged (XEP-0198), returned, completed.",
            "All stations of one stanza bear the same number, those of its copies, answers and errors too.",
            "Texts are blanked unless --bodies is given. What stands in registrations, private storage and vCards, and what is called a password or a token, is never shown. Nothing before the login of a client is.",
            "With --node, what clients of the node send is followed from the beginning, and what they get from the moment its home hands it to them.",
            "At most four traces run at once. A loop notes at most 5,000 stations a second for each; what does not fit is counted and told. A trace ends with its time, its count, or its reader.",
        ],
        examples: [
            "trace juliet@example.org", "trace juliet@example.org romeo@example.org --kind message --bodies --count 5",
            "trace --node b --kind iq:set,error --seconds 60", "--json trace --domain example.org --file /tmp/trace.jsonl",
        ])
}
