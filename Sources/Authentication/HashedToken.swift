internal import COpenSSL
internal import Stanzas

/// The mechanisms that prove a token (draft-schmaus-kitten-sasl-ht-09, as XEP-0484 names them), each tied to the TLS connection in its way.
public enum TokenMechanism: String, CaseIterable, Sendable {
    case exporter = "HT-SHA-256-EXPR"
    case endPoint = "HT-SHA-256-ENDP"
    case unbound = "HT-SHA-256-NONE"

    /// The channel binding; nil: none.
    public var binding: ChannelBindingType? {
        switch self {
        case .exporter: .tlsExporter
        case .endPoint: .tlsServerEndPoint
        case .unbound: nil
        }
    }

    /// What may be offered on a connection, best first.
    ///
    /// - Parameter unbound: Whether tokens may be used by clients that cannot bind.
    public static func offered(_ bindings: [ChannelBindingType], unbound: Bool) -> [TokenMechanism] {
        allCases.filter { $0.binding.map(bindings.contains) ?? unbound }
    }
}

/// A token that a device may log in with.
public struct LoginToken: Sendable, Equatable {
    public var secret: String
    /// The name of its one mechanism.
    public var mechanism: String
    /// µs since 1970, UTC.
    public var expires: Int64

    public init(secret: String, mechanism: String, expires: Int64) {
        self.secret = secret
        self.mechanism = mechanism
        self.expires = expires
    }
}

extension LoginToken: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the secret.
    public var description: String { "LoginToken(\(mechanism))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The one message of a client: `authcid NUL HMAC(token, "Initiator" || cb-data)`.
struct TokenMessage {
    var authcid: String
    var hash: [UInt8]

    init(_ data: [UInt8]) throws(SASLFailure) {
        guard let end = data.firstIndex(of: 0), end > 0, let name = String(validating: data[..<end], as: UTF8.self),
            data.count - end - 1 == SCRAMHash.sha256.length
        else { throw .malformedRequest }
        authcid = name
        hash = Array(data[(end + 1)...])
    }

    /// How many tokens a device may have at once (XEP-0484 §5.1); so many are always tried.
    private static let slots = 2
    /// Stands in where there are fewer: as long as a token, and never given.
    private static let nobody = String(repeating: "=", count: 44)

    /// The token that was proved, if any of them was. Every call takes the same steps, whatever there is.
    func proved(among tokens: [LoginToken], mechanism: TokenMechanism, binding: [UInt8]) -> LoginToken? {
        var found: LoginToken?
        let candidates = tokens.prefix(Self.slots)
        for slot in 0..<Self.slots {
            let token = slot < candidates.count ? candidates[slot] : nil
            let expected = Self.hash("Initiator", binding, key: token?.secret ?? Self.nobody)
            if equalInConstantTime(expected, hash), let token, token.mechanism == mechanism.rawValue { found = token }
        }
        return found
    }

    /// What proves to the client that this side has the token: `HMAC(token, "Responder" || cb-data)`.
    static func answer(_ token: LoginToken, binding: [UInt8]) -> [UInt8] {
        hash("Responder", binding, key: token.secret)
    }

    private static func hash(_ role: String, _ binding: [UInt8], key: String) -> [UInt8] {
        SCRAMHash.sha256.hmac(key: Array(key.utf8), Array(role.utf8) + binding)
    }
}
