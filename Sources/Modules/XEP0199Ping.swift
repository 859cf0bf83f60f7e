public import ServerCore
import Stanzas
import XMLStream

/// XEP-0199: XMPP Ping. The server and every account answer; a ping to a full JID is the client's to answer.
public final class Ping: Module {
    public static let name = "ping"
    public static let implements = [XEP(199, "2.0.1", "XMPP Ping")]
    private static let ping = Name("ping", NS.ping)

    public init(_ context: ModuleContext) {}

    public func register(in registration: inout Registration) {
        registration.feature(NS.ping, of: .server, .ownAccount)
        registration.iq(.get, Self.ping, to: .server, .serverOfStranger, .ownAccount, .otherAccount) { _, _ in .done }
    }
}
