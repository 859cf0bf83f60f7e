public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0133: Service Administration, for those whom a host names among its `admins`, over the host's own accounts. Whatever concerns an
/// account happens at its home, whatever is counted is counted in the whole cluster.
///
/// Not offered: passwords (§4.6: nobody has them), lists of whom to talk with and of administrators (§4.11, §4.12, §4.29: they stand in the
/// configuration), messages of the day and of welcome (§4.24 to §4.28), restart and shutdown (§4.30, §4.31: the console ends nodes one by
/// one, and a client has no business with processes).
public final class ServiceAdministration: Module {
    public static let name = "administration"
    public static let implements = [XEP(133, "1.3.1", "Service Administration")]

    private let admins: [String: Set<JID>]
    let rosterCall = "administration roster"
    let lastCall = "administration last"
    let sizeCall = "administration roster size"
    /// Accounts that one command may name.
    static let accountsBound = 200

    public init(_ context: ModuleContext) {
        admins = Dictionary(context.settings.hosts.map { ($0.domain, Set($0.admins.compactMap { try? JID($0) })) }) { first, _ in first }
    }

    public func register(in registration: inout Registration) {
        func offer(_ node: String, _ title: String, _ run: @escaping (CommandRun) -> Void) {
            registration.command(
                AdHocCommand(NS.serviceAdministration + "#" + node, title: title, offered: { self.isAdmin($0, of: $1) }, run: run))
        }
        offer("add-user", "Add User", addUser)
        offer("delete-user", "Delete User") { run in
            self.change(run, "Deleting a User", "The Jabber ID(s) to delete", done: "deleted") { _ in .delete }
        }
        offer("disable-user", "Disable User") { run in
            self.change(run, "Disabling a User", "The Jabber ID(s) to disable", done: "disabled") { _ in .disable(reason: "") }
        }
        offer("reenable-user", "Re-Enable User") { run in
            self.change(run, "Re-Enabling a User", "The Jabber ID(s) to re-enable", done: "enabled") { _ in .enable }
        }
        offer("end-user-session", "End User Session") { run in
            self.change(
                run, "Ending a User Session", "The Jabber ID(s) for which to end sessions", done: "ended", takesSessions: true
            ) { .kick(resource: $0.resource, text: nil) }
        }
        offer("change-user-password", "Change User Password", changePassword)
        offer("get-user-roster", "Get User Roster", roster)
        offer("get-user-lastlogin", "Get User Last Login Time", lastLogin)
        offer("user-stats", "Get User Statistics", statistics)
        offer("get-registered-users-num", "Get Number of Registered Users") { run in
            self.count(run, "registeredusersnum", "The number of registered users") { $0.registered }
        }
        offer("get-disabled-users-num", "Get Number of Disabled Users") { run in
            self.count(run, "disabledusersnum", "The number of disabled users") { $0.disabled }
        }
        offer("get-online-users-num", "Get Number of Online Users") { run in
            self.countOnline(run, "onlineusersnum", "The number of online users", .online)
        }
        offer("get-active-users-num", "Get Number of Active Users") { run in
            self.countOnline(run, "activeusersnum", "The number of active users", .active)
        }
        offer("get-idle-users-num", "Get Number of Idle Users") { run in
            self.countOnline(run, "idleusersnum", "The number of idle users", .idle)
        }
        offer("get-registered-users-list", "Get List of Registered Users") { run in
            self.list(run, "registered users", "registereduserjids") { self.registered(run, $0, disabledOnly: false, then: $1) }
        }
        offer("get-disabled-users-list", "Get List of Disabled Users") { run in
            self.list(run, "disabled users", "disableduserjids") { self.registered(run, $0, disabledOnly: true, then: $1) }
        }
        offer("get-online-users-list", "Get List of Online Users") { run in
            self.list(run, "online users", "onlineuserjids") { self.online(run, $0, .online, then: $1) }
        }
        offer("get-active-users", "Get List of Active Users") { run in
            self.list(run, "active users", "activeuserjids") { self.online(run, $0, .active, then: $1) }
        }
        offer("get-idle-users", "Get List of Idle Users") { run in
            self.list(run, "idle users", "idleuserjids") { self.online(run, $0, .idle, then: $1) }
        }
        offer("announce", "Send Announcement to Online Users", announce)
        registration.call(rosterCall) { _, turn, result in result.reply(Self.roster(of: turn.account)) }
        registration.call(sizeCall) { _, turn, result in result.reply(.value(Array(String(turn.account.roster.count).utf8))) }
        registration.call(lastCall) { _, turn, result in
            let seen = turn.account.lastSeen?.stamp
            result.reply(.value(seen.map { Array(Self.moment($0).utf8) } ?? []))
        }
    }

