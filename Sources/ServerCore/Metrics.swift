public import Telemetry

/// What the core counts. One instance a process, shared by its loops.
public final class CoreMetrics: Sendable {
    /// What the loops count for themselves.
    let loops = LoopTable()
    public let sessionsBound: Counter
    /// Sessions with a resource whose socket is here.
    public let sessions: Gauge
    private let sessionsEnded: [String: Counter]
    private let registrations: [RegistrationOutcome: Counter]
    private let invitations: [InvitationEvent: Counter]
    public let failedCommits: Counter
    public let failedLoads: Counter
    public let damagedRecords: Counter
    public let refusedOffline: Counter
    public let archivePages: Counter
    public let inboxCleared: Counter
    public let retractions: Counter
    public let purgedMessages: Counter
    public let badLetters: Counter
    public let strayLetters: Counter
    public let pauses: Counter
    public let takeovers: Counter
    /// Sessions whose client said that it is inactive (XEP-0352).
    let inactiveSessions: Gauge
    let heldStanzas: Counter
    let blockedStanzas: Counter
    let keptReports: Counter
    let lostReports: Counter
    let supersededStanzas: Counter
    public let rateLimited: Counter
    /// Notifications to push services (XEP-0357), and what became of them.
    let pushes: Counter
    let pushesRefused: Counter
    let pushesUnanswered: Counter
    /// Registrations that ended because of errors or by the service's own word.
    let pushesDisabled: Counter
    /// Sessions that wait for their clients to resume them.
    public let detachedSessions: Gauge
    let shelteredSessions: Counter
    public let acknowledgementTimeouts: Counter
    private let resumptions: [String: Counter]
    /// Components that are connected here.
    let components: Gauge
    let componentStanzasIn: Counter
    let componentStanzasOut: Counter
    /// What could not be handed to a component and went back.
    let componentBounces: Counter
    /// Levels of the whole process: each loop adds what changed since it last looked.
    let accounts: Gauge
    let gatedAccounts: Gauge
    let unhandledBytes: Gauge
    let owedRows: Gauge
    let queuedBytes: Gauge
    let unacknowledgedStanzas: Gauge
    let unhandledStanzas: Gauge
    let pausedSessions: Gauge

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        try Self.register(loops, in: registry)
        sessionsBound = try registry.counter("martlet_sessions_bound_total", help: "Sessions that were granted a resource.")
        sessions = try registry.gauge("martlet_sessions", help: "Sessions with a resource on this node.")
        var ended: [String: Counter] = [:]
        for label in EndReason.labels {
            ended[label] = try registry.counter(
                "martlet_sessions_ended_total", help: "Sessions that ended, by reason.", labels: [("reason", label)])
        }
        sessionsEnded = ended
        var registrations: [RegistrationOutcome: Counter] = [:]
        for outcome in RegistrationOutcome.allCases {
            registrations[outcome] = try registry.counter(
                "martlet_registrations_total", help: "What people did to their accounts in-band, by outcome.",
                labels: [("outcome", outcome.rawValue)])
        }
        self.registrations = registrations
        var invitations: [InvitationEvent: Counter] = [:]
        for event in InvitationEvent.allCases {
            invitations[event] = try registry.counter(
                "martlet_invitations_total", help: "What became of invitations.", labels: [("event", event.rawValue)])
        }
        self.invitations = invitations
        failedCommits = try registry.counter("martlet_commits_failed_total", help: "Batches of effects that the store refused.")
        failedLoads = try registry.counter(
            "martlet_account_loads_failed_total", help: "Reads of accounts, or of a takeover's session rows, that the store failed.")
        damagedRecords = try registry.counter("martlet_records_damaged_total", help: "Records that failed their checksum.")
        refusedOffline = try registry.counter(
            "martlet_inbox_refusals_total", help: "Messages refused because the recipient's inbox was full.")
        inboxCleared = try registry.counter(
            "martlet_inbox_cleared_total", help: "Owed messages not sent because a client reads them in the archive (Bind 2).")
        archivePages = try registry.counter("martlet_archive_pages_total", help: "Pages of archives that clients were given.")
        retractions = try registry.counter(
            "martlet_archive_retractions_total", help: "Archived messages that became tombstones, once an account.")
        purgedMessages = try registry.counter(
            "martlet_archive_purged_total", help: "Archived messages removed because of age, number or size.")
        badLetters = try registry.counter("martlet_letters_malformed_total", help: "Batches from other nodes that could not be read.")
        strayLetters = try registry.counter("martlet_letters_stray_total", help: "Letters that reached a loop that is not their home.")
        pauses = try registry.counter("martlet_client_pauses_total", help: "Times a client's socket was paused for back-pressure.")
        rateLimited = try registry.counter(
            "martlet_client_rate_pauses_total", help: "Times a client's socket was paused because it sent too fast.")
        pushes = try registry.counter("martlet_push_notifications_total", help: "Notifications sent to push services.")
        pushesRefused = try registry.counter(
            "martlet_push_failures_total", help: "Notifications that push services did not take.", labels: [("reason", "error")])
        pushesUnanswered = try registry.counter(
            "martlet_push_failures_total", help: "Notifications that push services did not take.", labels: [("reason", "timeout")])
        pushesDisabled = try registry.counter(
            "martlet_push_disabled_total", help: "Push services that were disabled because of errors or by their own word.")
        components = try registry.gauge("martlet_components", help: "Components that are connected to this node.")
        componentStanzasIn = try registry.counter("martlet_component_stanzas_received_total", help: "Stanzas received from components.")
        componentStanzasOut = try registry.counter("martlet_component_stanzas_sent_total", help: "Stanzas written towards components.")
        componentBounces = try registry.counter(
            "martlet_component_bounces_total", help: "Stanzas that could not be handed to a component and were refused.")
        accounts = try registry.gauge("martlet_accounts_in_memory", help: "Accounts that this process is home to and keeps in memory.")
        gatedAccounts = try registry.gauge("martlet_accounts_gated", help: "Accounts whose output waits for a commit.")
        unhandledBytes = try registry.gauge("martlet_unhandled_bytes", help: "Bytes from clients that are not handled yet.")
        owedRows = try registry.gauge("martlet_messages_owed", help: "Messages owed to the accounts in memory.")
        queuedBytes = try registry.gauge(
            "martlet_session_queued_bytes", help: "Bytes for clients that their sockets have not taken, counted every two seconds.")
        unacknowledgedStanzas = try registry.gauge(
            "martlet_session_unacknowledged_stanzas",
            help: "Stanzas for clients with stream management that they have not acknowledged, counted every two seconds.")
        unhandledStanzas = try registry.gauge(
            "martlet_unhandled_stanzas", help: "Stanzas from clients that are not handled yet, counted every two seconds.")
        pausedSessions = try registry.gauge(
            "martlet_sessions_paused", help: "Sessions whose clients are not read now, because too much of them is unhandled.")
        detachedSessions = try registry.gauge(
            "martlet_sessions_detached", help: "Sessions that lost their socket and wait for their clients (XEP-0198).")
        shelteredSessions = try registry.counter(
            "martlet_sessions_sheltered_total", help: "Sessions taken over from nodes that leave.")
        acknowledgementTimeouts = try registry.counter(
            "martlet_acknowledgement_timeouts_total", help: "Clients that did not answer when they were asked for an acknowledgement.")
        var resumed: [String: Counter] = [:]
        for outcome in Self.resumeOutcomes {
            resumed[outcome] = try registry.counter(
                "martlet_resumptions_total", help: "Attempts to resume a session (XEP-0198), by outcome.", labels: [("outcome", outcome)])
        }
        resumptions = resumed
        inactiveSessions = try registry.gauge("martlet_sessions_inactive", help: "Sessions whose client says that nobody looks at it.")
        blockedStanzas = try registry.counter(
            "martlet_blocked_stanzas_total", help: "Stanzas from and to addresses that the account blocked.")
        let reports = "Reports of spam and abuse (XEP-0377), by whether there was room to keep them."
        keptReports = try registry.counter("martlet_reports_total", help: reports, labels: [("outcome", "kept")])
        lostReports = try registry.counter("martlet_reports_total", help: reports, labels: [("outcome", "lost")])
        heldStanzas = try registry.counter(
            "martlet_client_state_held_total", help: "Stanzas that waited for an inactive client, or for a later one to take their place.")
        supersededStanzas = try registry.counter(
            "martlet_client_state_superseded_total", help: "Stanzas held for an inactive client that a later one took the place of.")
        takeovers = try registry.counter("martlet_takeovers_total", help: "Times a loop of this process began to serve as home.")
    }

    /// How an attempt to resume comes out: where the session was, or that there was none.
    static let resumeOutcomes = ["here", "moved", "refused"]
    func resumed(_ outcome: String) { resumptions[outcome]?.increment() }
    public func invitation(_ event: InvitationEvent) { invitations[event]?.increment() }
    public func registration(_ outcome: RegistrationOutcome) { registrations[outcome]?.increment() }

    func sessionsEnded(_ reason: EndReason) { sessionsEnded[reason.label]?.increment() }
}

/// What became of somebody's wish for an account, or for a change of it (XEP-0077).
public enum RegistrationOutcome: String, Sendable, CaseIterable {
    /// An account was made.
    case made
    /// An account was made with an invitation.
    case invited
    /// The owner changed the password.
    case passwordChanged = "password-changed"
    /// The owner gave the account up.
    case removed
    /// Registration is closed.
    case closed
    /// Too many attempts from the address.
    case limited
    /// The name is taken or reserved.
    case conflict
    /// The name or the password is not what it must be.
    case unacceptable
    /// The store, or the threads for passwords, could not do it.
    case failed
}

/// What happens to invitations (XEP-0401).
public enum InvitationEvent: String, Sendable, CaseIterable {
    case made, used, revoked, expired
}
