public import ServerCore
import Settings
import Stanzas
import XMLStream

/// Invitations: made by ad-hoc commands (XEP-0401) or at the console, used by a client that shows the token before it registers (XEP-0445),
/// or with its request to become a contact (XEP-0379). All are kept with the account of their host (`InvitationBook`).
public final class Invitations: Module {
    public static let name = "invitations"
    public static let implements = [
        XEP(379, "0.3.3", "Pre-Authenticated Roster Subscription"), XEP(401, "0.6.0", "Ad-hoc Account Invitation Generation"),
        XEP(445, "0.2.0", "Pre-Authenticated In-Band Registration"),
    ]
    /// What a visitor is remembered for: the token that it showed and that was good.
    static let note = "invitation"
    /// Makes two accounts contacts of each other, each at its own home.
    static let befriendCall = "invitation befriend"
    private static let lookCall = "invitation look"
    private static let redeemCall = "invitation redeem"
    private static let forgetCall = "invitation inviter gone"
    private static let existsCall = "invitation account exists"
    private static let preAuthentication = Name("preauth", NS.preAuthentication)
    private static let hour: Int64 = 3_600_000_000

    private let settings: Settings.Invitations
    private let admins: [String: Set<JID>]
    private let metrics: CoreMetrics
    private let policy: RegistrationPolicy

    public init(_ context: ModuleContext) {
        settings = context.settings.invitations
        metrics = context.metrics
        policy = RegistrationPolicy(context.settings)
        admins = Dictionary(context.settings.hosts.map { ($0.domain, Set($0.admins.compactMap { try? JID($0) })) }) { first, _ in first }
    }

    public func register(in registration: inout Registration) {
        guard settings.enabled else { return }
        registerCalls(in: &registration)
        registration.visitorFeature { $0.isProtected ? "<register xmlns='\(NS.inBandRegistrationToken)'/>" : nil }
        registration.visit(.set, Self.preAuthentication) { Self.look($0) }
        registration.subscriptionRequest { Self.recognise($0, $1, $2) }
        registration.removal { turn in
            guard turn.account.jid.local != nil, let host = try? JID(turn.account.jid.domain) else { return }
            turn.command(.call(Self.forgetCall, Array(turn.account.jid.description.utf8)), for: host) { _ in }
        }
        registration.command(
            AdHocCommand(NS.invite + "#invite", title: "Invite user", offered: { self.mayInvite($0, $1) }, run: inviteContact))
        registration.command(
            AdHocCommand(NS.invite + "#create-account", title: "Create account", offered: { self.isAdmin($0, $1) }, run: inviteToAccount))
        registration.command(
            AdHocCommand("martlet#invitations", title: "My invitations", offered: { self.mayInvite($0, $1) }, run: takeBack))
    }

    private func isAdmin(_ asker: JID, _ host: String) -> Bool { admins[host]?.contains(asker.bare) ?? false }

    private func mayInvite(_ asker: JID, _ host: String) -> Bool {
        asker.domain == host && (settings.byUsers != .none || isAdmin(asker, host))
    }

    // MARK: At the home of the host

    private func book(_ turn: Turn) -> InvitationBook { InvitationBook(account: turn.account, now: turn.now, metrics: metrics) }

