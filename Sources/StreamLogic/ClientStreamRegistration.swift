public import Stanzas
public import XMLStream

/// Requests of a client that has not authenticated: it may ask for an account (XEP-0077 §3.1.1), with an invitation or without (XEP-0445 §4).
/// Whether it gets one is not decided here.
extension ClientStream {
    private static let register = Name("query", NS.register)
    private static let preAuthentication = Name("preauth", NS.preAuthentication)

    /// Answers a request for an account; nil for any other stanza, which nobody may send before authentication.
    mutating func receiveVisit(_ element: Element) -> Received? {
        guard element.local == "iq", let payload = Self.payload(of: element),
            payload.is(Self.register) || payload.is(Self.preAuthentication)
        else { return nil }
        guard state == .negotiating, let id = element["id"], let type = element["type"], type == "get" || type == "set",
            isForServer(element)
        else { return nil }
        state = .visiting(id: id)
        return .visit(isSet: type == "set")
    }

    /// The one child of a request (RFC 6120 §8.2.3); nil when there is none, or more.
    public static func payload(of element: Element) -> Element? {
        let children = Array(element.children.prefix(2))
        return children.count == 1 ? children.first : nil
    }

    /// What the answer to a visitor is answered with.
    public enum Visited: Equatable, Sendable {
        /// Write the result of this id.
        case answer(id: String)
        /// Write a stanza error, and end the stream if there is a closing.
        case refuse(id: String, StanzaError, Closing?)
        /// Nobody waits for it any more.
        case ignore
    }

    /// A visitor's request has its answer: nil when it succeeded. Refusals are counted, or names could be guessed for ever.
    public mutating func visited(_ error: StanzaError?) -> Visited {
        guard case .visiting(let id) = state else { return .ignore }
        state = .negotiating
        guard let error else { return .answer(id: id) }
        visitFailures += 1
        guard visitFailures >= policy.visitFailures else { return .refuse(id: id, error, nil) }
        return .refuse(id: id, error, fail(StreamError(.policyViolation, text: "Too many refused requests")))
    }
}
