public import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// XEP-0049: Private XML Storage. What a client keeps is known by the name and namespace of its root element; only the account itself
/// ever sees it.
///
/// How much there is stays in memory with the account, so that a write is bounded without reading what was written before.
public final class PrivateStorage: Module {
    public static let name = "private"
    public static let implements = [XEP(49, "1.2", "Private XML Storage")]
    private static let query = Name("query", NS.privateStorage)
    private let settings: Settings.Profile

    public init(_ context: ModuleContext) { settings = context.settings.profile }

    public func register(in registration: inout Registration) {
        registration.feature(NS.privateStorage, of: .server, .ownAccount)
        let settings = settings
        registration.iq(.set, Self.query, to: .ownAccount) { request, turn in
            do throws(StanzaError) {
                try Self.store(Self.fragments(of: request, bound: settings.privateBytes), settings, turn)
                return .done
            } catch { return .error(error) }
        }
        registration.iq(.get, Self.query, to: .ownAccount) { request, turn in
            do throws(StanzaError) {
                return Self.answer(try Self.fragments(of: request, bound: settings.privateBytes), request, turn)
            } catch { return .error(error) }
        }
        registration.call(Self.restore) { argument, turn, result in
            guard let count = Self.restore(argument, settings, turn) else {
                return result.reply(.failed("its private elements are not readable"))
            }
            result.reply(.done(count))
        }
        // §2.3, §4: of others nothing is said and nothing is taken; who may not see their presence hears that nobody is there.
        for type in [StanzaType.get, .set] {
            registration.iq(type, Self.query, to: .otherAccount, .server, .serverOfStranger) { _, _ in .error(StanzaError(.forbidden)) }
        }
    }

    /// The call that brings elements back out of an export: whether they win over those that are there, their number, and of each its name
    /// (local name, a space, namespace) and its bytes, as `store` keeps them. Answered with how many were taken.
    static let restore = "private.restore"

    private static func restore(_ argument: [UInt8], _ settings: Settings.Profile, _ turn: Turn) -> Int? {
        var reader = ByteReader(argument)
        var index = PrivateIndex(of: turn.account)
        var taken = 0
        guard let wins = (try? reader.uint8()).map({ $0 == 1 }), let count = try? reader.count() else { return nil }
        for _ in 0..<count {
            guard let name = try? reader.string(), let xml = try? reader.bytes() else { return nil }
            let hash = turn.account.hash(of: name)
            let size = index.sizes[hash]
            guard size == nil || wins, index.bytes - Int(size ?? 0) + xml.count <= settings.privateBytes,
                size != nil || index.sizes.count < settings.privateItems
            else { continue }
            index.sizes[hash] = UInt32(clamping: xml.count)
            turn.account.keep(.privateXML, name, xml)
            taken += 1
        }
        index.keep(in: turn.account)
        return taken
    }

    /// All elements of one name and namespace in a request.
    private struct Fragment {
        var name: String
        var namespace: String
        var xml: [UInt8]
        /// Whether nothing stands in it: to keep that is to forget what was kept.
        var isEmpty: Bool
    }

    /// What a request names, in its order.
    ///
    /// - Throws: §2.3: at least one element, with a namespace of its own that is not reserved; one namespace in a get.
    private static func fragments(of request: Request, bound: Int) throws(StanzaError) -> [Fragment] {
        var fragments: [Fragment] = []
        for child in request.payload.children {
            let namespace = child.namespace
            guard !namespace.isEmpty, !namespace.hasPrefix("jabber:"), !namespace.hasPrefix("http://jabber.org/"), namespace != NS.vCard
            else {
                throw StanzaError(.notAcceptable, text: "The namespace “\(namespace)” is reserved")
            }
            // Small enough for the name of an item, which is written beside it.
            let name = child.local + " " + namespace
            guard name.utf8.count <= 1_024 else { throw StanzaError(.notAcceptable, text: "The name of the element is too long") }
            var writer = XMLWriter()
            guard writer.element(child, in: NS.privateStorage, limit: bound) else { throw tooMuch("bytes", bound) }
            let isEmpty = child.attributeCount == 0 && !child.children.contains { _ in true } && child.text.isEmpty
            if let index = fragments.firstIndex(where: { $0.name == name }) {
                fragments[index].xml += writer.bytes
                fragments[index].isEmpty = fragments[index].isEmpty && isEmpty
                guard fragments[index].xml.count <= bound else { throw tooMuch("bytes", bound) }
            } else {
                fragments.append(Fragment(name: name, namespace: namespace, xml: writer.bytes, isEmpty: isEmpty))
            }
        }
        guard let first = fragments.first else { throw StanzaError(.notAcceptable, text: "There is no element to store or retrieve") }
        if !request.isSet, fragments.contains(where: { $0.namespace != first.namespace }) {
            throw StanzaError(.notAcceptable, text: "One namespace at a time can be retrieved")
        }
        return fragments
    }

