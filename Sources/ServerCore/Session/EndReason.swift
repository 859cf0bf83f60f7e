public import Stanzas

/// Why a session ended: the metric label, the administrator's column, and what the peer is told.
public enum EndReason: Sendable, Equatable {
    /// The client closed its stream.
    case closed
    /// The socket went away and the session is not resumable.
    case lost
    /// Another session took the resource (RFC 6120 §7.7.2.2).
    case replaced
    /// An administrator ended it.
    indirect case kicked(text: String?)
    /// The account was deleted or disabled.
    case accountGone
    /// The password was changed by an administrator.
    case credentialsChanged
    /// The session's queue ran over its bound.
    case overrun
    /// The peer broke the protocol.
    indirect case protocolError(StreamError)
    /// The node shuts down.
    case shutdown
    /// The node it lived on died or was fenced.
    case nodeLost
    /// Nobody resumed it in time, or too many others wait.
    case expired
    /// Its host is served no more.
    case hostGone
    /// The home no longer knows the session after a takeover, or refused it.
    case unknownToHome

    /// The stream error to send, if the stream still stands.
    public var streamError: StreamError? {
        switch self {
        case .closed, .lost, .nodeLost, .expired: nil
        case .replaced: StreamError(.conflict, text: "Replaced by a new connection")
        case .kicked(let text): StreamError(.policyViolation, text: text ?? "Ended by an administrator")
        case .accountGone: StreamError(.notAuthorized, text: "The account was removed or disabled")
        case .credentialsChanged: StreamError(.reset, text: "The password was changed")
        case .overrun: StreamError(.policyViolation, text: "Too much is waiting to be received by this session")
        case .protocolError(let error): error
        case .shutdown: StreamError(.systemShutdown)
        case .hostGone: StreamError(.hostGone)
        case .unknownToHome: StreamError(.reset)
        }
    }

    /// One word for metrics, logs and tables.
    public var label: String {
        switch self {
        case .closed: "closed"
        case .lost: "lost"
        case .replaced: "replaced"
        case .kicked: "kicked"
        case .accountGone: "account-gone"
        case .credentialsChanged: "credentials-changed"
        case .overrun: "overrun"
        case .protocolError: "protocol-error"
        case .shutdown: "shutdown"
        case .nodeLost: "node-lost"
        case .expired: "expired"
        case .hostGone: "host-gone"
        case .unknownToHome: "unknown-to-home"
        }
    }

    /// Every label there is.
    static let labels = [
        "closed", "lost", "replaced", "kicked", "account-gone", "credentials-changed", "overrun", "protocol-error", "shutdown", "node-lost",
        "unknown-to-home", "expired", "host-gone",
    ]
}
