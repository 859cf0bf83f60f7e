public import Settings
public import Stanzas
public import XMLStream

/// A disco identity (XEP-0030 §3.1).
public typealias Identity = DiscoInfo.Identity

/// What the server and its accounts can do, as disco tells it. Filled while modules register, read afterwards.
public final class Catalogue: @unchecked Sendable {
    // Written only by `DispatchTable.init` before the loop that owns the table starts; immutable afterwards.
    fileprivate(set) public var serverFeatures: [String] = []
    fileprivate(set) public var accountFeatures: [String] = []
    fileprivate(set) public var serverIdentities: [Identity] = []
    fileprivate(set) public var accountIdentities: [Identity] = []
    /// Forms of disco (XEP-0128), made for the host that is asked or that the asked account is of.
    fileprivate var forms: [(addressee: Addressee, make: Registration.FormMaker)] = []
    fileprivate var nodes: [DiscoNode] = []
    /// Commands for people (XEP-0050), in the order of the module list.
    fileprivate(set) public var commands: [AdHocCommand] = []
    fileprivate var conditional: [ConditionalFeature] = []

    fileprivate var hosts: [String: Settings.Host] = [:]

    /// All that disco tells of the server or of an account, as a host has it.
    public func info(of addressee: Addressee, host: String) -> DiscoInfo {
        let isServer = addressee == .server || addressee == .serverOfStranger
        let settings = hosts[host]
        let more = conditional.filter { feature in
            (feature.addressee == .server) == isServer && settings.map(feature.condition) == true
        }
        return DiscoInfo(
            identities: isServer ? serverIdentities : accountIdentities,
            features: (isServer ? serverFeatures : accountFeatures) + more.map(\.name),
            forms: forms.compactMap { form in
                (form.addressee == .server) == isServer
                    ? form.make(host).flatMap { try? Element.parse($0) }.flatMap { DataForm($0) } : nil
            })
    }

    /// The node of this name, if any module answers for it.
    public func node(_ name: String, of addressee: Addressee) -> DiscoNode? {
        nodes.first { $0.addressees.contains(addressee) && $0.covers(name) }
    }

    /// The nodes that are listed among the items of an addressee.
    public func listedNodes(of addressee: Addressee) -> [DiscoNode] {
        nodes.filter { $0.title != nil && $0.addressees.contains(addressee) }
    }

    /// Every module with what it implements, in the order of the module list.
    fileprivate(set) public var modules: [(name: String, implements: [XEP])] = []

    public init() {}
}

/// A feature that some hosts have.
struct ConditionalFeature {
    var name: String
    var addressee: Addressee
    var condition: (Settings.Host) -> Bool
}

/// A node of disco that a module answers for.
public struct DiscoNode {
    /// The node's name; one that ends with '#' stands for all that begin with it.
    public var name: String
    public var addressees: [Addressee]
    public var info: Registration.NodeHandler
    public var items: Registration.NodeHandler
    /// The item that lists it among the items of its addressee; nil: it is not listed.
    public var title: String?

    public init(
        _ name: String, of addressees: Addressee..., title: String? = nil, info: @escaping Registration.NodeHandler,
        items: @escaping Registration.NodeHandler
    ) {
        self.name = name
        self.addressees = addressees
        self.title = title
        self.info = info
        self.items = items
    }

    func covers(_ asked: String) -> Bool { name == asked || name.hasSuffix("#") && asked.hasPrefix(name) }
}

