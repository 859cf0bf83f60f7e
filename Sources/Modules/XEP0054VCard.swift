public import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// XEP-0054: vcard-temp. The card is kept as its owner wrote it and shown to everybody (§5). Its owner alone changes it; that of a host
/// is changed by those who administer the host.
///
/// The hash of the photo in presence (XEP-0153) is the client's own affair.
public final class VCards: Module {
    public static let name = "vcard"
    public static let implements = [XEP(54, "1.3.0", "vcard-temp")]
    private static let card = Name("vCard", NS.vCard)
    private let bound: Int
    private let admins: [String: Set<String>]
    private let hasDirectory: Bool

    public init(_ context: ModuleContext) {
        bound = context.settings.profile.vCardBytes
        hasDirectory = context.settings.search.enabled
        admins = Dictionary(context.settings.hosts.map { ($0.domain, Set($0.admins)) }) { first, _ in first }
    }

    public func register(in registration: inout Registration) {
        registration.feature(NS.vCard, of: .server, .ownAccount)
        registration.iq(.get, Self.card, to: .ownAccount, .serverOfStranger) { request, turn in
            Self.answer(request, turn, missing: StanzaError(.itemNotFound))
        }
        // §3.3: the same as for an account that is not there.
        registration.iq(.get, Self.card, to: .otherAccount, .accountOfStranger) { request, turn in
            Self.answer(request, turn, missing: StanzaError(.serviceUnavailable))
        }
        // §3.2; a stranger hears what he would hear of nobody (RFC 6121 §8.5.1).
        registration.iq(.set, Self.card, to: .otherAccount, .serverOfStranger) { _, _ in .error(StanzaError(.forbidden)) }
        let (bound, admins, hasDirectory) = (bound, admins, hasDirectory)
        registration.iq(.set, Self.card, to: .ownAccount) { request, turn in
            let card = Self.written(in: request)
            guard (card?.count ?? 0) <= bound else { return .error(Self.tooLarge(bound)) }
            if let card { turn.account.keep(.vcard, "", card) } else { turn.account.forget(.vcard, "") }
            guard hasDirectory, DirectoryEntry.isListed(turn.account) else { return .done }
            let answer = turn.later(request)
            DirectoryEntry(card, of: turn.account).list(turn) { answer.reply($0) }
            return .later
        }
        registration.iq(.get, Self.card, to: .server) { request, turn in
            Self.askHost(.call(VCardCall.get, []), request, turn)
        }
        registration.iq(.set, Self.card, to: .server) { request, turn in
            guard let host = request.stanza.to, admins[host.domain]?.contains(request.from.bare.description) == true else {
                return .error(StanzaError(.forbidden))
            }
            let card = Self.written(in: request) ?? []
            guard card.count <= bound else { return .error(Self.tooLarge(bound)) }
            return Self.askHost(.call(VCardCall.set, card), request, turn)
        }
        registration.call(VCardCall.get) { _, turn, result in
            Self.read(turn) { read in
                switch read {
                case .success(let card): result.reply(card.map { .value($0) } ?? .notFound)
                case .failure(let failure): result.reply(.failed("\(failure)"))
                }
            }
        }
        registration.call(VCardCall.set) { card, turn, result in
            if card.isEmpty { turn.account.forget(.vcard, "") } else { turn.account.keep(.vcard, "", card) }
            guard hasDirectory, DirectoryEntry.isListed(turn.account) else { return result.reply(.done(1)) }
            DirectoryEntry(card.isEmpty ? nil : card, of: turn.account).list(turn) { _ in result.reply(.done(1)) }
        }
    }

    /// The card of a request as it came; nil for one without anything in it, which takes the card away.
    private static func written(in request: Request) -> [UInt8]? {
        guard request.payload.children.contains(where: { _ in true }), let fact = request.stanza.payload.facts.children.first else {
            return nil
        }
        return Array(request.stanza.payload.bytes(of: fact))
    }

    private static func tooLarge(_ bound: Int) -> StanzaError {
        StanzaError(.policyViolation, text: "A vCard may have \(bound) bytes")
    }

    private static func read(_ turn: Turn, then: @escaping (Result<[UInt8]?, StoreFailure>) -> Void) {
        turn.account.read({ (snapshot, rows) throws(StoreFailure) in try rows.item(.vcard, "", in: snapshot) }, then: then)
    }

    private static func answer(_ request: Request, _ turn: Turn, missing: StanzaError) -> IQReply {
        let answer = turn.later(request)
        read(turn) { read in
            switch read {
            case .success(let card?): answer.reply(.result(card))
            case .success(nil): answer.reply(.error(missing))
            case .failure: answer.reply(.error(StanzaError(.internalServerError, type: .wait, text: "The vCard cannot be read")))
            }
        }
        return .later
    }

    /// What belongs to the host itself is at the host's own home.
    private static func askHost(_ command: AccountCommand, _ request: Request, _ turn: Turn) -> IQReply {
        guard let host = request.stanza.to else { return .error(StanzaError(.badRequest)) }
        let answer = turn.later(request)
        turn.command(command, for: host) { result in
            switch result {
            case .value(let card): answer.reply(.result(card))
            case .done: answer.reply(.done)
            case .notFound, .exists: answer.reply(.error(StanzaError(.itemNotFound)))
            case .failed:
                answer.reply(.error(StanzaError(.internalServerError, type: .wait, text: "The vCard of the server is out of reach")))
            }
        }
        return .later
    }
}
