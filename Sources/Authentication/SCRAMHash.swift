internal import COpenSSL

/// The hash functions of SCRAM: SCRAM-SHA-1 (RFC 5802), SCRAM-SHA-256 (RFC 7677), SCRAM-SHA-512. The numbers stand in stored records.
public enum SCRAMHash: UInt8, CaseIterable, Sendable, Comparable {
    case sha1 = 1
    case sha256 = 2
    case sha512 = 3

    /// The mechanism without channel binding, e.g. `SCRAM-SHA-256`.
    public var mechanism: String {
        switch self {
        case .sha1: "SCRAM-SHA-1"
        case .sha256: "SCRAM-SHA-256"
        case .sha512: "SCRAM-SHA-512"
        }
    }

    /// The hash of `SCRAM-SHA-256` or `SCRAM-SHA-256-PLUS`; nil for the name of any other mechanism.
    public init?(mechanism: String) {
        guard let hash = Self.allCases.first(where: { mechanism == $0.mechanism || mechanism == $0.mechanism + "-PLUS" }) else {
            return nil
        }
        self = hash
    }

    /// Bytes of a digest, and so of every key made with it.
    public var length: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }

    /// By strength.
    public static func < (a: SCRAMHash, b: SCRAMHash) -> Bool { a.rawValue < b.rawValue }

    private var function: OpaquePointer? {
        switch self {
        case .sha1: EVP_sha1()
        case .sha256: EVP_sha256()
        case .sha512: EVP_sha512()
        }
    }

    // MARK: The functions of RFC 5802 §2.2

    /// H(data).
    func digest(_ data: [UInt8]) throws(CredentialsError) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: length)
        guard EVP_Digest(data, data.count, &result, nil, function, nil) == 1 else { throw .cryptography }
        return result
    }

    /// HMAC(key, data).
    func hmac(key: [UInt8], _ data: [UInt8]) throws(CredentialsError) -> [UInt8] {
        guard let keyLength = Int32(exactly: key.count) else { throw .cryptography }
        var result = [UInt8](repeating: 0, count: length)
        guard HMAC(function, key, keyLength, data, data.count, &result, nil) != nil else { throw .cryptography }
        return result
    }

    /// Hi(password, salt, iterations), which is PBKDF2. `password` is already prepared.
    func hi(_ password: UnsafeRawBufferPointer, salt: [UInt8], iterations: Int) throws(CredentialsError) -> [UInt8] {
        guard let rounds = UInt(exactly: iterations), rounds > 0 else { throw .cryptography }
        var result = [UInt8](repeating: 0, count: length)
        switch self {
        case .sha1: martlet_pbkdf2_sha1(password.baseAddress, password.count, salt, salt.count, rounds, &result)
        case .sha256: martlet_pbkdf2_sha256(password.baseAddress, password.count, salt, salt.count, rounds, &result)
        case .sha512: martlet_pbkdf2_sha512(password.baseAddress, password.count, salt, salt.count, rounds, &result)
        }
        return result
    }
}

/// Compares without telling by its time where the first difference is. Lengths are no secret.
func equalInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}

/// Bytes from the system's cryptographic generator.
func randomBytes(_ count: Int) throws(CredentialsError) -> [UInt8] {
    guard let length = Int32(exactly: count) else { throw .cryptography }
    var bytes = [UInt8](repeating: 0, count: max(count, 0))
    guard RAND_bytes(&bytes, length) == 1 else { throw .cryptography }
    return bytes
}
