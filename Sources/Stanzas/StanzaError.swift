public import XMLStream

/// A stanza error (RFC 6120 §8.3): why a stanza was not handled as asked.
public struct StanzaError: Error, Sendable, Hashable {
    /// The defined conditions (RFC 6120 §8.3.3). The raw values are fixed: they travel between nodes.
    public enum Condition: UInt8, Sendable, CaseIterable {
        case badRequest = 1
        case conflict = 2
        case featureNotImplemented = 3
        case forbidden = 4
        /// The new address may be given (`StanzaError.address`).
        case gone = 5
        case internalServerError = 6
        case itemNotFound = 7
        case jidMalformed = 8
        case notAcceptable = 9
        case notAllowed = 10
        case notAuthorized = 11
        case policyViolation = 12
        case recipientUnavailable = 13
        /// The other address should be given (`StanzaError.address`).
        case redirect = 14
        case registrationRequired = 15
        case remoteServerNotFound = 16
        case remoteServerTimeout = 17
        case resourceConstraint = 18
        case serviceUnavailable = 19
        case subscriptionRequired = 20
        case undefinedCondition = 21
        case unexpectedRequest = 22

        /// The element's name, e.g. `bad-request`.
        public var name: String {
            switch self {
            case .badRequest: "bad-request"
            case .conflict: "conflict"
            case .featureNotImplemented: "feature-not-implemented"
            case .forbidden: "forbidden"
            case .gone: "gone"
            case .internalServerError: "internal-server-error"
            case .itemNotFound: "item-not-found"
            case .jidMalformed: "jid-malformed"
            case .notAcceptable: "not-acceptable"
            case .notAllowed: "not-allowed"
            case .notAuthorized: "not-authorized"
            case .policyViolation: "policy-violation"
            case .recipientUnavailable: "recipient-unavailable"
            case .redirect: "redirect"
            case .registrationRequired: "registration-required"
            case .remoteServerNotFound: "remote-server-not-found"
            case .remoteServerTimeout: "remote-server-timeout"
            case .resourceConstraint: "resource-constraint"
            case .serviceUnavailable: "service-unavailable"
            case .subscriptionRequired: "subscription-required"
            case .undefinedCondition: "undefined-condition"
            case .unexpectedRequest: "unexpected-request"
            }
        }

        /// The condition by its element's name; nil for one RFC 6120 does not define.
        public init?(name: String) {
            guard let condition = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = condition
        }

        /// The type that RFC 6120 §8.3.3 recommends for the condition; the first where it names two, `cancel` where it names none.
        public var defaultType: Kind {
            switch self {
            case .badRequest, .jidMalformed, .notAcceptable, .policyViolation, .redirect: .modify
            case .forbidden, .notAuthorized, .registrationRequired, .subscriptionRequired: .auth
            case .recipientUnavailable, .remoteServerTimeout, .resourceConstraint, .unexpectedRequest: .wait
            case .conflict, .featureNotImplemented, .gone, .internalServerError, .itemNotFound, .notAllowed, .remoteServerNotFound,
                .serviceUnavailable, .undefinedCondition:
                .cancel
            }
        }
    }

    /// What the sender may do about it (RFC 6120 §8.3.2). The raw values are fixed: they travel between nodes.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Retry after providing credentials.
        case auth = 1
        /// Do not retry.
        case cancel = 2
        /// Proceed; it was only a warning.
        case `continue` = 3
        /// Retry after changing the data sent.
        case modify = 4
        /// Retry after waiting.
        case wait = 5

        /// The value of the `type` attribute.
        public var name: String {
            switch self {
            case .auth: "auth"
            case .cancel: "cancel"
            case .continue: "continue"
            case .modify: "modify"
            case .wait: "wait"
            }
        }

