/// The names of what the log says when somebody should look: the key `event` of the line. They are stable, so that searches, alarms and
/// `ops/runbook` can refer to them.
public enum Event: String, Sendable, CaseIterable, CustomStringConvertible {
    /// The store takes no writes.
    case storeShut = "store-shut"
    /// It does again.
    case storeOpen = "store-open"
    /// This node began to keep the store.
    case keeper
    /// This node could not begin to keep it.
    case keeperFailed = "keeper-failed"
    case backupTaken = "backup-taken"
    case backupFailed = "backup-failed"
    case nodeUp = "node-up"
    case nodeDown = "node-down"
    /// A silent node was killed, or should have been.
    case nodeFenced = "node-fenced"
    case nodeNotFenced = "node-not-fenced"
    /// A link is without an answer although the process at its other end runs.
    case linkSilent = "link-silent"
    case linkAnswers = "link-answers"
    /// A connection between nodes failed.
    case linkFailed = "link-failed"
    /// A certificate expires soon, is expired, or does not name its host.
    case certificateWarning = "certificate-warning"
    /// Certificates or secrets could not be read again.
    case reloadFailed = "reload-failed"
    /// A loop of this process does not answer.
    case loopStalled = "loop-stalled"
    case loopAnswers = "loop-answers"
    /// There is no descriptor, or no memory, for connections that wait to be accepted.
    case connectionsWaiting = "connections-waiting"
    /// Metrics, health and readiness are not served on an address.
    case monitoringUnavailable = "monitoring-unavailable"
    case started, stopping, stopped

    public var description: String { rawValue }
}
