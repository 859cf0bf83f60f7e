/// Looking at what happens now: sessions, the ways of stanzas, rates.
extension CommandTable {
    /// Seconds a trace runs when `--seconds` does not say.
    public static let defaultTraceSeconds = 600

    static let trace = AdminCommand(
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
