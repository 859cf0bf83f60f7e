public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0115: Entity Capabilities. The server's own stand in the features of a stream, by hash; what the sessions of its accounts
/// announce in presence it asks for once a hash, verifies, and remembers.
public final class EntityCapabilities: Module {
    public static let name = "caps"
    public static let implements = [XEP(115, "1.6.0", "Entity Capabilities")]
    /// Names the software; whoever asks for `node#ver` gets the same as without.
    private static let node = "urn:x-martlet"
    private static let show = "capabilities.show"
    private let catalogue: Catalogue
    private let memory: CapabilityMemory

    public init(_ context: ModuleContext) {
        catalogue = context.catalogue
        memory = CapabilityMemory(bound: context.settings.limits.knownCapabilities)
    }

    public func register(in registration: inout Registration) {
        registration.feature(NS.capabilities, of: .server)
        let (catalogue, memory) = (catalogue, memory)
        // §5.3.3.
        registration.streamFeature { host in
            var xml = XMLWriter()
            xml.empty(
                "c", xmlns: NS.capabilities, ("hash", "sha-1"), ("node", Self.node),
                ("ver", catalogue.info(of: .server, host: host).verification))
            return xml.bytes
        }
        // §5.3.2: a virtual node, without items.
        registration.node(
            DiscoNode(
                Self.node + "#", of: .server,
                info: { request, turn in
                    let info = catalogue.info(of: .server, host: (request.stanza.to ?? turn.account.jid).domain)
                    guard let asked = request.payload["node"], asked == Self.node + "#" + info.verification else {
                        return .error(StanzaError(.itemNotFound))
                    }
                    return .result { info.write(node: asked, into: &$0) }
                },
                items: { _, _ in .error(StanzaError(.itemNotFound)) }))
        registration.presence { presence, session, turn in
            guard let announcement = CapabilityAnnouncement(presence), turn.account.announce(announcement, by: session) else { return }
            memory.learn(announcement, of: session, turn.account)
        }
        registration.call(Self.show) { resource, turn, result in
            guard let session = try? turn.account.jid.with(resource: String(decoding: resource, as: UTF8.self)),
                let announced = turn.account.announcement(of: session)
            else { return result.reply(.notFound) }
            let known = turn.account.capabilities(of: session)
            let client = known?.identities.first.map { ["\($0.category)/\($0.type)", $0.name].compactMap { $0 }.joined(separator: " ") }
            result.reply(
                .value(
                    CapabilityReport(
                        client: client ?? "", announced: announced.node + "#" + announced.ver, features: known?.features.count ?? 0
                    ).bytes))
        }
    }
}

/// What the clients of one loop's accounts can do. A hash that is not known is asked of one session that announces it; the others wait
/// for what comes of that (§5.3).
final class CapabilityMemory {
    /// Asked at once of one session: more than a client can mean by its presence.
    private static let questionsOfOne = 3
    /// What is hashed of one client, in bytes; far above any that exists, so that the memory is bounded.
    private static let inputBound = 16_384
    private static let patience = Duration.seconds(10)

    private let bound: Int
    /// Verified, by hash, with when it was last asked for.
    private var known: [String: (info: DiscoInfo, used: UInt64)] = [:]
    private var uses: UInt64 = 0
    /// Sessions that announce a hash which another is being asked for.
    private var waiting: [String: [JID: Account]] = [:]
    /// Questions under way by session.
    private var questions: [JID: Int] = [:]

    init(bound: Int) { self.bound = bound }

    /// Learns what an announcement of a session means, now or later.
    func learn(_ announcement: CapabilityAnnouncement, of session: JID, _ account: Account) {
        guard announcement.hash == "sha-1" else {
            // Not verifiable here: it counts for this session alone.
            ask(session, account, announcement) { _ in }
            return
        }
        if let info = recall(announcement.ver) {
            account.learn(info, announced: announcement, by: session)
        } else if waiting[announcement.ver] != nil {
            waiting[announcement.ver]?[session] = account
        } else {
            waiting[announcement.ver] = [session: account]
            askNext(announcement.ver)
        }
    }

