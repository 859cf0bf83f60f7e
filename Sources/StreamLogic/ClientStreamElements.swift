public import Stanzas
public import XMLStream

/// First-level elements, and the outcomes of the work they start.
extension ClientStream {
    private static let startTLS = Name("starttls", NS.tls)
    private static let auth = Name("auth", NS.sasl)
    private static let response = Name("response", NS.sasl)
    private static let abort = Name("abort", NS.sasl)
    private static let bind = Name("bind", NS.bind)
    private static let resource = Name("resource", NS.bind)
    private static let active = Name("active", NS.clientState)
    private static let inactive = Name("inactive", NS.clientState)
    private static let streamError = Name("error", NS.stream)

    /// What a first-level element is answered with.
    public enum Received: Equatable, Sendable {
        /// A stanza, and stanzas may be sent: ask `stanza`.
        case stanza
        /// Write `<proceed/>`, drop everything read so far, hand the socket to TLS, then call `secured`.
        case startTLS
        /// Write the failure of TLS with the end of the stream, and close the connection.
        case refuseTLS
        /// Drop a handshake that may stand, begin one; its outcome comes in through `stepped`.
        case authenticate(mechanism: String, initial: [UInt8]?)
        /// Begin a handshake as `request` says; its outcome comes in through `stepped`.
        case authenticateExtensible
        /// The client begins this task: give it what it needs, then call `stepped` with `.task` or another outcome.
        case beginTask(String)
        /// The client's answer in a task, the salted password; its outcome comes in through `stepped`.
        case finishTask([UInt8])
        /// Give the client's answer to the handshake; its outcome comes in through `stepped`.
        case respond([UInt8])
        /// Drop the handshake, write the failure, and end the stream if there is a closing.
        case rejectAuthentication(SASLCondition, Closing?)
        /// The client became active or inactive (XEP-0352 §4.2): tell the session, before anything that comes behind it is read.
        case clientState(active: Bool)
        /// Ask the account's home for a resource; its outcome comes in through `bound` or `bindRefused`.
        case bind(resource: String?)
        /// Write what a login without SASL has to have (XEP-0078).
        case nonSASLFields(id: String)
        /// Ask whoever answers visitors; the answer comes in through `visited`.
        case visit(isSet: Bool)
        /// Write a stanza error, and end the stream if there is a closing.
        case refuse(id: String, StanzaError, Closing?)
        /// Make the connection ready for compression, then call `compressed` or `compressionFailed`.
        case compress
        /// Write the failure of compression, and end the stream if there is a closing.
        case refuseCompression(CompressionFailure, Closing?)
        /// An element of stream management.
        case management(Management)
        /// Write the end.
        case fail(Closing)
        /// Nothing is to be done.
        case ignore
    }

    /// A first-level element came.
    ///
    /// - Parameter followed: whether more than white space came behind it in the same read; plain text behind `<starttls/>` was never
    ///   meant for the protected stream, whoever put it there (RFC 6120 §5.3.3, §13.7), and none behind `<compress/>` for the compressed.
    public mutating func receive(_ element: Element, followed: Bool = false) -> Received {
        switch state {
        case .closing, .closed, .securing: return .ignore
        case .header: return .fail(fail(StreamError(.badFormat)))
        case .ready: return receiveReady(element)
        case .negotiating, .authenticating, .tasking, .completing, .compressing, .binding, .resuming, .visiting: break
        }
        // The client's own stream error ends the stream (§4.9.1.1).
        if element.is(Self.streamError) { return .fail(fail(nil)) }
        if request != nil { return receiveDuringExtensible(element) }
        if element.is(Self.startTLS) { return receiveStartTLS(element, followed: followed) }
        if element.namespace == NS.sasl2 { return receiveExtensible(element) }
        if element.namespace == NS.sasl { return receiveSASL(element) }
        if element.namespace == NS.streamManagement, state == .negotiating { return managed(element) }
        if element.namespace == NS.compress { return receiveCompression(element, followed: followed) }
        if StanzaKind(element) != nil { return receiveEarlyStanza(element) }
        return .fail(fail(unexpected(element)))
    }

    private mutating func receiveReady(_ element: Element) -> Received {
        guard let kind = StanzaKind(element) else {
            if element.is(Self.streamError) { return .fail(fail(nil)) }
            if element.namespace == NS.streamManagement { return managed(element) }
            if element.namespace == NS.compress { return receiveCompression(element, followed: false) }
            // Also where it is not offered: a client may have learnt it before the configuration changed, and it does no harm.
            if element.is(Self.active) { return .clientState(active: true) }
            if element.is(Self.inactive) { return .clientState(active: false) }
            return .fail(fail(unexpected(element)))
        }
        // One stream has one resource (§7.3.2).
        guard kind == .iq, element.first(Self.bind) != nil, element["type"] == "set", isForServer(element), let id = element["id"] else {
            return .stanza
        }
        return .refuse(id: id, StanzaError(.notAllowed), nil)
    }

