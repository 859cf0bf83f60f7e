internal import Stanzas
public import XMLStream

/// Authentication without SASL (XEP-0078), for clients older than it: one request with name, password and resource, and the session
/// stands, on the same stream.
///
/// There is no digest: it takes a password that the server can read, and none is kept.
extension ClientStream {
    private static let query = Name("query", NS.nonSASL)
    private static let username = Name("username", NS.nonSASL)
    private static let password = Name("password", NS.nonSASL)
    private static let resource = Name("resource", NS.nonSASL)

    /// A request under way.
    struct NonSASLRequest: Equatable {
        var id: String
        var resource: String
    }

    /// Whether it is offered on this stream: the password goes over the wire as in PLAIN, so where PLAIN is offered.
    public var offersNonSASL: Bool { policy.nonSASL && isSecure && account == nil && mechanisms.contains("PLAIN") }

    /// Answers a request of one who has not authenticated; nil for any other stanza, and where there is no such thing here.
    mutating func receiveNonSASL(_ element: Element) -> Received? {
        guard policy.nonSASL, element.local == "iq", let query = Self.payload(of: element), query.is(Self.query), state == .negotiating,
            let id = element["id"], let type = element["type"], type == "get" || type == "set", isForServer(element)
        else { return nil }
        // Whoever failed with SASL does not try again in another way (§3.1).
        guard authenticationFailures == nonSASLFailures else {
            return .fail(fail(StreamError(.policyViolation, text: "SASL was tried and failed")))
        }
        guard offersNonSASL else { return refuseNonSASL(id: id, StanzaError(.serviceUnavailable)) }
        guard type == "set" else { return .nonSASLFields(id: id) }
        guard let name = query.first(Self.username)?.text, !name.isEmpty, let password = query.first(Self.password)?.text,
            !password.isEmpty,
            let text = query.first(Self.resource)?.text, !text.isEmpty, let resource = try? JID.prepareResource(text)
        else { return refuseNonSASL(id: id, StanzaError(.notAcceptable)) }
        profile = .rfc6120
        nonSASL = NonSASLRequest(id: id, resource: resource)
        state = .authenticating(challenged: false)
        return .authenticate(mechanism: "PLAIN", initial: [0] + Array(name.utf8) + [0] + Array(password.utf8))
    }

    private mutating func refuseNonSASL(id: String, _ error: StanzaError) -> Received {
        .refuse(id: id, error, countNonSASLFailure())
    }

    private mutating func countNonSASLFailure() -> Closing? {
        nonSASLFailures += 1
        nonSASL = nil
        return countFailure()
    }

    /// The password was checked as PLAIN has it.
    mutating func steppedNonSASL(_ step: Step, _ request: NonSASLRequest) -> Stepped {
        guard case .authenticating(challenged: false) = state, let domain else { return .ignore }
        switch step {
        case .challenge, .proceed, .task: return .refuse(id: request.id, StanzaError(.notAuthorized), countNonSASLFailure())
        case .failure(let condition): return .refuse(id: request.id, Self.error(condition), countNonSASLFailure())
        case .success(let user):
            guard let jid = try? JID(local: user, domain: domain, resource: nil) else {
                return .refuse(id: request.id, StanzaError(.notAuthorized), countNonSASLFailure())
            }
            // As behind SASL (RFC 6120 §6.4.6).
            if let claimed, claimed != jid { return .fail(fail(StreamError(.invalidFrom))) }
            account = jid
            state = .binding(id: request.id)
            return .enter(jid, resource: request.resource)
        }
    }

    private static func error(_ condition: SASLCondition) -> StanzaError {
        switch condition {
        case .accountDisabled: StanzaError(.forbidden)
        case .temporaryAuthFailure: StanzaError(.resourceConstraint)
        case .malformedRequest, .incorrectEncoding: StanzaError(.notAcceptable)
        case .aborted, .credentialsExpired, .encryptionRequired, .invalidAuthzid, .invalidMechanism, .mechanismTooWeak, .notAuthorized:
            StanzaError(.notAuthorized)
        }
    }

    /// The home refused the resource: who asked with its password is no further than before, and may ask for another.
    mutating func leaveNonSASL() {
        guard nonSASL != nil else { return }
        nonSASL = nil
        account = nil
    }
}

extension StreamWriting {
    /// `<auth/>` among the stream features (XEP-0078 §4).
    public static func nonSASLFeature(into writer: inout XMLWriter) { writer.empty("auth", xmlns: NS.nonSASLFeature) }

    /// What a client has to send (XEP-0078 §3.1).
    public static func nonSASLFields(id: String, into writer: inout XMLWriter) {
        writer.element("iq", ("type", "result"), ("id", id)) { writer in
            writer.element("query", xmlns: NS.nonSASL) { writer in
                writer.empty("username")
                writer.empty("password")
                writer.empty("resource")
            }
        }
    }
}
