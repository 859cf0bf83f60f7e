/// Every setting, in the order of the sample file. Defaults are not written here: they are the ones of `Settings()`.
public enum SettingsTable {
    /// The most a bound on bytes may be: 1 GiB.
    private static let gib = 1 << 30

    /// The keys of the tables.
    public static let all: [Setting<Settings>] =
        node + listen + tls + authentication + limits + sessions + registration + invitations + profile + push + store + backup + cluster
        + log

    /// What each table is about, for the sample.
    static let tables: [(name: String, doc: String)] = [
        ("node", "The process. Every node of a cluster reads the same file; martletd --node gives each its name."),
        ("listen", "Where clients connect. The nodes of a cluster share these ports: the kernel spreads the connections over them."),
        ("tls", "TLS for all hosts. The certificates stand with the hosts."),
        ("authentication", "How clients prove who they are."),
        ("limits", "Bounds on what one client can make the server do. Before authentication they are narrow, because anybody can connect."),
        ("sessions", "The life of a session."),
        ("offline", "Messages for accounts without a session."),
        (
            "registration",
            "Accounts that people make and change with their clients (XEP-0077). Whoever has an account may always change its password and give it up."
        ),
        (
            "invitations",
            "Links that give an account, though registration is closed, or the inviter as a contact (XEP-0401). The console and the admins of a host make all of them."
        ),
        ("profile", "What an account may keep with the server beside its messages and contacts."),
        ("push", "Push services (XEP-0357): what wakes a phone whose client is not connected, or sleeps."),
        ("archive", "Message history, for hosts that archive."),
        ("search", "The directory of users who want to be found."),
        ("store", "Where accounts, rosters and messages are kept: one directory for all nodes on this machine, written by one of them."),
        ("backup", "Copies of the store, taken while it runs by the node that keeps it: store backup takes one at any time."),
        ("cluster", "How nodes watch over each other."),
        ("log", "What the server says of itself."),
        ("debug", "For tests. Never in production."),
    ]

    private static let node: [Setting<Settings>] = [
        .text(
            "node.name", \.node.name, .text(.nodeName),
            "The node's name, unique in its cluster: 1 to 32 of a-z, 0-9 and '-'. Usually given by --node."),
        .text(
            "node.directory", \.node.directory, .text(.path),
            "The directory of the cluster on this machine: store, admin sockets, run files. It must be on a local disk. A relative path counts from the directory of this file."
        ),
        .integer("node.loops", \.node.loops, 0...256, "loops", "Event loops, each with a thread of its own; 0 means one a core."),
    ]

    private static let listen: [Setting<Settings>] = [
        .texts(
            "listen.c2s", \.listen.c2s, .texts(.address),
            "For clients that begin in the clear and go on with STARTTLS. Beyond loopback every host needs a certificate. All interfaces: \"0.0.0.0:5222\" and \"[::]:5222\". A node may have further ones of its own, in a table with its name: [node.b] c2s = [\"127.0.0.1:5322\"]."
        ),
        .texts(
            "listen.c2s_direct_tls", \.listen.c2sDirectTLS, .texts(.address),
            "For clients that begin with TLS at once (XEP-0368), usually at port 5223."),
        .texts(
            "listen.component", \.listen.component, .texts(.address),
            "For components (XEP-0114), when there is a [[component]]. Their streams know no TLS, so only loopback is listened on."),
        .texts(
            "listen.http", \.listen.http, .texts(.endpoint),
            "Where monitoring reads /metrics (Prometheus), /healthz and /readyz, without TLS and without a password: \"127.0.0.1:9280\", or a socket as \"unix:run/http.sock\". No two nodes can share one, so where there are several give each its own, in a table with its name: [node.b] http = [\"127.0.0.1:9281\"]."
        ),
        .flag(
            "listen.compression", \.listen.compression, live: true,
            "Whether clients that have logged in may have their streams compressed with zlib (XEP-0138). It saves bytes on slow links and costs 80 KiB a session and processor time. The extension is obsolete: whoever can put text of his choice into a stream, and sees how long it is when encrypted, can guess what else is in it."
        ),
        .integer(
            "listen.backlog", \.listen.backlog, 1...65_535, "connections",
            "Connections the kernel holds until they are accepted. The kernel has a bound of its own, net.core.somaxconn."),
    ]

