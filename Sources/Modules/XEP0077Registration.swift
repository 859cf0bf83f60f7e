public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0077: In-Band Registration. A client that has not authenticated makes an account where that is allowed (§3.1.1); the owner of an
/// account changes its password (§3.3) or gives it up (§3.2), always.
///
/// A new account is made in four steps, each at its own place: the form is judged where the client is, the attempt is counted at the host's
/// account (so for the whole cluster), the keys are derived off the loops, and the account is made at its home, where two that want the
/// same name meet. What is answered with a result is on disk.
public final class InBandRegistration: Module {
    public static let name = "register"
    public static let implements = [XEP(77, "2.4", "In-Band Registration")]
    private static let query = Name("query", NS.register)
    private static let admission = "register admission"
    private static let settlement = "register settlement"
    /// What a visitor is remembered for: it made an account.
    private static let done = "register done"

    private let policy: RegistrationPolicy
    private let metrics: CoreMetrics
    private let attempts: AttemptCounts

    public init(_ context: ModuleContext) {
        policy = RegistrationPolicy(context.settings)
        metrics = context.metrics
        attempts = AttemptCounts(limit: context.settings.registration.perAddressPerHour)
    }

    public func register(in registration: inout Registration) {
        registration.feature(NS.register, of: .server, .ownAccount)
        registration.iq(.get, Self.query, to: .server, .ownAccount) { request, turn in Self.known(request, turn) }
        registration.iq(.set, Self.query, to: .server, .ownAccount) { request, turn in self.change(request, turn) }
        registration.visitorFeature { [policy] visitor in
            visitor.isProtected && policy.answersVisitors ? "<register xmlns='\(NS.registerFeature)'/>" : nil
        }
        registration.visit(.get, Self.query) { visit in self.fields(visit) }
        registration.visit(.set, Self.query) { visit in self.begin(visit) }
        registration.call(Self.admission) { argument, turn, result in result.reply(self.admit(argument, turn)) }
        registration.call(Self.settlement) { argument, turn, result in
            if let claim = Claim(argument) {
                InvitationBook(account: turn.account, now: turn.now, metrics: self.metrics).settle(
                    claim.token, id: claim.id, isUsed: claim.isUsed)
            }
            result.reply(.done(1))
        }
    }

    // MARK: Whoever has an account

    /// §3.1: the asker is registered, which is all that it need be told; nobody knows the password.
    private static func known(_ request: Request, _ turn: Turn) -> IQReply {
        guard Self.concerns(request, turn) else { return .error(StanzaError(.notAllowed).withCode) }
        let username = turn.account.jid.local
        return .result { xml in
            xml.element("query", xmlns: NS.register) { xml in
                xml.empty("registered")
                xml.element("instructions", text: "You have this account. Send a new password to change it.")
                xml.element("username", text: username)
                xml.empty("password")
            }
        }
    }

    /// Whether the host that is asked is the one where the asker has its account.
    private static func concerns(_ request: Request, _ turn: Turn) -> Bool {
        request.stanza.to.map { $0.domain == turn.account.jid.domain } ?? true
    }

    private func change(_ request: Request, _ turn: Turn) -> IQReply {
        guard Self.concerns(request, turn) else { return .error(StanzaError(.registrationRequired).withCode) }
        let children = Array(request.payload.children.prefix(3))
        if children.contains(where: { $0.local == "remove" && $0.namespace == NS.register }) {
            guard children.count == 1 else { return .error(StanzaError(.badRequest).withCode) }
            let reply = turn.account.giveUp(request)
            if case .sent = reply { metrics.registration(.removed) }
            return reply
        }
        let wish: RegistrationWish
        switch RegistrationWish.read(request.payload, form: "jabber:iq:register:changepassword") {
        case .failure: return .error(StanzaError(.badRequest).withCode)
        case .success(let read): wish = read
        }
        // The form of §3.3 names the account by its address, the plain fields by its localpart.
        guard
            wish.username == turn.account.jid.local || (try? JID(wish.username)) == turn.account.jid
                || (try? JID.prepareUsername(wish.username)) == turn.account.jid.local
        else { return .error(StanzaError(.notAllowed, text: "The password of another account is not yours to change").withCode) }
        if let fault = policy.fault(inPassword: wish.password) {
            metrics.registration(.unacceptable)
            return .error(StanzaError(.notAcceptable, text: fault).withCode)
        }
        let answer = turn.later(request)
        let keeping = policy.settings.passwordChangeEndsSessions ? request.from : nil
        turn.deriveKeys(of: wish.password) { [metrics] result in
            switch result {
            case .success(let credentials):
                guard turn.account.changeCredentials(credentials, onlyKeeping: keeping) else {
                    metrics.registration(.failed)
                    return answer.reply(.error(StanzaError(.resourceConstraint, type: .wait).withCode))
                }
                metrics.registration(.passwordChanged)
                answer.reply(.done)
            case .failure(let refusal): answer.reply(.error(self.error(refusal)))
            }
        }
        return .later
    }

