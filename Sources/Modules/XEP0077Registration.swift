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
    static let admission = "register admission"
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
        registration.call(Self.admission) { argument, turn, result in
            let prefix = String(decoding: argument, as: UTF8.self)
            result.reply(.done(self.attempts.admit(prefix, now: turn.now) ? 1 : 0))
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
        guard policy.settings.open else {
            metrics.registration(.closed)
            return StanzaError(.serviceUnavailable, text: "Registration is closed")
        }
        // §3.1.1
        return visitor.notes[Self.done] == nil ? nil : StanzaError(.notAcceptable, text: "This stream has made an account already")
    }

    private func fields(_ visit: Visit) {
        if visit.visitor.isProtected, !policy.settings.open, !policy.settings.redirect.isEmpty {
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
        let jid: JID
        switch policy.account(wish, at: visit.visitor.domain) {
        case .success(let judged): jid = judged
        case .failure(let error):
            metrics.registration(error.condition == .conflict ? .conflict : .unacceptable)
            return visit.reply(.error(error.withCode))
        }
        guard let host = try? JID(visit.visitor.domain) else { return visit.reply(.error(StanzaError(.internalServerError).withCode)) }
        visit.command(.call(Self.admission, Array(visit.visitor.address.utf8)), for: host) { result in
            switch result {
            case .done(1): self.derive(visit, jid, wish.password)
            case .done:
                self.metrics.registration(.limited)
                visit.reply(.error(StanzaError(.resourceConstraint, type: .wait, text: "Too many attempts from your address").withCode))
            default: self.fail(visit)
            }
        }
    }

    private func derive(_ visit: Visit, _ jid: JID, _ password: String) {
        visit.deriveKeys(of: password) { result in
            switch result {
            case .success(let credentials): self.make(visit, jid, credentials)
            case .failure(let refusal): visit.reply(.error(self.error(refusal)))
            }
        }
    }

    private func make(_ visit: Visit, _ jid: JID, _ credentials: [UInt8]) {
        visit.command(.create(credentials: credentials), for: jid) { result in
            switch result {
            case .done:
                self.metrics.registration(.made)
                visit.visitor.notes[Self.done] = jid.description
                visit.reply(.done)
            case .exists:
                self.metrics.registration(.conflict)
                visit.reply(.error(StanzaError(.conflict, text: "The name is taken").withCode))
            case .notFound, .failed, .value: self.fail(visit)
            }
        }
    }

    private func fail(_ visit: Visit) {
        metrics.registration(.failed)
        visit.reply(.error(StanzaError(.resourceConstraint, type: .wait, text: "The account cannot be made at the moment").withCode))
    }
}

/// Attempts by address prefix within the last hour. Confined to the loop of a host's account, bounded in memory: under a flood from very
/// many prefixes the oldest are forgotten.
final class AttemptCounts {
    private static let hour: Int64 = 3_600_000_000
    private static let maximumPrefixes = 65_536
    private let limit: Int
    private var recent: [String: [Int64]] = [:]
    private var older: [String: [Int64]] = [:]
    private var turned: Int64 = 0

    /// - Parameter limit: attempts of one prefix in an hour; 0: no bound.
    init(limit: Int) { self.limit = limit }

    /// Counts an attempt, unless there were too many. One that is refused does not count.
    ///
    /// - Parameter now: wall clock µs.
    func admit(_ prefix: String, now: Int64) -> Bool {
        guard limit > 0 else { return true }
        if now &- turned >= Self.hour || recent.count >= Self.maximumPrefixes / 2 {
            older = recent
            recent = [:]
            turned = now
        }
        var moments = (recent[prefix] ?? older.removeValue(forKey: prefix) ?? []).filter { now &- $0 < Self.hour }
        let isAdmitted = moments.count < limit
        if isAdmitted { moments.append(now) }
        recent[prefix] = moments
        return isAdmitted
    }
}