/// What a module hands in at start.
public struct Registration {
    public typealias IQHandler = (Request, Turn) -> IQReply
    public typealias MessageHandler = (inout Stanza, Turn) -> Verdict
    public typealias CallHandler = (_ argument: [UInt8], Turn, LaterResult) -> Void
    public typealias NodeHandler = (Request, Turn) -> IQReply
    /// Sees an account that is about to be removed, with all it kept.
    public typealias RemovalHandler = (Turn) -> Void
    public typealias PresenceHandler = (_ presence: Stanza, _ session: JID, Turn) -> Void
    /// What becomes of a stanza that a session sends to a host: nil when it is for the host itself.
    public typealias Expansion = (Stanza, Turn) -> Result<[Stanza], StanzaError>?
    /// Why the host does not take a message or presence from one without an account here; nil when it is not the one to say.
    public typealias HostRefusal = (Stanza) -> StanzaError?
    public typealias VisitHandler = (Visit) -> Void
    /// Takes a request of somebody new for the account's presence, by asking for it to decide on later; false: it is none of his.
    public typealias RequestHandler = (Stanza, Turn, _ hold: () -> LaterSubscription) -> Bool
    /// Makes a serialised form, or a feature of streams, for a host; nil: that host has none.
    public typealias FormMaker = (_ host: String) -> [UInt8]?

    struct IQClaim {
        var isSet: Bool
        var name: Name
        var addressee: Addressee
        var handler: IQHandler
    }

    let module: String
    var claims: [IQClaim] = []
    var messages: [(stage: Stage, direction: Direction, handler: MessageHandler)] = []
    var features: [(String, Addressee)] = []
    var unread: [(Turn) -> Void] = []
    var conditional: [ConditionalFeature] = []
    var identities: [(Identity, Addressee)] = []
    var streamFeatures: [FormMaker] = []
    var calls: [(name: String, handler: CallHandler)] = []
    var forms: [(addressee: Addressee, make: FormMaker)] = []
    var nodes: [DiscoNode] = []
    var nodeMakers: [(Catalogue) -> [DiscoNode]] = []
    var commands: [AdHocCommand] = []
    var requests: [RequestHandler] = []
    var presences: [PresenceHandler] = []
    var removals: [RemovalHandler] = []
    var expansions: [Expansion] = []
    var refusals: [HostRefusal] = []
    var visits: [(isSet: Bool, name: Name, handler: VisitHandler)] = []
    var visitorFeatures: [(Visitor) -> String?] = []

    init(module: String) { self.module = module }

    /// Claims requests of one type with one payload for the given addressees. A second claim stops the start.
    public mutating func iq(_ type: StanzaType, _ name: Name, to addressees: Addressee..., by handler: @escaping IQHandler) {
        for addressee in addressees {
            claims.append(IQClaim(isSet: type == .set, name: name, addressee: addressee, handler: handler))
        }
    }

    /// Takes part in the walk of messages at a station; within a station in the order of the module list.
    public mutating func message(_ stage: Stage, _ direction: Direction, by handler: @escaping MessageHandler) {
        messages.append((stage, direction, handler))
    }

    /// Sees each available presence that a session of an account sends to all its contacts, when they were told; and the last one again
    /// at a new home.
    public mutating func presence(by handler: @escaping PresenceHandler) { presences.append(handler) }

    /// Cleans up elsewhere when an account is removed; its own rows go by themselves. What must go for certain is also looked for later:
    /// the node may die before others heard.
    public mutating func removal(by handler: @escaping RemovalHandler) { removals.append(handler) }

    /// Makes several stanzas of a message or presence that a session sends to a host, each with its own address; they pass the account
    /// like all that the session sends. For the same stanza they must be the same, in the same order. The first who says what becomes of it
    /// is followed.
    public mutating func expand(by expansion: @escaping Expansion) { expansions.append(expansion) }

    /// Answers a message or presence to a host from one without an account here, which otherwise means nothing.
    public mutating func refuse(by refusal: @escaping HostRefusal) { refusals.append(refusal) }

    /// Hears of messages that a session held when it fell asleep or died, while nobody attends to another (`Stage.hold` saw them go to one
    /// that was awake).
    public mutating func unread(by handler: @escaping (Turn) -> Void) { unread.append(handler) }

    /// Names a feature for disco (XEP-0030).
    public mutating func feature(_ name: String, of addressees: Addressee...) {
        for addressee in addressees { features.append((name, addressee)) }
    }

