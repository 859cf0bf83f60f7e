/// Why logins cannot be served at all; each is one sentence for an operator.
public enum SASLServiceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// libsasl2 has no plugin for these mechanisms.
    case missingMechanisms([String])
    /// libsasl2 does not start.
    case library(code: Int32)

    public var description: String {
        switch self {
        case .missingMechanisms(let names):
            "libsasl2 lacks \(names.joined(separator: ", ")): install its module package (libsasl2-modules on Debian)."
        case .library(let code): "libsasl2 does not start (code \(code))."
        }
    }
}

/// What a host's settings and accounts allow.
public struct MechanismPolicy: Sendable, Equatable {
    /// The SCRAM mechanisms without -PLUS, and PLAIN, best first (`[authentication] mechanisms`); other names are never offered.
    public var mechanisms: [String]
    /// The hashes that no enabled account of the host lacks: with any other, some account could not log in.
    public var hashes: Set<SCRAMHash>
    /// Whether SCRAM may be used on a stream without TLS.
    public var scramWithoutTLS: Bool

    public init(
        mechanisms: [String] = SCRAMHash.allCases.reversed().map(\.mechanism) + ["PLAIN"],
        hashes: Set<SCRAMHash> = Set(SCRAMHash.allCases), scramWithoutTLS: Bool = false
    ) {
        self.mechanisms = mechanisms
        self.hashes = hashes
        self.scramWithoutTLS = scramWithoutTLS
    }
}

/// The SASL of a process: proof that libsasl2 is set up and has what we need. Any number may be made; the set-up happens once.
public final class SASLService: Sendable {
    /// Sets up libsasl2 (3 ms the first time). Throws when it does not start or lacks a SCRAM mechanism.
    public init() throws(SASLServiceError) { try SASLLibrary.state.get() }

    /// The mechanisms to offer on a stream, best first (RFC 6120 §6.4.1): -PLUS before all others, PLAIN under TLS only.
    /// - Parameters:
    ///   - encrypted: whether the stream runs under TLS.
    ///   - bindings: the channel binding types of the TLS connection (`ChannelBindings.types`); with none, no -PLUS is offered.
    public func mechanisms(encrypted: Bool, bindings: [ChannelBindingType], policy: MechanismPolicy) -> [String] {
        let scram = policy.mechanisms.filter { name in
            guard let hash = SCRAMHash(mechanism: name), hash.mechanism == name else { return false }
            return policy.hashes.contains(hash) && (encrypted || policy.scramWithoutTLS)
        }
        guard encrypted else { return scram }
        let plus = bindings.isEmpty ? [] : scram.map { $0 + "-PLUS" }
        return plus + scram + (policy.mechanisms.contains("PLAIN") ? ["PLAIN"] : [])
    }
}
