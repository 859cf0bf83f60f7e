import ServerCore
import Stanzas
import XMLStream

/// What XEP-0133 tells of accounts: one by one, in numbers and in lists.
extension ServiceAdministration {
    /// Who of those that are online.
    enum Presence {
        case online, active, idle
        /// Silence of all of a user's clients after which the user is idle (§4.16).
        private static let idleMilliseconds: UInt64 = 600_000

        func includes(leastIdle: UInt64) -> Bool {
            switch self {
            case .online: true
            case .active: leastIdle < Self.idleMilliseconds
            case .idle: leastIdle >= Self.idleMilliseconds
            }
        }
    }

    static func moment(_ microseconds: Int64) -> String { DateTime(microseconds: microseconds - microseconds % 1_000_000).description }

    static func silence(_ nodes: Int) -> [CommandRun.Note] {
        nodes == 0 ? [] : [.init(.warn, "\(nodes) nodes did not answer in time; what they know is missing")]
    }

    // MARK: One by one

    /// Bytes of a roster that are told; longer ones are for the console.
    private static let rosterBytes = 200_000

    /// §4.8, at the home of the account.
    static func roster(of account: Account) -> CommandResult {
        var xml = XMLWriter()
        var isCut = false
        xml.element("query", xmlns: NS.roster) { xml in
            for contact in account.roster.items {
                guard xml.bytes.count < rosterBytes else {
                    isCut = true
                    break
                }
                xml.element(
                    "item", ("jid", contact.jid.description), ("name", contact.name.isEmpty ? nil : contact.name),
                    ("subscription", contact.state.subscription.rawValue), ("ask", contact.state.pendingOut ? "subscribe" : nil)
                ) { xml in
                    for group in contact.groups { xml.element("group", text: group) }
                }
            }
        }
        return isCut ? .failed("the roster is too long to be shown here") : .value(xml.bytes)
    }

    /// One account at a time: what comes back has no names for two.
    func roster(_ run: CommandRun) {
        let form = Self.form(
            "Getting a User's Roster", "Fill out this form to get a user's roster.",
            [DataForm.Field("accountjids", .jidMulti, label: "The Jabber ID for which to retrieve the roster", isRequired: true)])
        run.ask(form) { submission in
            guard let jids = self.accounts(submission, "accountjids", run) else { return }
            guard let jid = jids.first, jids.count == 1 else { return run.fail(.badPayload("One account at a time")) }
            run.turn.command(.call(self.rosterCall, []), for: jid) { result in
                switch result {
                case .value(let query):
                    var xml = XMLWriter()
                    // The roster stands inside the form, as in §4.8.
                    xml.element("x", xmlns: NS.dataForm, ("type", "result")) { xml in
                        xml.element("field", ("type", "hidden"), ("var", "FORM_TYPE")) {
                            $0.element("value", text: NS.serviceAdministration)
                        }
                        xml.element("field", ("var", "accountjids")) { $0.element("value", text: jid.description) }
                        xml.raw(query)
                    }
                    run.finish(xml.bytes)
                case .notFound: run.fail(StanzaError(.itemNotFound, text: "\(jid) is no account"))
                case .failed(let why): run.finish(notes: [.init(.error, why)])
                case .done, .exists: run.fail(StanzaError(.internalServerError))
                }
            }
        }
    }

    /// §4.9: of one who is online, when the newest session began; of one who is not, when the last ended, since nothing older is kept.
    func lastLogin(_ run: CommandRun) {
        let form = Self.form(
            "Getting a User's Last Login Time", "Fill out this form to get a user's last login time.",
            [DataForm.Field("accountjids", .jidMulti, label: "The Jabber ID for which to retrieve the last login time", isRequired: true)])
        run.ask(form) { submission in
            guard let jids = self.accounts(submission, "accountjids", run) else { return }
            guard let jid = jids.first, jids.count == 1 else { return run.fail(.badPayload("One account at a time")) }
            run.turn.command(.call(self.lastCall, []), for: jid) { result in
                guard case .value(let last) = result else {
                    return run.fail(StanzaError(result == .notFound ? .itemNotFound : .internalServerError))
                }
                run.turn.sessions(SessionFilter(jid: jid)) { sessions, silent in
                    let newest = sessions.map(\.since).max().map(Self.moment)
                    run.finish(
                        Self.form(
                            nil, kind: .result,
                            [
                                DataForm.Field("accountjids", values: [jid.description]),
                                DataForm.Field("lastlogin", values: [newest ?? String(decoding: last, as: UTF8.self)]),
                            ]),
                        notes: Self.silence(silent) + (newest == nil ? [.init(.info, "the time at which the last session ended")] : []))
                }
            }
        }
    }