    private mutating func managed(_ element: Element) -> Received {
        .management(receiveManagement(element))
    }

    private func unexpected(_ element: Element) -> StreamError {
        switch element.namespace {
        case NS.tls, NS.sasl, NS.sasl2, NS.bind: StreamError(.notAuthorized)
        case NS.server, "": StreamError(.invalidNamespace)
        case NS.client, NS.stream: StreamError(.unsupportedStanzaType)
        default: StreamError(account == nil ? .notAuthorized : .unsupportedStanzaType)
        }
    }

    /// Whether a stanza is addressed to the server or to the client's own account.
    func isForServer(_ element: Element) -> Bool {
        guard let to = element["to"] else { return true }
        guard let jid = try? JID(to) else { return false }
        return jid.isBare && (jid == account || jid.isDomain && jid.domain == domain)
    }

    // MARK: STARTTLS

    private mutating func receiveStartTLS(_ element: Element, followed: Bool) -> Received {
        let offered = domain.flatMap { policy.hosts[$0] }?.offersTLS ?? false
        guard state == .negotiating, !isSecure, account == nil, offered, !followed, element.children.first(where: { _ in true }) == nil
        else {
            state = .closing
            return .refuseTLS
        }
        state = .securing
        return .startTLS
    }

    /// The TLS handshake succeeded. Everything learnt before it is void (RFC 6120 §5.4.3.3): a new header comes.
    public mutating func secured() {
        guard state == .securing else { return }
        isSecure = true
        restart()
        domain = nil
        language = nil
    }

    mutating func restart() {
        state = .header
        headerSent = false
        mechanisms = []
        tokenMechanisms = []
    }

    // MARK: SASL

    private mutating func receiveSASL(_ element: Element) -> Received {
        profile = .rfc6120
        guard account == nil else { return .fail(fail(StreamError(.notAuthorized))) }
        if element.is(Self.auth) { return receiveAuth(element) }
        if element.is(Self.abort) { return reject(.aborted) }
        guard element.is(Self.response), case .authenticating(challenged: true) = state, !hasChildren(element) else {
            return reject(.malformedRequest)
        }
        guard let data = Self.data(element.text) else { return reject(.incorrectEncoding) }
        state = .authenticating(challenged: false)
        return .respond(data ?? [])
    }

    private mutating func receiveAuth(_ element: Element) -> Received {
        if case .authenticating = state {
            // A new request takes the place of the handshake (§6.4.2), which counts, or guesses would be free.
            authenticationFailures += 1
            if authenticationFailures >= policy.authenticationFailures {
                return .rejectAuthentication(.aborted, fail(tooManyFailures))
            }
        }
        guard let mechanism = element["mechanism"] else { return reject(.invalidMechanism) }
        guard mechanisms.contains(mechanism) else {
            return reject(!isSecure && policy.mechanisms.contains(mechanism) ? .encryptionRequired : .invalidMechanism)
        }
        guard !hasChildren(element) else { return reject(.malformedRequest) }
        guard let data = Self.data(element.text) else { return reject(.incorrectEncoding) }
        state = .authenticating(challenged: false)
        return .authenticate(mechanism: mechanism, initial: data)
    }

    func hasChildren(_ element: Element) -> Bool { element.children.contains { _ in true } }

    /// The data of a SASL element: none, "=" for no bytes, or base 64. The outer nil: wrong encoding.
    private static func data(_ text: String) -> [UInt8]?? {
        if text.isEmpty { return .some(nil) }
        if text == "=" { return .some([]) }
        guard let bytes = Base64.decode(text.utf8) else { return nil }
        return .some(bytes)
    }

    var tooManyFailures: StreamError { StreamError(.policyViolation, text: "Too many failed authentications") }

    mutating func reject(_ condition: SASLCondition) -> Received {
        .rejectAuthentication(condition, countFailure())
    }

    mutating func countFailure() -> Closing? {
        authenticationFailures += 1
        state = .negotiating
        request = nil
        tasked = nil
        return authenticationFailures >= policy.authenticationFailures ? fail(tooManyFailures) : nil
    }

    /// How a step of a SASL handshake came out.
    public enum Step: Equatable, Sendable {
        case challenge
        /// Authenticated; the prepared localpart.
        case success(user: String)
        case failure(SASLCondition)
        /// SASL2: the client proved who it is, and has a task to do before it is let in.
        case proceed(user: String)
        /// SASL2: the client needs what it was given to go on with its task.
        case task
    }

    /// What the outcome of a step is answered with.
    public enum Stepped: Equatable, Sendable {
        /// Write the challenge.
        case challenge
        /// Write the success, restart the framer and raise its limits: a new header comes.
        case authenticated(JID)
        /// Do what `request` asks for inline and call `completed`: the limits of who has authenticated hold, and the stream goes on
        /// without another header.
        case accepted(JID)
        /// Without SASL: ask the account's home for the resource; its outcome comes in through `bound` or `bindRefused`, and then the limits
        /// of who has authenticated hold.
        case enter(JID, resource: String)
        /// Without SASL: drop the handshake, write a stanza error, and end the stream if there is a closing.
        case refuse(id: String, StanzaError, Closing?)
        /// Write `<continue/>` with the task.
        case proceed
        /// Write the data of the task.
        case task
        /// Drop the handshake, write the failure, and end the stream if there is a closing.
        case reject(SASLCondition, Closing?)
        /// Drop the handshake and write the end.
        case fail(Closing)
        /// The handshake is no longer wanted: drop it.
        case ignore
    }

