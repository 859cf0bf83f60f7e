public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0050: Ad-Hoc Commands. Any module adds commands (`Registration.command`); this one lists them, and holds the executions, which live at
/// their asker's home, in memory: bounded in number and in time, and gone with the node that held them.
public final class AdHocCommands: Module {
    public static let name = "commands"
    public static let implements = [XEP(50, "1.3.0", "Ad-Hoc Commands")]
    private static let command = Name("command", NS.commands)
    /// Executions of one account at once; the oldest gives way.
    private static let perAccount = 8
    /// The one language of everything that this server says itself.
    private static let language = "en"

    /// XEP-0050 §4.1.
    private enum Action: String { case execute, cancel, prev, next, complete }

    private struct Session {
        var node: String
        var run: CommandRun
        /// Wall clock µs after which it is gone.
        var expires: Int64
    }

    private let lifetime: Int64
    private var sessions: [String: Session] = [:]
    /// Sessions in the order of their beginning, ended ones among them.
    private var order: [String] = []

    public init(_ context: ModuleContext) { lifetime = Int64(context.settings.limits.commandSeconds) * 1_000_000 }

    public func register(in registration: inout Registration) {
        registration.feature(NS.commands, of: .server)
        registration.iq(.set, Self.command, to: .server) { request, turn in self.receive(request, turn) }
        registration.node(
            DiscoNode(
                NS.commands, of: .server,
                info: { _, _ in
                    Self.info(
                        NS.commands, Identity(category: "automation", type: "command-list", name: "Commands"), features: [NS.commands])
                },
                items: { request, turn in Self.list(request, turn) }))
        registration.nodes(by: { catalogue in
            catalogue.commands.map { command in
                DiscoNode(
                    command.node, of: .server,
                    info: { request, turn in
                        // §2.2: who may not run it is told so.
                        guard command.isOffered(request.from, Self.host(request, turn)) else { return .error(StanzaError(.forbidden)) }
                        return Self.info(
                            command.node, Identity(category: "automation", type: "command-node", name: command.title),
                            features: [NS.commands, NS.dataForm])
                    },
                    items: { _, _ in .result { $0.empty("query", xmlns: NS.discoItems, ("node", command.node)) } })
            }
        })
    }

    private static func host(_ request: Request, _ turn: Turn) -> String { request.stanza.to?.domain ?? turn.account.jid.domain }

    // MARK: Lists

    private static func info(_ node: String, _ identity: Identity, features: [String]) -> IQReply {
        .result { xml in
            xml.element("query", xmlns: NS.discoInfo, ("node", node)) { xml in
                xml.empty("identity", ("category", identity.category), ("type", identity.type), ("name", identity.name))
                for feature in features { xml.empty("feature", ("var", feature)) }
            }
        }
    }

    /// §2.2: everybody sees what he may run.
    private static func list(_ request: Request, _ turn: Turn) -> IQReply {
        let host = host(request, turn)
        let offered = turn.catalogue.commands.filter { $0.isOffered(request.from, host) }
        return .result { xml in
            xml.element("query", xmlns: NS.discoItems, ("node", NS.commands)) { xml in
                for command in offered { xml.empty("item", ("jid", host), ("node", command.node), ("name", command.title)) }
            }
        }
    }

    // MARK: Requests

    private func receive(_ request: Request, _ turn: Turn) -> IQReply {
        let element = request.payload
        guard let node = element["node"], !node.isEmpty else { return .error(StanzaError(.badRequest)) }
        guard let command = turn.catalogue.commands.first(where: { $0.node == node }) else {
            // XEP-0133 §5 has a word of its own for what might have been there.
            return .error(StanzaError(node.hasPrefix(NS.serviceAdministration + "#") ? .featureNotImplemented : .itemNotFound))
        }
        let host = Self.host(request, turn)
        guard command.isOffered(request.from, host) else { return .error(StanzaError(.forbidden, type: .cancel)) }
        guard let action = Action(rawValue: element["action"] ?? Action.execute.rawValue) else { return Self.refuse("malformed-action") }
        guard let id = element["sessionid"] else {
            guard action == .execute else { return Self.refuse(action == .cancel ? "bad-sessionid" : "bad-action") }
            return begin(command, CommandRun(asker: request.from, host: host, turn: turn), request, turn)
        }
        forgetExpired(now: turn.now)
        guard let session = sessions[id] else {
            return Self.isSessionID(id) ? .error(Self.error(.notAllowed, "session-expired")) : Self.refuse("bad-sessionid")
        }
        // Between one pair of addresses only (§3.3).
        guard session.node == node, session.run.asker == request.from, session.run.host == host else {
            return Self.refuse("bad-sessionid")
        }
        return go(on: session, id: id, action, request, turn)
    }