    private func isAdmin(_ asker: JID, of host: String) -> Bool { admins[host]?.contains(asker.bare) ?? false }

    // MARK: Forms

    static func form(_ title: String?, _ instructions: String? = nil, kind: DataForm.Kind = .form, _ fields: [DataForm.Field]) -> DataForm {
        DataForm(
            kind, formType: NS.serviceAdministration, title: title, instructions: instructions.map { [$0] } ?? [], fields: fields)
    }

    /// The accounts that a field names, all of the host; nil when it was answered that they are not.
    ///
    /// - Parameter takesSessions: full JIDs are fine as well.
    func accounts(_ form: DataForm, _ name: String, _ run: CommandRun, takesSessions: Bool = false) -> [JID]? {
        var jids: [JID] = []
        for text in form[name]?.values ?? [] where !text.isEmpty {
            guard let jid = try? JID(text), jid.local != nil, takesSessions || jid.isBare else {
                run.fail(.badPayload("\(text) is not an account"))
                return nil
            }
            guard jid.domain == run.host else {
                run.fail(StanzaError(.notAllowed, text: "\(jid) is not an account of \(run.host)"))
                return nil
            }
            if !jids.contains(jid) { jids.append(jid) }
        }
        guard jids.count <= Self.accountsBound else {
            run.fail(StanzaError(.notAcceptable, text: "At most \(Self.accountsBound) accounts at once"))
            return nil
        }
        return jids
    }

    /// Asks for accounts and does something with the home of each.
    private func change(
        _ run: CommandRun, _ title: String, _ label: String, done: String, takesSessions: Bool = false,
        _ command: @escaping (JID) -> AccountCommand
    ) {
        let form = Self.form(
            title, "Fill out this form.", [DataForm.Field("accountjids", .jidMulti, label: label, isRequired: true)])
        run.ask(form) { submission in
            guard let jids = self.accounts(submission, "accountjids", run, takesSessions: takesSessions) else { return }
            var left = jids.count
            var notes: [CommandRun.Note] = []
            for jid in jids {
                run.turn.command(command(jid), for: jid) { result in
                    switch result {
                    case .done, .value, .exists: notes.append(.init(.info, "\(jid): \(done)"))
                    case .notFound: notes.append(.init(.error, takesSessions ? "\(jid): is not online" : "\(jid): is no account"))
                    case .failed(let why): notes.append(.init(.error, "\(jid): \(why)"))
                    }
                    left -= 1
                    if left == 0 { run.finish(notes: notes.sorted { $0.text < $1.text }) }
                }
            }
        }
    }

    // MARK: Accounts