    /// Names a feature that only hosts with certain settings have.
    public mutating func feature(_ name: String, of addressees: Addressee..., where condition: @escaping (Settings.Host) -> Bool) {
        for addressee in addressees { conditional.append(ConditionalFeature(name: name, addressee: addressee, condition: condition)) }
    }

    /// Names an identity for disco.
    public mutating func identity(_ identity: Identity, of addressee: Addressee) {
        identities.append((identity, addressee))
    }

    /// Adds a form to what disco tells (XEP-0128), already serialised.
    public mutating func form(_ xml: [UInt8], of addressee: Addressee) { forms.append((addressee, { _ in xml })) }

    /// Adds a form to what disco tells (XEP-0128) that is not the same on all hosts. One host must always get the same: clients keep it
    /// by its hash.
    public mutating func form(of addressee: Addressee, by make: @escaping FormMaker) { forms.append((addressee, make)) }

    /// Answers disco requests for a node (XEP-0030 §3.2), and those for nodes below it when `name` ends with '#'.
    public mutating func node(_ node: DiscoNode) { nodes.append(node) }

    /// The same for nodes that are made of the whole catalogue, when every module has registered.
    public mutating func nodes(by make: @escaping (Catalogue) -> [DiscoNode]) { nodeMakers.append(make) }

    /// Offers a command to people (XEP-0050).
    public mutating func command(_ command: AdHocCommand) { commands.append(command) }

    /// Names something that others may ask of an account at its home (`Turn.command`, the administrator's commands). It may be asked
    /// again after a takeover, so doing it twice must be the same as once.
    public mutating func call(_ name: String, by handler: @escaping CallHandler) { calls.append((name, handler)) }

    /// Sees subscription requests of those who have not asked before (RFC 6121 §3.1.3), and may decide on them instead of the owner.
    public mutating func subscriptionRequest(by handler: @escaping RequestHandler) { requests.append(handler) }

    /// Handles requests of clients that have not authenticated. A second claim stops the start.
    public mutating func visit(_ type: StanzaType, _ name: Name, by handler: @escaping VisitHandler) {
        visits.append((type == .set, name, handler))
    }

    /// Adds an element to the features of streams that have not authenticated, for those visitors for whom it is not nil.
    public mutating func visitorFeature(_ feature: @escaping (Visitor) -> String?) { visitorFeatures.append(feature) }

    /// Adds an element to the features of authenticated streams, already serialised.
    public mutating func streamFeature(_ xml: String) {
        streamFeatures.append { _ in Array(xml.utf8) }
    }

    /// Adds an element to the features of authenticated streams of a host. It is made once, when every module has registered.
    public mutating func streamFeature(by make: @escaping FormMaker) { streamFeatures.append(make) }
}

/// Two modules claimed the same requests: the start ends here.
public struct ClaimConflict: Error, CustomStringConvertible {
    public var description: String
}

/// The compiled claims: (type, payload name, addressee) → one handler, by array index.
public final class DispatchTable {
    private var handlers: [Registration.IQHandler?]
    private let stages: [[Registration.MessageHandler]]
    /// Stations where somebody stands, as bits.
    private let manned: UInt64
    /// What is called when messages are left unread.
    let unread: [(Turn) -> Void]
    /// Every request that somebody answers for some addressee, in the order of the claims.
    private(set) var claimed: [(isSet: Bool, name: Name)] = []
    private var calls: [String: Registration.CallHandler] = [:]
    private let presences: [Registration.PresenceHandler]
    private let removals: [Registration.RemovalHandler]
    private let expansions: [Registration.Expansion]
    private let refusals: [Registration.HostRefusal]
    private var visits: [Registration.VisitHandler?] = []
    private let requests: [Registration.RequestHandler]
    private let visitorFeatures: [(Visitor) -> String?]
    /// Serialised features that modules add to authenticated streams, by host.
    private let streamFeatures: [String: [UInt8]]