    private static let tls: [Setting<Settings>] = [
        .choice("tls.minimum", \.tls.minimum, live: true, "The oldest version of TLS that is accepted."),
        .text(
            "tls.ciphers", \.tls.ciphers, .text(.line), live: true,
            "Ciphers for TLS 1.2, as OpenSSL writes lists. TLS 1.3 has no weak ones to leave out."),
        .text("tls.groups", \.tls.groups, .text(.line), live: true, "Groups for the key exchange, the preferred first."),
        .integer(
            "tls.tickets", \.tls.tickets, 0...4, "tickets", live: true,
            "TLS 1.3 session tickets sent after a handshake. XMPP streams live long, so a client seldom gains from one."),
    ]

    private static let authentication: [Setting<Settings>] = [
        .texts(
            "authentication.mechanisms", \.authentication.mechanisms, .choices(["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]),
            live: true,
            "SASL mechanisms, the strongest first. The -PLUS forms come by themselves under TLS; PLAIN is only ever offered under TLS."),
        .integer(
            "authentication.iterations", \.authentication.iterations, 4096...10_000_000, "rounds", live: true,
            "PBKDF2 rounds for new passwords. More make a stolen store harder to search and a password slower to set; logins with SCRAM pay in the client."
        ),
        .integer(
            "authentication.failures_per_stream", \.authentication.failuresPerStream, 1...100, "failures", live: true,
            "Failed attempts after which a stream is closed."),
        .integer(
            "authentication.failures_before_backoff", \.authentication.failuresBeforeBackoff, 1...1_000_000, "failures", live: true,
            "Failed attempts of one account, or from one address, within backoff_window after which further ones are refused for a while, right or wrong."
        ),
        .integer(
            "authentication.backoff_window", \.authentication.backoffWindow, 1...86_400, "seconds", live: true,
            "See failures_before_backoff."),
        .flag(
            "authentication.scram_without_tls", \.authentication.scramWithoutTLS, live: true,
            "Whether SCRAM is offered without TLS, on loopback, to hosts that do not require TLS."),
        .flag(
            "authentication.non_sasl", \.authentication.nonSASL, live: true,
            "Whether clients that know no SASL may log in (XEP-0078, obsolete since 2008), under TLS and while PLAIN is among the mechanisms: they send the password itself. There is no digest, since passwords are not kept in a form that would do for it."
        ),
        .flag(
            "authentication.channel_binding", \.authentication.channelBinding, live: true,
            "Whether logins are offered that are bound to the TLS connection (the -PLUS forms of SCRAM), so that nobody in between can pass them on. Some old clients say that they could, cannot, and are refused, as slixmpp and poezio of Debian 12: for them it can be left out."
        ),
        .flag(
            "authentication.downgrade_protection", \.authentication.downgradeProtection, live: true,
            "Whether SCRAM tells the client what was offered, so that it notices when somebody in between took the better mechanisms out (XEP-0474). Without it libsasl2 conducts SCRAM; with it the server does so itself."
        ),
        .integer(
            "authentication.token_days", \.authentication.tokenDays, 0...3650, "days", live: true,
            "How long a device may stay away and still log in with its token instead of the password (XEP-0484); 0: no tokens."),
        .integer(
            "authentication.token_rotation_days", \.authentication.tokenRotationDays, 0...3650, "days", live: true,
            "Days after which a token that is used is replaced by a new one; 0: at every login."),
        .flag(
            "authentication.unbound_tokens", \.authentication.unboundTokens, live: true,
            "Whether clients that cannot bind a login to its TLS connection, as in browsers, get tokens too."),
        .integer(
            "authentication.devices_per_account", \.authentication.devicesPerAccount, 1...1_000, "devices", live: true,
            "Devices of one account that are remembered; beyond, the one not seen for the longest time is forgotten, and its token."),
    ]

    private static let limits: [Setting<Settings>] = [
        .integer(
            "limits.stanza_bytes_before_auth", \.limits.stanzaBytesBeforeAuth, 10_000...gib, "bytes", live: true,
            "The largest stanza before authentication. RFC 6120 wants at least 10000."),
        .integer(
            "limits.stanza_bytes", \.limits.stanzaBytes, 10_000...gib, "bytes", live: true, "The largest stanza after authentication."),
        .integer(
            "limits.depth_before_auth", \.limits.depthBeforeAuth, 4...1024, "elements", live: true,
            "How deep elements may nest before authentication."),
        .integer("limits.depth", \.limits.depth, 8...1024, "elements", live: true, "How deep elements may nest after authentication."),
        .integer(
            "limits.attributes_before_auth", \.limits.attributesBeforeAuth, 8...4096, "attributes", live: true,
            "Attributes of one element before authentication."),
        .integer(
            "limits.attributes", \.limits.attributes, 8...4096, "attributes", live: true, "Attributes of one element after authentication."),
        .integer(
            "limits.namespace_declarations", \.limits.namespaceDeclarations, 4...4096, "declarations", live: true,
            "Namespace declarations of one element."),
        .integer(
            "limits.unauthenticated_seconds", \.limits.unauthenticatedSeconds, 1...3600, "seconds", live: true,
            "From the connection to a bound session; then the connection is closed, whatever it has sent."),
        .integer(
            "limits.connections_per_address", \.limits.connectionsPerAddress, 0...10_000_000, "connections", live: true,
            "Connections from one address (IPv6: one /64) to one node; 0: no bound. Mind networks where many share one address."),
        .integer(
            "limits.connections", \.limits.connections, 0...10_000_000, "connections", live: true, "Connections of one node; 0: no bound."),
        .integer(
            "limits.stanzas_per_second", \.limits.stanzasPerSecond, 0...1_000_000, "stanzas", live: true,
            "Stanzas a second of one session; above it the server reads more slowly. 0: no bound."),
        .integer(
            "limits.unhandled_stanzas", \.limits.unhandledStanzas, 1...1_000_000, "stanzas", live: true,
            "Stanzas of one session that are not yet handled at which its socket is not read."),
        .integer("limits.unhandled_bytes", \.limits.unhandledBytes, 10_000...gib, "bytes", live: true, "The same in bytes."),
        .integer(
            "limits.session_queue_bytes", \.limits.sessionQueueBytes, 65_536...gib, "bytes", live: true,
            "Bytes that wait for one session which does not read; above it the session is ended. What is kept is not lost."),
        .integer(
            "limits.session_queue_stanzas", \.limits.sessionQueueStanzas, 500...10_000_000, "stanzas", live: true, "The same in stanzas."),
        .integer(
            "limits.node_unhandled_bytes", \.limits.nodeUnhandledBytes, 1_048_576...(64 * gib), "bytes", live: true,
            "Unhandled bytes of a whole node at which no client socket is read."),
        .integer(
            "limits.component_connections", \.limits.componentConnections, 0...100_000, "connections", live: true,
            "Connections of components to one node, those that have not proved who they are among them; 0: no bound."),
        .integer(
            "limits.command_seconds", \.limits.commandSeconds, 10...86_400, "seconds", live: true,
            "From the start of an ad-hoc command to its last form; then it has to be started again."),
        .integer(
            "limits.addresses", \.limits.addresses, 0...99, "addresses", live: true,
            "Addresses of one stanza that goes to several (XEP-0033). Each gets a copy, and each copy is a message of its own. 0: no such stanzas."
        ),
        .integer(
            "limits.known_capabilities", \.limits.knownCapabilities, 10...100_000, "kinds", live: true,
            "Kinds of clients whose capabilities an event loop remembers, so that each kind is asked once."),
        .integer("limits.roster_items", \.limits.rosterItems, 1...1_000_000, "items", live: true, "Contacts of one account."),
        .integer(
            "limits.blocked_addresses", \.limits.blockedAddresses, 1...100_000, "addresses", live: true,
            "Addresses that one account may block."),
        .integer(
            "limits.reports", \.limits.reports, 0...100_000, "reports", live: true,
            "Reports of spam and abuse that are kept for one host until the administrator deletes them (martletctl report list); further ones are not kept. 0: clients are not told that they may report."
        ),
        .integer(
            "limits.reports_per_account", \.limits.reportsPerAccount, 1...100_000, "reports", live: true,
            "Of these the reports of one account; the next one takes the place of its oldest."),
    ]

    private static let sessions: [Setting<Settings>] = [
        .choice(
            "sessions.conflict", \.sessions.conflict, live: true,
            "What happens when a client asks for a resource that a living session has: \"replace\" ends the old session, \"refuse\" answers with an error, \"rename\" gives another resource."
        ),
        .integer(
            "sessions.resources_per_account", \.sessions.resourcesPerAccount, 1...10_000, "sessions", live: true,
            "Sessions of one account at once."),
        .integer(
            "sessions.keepalive_seconds", \.sessions.keepaliveSeconds, 0...86_400, "seconds", live: true,
            "Silence of a client after which the server sends white space, to learn whether the connection still stands; 0: never."),
        .integer(
            "sessions.resume_seconds", \.sessions.resumeSeconds, 0...86_400, "seconds", live: true,
            "How long a session waits for its client after the connection broke, if the client can resume it (XEP-0198); 0: not at all."),
        .integer(
            "sessions.ack_after_stanzas", \.sessions.ackAfterStanzas, 1...10_000, "stanzas", live: true,
            "Stanzas to a client after which it is asked what it received, and stanzas from a client after which it is told unasked."),
        .integer(
            "sessions.ack_after_seconds", \.sessions.ackAfterSeconds, 1...3600, "seconds", live: true,
            "After this time a client is asked what it received of fewer stanzas."),
        .integer(
            "sessions.ack_timeout_seconds", \.sessions.ackTimeoutSeconds, 1...3600, "seconds", live: true,
            "A client that was asked and is silent for so long has lost its connection."),
        .integer(
            "sessions.unacked_stanzas", \.sessions.unackedStanzas, 500...1_000_000, "stanzas", live: true,
            "Stanzas that a client has not acknowledged; above it the session is ended. What is kept is not lost."),
        .integer(
            "sessions.unacked_bytes", \.sessions.unackedBytes, 65_536...33_554_432, "bytes", live: true, "The same in bytes."),
        .integer(
            "sessions.detached_per_account", \.sessions.detachedPerAccount, 1...10_000, "sessions", live: true,
            "Sessions of one account that wait for their clients; of more, the oldest ends."),
        .integer(
            "sessions.detached_per_node", \.sessions.detachedPerNode, 1...10_000_000, "sessions", live: true,
            "Sessions of one node that wait for their clients; of more, the oldest ends."),
        .text(
            "sessions.location", \.sessions.location, .text(.location), live: true,
            "Where clients are told to reconnect when they resume; empty: where they like, since any node will do. location below [node.NAME] is for one node."
        ),
        .integer(
            "sessions.inactive_hold_stanzas", \.sessions.inactiveHoldStanzas, 0...1_000_000, "stanzas", live: true,
            "Presence, chat states and events that wait for a client which says that it is inactive (XEP-0352); one more, and all are sent. 0: none waits, and clients are not told that they may say so."
        ),
        .integer(
            "sessions.inactive_hold_bytes", \.sessions.inactiveHoldBytes, 1_024...gib, "bytes", live: true, "The same in bytes."),
        .integer(
            "sessions.inactive_hold_seconds", \.sessions.inactiveHoldSeconds, 0...604_800, "seconds", live: true,
            "How long they wait at most, though the client is still inactive; 0: no bound."),
        .integer(
            "offline.messages", \.offline.messages, 0...10_000_000, "messages", live: true,
            "Messages that wait for one account; further ones are answered with an error. 0: no bound."),
        .integer(
            "offline.bytes", \.offline.bytes, 0...gib * 64, "bytes", live: true,
            "Bytes of the messages that wait for one account; further ones are answered with an error. 0: no bound."),
        .flag(
            "offline.answers_strangers", \.offline.answersStrangers, live: true,
            "Whether a message that reaches nobody is answered with an error though its sender may not see the presence of who it is for. Without, nobody learns by messages who has an account or is connected, and a mistyped address goes unnoticed (RFC 6120 §10.2)."
        ),
        .integer(
            "archive.page", \.archive.page, 1...5_000, "messages", live: true,
            "Messages of one page at most, whatever a client asks for. A page also ends at 512 KiB."),
        .integer(
            "archive.days", \.archive.days, 0...36_500, "days", live: true,
            "Days that archived messages stay; 0: for ever. What is too old goes within minutes, the oldest first, but never what was not delivered yet."
        ),
        .integer(
            "archive.messages", \.archive.messages, 0...1_000_000_000, "messages", live: true,
            "Messages of one account's archive; beyond, the oldest go. 0: no bound."),
        .integer(
            "archive.mib", \.archive.mib, 0...1_048_576, "MiB", live: true,
            "Size of one account's archive; beyond, the oldest messages go. 0: no bound."),
    ]

    private static let push: [Setting<Settings>] = [
        .flag("push.enabled", \.push.enabled, live: true, "Whether clients may have push services told of their messages."),
        .integer(
            "push.services_per_account", \.push.servicesPerAccount, 1...1_000, "services", live: true, "Push services of one account."),
        .integer(
            "push.coalesce_seconds", \.push.coalesceSeconds, 0...3_600, "seconds", live: true,
            "The least between two notifications of one account to one service. What comes meanwhile is told at their end, in one."),
        .flag(
            "push.include_sender", \.push.includeSender, live: true,
            "Whether a notification names the sender of the last message. The push service, and whoever it passes through, can read it."),
        .flag(
            "push.include_body", \.push.includeBody, live: true,
            "Whether a notification carries the text of the last message, unless it is encrypted. The same applies."),
        .integer(
            "push.failures", \.push.failures, 1...1_000, "errors", live: true,
            "Temporary errors and missing answers in a row after which a service is disabled. Other errors disable it at once."),
        .integer(
            "push.answer_seconds", \.push.answerSeconds, 1...3_600, "seconds", live: true, "What a service has for its answer."),
    ]

    private static let store: [Setting<Settings>] = [
        .integer(
            "store.map_gib", \.store.mapGiB, 1...65_536, "GiB",
            "Address space reserved for the store, which can never grow beyond it. It takes no disk and no memory until it is used."),
        .integer(
            "store.quota_mib", \.store.quotaMiB, 0...67_108_864, "MiB",
            "Size of the store at which what adds to it is refused, before the disk is full; 0: no bound."),
        .integer(
            "store.commit_effects", \.store.commitEffects, 1...1_000_000, "writes",
            "Writes in one commit at most. More make a commit cheaper and longer."),
        .integer("store.readers", \.store.readers, 1...64, "threads", "Threads that read the store."),
        .integer(
            "store.idle_accounts", \.store.idleAccounts, 100...10_000_000, "accounts", live: true,
            "Accounts without a session that stay in memory."),
    ]

    private static let backup: [Setting<Settings>] = [
        .text(
            "backup.directory", \.backup.directory, .text(.path),
            "Where backups go, best on another disk; empty: \"backups\" in the directory of the cluster. Each is a folder of its own with a data file and a manifest, and holds every secret of the server."
        ),
        .integer(
            "backup.every_hours", \.backup.everyHours, 0...8_760, "hours", live: true,
            "Hours between backups that the server takes by itself; 0: none."),
        .text(
            "backup.at", \.backup.at, .text(.timeOfDay), live: true,
            "The time of day from which the hours are counted, UTC: with 24 hours the time of every backup."),
        .integer(
            "backup.keep", \.backup.keep, 0...10_000, "backups", live: true,
            "How many stay when the server has taken another; 0: all. The newest always stays."),
        .integer(
            "backup.keep_days", \.backup.keepDays, 0...36_500, "days", live: true,
            "For how long they stay when the server has taken another; 0: for ever. The newest always stays."),
        .integer(
            "backup.growth_mib", \.backup.growthMiB, 16...67_108_864, "MiB", live: true,
            "By how much the store may grow while it is copied. Space that is freed meanwhile cannot be used again before the copy ends; a backup that makes the store grow by more is given up."
        ),
        .integer(
            "backup.mib_per_second", \.backup.mibPerSecond, 0...1_048_576, "MiB a second", live: true,
            "How fast a copy is written at most; 0: as fast as it goes, which a busy server feels."),
    ]

    private static let cluster: [Setting<Settings>] = [
        .integer(
            "cluster.beat_milliseconds", \.cluster.beatMilliseconds, 50...60_000, "milliseconds",
            "How often a node shows that it lives. The same in every node."),
        .integer(
            "cluster.missed_beats", \.cluster.missedBeats, 2...100, "beats",
            "Beats missed after which a silent node is killed by another, so that its sessions and the store are free."),
        .integer(
            "cluster.drain_seconds", \.cluster.drainSeconds, 0...3600, "seconds", live: true,
            "How long a node that stops or is drained has for its sessions to go on at other nodes. What is left then ends with system-shutdown."
        ),
        .integer(
            "cluster.drain_sessions_per_second", \.cluster.drainSessionsPerSecond, 20...10_000_000, "sessions a second", live: true,
            "How many sessions it lets go in a second, so that their clients do not all come back at once; more where drain_seconds would not do."
        ),
        .integer(
            "cluster.lane_credit_bytes", \.cluster.laneCreditBytes, 1_048_576...gib, "bytes",
            "Bytes under way on one lane between two nodes before the sender waits."),
    ]

    private static let log: [Setting<Settings>] = [
        .text(
            "log.level", \.log.level, .choice(Settings.Log.levels), live: true,
            "The least that is logged."),
        .table(
            "log.levels", \.log.areaLevels, keys: LogArea.allCases.map(\.rawValue), values: Settings.Log.levels, live: true,
            "The same for single areas, in its place: { bus = \"debug\", c2s = \"warning\" }. martletctl log level says what is logged where, and changes it while the server runs."
        ),
        .choice("log.format", \.log.format, "\"text\" for people, \"json\" for programs; a line a fact either way."),
        .text("log.file", \.log.file, .text(.path), "A file; empty: standard error."),
        .flag("debug.manual_clock", \.debug.manualClock, "Lets the admin command \"clock\" move the protocol clock."),
    ]

    /// The keys of a `[[host]]`.
    public static let host: [Setting<Settings.Host>] =
        [
            .text("domain", \.domain, .text(.domain), "The domain, as it stands behind the '@' of its users."),
            .text(
                "certificate", \.certificate, .text(.path), live: true,
                "PEM file with the certificate and those that vouch for it; empty: no TLS for this host."),
            .text("key", \.key, .text(.path), live: true, "PEM file with its private key, readable by the server alone."),
            .choice(
                "durability", \.durability, live: true,
                "What an acknowledgement means. \"kept\": the message is on disk. \"relay\": it was handed to a session, or is on disk when there was none; faster, and lost with the node. For telemetry and machines."
            ),
            .flag(
                "archive", \.archive, live: true,
                "Whether what its users send and receive is archived for them (XEP-0313). Every message then is one more record in the store."
            ),
            .integer(
                "archive_days", \.archiveDays, 0...36_500, "days", live: true,
                "Days that archived messages of its users stay; 0: as archive.days says."),
            .flag(
                "require_tls", \.requireTLS, live: true,
                "Whether clients need TLS before they log in. Only a host that is reached on loopback alone may do without."),
            .texts("admins", \.admins, .texts(.bareJID), live: true, "Accounts that may administer this host."),
        ] + contacts

    /// The keys of a `[[component]]`.
    public static let component: [Setting<Settings.Component>] = [
        .text("domain", \.domain, .text(.domain), "The domain it speaks for; none of the hosts."),
        .text(
            "secret_file", \.secretFile, .text(.path),
            "The file with the secret it proves, readable by the server alone: the first line, at least 16 bytes. Where there is none the server makes it, with a random secret. Empty: components/DOMAIN.secret in the directory of the cluster."
        ),
        .choice(
            "conflict", \.conflict,
            "What happens when it connects while it is connected: \"replace\" ends the old connection, \"refuse\" the new one."),
        .text(
            "name", \.name, .text(.optionalLine),
            "What it is called among the items of the server, where clients find it; empty: it is not listed."),
    ]
}
