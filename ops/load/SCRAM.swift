import COpenSSL
import Stanzas

/// What a password is worth in SCRAM, for one hash, salt and number of rounds.
struct SCRAMKeys {
    let salt: [UInt8]
    let iterations: Int
    let clientKey: [UInt8]
    let storedKey: [UInt8]
    let serverKey: [UInt8]
}

/// The client's side of SCRAM (RFC 5802 §3, RFC 7677) without channel binding, made from the RFC and not from the server's code.
struct SCRAMLogin {
    enum Hash { case sha1, sha256, sha512 }

    private let hash: Hash
    private let account: Account
    private let nonce: String
    private let firstBare: String
    private var expected: [UInt8] = []

    init(_ hash: Hash, _ account: Account) {
        self.hash = hash
        self.account = account
        nonce = Accounts.makePassword()
        // In a name = and , are written as escapes (§5.1).
        let name = account.name.replacing("=", with: "=3D").replacing(",", with: "=2C")
        firstBare = "n=\(name),r=\(nonce)"
    }

    var first: String { Base64.encode(Array("n,,\(firstBare)".utf8)) }

    /// The answer to a challenge in base 64; nil when it is none.
    mutating func answer(_ challenge: String) -> String? {
        guard let bytes = Base64.decode(challenge.utf8) else { return nil }
        let serverFirst = String(decoding: bytes, as: UTF8.self)
        let parts = serverFirst.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0].hasPrefix("r=\(nonce)"), parts[1].hasPrefix("s="), parts[2].hasPrefix("i="),
            let salt = Base64.decode(parts[1].dropFirst(2).utf8), let iterations = Int32(parts[2].dropFirst(2)),
            (1...1_000_000).contains(iterations)
        else { return nil }
        let keys = keys(salt, Int(iterations))
        let withoutProof = "c=biws,\(parts[0])"
        let message = Array("\(firstBare),\(serverFirst),\(withoutProof)".utf8)
        let signature = hmac(keys.storedKey, message)
        expected = hmac(keys.serverKey, message)
        let proof = zip(keys.clientKey, signature).map { $0 ^ $1 }
        return Base64.encode(Array("\(withoutProof),p=\(Base64.encode(proof))".utf8))
    }

    /// Whether the server knows the keys as well.
    func accepts(_ success: String) -> Bool {
        !expected.isEmpty && Base64.decode(success.utf8).map { String(decoding: $0, as: UTF8.self) } == "v=\(Base64.encode(expected))"
    }

    private func keys(_ salt: [UInt8], _ iterations: Int) -> SCRAMKeys {
        if let known = account.keys, known.salt == salt, known.iterations == iterations { return known }
        var salted = [UInt8](repeating: 0, count: size)
        let password = Array(account.password.utf8)
        switch hash {
        case .sha1: martlet_pbkdf2_sha1(password, password.count, salt, salt.count, UInt(iterations), &salted)
        case .sha256: martlet_pbkdf2_sha256(password, password.count, salt, salt.count, UInt(iterations), &salted)
        case .sha512: martlet_pbkdf2_sha512(password, password.count, salt, salt.count, UInt(iterations), &salted)
        }
        let clientKey = hmac(salted, Array("Client Key".utf8))
        var storedKey = [UInt8](repeating: 0, count: size)
        EVP_Digest(clientKey, clientKey.count, &storedKey, nil, digest, nil)
        let keys = SCRAMKeys(
            salt: salt, iterations: iterations, clientKey: clientKey, storedKey: storedKey,
            serverKey: hmac(salted, Array("Server Key".utf8)))
        account.keys = keys
        return keys
    }

    private var size: Int {
        switch hash {
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }

    private var digest: OpaquePointer? {
        switch hash {
        case .sha1: EVP_sha1()
        case .sha256: EVP_sha256()
        case .sha512: EVP_sha512()
        }
    }

    private func hmac(_ key: [UInt8], _ text: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: size)
        HMAC(digest, key, Int32(key.count), text, text.count, &result, nil)
        return result
    }
}