    /// Lets every module register.
    ///
    /// - Throws: `ClaimConflict` when two claim the same requests.
    init(
        _ modules: [any Module], core: (inout Registration) -> Void, catalogue: Catalogue, hosts: [String: Settings.Host]
    ) throws(ClaimConflict) {
        var registrations: [Registration] = []
        var first = Registration(module: "core")
        core(&first)
        registrations.append(first)
        for module in modules {
            var registration = Registration(module: type(of: module).name)
            module.register(in: &registration)
            registrations.append(registration)
            catalogue.modules.append((type(of: module).name, type(of: module).implements))
        }
        var owners: [Int: String] = [:]
        handlers = []
        var stages = [[Registration.MessageHandler]](repeating: [], count: Stage.allCases.count * Direction.allCases.count)
        for registration in registrations {
            for claim in registration.claims {
                let index = Self.index(claim.isSet, claim.name, claim.addressee)
                if let owner = owners[index] {
                    throw ClaimConflict(
                        description:
                            "the modules \(owner) and \(registration.module) both handle \(claim.isSet ? "set" : "get") {\(claim.name.namespace)}\(claim.name.local) to \(claim.addressee); take one of them off the module list"
                    )
                }
                owners[index] = registration.module
                if handlers.count <= index { handlers.append(contentsOf: repeatElement(nil, count: index + 1 - handlers.count)) }
                handlers[index] = claim.handler
                if !claimed.contains(where: { $0 == (claim.isSet, claim.name) }) { claimed.append((claim.isSet, claim.name)) }
            }
            for (stage, direction, handler) in registration.messages { stages[Self.index(stage, direction)].append(handler) }
            for (feature, addressee) in registration.features {
                if addressee == .server {
                    if !catalogue.serverFeatures.contains(feature) { catalogue.serverFeatures.append(feature) }
                } else if !catalogue.accountFeatures.contains(feature) {
                    catalogue.accountFeatures.append(feature)
                }
            }
            for (identity, addressee) in registration.identities {
                if addressee == .server {
                    catalogue.serverIdentities.append(identity)
                } else {
                    catalogue.accountIdentities.append(identity)
                }
            }
            for (name, handler) in registration.calls {
                guard calls.updateValue(handler, forKey: name) == nil else {
                    throw ClaimConflict(description: "two modules register the call \(name); take one of them off the module list")
                }
            }
            for visit in registration.visits {
                let index = Int(visit.name.index) * 2 + (visit.isSet ? 1 : 0)
                if visits.count <= index { visits.append(contentsOf: repeatElement(nil, count: index + 1 - visits.count)) }
                guard visits[index] == nil else {
                    throw ClaimConflict(
                        description: "two modules answer visitors who send \(visit.name); take one of them off the module list")
                }
                visits[index] = visit.handler
            }
            catalogue.forms.append(contentsOf: registration.forms)
            catalogue.nodes.append(contentsOf: registration.nodes)
            catalogue.commands.append(contentsOf: registration.commands)
            catalogue.conditional.append(contentsOf: registration.conditional)
        }
        for make in registrations.flatMap(\.nodeMakers) { catalogue.nodes.append(contentsOf: make(catalogue)) }
        requests = registrations.flatMap(\.requests)
        visitorFeatures = registrations.flatMap(\.visitorFeatures)
        self.stages = stages
        manned = stages.indices.reduce(0) { stages[$1].isEmpty ? $0 : $0 | 1 << UInt64($1) }
        presences = registrations.flatMap(\.presences)
        removals = registrations.flatMap(\.removals)
        expansions = registrations.flatMap(\.expansions)
        refusals = registrations.flatMap(\.refusals)
        catalogue.hosts = hosts
        unread = registrations.flatMap(\.unread)
        // Last: one of them may be made of the whole catalogue.
        let makers = registrations.flatMap(\.streamFeatures)
        streamFeatures = Dictionary(hosts.keys.map { host in (host, makers.flatMap { $0(host) ?? [] }) }) { first, _ in first }
    }