    private func error(_ refusal: PasswordRefusal) -> StanzaError {
        switch refusal {
        case .unusable(let why):
            metrics.registration(.unacceptable)
            return StanzaError(.notAcceptable, text: why).withCode
        case .busy:
            metrics.registration(.failed)
            return StanzaError(.resourceConstraint, type: .wait, text: "Too many passwords are being set; try again").withCode
        }
    }

    // MARK: Whoever wants one

    /// Whether a visitor may make an account, or why not.
    private func refusal(_ visitor: Visitor) -> StanzaError? {
        guard visitor.isProtected else { return StanzaError(.notAuthorized, text: "Registration needs TLS") }
        guard policy.settings.open || visitor.notes[Invitations.note] != nil else {
            metrics.registration(.closed)
            return StanzaError(
                .serviceUnavailable, text: policy.takesInvitations ? "Registration needs an invitation" : "Registration is closed")
        }
        // §3.1.1
        return visitor.notes[Self.done] == nil ? nil : StanzaError(.notAcceptable, text: "This stream has made an account already")
    }

    private func fields(_ visit: Visit) {
        let isInvited = visit.visitor.notes[Invitations.note] != nil
        if visit.visitor.isProtected, !policy.settings.open, !isInvited, !policy.settings.redirect.isEmpty {
            return visit.reply(.result { self.policy.writeRedirect(into: &$0) })
        }
        if let refusal = refusal(visit.visitor) { return visit.reply(.error(refusal.withCode)) }
        visit.reply(.result { self.policy.writeFields(into: &$0) })
    }

    private func begin(_ visit: Visit) {
        if let refusal = refusal(visit.visitor) { return visit.reply(.error(refusal.withCode)) }
        // §3.2, §3.3: who is nobody has nothing to give up.
        guard visit.payload.first(local: "remove", namespace: NS.register) == nil else {
            return visit.reply(.error(StanzaError(.unexpectedRequest).withCode))
        }
        let wish: RegistrationWish
        switch RegistrationWish.read(visit.payload, form: NS.register) {
        case .failure(let error): return visit.reply(.error(error.withCode))
        case .success(let read): wish = read
        }
        let token = visit.visitor.notes[Invitations.note]
        let jid: JID
        // What an invitation keeps a name for is known at the host's account alone; it judges such names again.
        switch policy.account(wish, at: visit.visitor.domain, isReserved: token != nil) {
        case .success(let judged): jid = judged
        case .failure(let error):
            metrics.registration(error.condition == .conflict ? .conflict : .unacceptable)
            return visit.reply(.error(error.withCode))
        }
        guard let host = try? JID(visit.visitor.domain), let username = jid.local else {
            return visit.reply(.error(StanzaError(.internalServerError).withCode))
        }
        let attempt = Attempt(
            prefix: visit.visitor.address, username: username, token: token, claim: UInt64.random(in: 1 ... .max))
        visit.command(.call(Self.admission, attempt.bytes), for: host) { result in
            switch result {
            case .done: self.derive(visit, jid, wish.password, nil)
            case .value(let bytes):
                guard let invitation = Invitation(bytes) else { return self.fail(visit) }
                self.derive(visit, jid, wish.password, (invitation, attempt.claim))
            case .exists: self.refuse(visit, .conflict, StanzaError(.conflict, text: "The name is reserved"))
            case .notFound: self.refuse(visit, .closed, StanzaError(.itemNotFound, text: "The invitation cannot be used any more"))
            case .failed(Self.tooMany):
                self.refuse(
                    visit, .limited, StanzaError(.resourceConstraint, type: .wait, text: "Too many attempts from your address"))
            case .failed(Self.notPlain): self.refuse(visit, .unacceptable, StanzaError(.notAcceptable, text: self.policy.usernameRule))
            case .failed: self.fail(visit)
            }
        }
    }

