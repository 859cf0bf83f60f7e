public import Telemetry

/// What the core counts. One instance a process, shared by its loops.
public final class CoreMetrics: Sendable {
    public let stanzasIn: Counter
    public let stanzasOut: Counter
    public let sessionsBound: Counter
    /// Sessions with a resource whose socket is here.
    public let sessions: Gauge
    private let sessionsEnded: [String: Counter]
    /// How long effects waited for their commit, in microseconds.
    public let commitLatency: Histogram
    public let failedCommits: Counter
    public let failedLoads: Counter
    public let damagedRecords: Counter
    public let refusedOffline: Counter
    public let badLetters: Counter
    public let strayLetters: Counter
    public let pauses: Counter
    public let takeovers: Counter
    public let carbons: Counter
    public let rateLimited: Counter
    /// Requests that accounts made themselves.
    public let accountRequests: Counter
    public let accountRequestsUnanswered: Counter
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

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        stanzasIn = try registry.counter("martlet_stanzas_received_total", help: "Stanzas received from clients.")
        stanzasOut = try registry.counter("martlet_stanzas_sent_total", help: "Stanzas written towards clients.")
        sessionsBound = try registry.counter("martlet_sessions_bound_total", help: "Sessions that were granted a resource.")
        sessions = try registry.gauge("martlet_sessions", help: "Sessions with a resource on this node.")
        var ended: [String: Counter] = [:]
        for label in EndReason.labels {
            ended[label] = try registry.counter(
                "martlet_sessions_ended_total", help: "Sessions that ended, by reason.", labels: [("reason", label)])
        }
        sessionsEnded = ended
        commitLatency = try registry.histogram(
            "martlet_commit_wait_seconds", help: "Time from asking for effects to their durability.", unit: .microseconds)
        failedCommits = try registry.counter("martlet_commits_failed_total", help: "Batches of effects that the store refused.")
        failedLoads = try registry.counter("martlet_account_loads_failed_total", help: "Accounts that could not be read from the store.")
        damagedRecords = try registry.counter("martlet_records_damaged_total", help: "Records that failed their checksum.")
        refusedOffline = try registry.counter(
            "martlet_inbox_refusals_total", help: "Messages refused because the recipient's inbox was full.")
        badLetters = try registry.counter("martlet_letters_malformed_total", help: "Batches from other nodes that could not be read.")
        strayLetters = try registry.counter("martlet_letters_stray_total", help: "Letters that reached a loop that is not their home.")
        pauses = try registry.counter("martlet_client_pauses_total", help: "Times a client's socket was paused for back-pressure.")
        rateLimited = try registry.counter(
            "martlet_client_rate_pauses_total", help: "Times a client's socket was paused because it sent too fast.")
        components = try registry.gauge("martlet_components", help: "Components that are connected to this node.")
        componentStanzasIn = try registry.counter("martlet_component_stanzas_received_total", help: "Stanzas received from components.")
        componentStanzasOut = try registry.counter("martlet_component_stanzas_sent_total", help: "Stanzas written towards components.")
        componentBounces = try registry.counter(
            "martlet_component_bounces_total", help: "Stanzas that could not be handed to a component and were refused.")
        accountRequests = try registry.counter(
            "martlet_account_requests_total", help: "Requests that accounts made themselves, as for the capabilities of a client.")
        accountRequestsUnanswered = try registry.counter(
            "martlet_account_requests_unanswered_total", help: "Requests of accounts that nobody answered in time.")
        accounts = try registry.gauge("martlet_accounts_in_memory", help: "Accounts that this process is home to and keeps in memory.")
        gatedAccounts = try registry.gauge("martlet_accounts_gated", help: "Accounts whose output waits for a commit.")
        unhandledBytes = try registry.gauge("martlet_unhandled_bytes", help: "Bytes from clients that are not handled yet.")
        owedRows = try registry.gauge("martlet_messages_owed", help: "Messages owed to the accounts in memory.")
        carbons = try registry.counter("martlet_carbons_total", help: "Copies of messages for other sessions of their account.")
        takeovers = try registry.counter("martlet_takeovers_total", help: "Times a loop of this process began to serve as home.")
    }

    func sessionsEnded(_ reason: EndReason) { sessionsEnded[reason.label]?.increment() }
}
