public import ServerCore
import Stanzas
import XMLStream

/// XEP-0280: Message Carbons. Here a session turns copies on and off; the account makes them (`AccountCarbons`), because only it
/// knows who got the message itself.
public final class Carbons: Module {
    public static let name = "carbons"
    public static let implements = [XEP(280, "1.0.1", "Message Carbons"), XEP(297, "1.0", "Stanza Forwarding")]
    private static let enable = Name("enable", NS.carbons)
    private static let disable = Name("disable", NS.carbons)

    public init(_ context: ModuleContext) {}

    public func register(in registration: inout Registration) {
        registration.feature(NS.carbons, of: .server)
        registration.feature(NS.carbonRules, of: .server)
        for (name, on) in [(Self.enable, true), (Self.disable, false)] {
            registration.iq(.set, name, to: .ownAccount) { request, turn in
                // §10.1: asked again it is no error.
                turn.account.setCarbons(on, of: request.from)
                return .done
            }
            // §4.1, §5.1: nobody has copies of another's messages. A contact is told so.
            registration.iq(.set, name, to: .otherAccount) { _, _ in .error(StanzaError(.notAllowed)) }
        }
    }
}