    /// Serialised features that modules add to authenticated streams of a host.
    public func streamFeatures(of host: String) -> [UInt8] { streamFeatures[host] ?? [] }

    private static func index(_ isSet: Bool, _ name: Name, _ addressee: Addressee) -> Int {
        (Int(name.index) * 2 + (isSet ? 1 : 0)) * Addressee.allCases.count + Int(addressee.rawValue)
    }

    private static func index(_ stage: Stage, _ direction: Direction) -> Int {
        stage.rawValue * Direction.allCases.count + Int(direction.rawValue)
    }

    /// The handler of a request, if any module claimed it.
    func handler(isSet: Bool, _ name: Name, _ addressee: Addressee) -> Registration.IQHandler? {
        guard name != .unknown else { return nil }
        let index = Self.index(isSet, name, addressee)
        return index < handlers.count ? handlers[index] : nil
    }

    /// The handler of a visitor's request.
    func visit(_ name: Name, isSet: Bool) -> Registration.VisitHandler? {
        guard name != .unknown else { return nil }
        let index = Int(name.index) * 2 + (isSet ? 1 : 0)
        return index < visits.count ? visits[index] : nil
    }

    /// Whether a module decides on a subscription request.
    func takes(_ request: Stanza, _ turn: Turn, _ hold: () -> LaterSubscription) -> Bool { requests.contains { $0(request, turn, hold) } }

    /// What a visitor is offered, serialised.
    public func features(for visitor: Visitor) -> [UInt8] {
        visitorFeatures.flatMap { feature in feature(visitor).map { Array($0.utf8) } ?? [] }
    }

    /// What a call by this name does.
    func call(_ name: String) -> Registration.CallHandler? { calls[name] }

    /// Shows a presence to who registered for it.
    func show(_ presence: Stanza, of session: JID, _ turn: Turn) {
        for handler in presences { handler(presence, session, turn) }
    }

    /// Says that an account is about to be removed.
    func removing(_ turn: Turn) {
        for handler in removals { handler(turn) }
    }

    /// The stanzas that one to a host becomes; nil when no module says.
    func expand(_ stanza: Stanza, _ turn: Turn) -> Result<[Stanza], StanzaError>? {
        for expansion in expansions { if let expanded = expansion(stanza, turn) { return expanded } }
        return nil
    }

    /// Why a host does not take a stanza from one without an account here, if a module says.
    func refusal(_ stanza: Stanza) -> StanzaError? {
        for refusal in refusals { if let error = refusal(stanza) { return error } }
        return nil
    }

    /// Asks the handlers of every station up to `last`. Returns where the message ended, and what its sender hears of it; nil when it goes on.
    func pass(
        through last: Stage, _ direction: Direction, _ stanza: inout Stanza, _ turn: Turn
    ) -> (stage: Stage, refusal: StanzaError?)? {
        for number in 0...last.rawValue where manned & (1 << UInt64(number * Direction.allCases.count + Int(direction.rawValue))) != 0 {
            guard let stage = Stage(rawValue: number) else { continue }
            switch pass(stage, direction, &stanza, turn) {
            case .next: continue
            case .drop: return (stage, nil)
            case .bounce(let error): return (stage, error)
            }
        }
        return nil
    }

    /// Asks the handlers of a station in turn.
    func pass(_ stage: Stage, _ direction: Direction, _ stanza: inout Stanza, _ turn: Turn) -> Verdict {
        let index = Self.index(stage, direction)
        // Most stations are empty, and every message passes all of them.
        guard manned & (1 << UInt64(index)) != 0 else { return .next }
        for handler in stages[index] {
            switch handler(&stanza, turn) {
            case .next: continue
            case let verdict: return verdict
            }
        }
        return .next
    }
}
