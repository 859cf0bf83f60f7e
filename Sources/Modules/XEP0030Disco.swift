public import ServerCore
import Stanzas
import XMLStream

/// XEP-0030: Service Discovery, with the extended information of XEP-0128. What it tells comes from the modules' own
/// registrations, so it cannot drift from what they do. An account is shown to those who may see its presence; to others it looks as if it
/// did not exist (§8), and as nobody it has no items either, but `service-unavailable` (RFC 6121 §8.5.1).
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

        registration.iq(.get, Self.info, to: .server, .serverOfStranger, .ownAccount, .otherAccount) { request, turn in
            let addressee = Self.addressee(request, turn)
            if let node = request.payload["node"], !node.isEmpty {
                return turn.catalogue.node(node, of: addressee)?.info(request, turn) ?? .error(StanzaError(.itemNotFound))
            }
            let info = turn.catalogue.info(of: addressee, host: (request.stanza.to ?? turn.account.jid).domain)
            return .result { info.write(into: &$0) }
        }
        registration.iq(.get, Self.items, to: .server, .serverOfStranger, .ownAccount, .otherAccount) { request, turn in
            let addressee = Self.addressee(request, turn)
            if let node = request.payload["node"], !node.isEmpty {
                return turn.catalogue.node(node, of: addressee)?.items(request, turn) ?? .error(StanzaError(.itemNotFound))
            }
            let nodes = turn.catalogue.listedNodes(of: addressee)
            let jid = request.stanza.to ?? turn.account.jid
            // §4.1 example 17: the available resources of the account.
            let resources = addressee == .server ? [] : turn.account.availableResources
            let components = addressee == .server ? turn.components : []
            return .result { xml in
                xml.element("query", xmlns: NS.discoItems) { xml in
                    for (domain, name) in components { xml.empty("item", ("jid", domain), ("name", name)) }
                    for resource in resources { xml.empty("item", ("jid", resource.description)) }
                    for node in nodes { xml.empty("item", ("jid", jid.description), ("node", node.name), ("name", node.title)) }
                }
            }
        }
    }

    private static func addressee(_ request: Request, _ turn: Turn) -> Addressee {
        if let to = request.stanza.to, to.local == nil { return .server }
        return request.from.bare == turn.account.jid ? .ownAccount : .otherAccount
    }
}
