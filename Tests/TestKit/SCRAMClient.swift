import COpenSSL
import Synchronization

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), without channel binding, made from the RFC and not from the
/// server's code.
public struct SCRAMClient {
    public static let mechanism = "SCRAM-SHA-256"
    private static let salted = Mutex<[String: [UInt8]]>([:])

    private let password: String
    private let nonce: String
    private let firstBare: String
    private var serverSignature: [UInt8] = []

    /// - Parameter user: the localpart; of letters, digits and `-` alone, which need no escapes.
    public init(user: String, password: String) {
        self.password = password
        nonce = String((0..<24).map { _ in "abcdefghijklmnopqrstuvwxyz0123456789".randomElement() ?? "a" })
        firstBare = "n=\(user),r=\(nonce)"
    }

    /// client-first-message, in base 64.
    public var first: String { Self.encode(Array("n,,\(firstBare)".utf8)) }

    /// client-final-message, in base 64.
    public mutating func final(challenge: String) throws -> String {
        let serverFirst = String(decoding: try Self.decode(challenge), as: UTF8.self)
        let parts = serverFirst.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0].hasPrefix("r=\(nonce)"), parts[1].hasPrefix("s="), parts[2].hasPrefix("i="),
            let iterations = Int32(parts[2].dropFirst(2)), iterations > 0
        else { throw ProcessFailure("the server's SCRAM challenge is “\(serverFirst)”") }
        let salted = Self.hi(password, salt: try Self.decode(String(parts[1].dropFirst(2))), iterations: iterations)
        let clientKey = Self.hmac(salted, "Client Key")
        let withoutProof = "c=biws,\(parts[0])"
        let message = "\(firstBare),\(serverFirst),\(withoutProof)"
        let signature = Self.hmac(Self.digest(clientKey), message)
        serverSignature = Self.hmac(Self.hmac(salted, "Server Key"), message)
        let proof = zip(clientKey, signature).map { $0 ^ $1 }
        return Self.encode(Array("\(withoutProof),p=\(Self.encode(proof))".utf8))
    }

    /// Whether the server knew the keys as well.
    public func verify(success: String) throws {
        let serverFinal = String(decoding: try Self.decode(success), as: UTF8.self)
        guard serverFinal == "v=\(Self.encode(serverSignature))" else { throw ProcessFailure("the server's SCRAM signature is wrong") }
    }

    /// The keys of a password in the form that `user import --keys` reads.
    public static func importKeys(password: String) -> String {
        let salt = Array("a salt for tests".utf8)
        let salted = hi(password, salt: salt, iterations: 4096)
        let stored = digest(hmac(salted, "Client Key"))
        return "\(mechanism)$4096:\(encode(salt))$\(encode(stored)):\(encode(hmac(salted, "Server Key")))"
    }

    /// SHA-1 in hexadecimal small letters: the handshake of XEP-0114.
    static func hexSHA1(_ text: String) -> String {
        var result = [UInt8](repeating: 0, count: 20)
        let bytes = Array(text.utf8)
        SHA1(bytes, bytes.count, &result)
        return result.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // MARK: Functions of RFC 5802 §2.2

    /// PBKDF2 takes milliseconds, and most test accounts share a salt.
    private static func hi(_ password: String, salt: [UInt8], iterations: Int32) -> [UInt8] {
        let label = "\(password) \(encode(salt)) \(iterations)"
        if let known = salted.withLock({ $0[label] }) { return known }
        var result = [UInt8](repeating: 0, count: 32)
        PKCS5_PBKDF2_HMAC(password, Int32(password.utf8.count), salt, Int32(salt.count), iterations, EVP_sha256(), 32, &result)
        salted.withLock { $0[label] = result }
        return result
    }

    private static func hmac(_ key: [UInt8], _ text: String) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        let bytes = Array(text.utf8)
        HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &result, nil)
        return result
    }

    private static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        EVP_Digest(bytes, bytes.count, &result, nil, EVP_sha256(), nil)
        return result
    }

    static func encode(_ bytes: [UInt8]) -> String {
        var result = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = EVP_EncodeBlock(&result, bytes, Int32(bytes.count))
        return String(decoding: result.prefix(Int(count)), as: UTF8.self)
    }

    static func decode(_ text: String) throws -> [UInt8] {
        let bytes = Array(text.utf8)
        var result = [UInt8](repeating: 0, count: bytes.count / 4 * 3 + 3)
        let count = EVP_DecodeBlock(&result, bytes, Int32(bytes.count))
        guard count >= 0 else { throw ProcessFailure("“\(text)” is not base 64") }
        // EVP_DecodeBlock counts the padding as zeros.
        return Array(result.prefix(Int(count) - bytes.reversed().prefix { $0 == UInt8(ascii: "=") }.count))
    }
}