    private static func tooMuch(_ what: String, _ bound: Int) -> StanzaError {
        StanzaError(.policyViolation, text: "The private storage of an account holds \(bound) \(what)")
    }

    private static func store(_ fragments: [Fragment], _ settings: Settings.Profile, _ turn: Turn) throws(StanzaError) {
        var index = PrivateIndex(of: turn.account)
        for fragment in fragments {
            index.sizes[turn.account.hash(of: fragment.name)] = fragment.isEmpty ? nil : UInt32(clamping: fragment.xml.count)
        }
        // A request that makes things smaller is not refused, whatever the bounds are by now.
        let before = PrivateIndex(of: turn.account)
        guard index.bytes <= max(settings.privateBytes, before.bytes) else { throw tooMuch("bytes", settings.privateBytes) }
        guard index.sizes.count <= max(settings.privateItems, before.sizes.count) else { throw tooMuch("elements", settings.privateItems) }
        for fragment in fragments {
            if fragment.isEmpty {
                turn.account.forget(.privateXML, fragment.name)
            } else {
                turn.account.keep(.privateXML, fragment.name, fragment.xml)
            }
        }
        index.keep(in: turn.account)
    }

    private static func answer(_ fragments: [Fragment], _ request: Request, _ turn: Turn) -> IQReply {
        let index = PrivateIndex(of: turn.account)
        func query(_ kept: [String: [UInt8]]) -> IQReply {
            // What was never stored comes back as it was asked.
            .result { xml in
                xml.element("query", xmlns: NS.privateStorage) { xml in
                    for fragment in fragments { xml.raw(kept[fragment.name] ?? fragment.xml) }
                }
            }
        }
        let names = fragments.map(\.name).filter { index.sizes[turn.account.hash(of: $0)] != nil }
        guard !names.isEmpty else { return query([:]) }
        let answer = turn.later(request)
        turn.account.read(
            { (snapshot, rows) throws(StoreFailure) in
                var kept: [String: [UInt8]] = [:]
                for name in names { kept[name] = try rows.item(.privateXML, name, in: snapshot) }
                return kept
            },
            then: { read in
                switch read {
                case .success(let kept): answer.reply(query(kept))
                case .failure:
                    answer.reply(.error(StanzaError(.internalServerError, type: .wait, text: "The private storage cannot be read")))
                }
            })
        return .later
    }
}

/// How large each private element of an account is, by the hash of its name: a few bytes in memory for each.
struct PrivateIndex {
    var sizes: [NameHash: UInt32] = [:]

    /// Bytes of all elements together.
    var bytes: Int { sizes.values.reduce(0) { $0 + Int($1) } }

    init(of account: Account) {
        guard let kept = account.items(.privateIndex)[""] else { return }
        var reader = ByteReader(kept)
        while !reader.isAtEnd {
            guard let high = try? reader.uint64(), let low = try? reader.uint64(), let size = try? reader.uint32() else { return }
            sizes[NameHash(high, low)] = size
        }
    }

    func keep(in account: Account) {
        guard !sizes.isEmpty else { return account.forget(.privateIndex, "") }
        var writer = ByteWriter()
        for (hash, size) in sizes {
            writer.uint64(hash.high)
            writer.uint64(hash.low)
            writer.uint32(size)
        }
        account.keep(.privateIndex, "", writer.bytes)
    }
}