    /// §4.10
    func statistics(_ run: CommandRun) {
        let form = Self.form(
            "Get User Statistics", "Fill out this form to gather user statistics.",
            [DataForm.Field("accountjid", .jidSingle, label: "The Jabber ID for statistics", isRequired: true)])
        run.ask(form) { submission in
            guard let jid = self.accounts(submission, "accountjid", run)?.first else { return }
            run.turn.command(.call(self.sizeCall, []), for: jid) { result in
                guard case .value(let size) = result else {
                    return run.fail(StanzaError(result == .notFound ? .itemNotFound : .internalServerError))
                }
                run.turn.sessions(SessionFilter(jid: jid)) { sessions, silent in
                    let now = run.turn.now
                    let rate = sessions.reduce(0.0) { $0 + Double($1.stanzasIn) / max(1, Double(now - $1.since) / 1_000_000) }
                    let tenths = Int(min(rate, 1e9) * 10 + 0.5)
                    let addresses = Set(sessions.map { Self.address($0.facts.remoteAddress) }).sorted()
                    run.finish(
                        Self.form(
                            nil, kind: .result,
                            [
                                DataForm.Field("ipaddresses", values: addresses),
                                DataForm.Field("rostersize", values: [String(decoding: size, as: UTF8.self)]),
                                DataForm.Field("onlineresources", values: sessions.compactMap { try? JID($0.jid).resource }.sorted()),
                                DataForm.Field("stanzaspersecond", values: ["\(tenths / 10).\(tenths % 10)"]),
                            ]), notes: Self.silence(silent))
                }
            }
        }
    }

    /// Without the port.
    private static func address(_ text: String) -> String {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return text }
        return String(text[..<colon].drop { $0 == "[" }.prefix { $0 != "]" })
    }

    // MARK: In numbers

    /// §4.13, §4.14
    func count(_ run: CommandRun, _ name: String, _ label: String, _ number: @escaping (AccountSurvey) -> Int) {
        run.turn.survey(run.host) { result in
            switch result {
            case .success(let survey):
                run.finish(
                    Self.form(nil, kind: .result, [DataForm.Field(name, label: label, values: [String(number(survey))])]),
                    notes: survey.damaged == 0 ? [] : [.init(.warn, "\(survey.damaged) accounts cannot be read")])
            case .failure: run.fail(Self.unreadable)
            }
        }
    }

    private static let unreadable = StanzaError(.resourceConstraint, type: .wait, text: "The accounts cannot be read at the moment")

    /// §4.15 to §4.17
    func countOnline(_ run: CommandRun, _ name: String, _ label: String, _ presence: Presence) {
        everybody(run, presence) { users, silent in
            run.finish(
                Self.form(nil, kind: .result, [DataForm.Field(name, label: label, values: [String(users.count)])]),
                notes: Self.silence(silent))
        }
    }

    /// Bare JIDs of the host's users who have a session, sorted.
    func everybody(_ run: CommandRun, _ presence: Presence, then: @escaping (_ users: [String], _ silentNodes: Int) -> Void) {
        run.turn.sessions(SessionFilter(host: run.host)) { sessions, silent in
            var leastIdle: [String: UInt64] = [:]
            for session in sessions {
                let user = String(session.jid.prefix { $0 != "/" })
                leastIdle[user] = min(leastIdle[user] ?? .max, session.idleMilliseconds)
            }
            then(leastIdle.filter { presence.includes(leastIdle: $0.value) }.keys.sorted(), silent)
        }
    }

    // MARK: In lists

    /// Names that one list has at most, whatever was asked for.
    private static let listBound = 1_000

    typealias Names = (_ names: [String], _ isCut: Bool, _ notes: [CommandRun.Note]) -> Void

    /// §4.18 to §4.22: asks how many, and shows them.
    func list(_ run: CommandRun, _ what: String, _ name: String, find: @escaping (_ limit: Int, _ then: @escaping Names) -> Void) {
        let choices =
            ["25", "50", "75", "100", "150", "200"].map { DataForm.Option($0, label: $0) } + [DataForm.Option("none", label: "None")]
        let form = Self.form(
            "Requesting List of \(what)", "Fill out this form to request the \(what) of this service.",
            [DataForm.Field("max_items", .listSingle, label: "Maximum number of items to show", options: choices)])
        run.ask(form) { submission in
            let limit = submission["max_items"]?.value.flatMap { Int($0) } ?? Self.listBound
            find(limit) { names, isCut, notes in
                run.finish(
                    Self.form(nil, kind: .result, [DataForm.Field(name, label: "The list of \(what)", values: names)]),
                    notes: notes + (isCut ? [.init(.info, "There are more.")] : []))
            }
        }
    }

    func registered(_ run: CommandRun, _ limit: Int, disabledOnly: Bool, then: @escaping Names) {
        run.turn.survey(run.host, disabledOnly: disabledOnly, limit: limit) { result in
            switch result {
            case .success(let survey):
                then(
                    survey.names, survey.isCut, survey.damaged == 0 ? [] : [.init(.warn, "\(survey.damaged) accounts cannot be read")])
            case .failure: run.fail(Self.unreadable)
            }
        }
    }

    func online(_ run: CommandRun, _ limit: Int, _ presence: Presence, then: @escaping Names) {
        everybody(run, presence) { users, silent in then(Array(users.prefix(limit)), users.count > limit, Self.silence(silent)) }
    }
}
