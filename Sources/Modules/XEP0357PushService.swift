import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// One registration: where an account's notifications go, and what must be said with them.
struct PushService {
    static let longestNode = 1_024
    /// Bytes of the publish-options that are kept.
    static let longestOptions = 4_096

    var jid: JID
    /// Empty: the service needs none.
    var node: String
    /// The resource of the session that enabled it.
    var resource: String
    /// When it was enabled, wall clock µs.
    var since: Int64
    /// The form of publish-options, for a place where the default namespace is that of pubsub; empty: none.
    var options: [UInt8]

    /// Of one service each node counts for itself (§5). No address has a line feed in it.
    var name: String { "\(jid)\n\(node)" }

    init(jid: JID, node: String, resource: String, since: Int64, options: [UInt8]) {
        self.jid = jid
        self.node = node
        self.resource = resource
        self.since = since
        self.options = options
    }

    /// The form in which it is kept begins with this.
    private static let version: UInt8 = 1

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard (try? reader.uint8()) == Self.version, let address = try? reader.string(), let jid = try? JID(address),
            let node = try? reader.string(), let resource = try? reader.string(), let since = try? reader.uint64(),
            let options = try? reader.bytes()
        else { return nil }
        self.init(jid: jid, node: node, resource: resource, since: Int64(bitPattern: since), options: options)
    }

    func keep(_ account: Account) {
        var writer = ByteWriter()
        writer.uint8(Self.version)
        writer.string(jid.description)
        writer.string(node)
        writer.string(resource)
        writer.uint64(UInt64(bitPattern: since))
        writer.bytes(options)
        account.keep(.push, name, writer.bytes)
    }

    func forget(_ account: Account) { account.forget(.push, name) }

    static func isAny(_ account: Account) -> Bool { !account.items(.push).isEmpty }

    static func all(_ account: Account) -> [PushService] {
        account.items(.push).sorted { $0.key < $1.key }.compactMap { PushService($0.value) }
    }

    func isKept(_ account: Account) -> Bool { account.items(.push)[name] != nil }

    /// The request that tells the service (§7).
    func notification(of news: PushNews, _ account: Account) -> Payload {
        var xml = XMLWriter()
        xml.element("pubsub", xmlns: NS.pubsub) { xml in
            xml.element("publish", ("node", node.isEmpty ? nil : node)) { xml in
                xml.element("item") { xml in
                    xml.element("notification", xmlns: NS.push) { xml in
                        DataForm(.submit, formType: NS.pushSummary, fields: news.fields(account)).write(into: &xml)
                    }
                }
            }
            if !options.isEmpty { xml.element("publish-options") { $0.raw(options) } }
        }
        return Payload(written: xml.bytes)
    }
}

/// What a notification is about.
struct PushNews {
    /// Messages since the last notification, among them those that nobody keeps.
    var count = 0
    /// Somebody calls: that is told though nothing of it is kept.
    var isCall = false
    /// The sender of the last one; nil where that is not told, or not known.
    var sender: JID?
    /// Its text, likewise.
    var body: String?

    mutating func add(_ stanza: Stanza?, _ settings: Settings.Push) {
        count += 1
        guard let stanza else { return }
        if stanza.payload.facts.mask.contains(.jingleMessage) { isCall = true }
        if settings.includeSender { sender = stanza.from }
        guard settings.includeBody else { return }
        let mask = stanza.payload.facts.mask
        body = nil
        // Beside an encrypted payload stands a text that says nothing.
        if mask.contains(.body), !mask.contains(.encrypted), let fact = stanza.payload.facts.first(.body) {
            body = stanza.payload.element(of: fact).map { String($0.text.prefix(Self.longestBody)) }
        }
    }

    /// Characters of a text that are told.
    private static let longestBody = 1_000

    func fields(_ account: Account) -> [DataForm.Field] {
        var fields: [DataForm.Field] = [.init("message-count", values: [String(max(count, account.owedMessages))])]
        if account.pendingSubscriptions > 0 {
            fields.append(.init("pending-subscription-count", values: [String(account.pendingSubscriptions)]))
        }
        if let sender { fields.append(.init("last-message-sender", values: [sender.description])) }
        if let body { fields.append(.init("last-message-body", values: [body])) }
        return fields
    }
}

/// An account's notifications under way: one service is told at most once in a while, and waits for nothing else than its answer.
final class PushSender {
    private struct State {
        var news: PushNews?
        var isUnderWay = false
        /// The time between two notifications is not over.
        var isPausing = false
        /// Temporary errors in a row.
        var failures = 0
    }

    private var settings: Settings.Push
    private var states: [String: State] = [:]

    private init(_ settings: Settings.Push) { self.settings = settings }

    /// The account's, with the settings in force.
    static func of(_ account: Account, _ settings: Settings.Push) -> PushSender {
        let sender = account.memory { PushSender(settings) }
        sender.settings = settings
        return sender
    }

    /// It was enabled anew: what it did before counts no more.
    func forgive(_ service: PushService) { states[service.name]?.failures = 0 }

    /// Something came that its client should see.
    ///
    /// - Parameter stanza: nil when the message is not at hand.
    func tell(_ service: PushService, of stanza: Stanza?, _ turn: Turn) {
        var state = states[service.name] ?? State()
        var news = state.news ?? PushNews()
        news.add(stanza, settings)
        state.news = news
        states[service.name] = state
        send(service.name, turn)
    }

    private func send(_ name: String, _ turn: Turn) {
        guard let state = states[name], let news = state.news, !state.isUnderWay, !state.isPausing else { return }
        // What it says now may be another than when the news came.
        guard let service = turn.account.items(.push)[name].flatMap({ PushService($0) }) else {
            states[name] = nil
            return
        }
        states[name]?.news = nil
        states[name]?.isUnderWay = true
        turn.count(.sent)
        if settings.coalesceSeconds > 0 {
            states[name]?.isPausing = true
            turn.account.after(.seconds(settings.coalesceSeconds)) { turn in
                self.states[name]?.isPausing = false
                self.sendLate(name, turn)
                self.tidy(name)
            }
        }
        turn.account.request(
            .set, to: service.jid, service.notification(of: news, turn.account), patience: .seconds(settings.answerSeconds)
        ) { answer in self.answered(service, answer, turn) }
    }

    private func answered(_ service: PushService, _ answer: RequestAnswer, _ turn: Turn) {
        let name = service.name
        states[name]?.isUnderWay = false
        let isTemporary: Bool
        switch answer {
        case .result:
            states[name]?.failures = 0
            sendLate(name, turn)
            return tidy(name)
        case .error(let error):
            turn.count(.refused)
            isTemporary = error.type == .wait
        case .timedOut:
            turn.count(.unanswered)
            isTemporary = true
        }
        let failures = (states[name]?.failures ?? 0) + 1
        states[name]?.failures = failures
        // §7.1. One that was enabled anew meanwhile is another.
        if !isTemporary || failures >= settings.failures,
            turn.account.items(.push)[name].flatMap({ PushService($0) })?.since == service.since
        {
            service.forget(turn.account)
            turn.count(.disabled)
        }
        sendLate(name, turn)
        tidy(name)
    }

    /// What had to wait: unless the client has seen it all meanwhile.
    private func sendLate(_ name: String, _ turn: Turn) {
        if let news = states[name]?.news, !news.isCall, turn.account.owedMessages == 0 { states[name]?.news = nil }
        send(name, turn)
    }

    /// Forgets what says nothing any more.
    private func tidy(_ name: String) {
        guard let state = states[name], state.news == nil, !state.isUnderWay, !state.isPausing, state.failures == 0 else { return }
        states[name] = nil
    }
}