    /// A step of the handshake has its outcome.
    public mutating func stepped(_ step: Step) -> Stepped {
        if request != nil { return steppedExtensible(step) }
        if let nonSASL { return steppedNonSASL(step, nonSASL) }
        guard case .authenticating(challenged: false) = state, let domain else { return .ignore }
        switch step {
        case .challenge:
            state = .authenticating(challenged: true)
            return .challenge
        case .failure(let condition):
            return .reject(condition, countFailure())
        case .proceed, .task: return .ignore
        case .success(let user):
            guard let jid = try? JID(local: user, domain: domain, resource: nil) else { return .reject(.notAuthorized, countFailure()) }
            // Whoever said under TLS to be someone else is not let in as this one (§6.4.6).
            if let claimed, claimed != jid { return .fail(fail(StreamError(.invalidFrom))) }
            account = jid
            restart()
            return .authenticated(jid)
        }
    }

    // MARK: Binding

    private mutating func receiveEarlyStanza(_ element: Element) -> Received {
        if account == nil, let visit = receiveVisit(element) ?? receiveNonSASL(element) { return visit }
        guard state == .negotiating, account != nil, element.local == "iq", isForServer(element), let id = element["id"],
            let type = element["type"], type == "get" || type == "set"
        else { return .fail(fail(StreamError(.notAuthorized))) }
        guard let request = element.first(Self.bind) else {
            // To the server itself a client may speak before it binds; there is nothing here that it could be told (§7.1).
            return .refuse(id: id, StanzaError(.unexpectedRequest), nil)
        }
        guard type == "set" else { return refuseBind(id: id, StanzaError(.badRequest)) }
        var resource: String?
        if let text = request.first(Self.resource)?.text, !text.isEmpty {
            guard let prepared = try? JID.prepareResource(text) else { return refuseBind(id: id, StanzaError(.badRequest)) }
            resource = prepared
        }
        state = .binding(id: id)
        return .bind(resource: resource)
    }

    private mutating func refuseBind(id: String, _ error: StanzaError) -> Received {
        bindFailures += 1
        state = .negotiating
        guard bindFailures >= policy.bindFailures else { return .refuse(id: id, error, nil) }
        return .refuse(id: id, error, fail(StreamError(.policyViolation, text: "Too many refused resources")))
    }

    /// The home granted a resource. Answers the id of the request whose result is to be written; nil when nobody waits for it.
    public mutating func bound(_ jid: JID) -> String? {
        guard case .binding(let id) = state else { return nil }
        fullJID = jid
        nonSASL = nil
        state = .ready
        return id
    }

    /// The home refused a resource (§7.6.2, §7.7.2).
    public mutating func bindRefused(_ error: StanzaError) -> Received {
        guard case .binding(let id) = state else { return .ignore }
        leaveNonSASL()
        return refuseBind(id: id, error)
    }

    // MARK: Stanzas

    /// What a stanza is answered with.
    public enum Submission: Sendable {
        /// Hand it to the session.
        case submit(Stanza)
        /// This answers it.
        case bounce(Stanza)
        /// Write the end.
        case fail(Closing)
        /// There is nothing to answer.
        case ignore
    }

    /// Reads a stanza that `receive` admitted.
    ///
    /// - Parameter source: the bytes `element` was parsed from.
    public mutating func stanza(_ element: Element, source: UnsafeRawBufferPointer) -> Submission {
        guard state == .ready, let fullJID else { return .ignore }
        do throws(StanzaShapeError) {
            // A client speaks for itself alone (§8.1.2.1).
            return .submit(try Stanza(element, source: source, streamLang: language, sender: fullJID))
        } catch {
            return bounce(error, fullJID)
        }
    }

    private mutating func bounce(_ shape: StanzaShapeError, _ client: JID) -> Submission {
        let error: StanzaError
        switch shape.reason {
        case .notAStanza: return .fail(fail(StreamError(.unsupportedStanzaType)))
        case .fromMalformed: return .fail(fail(StreamError(.invalidFrom)))
        case .badRequest: error = StanzaError(.badRequest)
        case .toMalformed: error = StanzaError(.jidMalformed)
        }
        guard shape.mayBeAnswered, let kind = shape.kind else { return .ignore }
        // An address that could not be read cannot be repeated: the domain answers (§8.3.1).
        return .bounce(
            Stanza(
                kind: kind, type: .error, id: shape.id, from: try? JID(domain ?? policy.domain), to: client,
                payload: Payload(written: error.bytes)))
    }
}
