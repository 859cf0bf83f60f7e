public import Stanzas
internal import XMLStream

/// In which form SASL is spoken.
public enum SASLProfile: Sendable, Equatable {
    /// RFC 6120 §6: a new stream follows success.
    case rfc6120
    /// XEP-0388, "SASL2": the stream goes on, with what was asked for inline.
    case extensible
}

/// The extensible SASL profile (XEP-0388), with the tasks that may stand between proof and success.
///
/// It differs from RFC 6120 in what may be said meanwhile: nothing else. Whoever says something else is disconnected (§2.4).
extension ClientStream {
    private static let authenticate = Name("authenticate", NS.sasl2)
    private static let response = Name("response", NS.sasl2)
    private static let abort = Name("abort", NS.sasl2)
    private static let next = Name("next", NS.sasl2)
    private static let taskData = Name("task-data", NS.sasl2)
    /// The answer to the tasks of XEP-0480 §3.
    private static let saltedPassword = Name("hash", NS.scramUpgrade)

    /// Where a task stands.
    enum TaskStep: Equatable {
        /// `<continue/>` was sent.
        case offered
        /// What the task needs is being made, or what it gave is being kept.
        case working
        /// `<task-data/>` was sent.
        case asked
    }

    /// An element of SASL2 while no handshake of it stands.
    mutating func receiveExtensible(_ element: Element) -> Received {
        // Once authenticated, always authenticated (§4.8).
        guard account == nil, state == .negotiating else { return .fail(fail(StreamError(.notAuthorized))) }
        profile = .extensible
        // SASL2 is for protected streams alone (§3).
        guard isSecure else { return reject(.encryptionRequired) }
        guard element.is(Self.authenticate) else { return reject(.malformedRequest) }
        guard let mechanism = element["mechanism"] else { return reject(.invalidMechanism) }
        guard var request = AuthenticationRequest(mechanism: mechanism, element) else { return reject(.incorrectEncoding) }
        if mechanisms.contains(mechanism) {
            request.token = nil
        } else {
            // A token is used where the client says that it is one (XEP-0484 §3.4).
            guard request.token != nil, tokenMechanisms.contains(mechanism) else { return reject(.invalidMechanism) }
        }
        self.request = request
        state = .authenticating(challenged: false)
        return .authenticateExtensible
    }

    /// Any element while a handshake stands, or a task.
    mutating func receiveDuringExtensible(_ element: Element) -> Received {
        if element.is(Self.abort) { return reject(.aborted) }
        switch state {
        case .authenticating(challenged: true) where element.is(Self.response):
            guard !hasChildren(element) else { return reject(.malformedRequest) }
            guard let data = SASLText.data(element.text) else { return reject(.incorrectEncoding) }
            state = .authenticating(challenged: false)
            return .respond(data)
        case .tasking(.offered) where element.is(Self.next):
            guard let task = element["task"] else { return reject(.malformedRequest) }
            state = .tasking(.working)
            return .beginTask(task)
        case .tasking(.asked) where element.is(Self.taskData):
            guard let answer = element.first(Self.saltedPassword).flatMap({ SASLText.data($0.text) }) else {
                return reject(.malformedRequest)
            }
            state = .tasking(.working)
            return .finishTask(answer)
        default: return .fail(fail(StreamError(.notAuthorized)))
        }
    }

    mutating func steppedExtensible(_ step: Step) -> Stepped {
        switch (state, step) {
        case (.authenticating(challenged: false), .challenge):
            state = .authenticating(challenged: true)
            return .challenge
        case (.tasking(.working), .task):
            state = .tasking(.asked)
            return .task
        case (.authenticating(challenged: false), .failure(let condition)), (.tasking(.working), .failure(let condition)):
            return .reject(condition, countFailure())
        case (.authenticating(challenged: false), .success(let user)), (.authenticating(challenged: false), .proceed(let user)),
            (.tasking(.working), .success(let user)), (.tasking(.working), .proceed(let user)):
            guard let domain, let jid = try? JID(local: user, domain: domain, resource: nil), tasked ?? jid == jid else {
                return .reject(.notAuthorized, countFailure())
            }
            // Whoever said to be someone else is not let in as this one (§2.3).
            if let claimed, claimed != jid { return .reject(.invalidAuthzid, countFailure()) }
            guard case .success = step else {
                tasked = jid
                state = .tasking(.offered)
                return .proceed
            }
            tasked = nil
            account = jid
            state = .completing
            return .accepted(jid)
        default: return .ignore
        }
    }

    /// What came of what was asked for inline.
    public enum Completion: Equatable, Sendable {
        /// A session was resumed, or a resource bound.
        case session(JID)
        /// Neither: the client binds as RFC 6120 §7 has it.
        case unbound
    }

    /// What was asked for inline is done. Write the success, then features for the answered offer; nil when nobody waits for them.
    public mutating func completed(_ completion: Completion) -> Offer? {
        guard state == .completing else { return nil }
        request = nil
        switch completion {
        case .session(let jid):
            fullJID = jid
            state = .ready
            return Offer()
        case .unbound:
            state = .negotiating
            return offerAuthenticated
        }
    }
}
