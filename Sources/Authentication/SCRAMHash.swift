internal import COpenSSL
internal import Glibc

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
        switch mechanism {
        case "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS": self = .sha1
        case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS": self = .sha256
        case "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS": self = .sha512
        default: return nil
        }
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

    // MARK: The functions of RFC 5802 §2.2

    /// H(data).
    func digest(_ data: [UInt8]) -> [UInt8] {
        result { output in
            switch self {
            case .sha1: martlet_digest_sha1(data, data.count, output)
            case .sha256: martlet_digest_sha256(data, data.count, output)
            case .sha512: martlet_digest_sha512(data, data.count, output)
            }
        }
    }

    /// HMAC(key, data).
    func hmac(key: [UInt8], _ data: [UInt8]) -> [UInt8] {
        result { output in
            switch self {
            case .sha1: martlet_hmac_sha1(key, key.count, data, data.count, output)
            case .sha256: martlet_hmac_sha256(key, key.count, data, data.count, output)
            case .sha512: martlet_hmac_sha512(key, key.count, data, data.count, output)
            }
        }
    }

    /// Hi(password, salt, iterations), which is PBKDF2. `password` is already prepared.
    func hi(_ password: UnsafeRawBufferPointer, salt: [UInt8], iterations: Int) throws(CredentialsError) -> [UInt8] {
        guard let rounds = UInt(exactly: iterations), rounds > 0 else { throw .cryptography }
        return result { output in
            switch self {
            case .sha1: martlet_pbkdf2_sha1(password.baseAddress, password.count, salt, salt.count, rounds, output)
            case .sha256: martlet_pbkdf2_sha256(password.baseAddress, password.count, salt, salt.count, rounds, output)
            case .sha512: martlet_pbkdf2_sha512(password.baseAddress, password.count, salt, salt.count, rounds, output)
            }
        }
    }

    /// The `length` bytes that `body` writes.
    private func result(_ body: (UnsafeMutablePointer<UInt8>?) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            body(buffer.baseAddress)
            count = length
        }
    }
}

/// Compares without telling by its time where the first difference is. Lengths are no secret.
func equalInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}

/// Up to 256 bytes from the system's cryptographic generator: OpenSSL's takes five times as long for a nonce.
func randomBytes(_ count: Int) throws(CredentialsError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(count, 0))
    guard getentropy(&bytes, bytes.count) == 0 else { throw .cryptography }
    return bytes
}
