public import Stanzas
public import Telemetry
import Synchronization

/// What one loop counts for every stanza, without a locked instruction. Made by its shard; summed over the loops when somebody reads.
public final class LoopMetrics: Sendable {
    /// What is counted once for each kind of stanza.
    struct ByKind<Value: Sendable>: Sendable {
        let message: Value
        let presence: Value
        let iq: Value

        init(_ make: () -> Value) { (message, presence, iq) = (make(), make(), make()) }

        subscript(kind: StanzaKind) -> Value {
            switch kind {
            case .message: message
            case .presence: presence
            case .iq: iq
            }
        }
    }

    let stanzasIn = ByKind { LoopCounter() }
    let stanzasOut = ByKind { LoopCounter() }
    /// From the end of a stanza's arrival to its being handled, in microseconds.
    let handled = ByKind { LoopHistogram() }
    let commitLatency = LoopHistogram()
    let acknowledgementsIn = LoopCounter()
    let acknowledgementsOut = LoopCounter()
    let archivedMessages = LoopCounter()
    let keptMessages = LoopCounter()
    let stampsAhead = LoopCounter()
    let carbons = LoopCounter()
    /// By raw value of `StanzaError.Condition`.
    private let bounces: [LoopCounter]

    init() {
        let highest = StanzaError.Condition.allCases.map { Int($0.rawValue) }.max() ?? 0
        bounces = (0...highest).map { _ in LoopCounter() }
    }

    /// A stanza was answered with an error instead of being handed on.
    func bounced(_ error: StanzaError) { bounces[Int(error.condition.rawValue)].increment() }

    func bounces(_ condition: StanzaError.Condition) -> UInt64 { bounces[Int(condition.rawValue)].value }
}

/// The counters of all loops of a process.
final class LoopTable: Sendable {
    private let loops = Mutex<[LoopMetrics]>([])

    /// Those of one more loop.
    func add() -> LoopMetrics {
        let metrics = LoopMetrics()
        loops.withLock { $0.append(metrics) }
        return metrics
    }

    func sum(_ value: (LoopMetrics) -> UInt64) -> UInt64 { loops.withLock { $0 }.reduce(0) { $0 &+ value($1) } }

    func sum(_ value: (LoopMetrics) -> Distribution) -> Distribution {
        loops.withLock { $0 }.reduce(into: Distribution()) { $0 += value($1) }
    }
}

extension CoreMetrics {
    /// The metrics that loops count for themselves.
    static func register(_ loops: LoopTable, in registry: Registry) throws(RegistrationError) {
        for kind in StanzaKind.allCases {
            let label = [("kind", kind.name)]
            try registry.tally("martlet_stanzas_received_total", help: "Stanzas received from clients, by kind.", labels: label) {
                loops.sum { $0.stanzasIn[kind].value }
            }
            try registry.tally("martlet_stanzas_sent_total", help: "Stanzas written towards clients, by kind.", labels: label) {
                loops.sum { $0.stanzasOut[kind].value }
            }
            try registry.distribution(
                "martlet_stanza_handled_seconds",
                help:
                    "Time from the arrival of a client's stanza until it and all before it are handled: kept by both accounts, or refused.",
                labels: label, unit: .microseconds
            ) { loops.sum { $0.handled[kind].reading } }
        }
        try registry.distribution(
            "martlet_commit_wait_seconds", help: "Time from asking for effects to their durability, as accounts see it.",
            unit: .microseconds
        ) { loops.sum { $0.commitLatency.reading } }
        for condition in StanzaError.Condition.allCases {
            try registry.tally(
                "martlet_bounces_total", help: "Stanzas that were answered with an error instead of being handed on, by condition.",
                labels: [("condition", condition.name)]
            ) { loops.sum { $0.bounces(condition) } }
        }
        try registry.tally("martlet_archive_messages_total", help: "Messages written to archives, once an account.") {
            loops.sum { $0.archivedMessages.value }
        }
        try registry.tally("martlet_inbox_messages_total", help: "Messages kept for their recipients, until a session acknowledges them.") {
            loops.sum { $0.keptMessages.value }
        }
        try registry.tally(
            "martlet_stamps_ahead_total",
            help: "Messages whose stamp had to be more than five seconds ahead of the clock, so that their order stays: it was set back."
        ) { loops.sum { $0.stampsAhead.value } }
        try registry.tally("martlet_acknowledgements_received_total", help: "Acknowledgements from clients (XEP-0198).") {
            loops.sum { $0.acknowledgementsIn.value }
        }
        try registry.tally("martlet_acknowledgements_sent_total", help: "Acknowledgements to clients (XEP-0198).") {
            loops.sum { $0.acknowledgementsOut.value }
        }
        try registry.tally("martlet_carbons_total", help: "Copies of messages for other sessions of their account.") {
            loops.sum { $0.carbons.value }
        }
    }

    /// Stanzas received from clients.
    public var stanzasReceived: UInt64 { StanzaKind.allCases.reduce(0) { $0 &+ stanzasReceived($1) } }
    /// Stanzas written towards clients.
    public var stanzasSent: UInt64 { StanzaKind.allCases.reduce(0) { $0 &+ stanzasSent($1) } }
    /// The same of one kind.
    public func stanzasReceived(_ kind: StanzaKind) -> UInt64 { loops.sum { $0.stanzasIn[kind].value } }
    /// The same of one kind.
    public func stanzasSent(_ kind: StanzaKind) -> UInt64 { loops.sum { $0.stanzasOut[kind].value } }
    /// Microseconds from the arrival of a client's stanza to its being handled.
    public func handled(_ kind: StanzaKind) -> Distribution { loops.sum { $0.handled[kind].reading } }
    /// Microseconds that effects waited for their commit.
    public var commitWait: Distribution { loops.sum { $0.commitLatency.reading } }
}
