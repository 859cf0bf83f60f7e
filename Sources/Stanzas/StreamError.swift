public import XMLStream

/// A stream error (RFC 6120 §4.9): it always ends the stream.
public struct StreamError: Error, Sendable, Hashable {
    /// The defined conditions (RFC 6120 §4.9.3), by the element's name.
    public enum Condition: String, Sendable, CaseIterable {
        case badFormat = "bad-format"
        case badNamespacePrefix = "bad-namespace-prefix"
        case conflict = "conflict"
        case connectionTimeout = "connection-timeout"
        case hostGone = "host-gone"
        case hostUnknown = "host-unknown"
        case improperAddressing = "improper-addressing"
        case internalServerError = "internal-server-error"
        case invalidFrom = "invalid-from"
        case invalidNamespace = "invalid-namespace"
        case invalidXML = "invalid-xml"
        case notAuthorized = "not-authorized"
        case notWellFormed = "not-well-formed"
        case policyViolation = "policy-violation"
        case remoteConnectionFailed = "remote-connection-failed"
        case reset = "reset"
        case resourceConstraint = "resource-constraint"
        case restrictedXML = "restricted-xml"
        /// The other host must be given (`StreamError.location`).
        case seeOtherHost = "see-other-host"
        case systemShutdown = "system-shutdown"
        case undefinedCondition = "undefined-condition"
        case unsupportedEncoding = "unsupported-encoding"
        case unsupportedFeature = "unsupported-feature"
        case unsupportedStanzaType = "unsupported-stanza-type"
        case unsupportedVersion = "unsupported-version"
    }

    public var condition: Condition
    /// Descriptive text in English, for people who read traces; never interpreted.
    public var text: String?
    /// In `see-other-host`: a domain name, an IPv4 address or a bracketed IPv6 address, with `:port` or without (RFC 6120 §4.9.3.19).
    public var location: String?
    /// An application-specific condition (RFC 6120 §4.9.4): one well-formed element that declares its own namespace.
    public var application: [UInt8]?

    public init(_ condition: Condition, text: String? = nil, location: String? = nil, application: [UInt8]? = nil) {
        self.condition = condition
        self.text = text
        self.location = location
        self.application = application
    }

    /// The answer to bytes that were refused.
    public init(_ error: ParseError) {
        self.init(Condition(rawValue: error.condition) ?? .undefinedCondition)
    }

    /// The error a peer sent in `<stream:error/>`; a condition this server does not know is taken for `undefined-condition` (§4.9.2).
    public init(_ element: Element) {
        let defined = element.children.first { $0.namespace == NS.streams && $0.local != "text" }
        let condition = defined.flatMap { Condition(rawValue: $0.local) } ?? .undefinedCondition
        self.init(
            condition, text: element.first(local: "text", namespace: NS.streams)?.text,
            location: condition == .seeOtherHost ? defined.map(\.text).flatMap { $0.isEmpty ? nil : $0 } : nil)
    }

    /// Writes `<stream:error/>`, for a stream whose header binds the prefix `stream`.
    ///
    /// - Parameter standalone: binds the prefix here, as each WebSocket message must be a document of its own (RFC 7395 §3.3.3).
    public func write(into writer: inout XMLWriter, standalone: Bool = false) {
        writer.element("stream:error", ("xmlns:stream", standalone ? NS.stream : nil)) { writer in
            writer.element(condition.rawValue, xmlns: NS.streams, text: condition == .seeOtherHost ? location : nil)
            if let text { writer.element("text", xmlns: NS.streams, ("xml:lang", "en"), text: text) }
            if let application { writer.raw(application) }
        }
    }
}

extension StreamError: CustomStringConvertible {
    public var description: String { condition.rawValue + (text.map { ": " + $0 } ?? "") }
}
