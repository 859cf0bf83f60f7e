public import ServerCore
import Stanzas
import XMLStream

/// XEP-0012: Last Activity. The server answers with its uptime (§5), an account with the time since its last session left (§4);
/// only who may see the account's presence is answered (§4, §8). The `forbidden` of §4 would tell others that there is an account, so they
/// hear what RFC 6121 §8.5.1 says for nobody.
public final class LastActivity: Module {
    public static let name = "last"
    public static let implements = [XEP(12, "2.0", "Last Activity")]
    private static let query = Name("query", NS.lastActivity)
    private let started: Int64

    public init(_ context: ModuleContext) { started = context.started }

    public func register(in registration: inout Registration) {
        registration.feature(NS.lastActivity, of: .server, .ownAccount)
        let started = started
        registration.iq(.get, Self.query, to: .server, .serverOfStranger) { _, turn in
            Self.answer(seconds: (turn.now - started) / 1_000_000, status: nil)
        }
        registration.iq(.get, Self.query, to: .ownAccount, .otherAccount) { _, turn in
            if turn.account.isOnline { return Self.answer(seconds: 0, status: nil) }
            guard let last = turn.account.lastSeen else { return .error(StanzaError(.itemNotFound)) }
            return Self.answer(seconds: (turn.now - last.stamp) / 1_000_000, status: last.status)
        }
    }

    private static func answer(seconds: Int64, status: String?) -> IQReply {
        .result { xml in
            if let status, !status.isEmpty {
                xml.start("query", xmlns: NS.lastActivity, ("seconds", String(max(0, seconds))))
                xml.text(status)
                xml.end("query")
            } else {
                xml.empty("query", xmlns: NS.lastActivity, ("seconds", String(max(0, seconds))))
            }
        }
    }
}
