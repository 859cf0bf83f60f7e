public import Stanzas

/// Why credentials cannot be made or read. Each is one sentence for an operator; none holds anything of a password or a key.
public enum CredentialsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The password is empty, too long or has a character OpaqueString forbids (RFC 8265 §4.2).
    case password(JIDError.Reason)
    /// PBKDF2 iterations outside of what is accepted.
    case iterations(Int, allowed: ClosedRange<Int>)
    /// A salt is empty or longer than `SCRAMKey.maximumSaltLength`.
    case salt(length: Int)
    /// A key has not the length of its hash.
    case keyLength(SCRAMHash, length: Int)
    /// The same hash twice.
    case duplicate(SCRAMHash)
    /// No key at all.
    case empty
    /// An imported entry is not `MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY`.
    case form
    /// An imported entry names a mechanism for which no keys can be kept.
    case mechanism
    /// An imported number or base 64 value cannot be read.
    case field(Field)
    /// The bytes of a record are not what `Credentials.encode` writes.
    case record(CodecError)
    /// The cryptographic library failed: it is out of memory or has no randomness.
    case cryptography

    /// The parts of an imported entry.
    public enum Field: String, Sendable {
        case iterations
        case salt
        case storedKey = "stored key"
        case serverKey = "server key"
    }

    public var description: String {
        switch self {
        case .password(.empty): "The password is empty."
        case .password(.tooLong): "The password is longer than 4,096 bytes."
        case .password(.notUTF8): "The password is not UTF-8."
        case .password: "The password has a character that passwords may not have, such as a control character."
        case .iterations(let count, let allowed):
            "The iteration count \(count) is not between \(allowed.lowerBound) and \(allowed.upperBound)."
        case .salt(let length): "The salt has \(length) bytes; it must have 1 to \(SCRAMKey.maximumSaltLength)."
        case .keyLength(let hash, let length): "A key of \(hash.mechanism) has \(length) bytes; it must have \(hash.length)."
        case .duplicate(let hash): "The keys of \(hash.mechanism) are given twice."
        case .empty: "There are no keys."
        case .form: "The keys are not in the form MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY."
        case .mechanism:
            "The mechanism of the keys is not one of \(SCRAMHash.allCases.map(\.mechanism).joined(separator: ", "))."
        case .field(.iterations): "The iteration count is not a number."
        case .field(let field): "The \(field.rawValue) is not base 64."
        case .record(.unknownVersion): "The credentials were written by a later version."
        case .record: "The stored credentials are damaged."
        case .cryptography: "The cryptographic library failed."
        }
    }
}