    private func addUser(_ run: CommandRun) {
        let form = Self.form(
            "Adding a User", "Fill out this form to add a user.",
            [
                DataForm.Field("accountjid", .jidSingle, label: "The Jabber ID for the account to be added", isRequired: true),
                DataForm.Field("password", .textPrivate, label: "The password for this account", isRequired: true),
                DataForm.Field("password-verify", .textPrivate, label: "Retype password", isRequired: true),
            ])
        run.ask(form) { submission in
            guard let jid = self.accounts(submission, "accountjid", run)?.first, let password = submission["password"]?.value else {
                return
            }
            guard submission["password-verify"]?.value == password else { return run.fail(.badPayload("The passwords differ")) }
            run.turn.deriveKeys(of: password) { result in
                guard let credentials = Self.keys(result, run) else { return }
                run.turn.command(.create(credentials: credentials), for: jid) { result in
                    switch result {
                    case .done, .value: run.finish(notes: [.init(.info, "\(jid): added")])
                    case .exists: run.fail(StanzaError(.conflict, text: "\(jid) is there already"))
                    case .notFound: run.fail(StanzaError(.itemNotFound))
                    case .failed(let why): run.fail(StanzaError(.internalServerError, text: why))
                    }
                }
            }
        }
    }

    private func changePassword(_ run: CommandRun) {
        let form = Self.form(
            "Changing a User Password", "Fill out this form to change a user's password.",
            [
                DataForm.Field("accountjid", .jidSingle, label: "The Jabber ID for this account", isRequired: true),
                DataForm.Field("password", .textPrivate, label: "The password for this account", isRequired: true),
            ])
        run.ask(form) { submission in
            guard let jid = self.accounts(submission, "accountjid", run)?.first, let password = submission["password"]?.value else {
                return
            }
            run.turn.deriveKeys(of: password) { result in
                guard let credentials = Self.keys(result, run) else { return }
                run.turn.command(.setCredentials(credentials), for: jid) { result in
                    switch result {
                    case .done, .value, .exists: run.finish(notes: [.init(.info, "\(jid): has a new password")])
                    case .notFound: run.fail(StanzaError(.itemNotFound, text: "\(jid) is no account"))
                    case .failed(let why): run.fail(StanzaError(.internalServerError, text: why))
                    }
                }
            }
        }
    }

    private static func keys(_ result: Result<[UInt8], PasswordRefusal>, _ run: CommandRun) -> [UInt8]? {
        switch result {
        case .success(let credentials): return credentials
        case .failure(.unusable(let why)): run.fail(.badPayload(why))
        case .failure(.busy): run.fail(StanzaError(.resourceConstraint, type: .wait, text: "Too many passwords are being set; try again"))
        }
        return nil
    }

    // MARK: Announcements

    /// §4.23: to whoever has a session, and to nobody later.
    private func announce(_ run: CommandRun) {
        let form = Self.form(
            "Making an Announcement", "Fill out this form to make an announcement to all online users of this service.",
            [
                DataForm.Field("subject", .textSingle, label: "Subject"),
                DataForm.Field("announcement", .textMulti, label: "Announcement", isRequired: true),
            ])
        run.ask(form) { submission in
            guard let host = try? JID(run.host) else { return run.fail(StanzaError(.internalServerError)) }
            let announcement = Announcement(
                from: host, subject: submission["subject"]?.value ?? "", text: submission["announcement"]?.lines ?? "", audience: .online)
            if let refusal = announcement.refusal {
                return run.fail(StanzaError(.notAcceptable, text: "The announcement cannot be made: \(refusal)"))
            }
            self.everybody(run, .online) { users, silent in
                let message = announcement.stanza()
                run.turn.send(message, toEach: users.compactMap { try? JID($0) })
                // The asker's own account is not among those that are told by others.
                if users.contains(run.asker.bare.description) {
                    var own = message
                    own.to = run.asker.bare
                    run.turn.send(own)
                }
                run.finish(notes: Self.silence(silent) + [.init(.info, "sent to \(users.count) users")])
            }
        }
    }
}

extension StanzaError {
    /// What was filled in cannot be used (XEP-0050 §4.4).
    static func badPayload(_ text: String) -> StanzaError {
        StanzaError(.badRequest, text: text) { $0.empty("bad-payload", xmlns: NS.commands) }
    }
}
