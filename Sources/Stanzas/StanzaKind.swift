/// The three stanzas (RFC 6120 §8.2). The numbers travel and are stored: never change one.
public enum StanzaKind: UInt8, Sendable, CaseIterable {
    case message = 0
    case presence = 1
    case iq = 2

    /// The element's name on the wire.
    public var name: String {
        switch self {
        case .message: "message"
        case .presence: "presence"
        case .iq: "iq"
        }
    }
}

/// The `type` of a stanza (RFC 6120 §8.2.3, RFC 6121 §4.7.1, §5.2.2). The numbers travel and are stored: never change one.
public enum StanzaType: UInt8, Sendable, CaseIterable {
    /// A presence without `type`: available.
    case none = 0
    /// A message without `type`, or with one nobody knows.
    case normal = 1
    case chat = 2
    case groupchat = 3
    case headline = 4
    /// Any stanza that reports an error.
    case error = 5
    case get = 6
    case set = 7
    case result = 8
    case unavailable = 9
    case subscribe = 10
    case subscribed = 11
    case unsubscribe = 12
    case unsubscribed = 13
    case probe = 14

    /// The attribute's value; nil where the attribute is left out, as its default says the same.
    public var attribute: String? {
        switch self {
        case .none, .normal: nil
        case .chat: "chat"
        case .groupchat: "groupchat"
        case .headline: "headline"
        case .error: "error"
        case .get: "get"
        case .set: "set"
        case .result: "result"
        case .unavailable: "unavailable"
        case .subscribe: "subscribe"
        case .subscribed: "subscribed"
        case .unsubscribe: "unsubscribe"
        case .unsubscribed: "unsubscribed"
        case .probe: "probe"
        }
    }

    /// Whether a stanza of this kind may have this type.
    public func fits(_ kind: StanzaKind) -> Bool {
        switch self {
        case .error: true
        case .normal, .chat, .groupchat, .headline: kind == .message
        case .get, .set, .result: kind == .iq
        case .none, .unavailable, .subscribe, .subscribed, .unsubscribe, .unsubscribed, .probe: kind == .presence
        }
    }

    /// What an attribute's value means in a stanza of this kind: an unknown type of a message is `normal` (RFC 6121 §5.2.2); nil when
    /// the stanza is a bad request (RFC 6120 §8.2.3, RFC 6121 §4.7.1).
    init?(attribute: String?, in kind: StanzaKind) {
        switch (kind, attribute) {
        case (_, "error"): self = .error
        case (.message, "chat"): self = .chat
        case (.message, "groupchat"): self = .groupchat
        case (.message, "headline"): self = .headline
        case (.message, _): self = .normal
        case (.iq, "get"): self = .get
        case (.iq, "set"): self = .set
        case (.iq, "result"): self = .result
        case (.presence, nil): self = .none
        case (.presence, "unavailable"): self = .unavailable
        case (.presence, "subscribe"): self = .subscribe
        case (.presence, "subscribed"): self = .subscribed
        case (.presence, "unsubscribe"): self = .unsubscribe
        case (.presence, "unsubscribed"): self = .unsubscribed
        case (.presence, "probe"): self = .probe
        default: return nil
        }
    }
}