    private func refuse(_ visit: Visit, _ outcome: RegistrationOutcome, _ error: StanzaError) {
        metrics.registration(outcome)
        visit.reply(.error(error.withCode))
    }

    // MARK: At the host's account

    static let tooMany = "too many attempts"
    static let notPlain = "a name that is not allowed"

    /// Counts an attempt, and holds a use of the invitation. Answers `done`, or the invitation.
    private func admit(_ argument: [UInt8], _ turn: Turn) -> CommandResult {
        guard let attempt = Attempt(argument) else { return .failed("the attempt cannot be read") }
        let book = InvitationBook(account: turn.account, now: turn.now, metrics: metrics)
        guard !book.isReserved(attempt.username, except: attempt.token) else { return .exists }
        if let token = attempt.token {
            guard let invitation = book.claim(token, id: attempt.claim) else { return .notFound }
            // The name it keeps is nobody else's; any other is judged as a stranger's.
            if invitation.username == attempt.username { return .value(invitation.bytes) }
            let fault = invitation.username == nil ? policy.fault(inUsername: attempt.username, at: turn.account.jid.domain) : .conflict
            guard let fault else { return .value(invitation.bytes) }
            book.settle(token, id: attempt.claim, isUsed: false)
            return fault == .conflict ? .exists : .failed(Self.notPlain)
        }
        return attempts.admit(attempt.prefix, now: turn.now) ? .done(1) : .failed(Self.tooMany)
    }

    // MARK: Making it

    private typealias Held = (invitation: Invitation, claim: UInt64)

    private func derive(_ visit: Visit, _ jid: JID, _ password: String, _ held: Held?) {
        visit.deriveKeys(of: password) { result in
            switch result {
            case .success(let credentials): self.make(visit, jid, credentials, held)
            case .failure(let refusal):
                self.settle(visit, held, isUsed: false)
                visit.reply(.error(self.error(refusal)))
            }
        }
    }

    private func make(_ visit: Visit, _ jid: JID, _ credentials: [UInt8], _ held: Held?) {
        visit.command(.create(credentials: credentials), for: jid) { result in
            if case .done = result {
                self.metrics.registration(held == nil ? .made : .invited)
                visit.visitor.notes[Self.done] = jid.description
                return self.finish(visit, jid, held)
            }
            self.settle(visit, held, isUsed: false)
            guard case .exists = result else { return self.fail(visit) }
            self.refuse(visit, .conflict, StanzaError(.conflict, text: "The name is taken"))
        }
    }

    /// The account is there: the invitation is used up, and inviter and invitee are contacts, before the client hears of it.
    private func finish(_ visit: Visit, _ jid: JID, _ held: Held?) {
        settle(visit, held, isUsed: true)
        guard let held, held.invitation.befriends, let inviter = held.invitation.inviter else { return visit.reply(.done) }
        visit.command(.call(Invitations.befriendCall, Array(inviter.description.utf8)), for: jid) { _ in
            visit.command(.call(Invitations.befriendCall, Array(jid.description.utf8)), for: inviter) { _ in visit.reply(.done) }
        }
    }

    private func settle(_ visit: Visit, _ held: Held?, isUsed: Bool) {
        guard let held, let host = try? JID(visit.visitor.domain) else { return }
        let claim = Claim(token: held.invitation.token, id: held.claim, isUsed: isUsed)
        visit.command(.call(Self.settlement, claim.bytes), for: host) { _ in }
    }

    private func fail(_ visit: Visit) {
        refuse(visit, .failed, StanzaError(.resourceConstraint, type: .wait, text: "The account cannot be made at the moment"))
    }
}
