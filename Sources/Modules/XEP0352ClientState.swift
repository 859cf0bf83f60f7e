public import ServerCore
import Settings
import Stanzas

/// XEP-0352: Client State Indication. The session holds what an inactive client need not hear (`ClientStateHold`); here it is only
/// offered, unless the operator holds nothing.
public final class ClientState: Module {
    public static let name = "state"
    public static let implements = [XEP(352, "1.0.0", "Client State Indication")]
    private let isOn: Bool

    public init(_ context: ModuleContext) { isOn = context.settings.sessions.inactiveHoldStanzas > 0 }

    public func register(in registration: inout Registration) {
        if isOn { registration.streamFeature("<csi xmlns='\(NS.clientState)'/>") }
    }
}