    private func begin(_ command: AdHocCommand, _ run: CommandRun, _ request: Request, _ turn: Turn) -> IQReply {
        forgetExpired(now: turn.now)
        let own = order.filter { sessions[$0]?.run.asker.bare == request.from.bare }
        if own.count >= Self.perAccount, let oldest = own.first { forget(oldest) }
        let id = Self.makeSessionID()
        sessions[id] = Session(node: command.node, run: run, expires: turn.now &+ lifetime)
        order.append(id)
        let later = turn.later(request)
        run.begin(command) { outcome in later.reply(self.reply(outcome, id: id, node: command.node, run, isNew: true)) }
        return .later
    }

    private func go(on session: Session, id: String, _ action: Action, _ request: Request, _ turn: Turn) -> IQReply {
        let run = session.run
        if action == .cancel {
            forget(id)
            return Self.result(id, session.node, "canceled") { _ in }
        }
        guard !run.isBusy else { return Self.refuse("bad-action") }
        let later = turn.later(request)
        let answer = { (outcome: CommandRun.Outcome) in later.reply(self.reply(outcome, id: id, node: session.node, run, isNew: false)) }
        if action == .prev {
            guard run.canGoBack else {
                later.reply(Self.refuse("bad-action"))
                return .later
            }
            run.goBack(turn: turn, answer: answer)
            return .later
        }
        // §3.4: execute is whatever the stage says it is.
        guard action == .execute || action == (run.isLastStage ? .complete : .next) else {
            later.reply(Self.refuse("bad-action"))
            return .later
        }
        if let fault = run.submit(Self.submission(in: request.payload), turn: turn, answer: answer) {
            later.reply(Self.refuse("bad-payload", text: fault))
        }
        return .later
    }

    /// §3.5.1: a form of type cancel is taken for a submission.
    private static func submission(in command: Element) -> DataForm? {
        guard var form = DataForm(in: command), form.kind == .submit || form.kind == .cancel else { return nil }
        form.kind = .submit
        return form
    }

    // MARK: Answers

    private func reply(_ outcome: CommandRun.Outcome, id: String, node: String, _ run: CommandRun, isNew: Bool) -> IQReply {
        switch outcome {
        case .stage(let form, let isLast):
            let goesBack = run.canGoBack
            return Self.result(id, node, "executing") { xml in
                xml.element("actions", ("execute", isLast ? "complete" : "next")) { xml in
                    if goesBack { xml.empty("prev") }
                    xml.empty(isLast ? "complete" : "next")
                }
                form.write(into: &xml)
            }
        case .completed(let payload, let notes):
            forget(id)
            return Self.result(id, node, "completed") { xml in
                for note in notes { xml.element("note", ("type", note.kind.rawValue), text: note.text) }
                xml.raw(payload)
            }
        case .failed(let error):
            if isNew { forget(id) }
            return .error(error)
        }
    }

    /// The language is said with every answer (§3.7). One that is asked for and not spoken here is no reason to refuse.
    private static func result(_ id: String, _ node: String, _ status: String, _ body: (inout XMLWriter) -> Void) -> IQReply {
        .result { xml in
            xml.element(
                "command", xmlns: NS.commands, ("sessionid", id), ("node", node), ("status", status), ("xml:lang", language), body: body)
        }
    }

    private static func refuse(_ condition: String, text: String? = nil) -> IQReply { .error(error(.badRequest, condition, text: text)) }

    /// §4.4
    private static func error(_ general: StanzaError.Condition, _ condition: String, text: String? = nil) -> StanzaError {
        StanzaError(general, text: text) { $0.empty(condition, xmlns: NS.commands) }
    }

    // MARK: Sessions

    private func forget(_ id: String) { sessions.removeValue(forKey: id)?.run.close() }

    private func forgetExpired(now: Int64) {
        let gone = order.prefix { id in sessions[id].map { $0.expires <= now } ?? true }
        for id in gone { forget(id) }
        order.removeFirst(gone.count)
        // Ended ones behind a living one must not pile up.
        if order.count > 64, order.count > 2 * sessions.count { order.removeAll { sessions[$0] == nil } }
    }

    /// 128 bits of chance.
    private static func makeSessionID() -> String {
        "c"
            + (0..<2).map { _ in
                let text = String(UInt64.random(in: .min ... .max), radix: 16)
                return String(repeating: "0", count: 16 - text.utf8.count) + text
            }.joined()
    }

    /// Whether a text may have been the id of a session.
    private static func isSessionID(_ text: String) -> Bool {
        text.utf8.count == 33 && text.utf8.first == UInt8(ascii: "c")
            && text.utf8.dropFirst().allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
            }
    }
}
