internal import Stanzas

/// What is kept of a password for one hash (RFC 5802 §3): enough to check it and to prove it was known, not to log in with it.
public struct SCRAMKey: Sendable, Equatable {
    public let hash: SCRAMHash
    /// 1 to `maximumSaltLength` bytes.
    public let salt: [UInt8]
    /// PBKDF2 iterations, in `acceptedIterations`.
    public let iterations: Int
    /// H(ClientKey); as long as the hash.
    public let storedKey: [UInt8]
    /// As long as the hash.
    public let serverKey: [UInt8]

    /// Bytes of the salts made here.
    public static let saltLength = 16
    /// The longest salt that is accepted, in bytes.
    public static let maximumSaltLength = 64
    /// Fewer iterations are refused by clients (RFC 7677 §4); more would let one check hold a core for seconds.
    public static let acceptedIterations = 4096...1_000_000

    /// Checks the lengths and the iterations.
    public init(hash: SCRAMHash, salt: [UInt8], iterations: Int, storedKey: [UInt8], serverKey: [UInt8]) throws(CredentialsError) {
        guard Self.acceptedIterations.contains(iterations) else {
            throw .iterations(iterations, allowed: Self.acceptedIterations)
        }
        guard (1...Self.maximumSaltLength).contains(salt.count) else { throw .salt(length: salt.count) }
        for key in [storedKey, serverKey] where key.count != hash.length { throw .keyLength(hash, length: key.count) }
        self.hash = hash
        self.salt = salt
        self.iterations = iterations
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// Derives the keys of a prepared password (RFC 5802 §3): one PBKDF2.
    init(hash: SCRAMHash, prepared password: UnsafeRawBufferPointer, salt: [UInt8], iterations: Int) throws(CredentialsError) {
        guard Self.acceptedIterations.contains(iterations) else {
            throw .iterations(iterations, allowed: Self.acceptedIterations)
        }
        try self.init(
            hash: hash, saltedPassword: try hash.hi(password, salt: salt, iterations: iterations), salt: salt, iterations: iterations)
    }

    /// Makes the keys of what PBKDF2 made of a password (RFC 5802 §3).
    init(hash: SCRAMHash, saltedPassword salted: [UInt8], salt: [UInt8], iterations: Int) throws(CredentialsError) {
        let clientKey = hash.hmac(key: salted, Array("Client Key".utf8))
        try self.init(
            hash: hash, salt: salt, iterations: iterations, storedKey: hash.digest(clientKey),
            serverKey: hash.hmac(key: salted, Array("Server Key".utf8)))
    }

    /// Whether these keys were made from the password. One PBKDF2; the comparison takes the same time whatever differs.
    func matches(prepared password: UnsafeRawBufferPointer) throws(CredentialsError) -> Bool {
        let other = try SCRAMKey(hash: hash, prepared: password, salt: salt, iterations: iterations)
        return equalInConstantTime(other.storedKey, storedKey)
    }

    /// `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>` in base 64 (the form of RFC 5803), for export: as secret as the keys.
    public var text: String {
        "\(hash.mechanism)$\(iterations):\(Base64.encode(salt))$\(Base64.encode(storedKey)):\(Base64.encode(serverKey))"
    }

    /// Reads one entry of the form `text` has.
    public init(importing text: some StringProtocol) throws(CredentialsError) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .form }
        let first = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        let second = parts[2].split(separator: ":", omittingEmptySubsequences: false)
        guard first.count == 2, second.count == 2 else { throw .form }
        guard let hash = SCRAMHash.allCases.first(where: { $0.mechanism == parts[0] }) else { throw .mechanism }
        guard first[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let iterations = Int(first[0]) else { throw .field(.iterations) }
        guard let salt = Base64.decode(first[1].utf8) else { throw .field(.salt) }
        guard let storedKey = Base64.decode(second[0].utf8) else { throw .field(.storedKey) }
        guard let serverKey = Base64.decode(second[1].utf8) else { throw .field(.serverKey) }
        try self.init(hash: hash, salt: salt, iterations: iterations, storedKey: storedKey, serverKey: serverKey)
    }
}

extension SCRAMKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without salt and keys.
    public var description: String { "SCRAMKey(\(hash.mechanism), \(iterations) iterations)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