    private func registerCalls(in registration: inout Registration) {
        registration.call(InvitationCall.create) { argument, turn, result in
            guard let invitation = Invitation(argument) else { return result.reply(.failed("the invitation cannot be read")) }
            result.reply(self.book(turn).create(invitation, perInviter: self.settings.perUser))
        }
        registration.call(InvitationCall.list) { argument, turn, result in
            let inviter = String(decoding: argument, as: UTF8.self)
            var writer = ByteWriter()
            for invitation in self.book(turn).list(of: inviter.isEmpty ? nil : inviter) { invitation.encode(into: &writer) }
            result.reply(.value(writer.bytes))
        }
        registration.call(InvitationCall.revoke) { argument, turn, result in
            let words = String(decoding: argument, as: UTF8.self).split(separator: " ", maxSplits: 1).map(String.init)
            let isDone = words.first.map { self.book(turn).revoke($0, of: words.count > 1 ? words[1] : nil) } ?? false
            result.reply(isDone ? .done(1) : .notFound)
        }
        registration.call(Self.lookCall) { argument, turn, result in
            let found = self.book(turn).valid(String(decoding: argument, as: UTF8.self))
            result.reply(found?.givesAccount == true ? .done(1) : .notFound)
        }
        registration.call(Self.redeemCall) { argument, turn, result in
            let words = String(decoding: argument, as: UTF8.self).split(separator: " ", maxSplits: 1).map(String.init)
            result.reply(words.count == 2 && self.book(turn).redeem(words[0], inviter: words[1]) ? .done(1) : .notFound)
        }
        registration.call(Self.forgetCall) { argument, turn, result in
            self.book(turn).forgetAll(of: String(decoding: argument, as: UTF8.self))
            result.reply(.done(1))
        }
        // At the homes of users.
        registration.call(Self.befriendCall) { argument, turn, result in
            guard let contact = try? JID(String(decoding: argument, as: UTF8.self)) else { return result.reply(.notFound) }
            turn.account.befriend(contact.bare)
            result.reply(.done(1))
        }
        registration.call(Self.existsCall) { _, _, result in result.reply(.done(1)) }
    }

    // MARK: Tokens

    /// XEP-0445 §4: a client shows its token, and may register from now on, though the token's time should end meanwhile.
    private static func look(_ visit: Visit) {
        let refused = StanzaError(.itemNotFound, text: "The provided token is invalid or expired")
        guard visit.visitor.isProtected else { return visit.reply(.error(StanzaError(.notAuthorized, text: "Registration needs TLS"))) }
        guard let token = visit.payload["token"], Invitation.name(ofToken: token) != nil, let host = try? JID(visit.visitor.domain) else {
            return visit.reply(.error(refused))
        }
        visit.command(.call(lookCall, Array(token.utf8)), for: host) { result in
            switch result {
            case .done:
                visit.visitor.notes[note] = token
                visit.reply(.done)
            case .failed: visit.reply(.error(StanzaError(.resourceConstraint, type: .wait)))
            case .exists, .notFound, .value: visit.reply(.error(refused))
            }
        }
    }

    /// XEP-0379 §3.5: a request with a token of this account is granted, and answered with one of the same kind. Any other token is as none
    /// (§4.1).
    private static func recognise(_ request: Stanza, _ turn: Turn, _ hold: () -> LaterSubscription) -> Bool {
        guard let token = request.payload.element(wrappedIn: .presence)?.first(preAuthentication)?["token"],
            Invitation.name(ofToken: token) != nil, let host = try? JID(turn.account.jid.domain)
        else { return false }
        let held = hold()
        turn.command(.call(redeemCall, Array("\(token) \(turn.account.jid)".utf8)), for: host) { result in
            if case .done = result { held.decide(isGranted: true) } else { held.decide(isGranted: false) }
        }
        return true
    }

    // MARK: Commands

    /// XEP-0401 §5.1
    private func inviteContact(_ run: CommandRun) {
        let now = run.turn.now
        keep(
            Invitation(
                inviter: run.asker.bare, givesAccount: settings.byUsers == .accounts || isAdmin(run.asker, run.host), befriends: true,
                created: now, expires: now &+ Int64(settings.lifetimeHours) * Self.hour, uses: 1), run)
    }

