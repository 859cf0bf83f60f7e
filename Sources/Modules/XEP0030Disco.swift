public import ServerCore
import Stanzas
import XMLStream

/// XEP-0030: Service Discovery, with the extended information of XEP-0128. What it tells comes from the modules' own
/// registrations, so it cannot drift from what they do.
public final class Discovery: Module {
    public static let name = "disco"
    public static let implements = [XEP(30, "2.5.1", "Service Discovery"), XEP(128, "1.0.1", "Service Discovery Extensions")]
    private static let info = Name("query", NS.discoInfo)
    private static let items = Name("query", NS.discoItems)

    public init(_ context: ModuleContext) {}

    public func register(in registration: inout Registration) {
        for feature in [NS.discoInfo, NS.discoItems] { registration.feature(feature, of: .server, .ownAccount) }
        registration.identity(Identity(category: "server", type: "im", name: "Martlet"), of: .server)
        registration.identity(Identity(category: "account", type: "registered"), of: .ownAccount)

        registration.iq(.get, Self.info, to: .server) { request, turn in
            if let refusal = Self.refusal(of: request) { return refusal }
            return Self.answer(turn.catalogue.serverIdentities, turn.catalogue.serverFeatures)
        }
        registration.iq(.get, Self.items, to: .server) { request, _ in
            if let refusal = Self.refusal(of: request) { return refusal }
            return .result { $0.empty("query", xmlns: NS.discoItems) }
        }
        registration.iq(.get, Self.info, to: .ownAccount, .otherAccount) { request, turn in
            // §8: to a stranger an account looks as if it did not exist.
            guard Self.mayAsk(request, turn) else { return .error(StanzaError(.serviceUnavailable)) }
            if let refusal = Self.refusal(of: request) { return refusal }
            return Self.answer(turn.catalogue.accountIdentities, turn.catalogue.accountFeatures)
        }
        registration.iq(.get, Self.items, to: .ownAccount, .otherAccount) { request, turn in
            guard Self.mayAsk(request, turn) else { return .error(StanzaError(.serviceUnavailable)) }
            if let refusal = Self.refusal(of: request) { return refusal }
            // §4.1 example 17: the available resources of the account.
            let resources = turn.account.availableResources
            return .result { xml in
                xml.element("query", xmlns: NS.discoItems) { xml in
                    for jid in resources { xml.empty("item", ("jid", jid.description)) }
                }
            }
        }
    }

    private static func mayAsk(_ request: Request, _ turn: Turn) -> Bool {
        request.from.bare == turn.account.jid || turn.account.isVisible(to: request.from.bare)
    }

    /// Nobody here has nodes (§3.2: item-not-found for a node that does not exist).
    private static func refusal(of request: Request) -> IQReply? {
        guard let node = request.payload["node"], !node.isEmpty else { return nil }
        return .error(StanzaError(.itemNotFound))
    }

    private static func answer(_ identities: [Identity], _ features: [String]) -> IQReply {
        .result { xml in
            xml.element("query", xmlns: NS.discoInfo) { xml in
                for identity in identities {
                    xml.empty("identity", ("category", identity.category), ("type", identity.type), ("name", identity.name))
                }
                for feature in features { xml.empty("feature", ("var", feature)) }
            }
        }
    }
}