    private func recall(_ ver: String) -> DiscoInfo? {
        guard let info = known[ver]?.info else { return nil }
        uses += 1
        known[ver]?.used = uses
        return info
    }

    private func keep(_ info: DiscoInfo, _ ver: String) {
        if known.count >= bound, let oldest = known.min(by: { $0.value.used < $1.value.used }) { known[oldest.key] = nil }
        uses += 1
        known[ver] = (info, uses)
    }

    /// Asks one of those who announce a hash, in no order: who announced it first to keep others from being known gains nothing.
    private func askNext(_ ver: String) {
        while let (session, account) = waiting[ver]?.popFirst() {
            guard let announcement = account.announcement(of: session), announcement.ver == ver, announcement.hash == "sha-1" else {
                continue
            }
            if ask(session, account, announcement, then: { [self] in answered(ver, $0) }) { return }
        }
        waiting[ver] = nil
    }

    /// What one proves counts for all that wait. When it proves nothing, another is asked.
    private func answered(_ ver: String, _ verified: DiscoInfo?) {
        guard let verified, verified.isSafeToShare else { return askNext(ver) }
        keep(verified, ver)
        for (session, account) in waiting.removeValue(forKey: ver) ?? [:] {
            guard let announced = account.announcement(of: session), announced.ver == ver, announced.hash == "sha-1" else { continue }
            account.learn(verified, announced: announced, by: session)
        }
    }

    /// A question under way: it is over when it is answered, or when nobody can answer it any more.
    private final class Question {
        private var then: ((DiscoInfo?) -> Void)?
        init(then: @escaping (DiscoInfo?) -> Void) { self.then = then }
        deinit { end(nil) }

        /// It was refused before it was asked: who asks goes on by itself.
        func withdraw() { then = nil }

        func end(_ verified: DiscoInfo?) {
            let then = then
            self.then = nil
            then?(verified)
        }
    }

    /// Asks a session what it can do, and notes that for it. `then` gets what it answered, when that is what it announced.
    ///
    /// - Returns: false when it cannot be asked; then nothing follows.
    @discardableResult
    private func ask(
        _ session: JID, _ account: Account, _ announcement: CapabilityAnnouncement, then: @escaping (_ verified: DiscoInfo?) -> Void
    ) -> Bool {
        guard questions[session, default: 0] < Self.questionsOfOne else { return false }
        questions[session, default: 0] += 1
        let question = Question { [self] verified in
            free(session)
            then(verified)
        }
        var query = XMLWriter()
        query.empty("query", xmlns: NS.discoInfo, ("node", announcement.node + "#" + announcement.ver))
        var isAsking = true
        var isRefused = false
        account.request(.get, to: session, Payload(written: query.bytes), patience: Self.patience) { [self] answer in
            if isAsking {
                isRefused = true
            } else {
                question.end(verified(answer, announcement, of: session, account))
            }
        }
        isAsking = false
        if isRefused {
            question.withdraw()
            free(session)
        }
        return !isRefused
    }

    private func free(_ session: JID) { questions[session] = questions[session].flatMap { $0 > 1 ? $0 - 1 : nil } }

    /// What an answer says, noted for the session it came from; nil when it is not proved.
    private func verified(
        _ answer: RequestAnswer, _ announcement: CapabilityAnnouncement, of session: JID, _ account: Account
    ) -> DiscoInfo? {
        guard case .result(let result) = answer, let query = result.payload.element(wrappedIn: .iq)?.first(DiscoInfo.name),
            let info = DiscoInfo(query), info.isWellFormed, info.size <= Self.inputBound
        else { return nil }
        let isProved = announcement.hash == "sha-1"
        guard !isProved || info.verification == announcement.ver else { return nil }
        account.learn(info, announced: announcement, by: session)
        return isProved ? info : nil
    }
}