    /// XEP-0401 §5.4
    private func inviteToAccount(_ run: CommandRun) {
        let form = DataForm(
            .form, formType: NS.invite + "#create-account", title: "Create account",
            instructions: ["Whoever has the link makes an account; without a username the invitee chooses."],
            fields: [
                DataForm.Field("username", .textSingle, label: "Username"),
                DataForm.Field("roster-subscription", .boolean, label: "Roster subscription", values: ["0"]),
            ])
        run.ask(form) { [settings] submission in
            let now = run.turn.now
            var invitation = Invitation(
                inviter: run.asker.bare, givesAccount: true, befriends: submission["roster-subscription"]?.bool ?? false, created: now,
                expires: now &+ Int64(settings.lifetimeHours) * Self.hour, uses: 1)
            invitation.isForAccount = true
            guard let wanted = submission["username"]?.value, !wanted.isEmpty else { return self.keep(invitation, run) }
            guard let username = try? JID.prepareUsername(wanted), let jid = try? JID(local: username, domain: run.host, resource: nil)
            else {
                return run.fail(.badPayload("That is no username"))
            }
            invitation.username = username
            run.turn.command(.call(Self.existsCall, []), for: jid) { result in
                switch result {
                case .notFound: self.keep(invitation, run)
                case .failed: run.fail(StanzaError(.resourceConstraint, type: .wait))
                case .done, .exists, .value: run.fail(StanzaError(.conflict, text: "\(jid) is there already"))
                }
            }
        }
    }

    /// The asker's own that wait to be used, and which of them he takes back: a bound on their number needs a way to stay below it.
    private func takeBack(_ run: CommandRun) {
        guard let host = try? JID(run.host) else { return run.fail(StanzaError(.internalServerError)) }
        let owner = run.asker.bare.description
        run.turn.command(.call(InvitationCall.list, Array(owner.utf8)), for: host) { result in
            guard case .value(let bytes) = result else { return run.fail(StanzaError(.resourceConstraint, type: .wait)) }
            let open = Invitation.decodeAll(bytes)
            guard !open.isEmpty else { return run.finish(notes: [.init(.info, "You have no open invitations.")]) }
            let options = open.map { one in
                let until = DateTime(microseconds: one.expires - one.expires % 1_000_000)
                return DataForm.Option(
                    one.name, label: "\(one.username ?? (one.isForAccount ? "an account" : "a contact")), until \(until)")
            }
            let form = DataForm(
                .form, formType: "martlet#invitations", title: "My invitations", instructions: ["Choose those that you take back."],
                fields: [DataForm.Field("revoke", .listMulti, label: "Open invitations", options: options)])
            run.ask(form) { submission in
                let names = Set((submission["revoke"]?.values ?? []).filter { !$0.isEmpty })
                guard !names.isEmpty else { return run.finish(notes: [.init(.info, "All stay.")]) }
                var left = names.count
                var done = 0
                for name in names {
                    run.turn.command(.call(InvitationCall.revoke, Array("\(name) \(owner)".utf8)), for: host) { result in
                        if case .done = result { done += 1 }
                        left -= 1
                        if left == 0 { run.finish(notes: [.init(.info, "Taken back: \(done).")]) }
                    }
                }
            }
        }
    }

    private func keep(_ invitation: Invitation, _ run: CommandRun) {
        guard let host = try? JID(run.host) else { return run.fail(StanzaError(.internalServerError)) }
        run.turn.command(.call(InvitationCall.create, invitation.bytes), for: host) { [settings] result in
            switch result {
            case .value(let bytes):
                guard let kept = Invitation(bytes) else { return run.fail(StanzaError(.internalServerError)) }
                var fields = [DataForm.Field("uri", .textSingle, values: [kept.uri(host: run.host)])]
                if let link = kept.link(template: settings.landing, host: run.host) {
                    fields.append(DataForm.Field("landing-url", .textSingle, values: [link]))
                }
                fields.append(
                    DataForm.Field(
                        "expire", .textSingle,
                        values: [DateTime(microseconds: kept.expires - kept.expires % 1_000_000).description]))
                run.finish(DataForm(.result, formType: NS.invite + "#invitation", fields: fields))
            case .exists: run.fail(StanzaError(.conflict, text: "Another invitation keeps the name"))
            case .failed(let why): run.fail(StanzaError(.resourceConstraint, type: .wait, text: why))
            case .done, .notFound: run.fail(StanzaError(.internalServerError))
            }
        }
    }
}
