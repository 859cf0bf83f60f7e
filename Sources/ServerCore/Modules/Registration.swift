public import Stanzas
public import XMLStream

/// A disco identity (XEP-0030 §3.1).
public struct Identity: Hashable, Sendable {
    public var category: String
    public var type: String
    public var name: String?
    public init(category: String, type: String, name: String? = nil) {
        self.category = category
        self.type = type
        self.name = name
    }
}

/// What the server and its accounts can do, as disco tells it. Filled while modules register, read afterwards.
public final class Catalogue: @unchecked Sendable {
    // Written only by `DispatchTable.init` before the loop that owns the table starts; immutable afterwards.
    fileprivate(set) public var serverFeatures: [String] = []
    fileprivate(set) public var accountFeatures: [String] = []
    fileprivate(set) public var serverIdentities: [Identity] = []
    fileprivate(set) public var accountIdentities: [Identity] = []
    /// Every module with what it implements, in the order of the module list.
    fileprivate(set) public var modules: [(name: String, implements: [XEP])] = []

    public init() {}
}

/// What a module hands in at start.
public struct Registration {
    public typealias IQHandler = (Request, Turn) -> IQReply
    public typealias MessageHandler = (inout Stanza, Turn) -> Verdict

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
    var identities: [(Identity, Addressee)] = []
    var streamFeatures: [[UInt8]] = []

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

    /// Names a feature for disco (XEP-0030).
    public mutating func feature(_ name: String, of addressees: Addressee...) {
        for addressee in addressees { features.append((name, addressee)) }
    }

    /// Names an identity for disco.
    public mutating func identity(_ identity: Identity, of addressee: Addressee) {
        identities.append((identity, addressee))
    }

    /// Adds an element to the features of authenticated streams, already serialised.
    public mutating func streamFeature(_ xml: String) {
        streamFeatures.append(Array(xml.utf8))
    }
}

/// Two modules claimed the same requests: the start ends here.
public struct ClaimConflict: Error, CustomStringConvertible {
    public var description: String
}

/// The compiled claims: (type, payload name, addressee) → one handler, by array index.
public final class DispatchTable {
    private var handlers: [Registration.IQHandler?]
    private let stages: [[Registration.MessageHandler]]
    /// Serialised features that modules add to authenticated streams.
    public let streamFeatures: [UInt8]

    /// Lets every module register.
    ///
    /// - Throws: `ClaimConflict` when two claim the same requests.
    init(_ modules: [any Module], core: (inout Registration) -> Void, catalogue: Catalogue) throws(ClaimConflict) {
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
        var features: [UInt8] = []
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
            for feature in registration.streamFeatures { features.append(contentsOf: feature) }
        }
        self.stages = stages
        streamFeatures = features
    }

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

    /// Asks the handlers of a station in turn.
    func pass(_ stage: Stage, _ direction: Direction, _ stanza: inout Stanza, _ turn: Turn) -> Verdict {
        for handler in stages[Self.index(stage, direction)] {
            switch handler(&stanza, turn) {
            case .next: continue
            case let verdict: return verdict
            }
        }
        return .next
    }
}