        public init?(name: String) {
            guard let kind = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = kind
        }
    }

    public var condition: Condition
    public var type: Kind
    /// Descriptive text in English, for people who read traces; never interpreted.
    public var text: String?
    /// The entity that detected the error.
    public var by: JID?
    /// A URI or IRI in `gone` and `redirect` (RFC 6120 §8.3.3.5, §8.3.3.14); not written for other conditions.
    public var address: String?
    /// An application-specific condition (RFC 6120 §8.3.4): one well-formed element that declares its own namespace.
    public var application: [UInt8]?
    /// The number that stood for the condition before RFC 3920, for the few protocols that still ask for it (XEP-0077 §9); nil: none.
    public var code: UInt16?

    /// - Parameter type: what the sender may do; the recommended type of the condition when nil.
    public init(
        _ condition: Condition, type: Kind? = nil, text: String? = nil, by: JID? = nil, address: String? = nil,
        application: [UInt8]? = nil
    ) {
        self.condition = condition
        self.type = type ?? condition.defaultType
        self.text = text
        self.by = by
        self.address = address
        self.application = application
    }

    /// An error whose application-specific condition `body` writes.
    public init(_ condition: Condition, type: Kind? = nil, text: String? = nil, application body: (inout XMLWriter) -> Void) {
        var writer = XMLWriter()
        body(&writer)
        self.init(condition, type: type, text: text, application: writer.bytes)
    }

    /// The error in a stanza of type error: its child `<error/>`, or that element itself. A condition or type this server does not know
    /// is taken for `undefined-condition` and `cancel` (RFC 6120 §8.3.2); an application-specific condition is not kept.
    public init(_ element: Element) {
        let error = element.local == "error" ? element : element.children.first { $0.local == "error" }
        let defined = error?.children.first { $0.namespace == NS.stanzas && $0.local != "text" }
        let condition = defined.flatMap { Condition(name: $0.local) } ?? .undefinedCondition
        self.init(
            condition, type: error?["type"].flatMap { Kind(name: $0) } ?? .cancel,
            text: error?.first(local: "text", namespace: NS.stanzas)?.text, by: error?["by"].flatMap { try? JID($0) },
            address: condition.takesAddress ? defined.map(\.text).flatMap { $0.isEmpty ? nil : $0 } : nil)
    }

    /// Writes `<error/>` in the default namespace of the stanza around it.
    public func write(into writer: inout XMLWriter) {
        writer.element("error", ("code", code.map(String.init)), ("type", type.name), ("by", by?.description)) { writer in
            writer.element(condition.name, xmlns: NS.stanzas, text: condition.takesAddress ? address : nil)
            if let text { writer.element("text", xmlns: NS.stanzas, ("xml:lang", "en"), text: text) }
            if let application { writer.raw(application) }
        }
    }

    /// `<error/>` as bytes: the payload of a stanza of type error.
    public var bytes: [UInt8] {
        var writer = XMLWriter()
        write(into: &writer)
        return writer.bytes
    }
}

extension StanzaError {
    /// The same with the number of its condition.
    public var withCode: StanzaError {
        var copy = self
        copy.code = condition.legacyCode
        return copy
    }
}

extension StanzaError.Condition {
    /// The number of old for the condition (XEP-0086 §3).
    public var legacyCode: UInt16 {
        switch self {
        case .badRequest, .jidMalformed, .unexpectedRequest: 400
        case .notAuthorized: 401
        case .forbidden: 403
        case .itemNotFound, .recipientUnavailable, .remoteServerNotFound: 404
        case .notAllowed: 405
        case .notAcceptable: 406
        case .registrationRequired, .subscriptionRequired: 407
        case .conflict: 409
        case .internalServerError, .resourceConstraint, .undefinedCondition, .policyViolation: 500
        case .featureNotImplemented: 501
        case .gone, .redirect: 302
        case .serviceUnavailable: 503
        case .remoteServerTimeout: 504
        }
    }

    /// Whether the element may carry an address as its text.
    var takesAddress: Bool { self == .gone || self == .redirect }
}

extension StanzaError: CustomStringConvertible {
    public var description: String {
        "\(condition.name) (\(type.name))" + (text.map { ": " + $0 } ?? "")
    }
}
