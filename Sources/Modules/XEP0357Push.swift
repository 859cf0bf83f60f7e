public import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// XEP-0357: Push Notifications. A client names the service that can wake it; the account tells that service when a message came that
/// nobody sees.
///
/// A service is told when no session that somebody attends to got the message, and when the session that enabled it sleeps: a phone is
/// woken though a desktop is on.
public final class Push: Module {
    public static let name = "push"
    public static let implements = [XEP(357, "0.4.1", "Push Notifications")]
    private static let enable = Name("enable", NS.push)
    private static let disable = Name("disable", NS.push)
    private static let pubsub = Name("pubsub", NS.pubsub)
    private static let affiliation = Name("affiliation", NS.pubsub)

    private let settings: Settings.Push

    public init(_ context: ModuleContext) { settings = context.settings.push }

    public func register(in registration: inout Registration) {
        guard settings.enabled else { return }
        let settings = settings
        registration.feature(NS.push, of: .ownAccount)
        registration.iq(.set, Self.enable, to: .ownAccount) { request, turn in Self.enable(request, turn, settings) }
        registration.iq(.set, Self.disable, to: .ownAccount) { request, turn in Self.disable(request, turn) }
        registration.message(.admit, .incoming) { stanza, turn in Self.isFarewell(stanza, turn) ? .drop : .next }
        registration.message(.hold, .incoming) { stanza, turn in
            guard PushService.isAny(turn.account), Self.isWorthWaking(stanza, turn.account.jid) else { return .next }
            let attention = turn.account.attention(to: stanza)
            for service in PushService.all(turn.account)
            where attention.isUnattended || attention.asleep.contains(service.resource) {
                turn.trace(.pushed, stanza, "to \(service.jid)")
                PushSender.of(turn.account, settings).tell(service, of: stanza, turn)
            }
            return .next
        }
        registration.unread { turn in
            for service in PushService.all(turn.account) { PushSender.of(turn.account, settings).tell(service, of: nil, turn) }
        }
        registration.call("push.list") { _, turn, result in
            let lines = PushService.all(turn.account).map { service in
                [service.jid.description, service.node, service.resource, String(service.since)].map(Self.onOneLine).joined(separator: "\t")
            }
            result.reply(.value(Array(lines.sorted().joined(separator: "\n").utf8)))
        }
        registration.call("push.disable") { argument, turn, result in
            let wanted = String(decoding: argument, as: UTF8.self)
            let gone = PushService.all(turn.account).filter { wanted.isEmpty || $0.jid.description == wanted }
            for service in gone { service.forget(turn.account) }
            result.reply(gone.isEmpty ? .notFound : .done(gone.count))
        }
    }

    // MARK: Enabling and disabling (§5, §6)

    private static func enable(_ request: Request, _ turn: Turn, _ settings: Settings.Push) -> IQReply {
        guard let text = request.payload["jid"] else { return .error(StanzaError(.badRequest, text: "There is no jid")) }
        guard let jid = try? JID(text) else { return .error(StanzaError(.jidMalformed)) }
        let node = request.payload["node"] ?? ""
        guard node.utf8.count <= PushService.longestNode else { return .error(StanzaError(.notAcceptable, text: "The node is too long")) }
        // A notification to the account itself would be a message to nobody, about itself.
        guard jid.bare != turn.account.jid else { return .error(StanzaError(.notAllowed)) }
        var options: [UInt8] = []
        if let form = request.payload.first(DataForm.name) {
            guard DataForm(form)?.formType == NS.pubsubPublishOptions, form["type"] == "submit" else {
                return .error(StanzaError(.badRequest, text: "The form is none of publish-options"))
            }
            var writer = XMLWriter()
            guard writer.element(form, in: NS.pubsub, limit: PushService.longestOptions) else {
                return .error(StanzaError(.notAcceptable, text: "The form is too long"))
            }
            options = writer.bytes
        }
        let service = PushService(jid: jid, node: node, resource: request.from.resource ?? "", since: turn.now, options: options)
        let known = turn.account.items(.push)
        guard known[service.name] != nil || known.count < settings.servicesPerAccount else {
            return .error(StanzaError(.resourceConstraint, text: "An account has \(settings.servicesPerAccount) push services at most"))
        }
        service.keep(turn.account)
        PushSender.of(turn.account, settings).forgive(service)
        return .done
    }

    private static func disable(_ request: Request, _ turn: Turn) -> IQReply {
        guard let text = request.payload["jid"] else { return .error(StanzaError(.badRequest, text: "There is no jid")) }
        guard let jid = try? JID(text) else { return .error(StanzaError(.jidMalformed)) }
        let node = request.payload["node"]
        for service in PushService.all(turn.account) where service.jid == jid && (node == nil || service.node == node) {
            service.forget(turn.account)
        }
        return .done
    }

    /// §8: the service says that it takes no more from the account.
    private static func isFarewell(_ stanza: Stanza, _ turn: Turn) -> Bool {
        guard PushService.isAny(turn.account), stanza.payload.facts.mask.contains(.other), let from = stanza.from, stanza.type != .error
        else { return false }
        let services = PushService.all(turn.account).filter { $0.jid == from }
        guard !services.isEmpty, let pubsub = stanza.payload.element(wrappedIn: .message)?.first(Self.pubsub) else { return false }
        let mine = pubsub.all(Self.affiliation).filter { $0["jid"].flatMap { try? JID($0) } == turn.account.jid }
        guard let last = mine.last?["affiliation"] else { return false }
        guard !["owner", "publisher", "publish-only"].contains(last) else { return true }
        let node = pubsub["node"] ?? ""
        for service in services where service.node == node {
            service.forget(turn.account)
            turn.count(.disabled)
        }
        return true
    }

    /// For lists, whose fields are kept apart by tabs: a node may have any character in it.
    private static func onOneLine(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
    }

    // MARK: What is worth waking somebody

    private static let worth: PayloadMask = [
        .body, .encrypted, .jingleMessage, .directInvitation, .roomUser, .attention, .outOfBand,
    ]

    /// A message that a person wants to see now: not states, receipts and marks, nor what another session of the account sent.
    private static func isWorthWaking(_ stanza: Stanza, _ account: JID) -> Bool {
        switch stanza.type {
        case .chat, .normal, .groupchat: break
        default: return false
        }
        let mask = stanza.payload.facts.mask
        return !mask.isDisjoint(with: worth) && !mask.contains(.retraction) && stanza.from?.bare != account
    }
}
