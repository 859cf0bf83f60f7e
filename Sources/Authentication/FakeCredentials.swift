/// Credentials of accounts that do not exist, so that a login for one goes step by step like a login with a wrong password (RFC 5802 §9).
///
/// The same name always has the same salt, on every node and after every restart, as long as the secret is the same.
public struct FakeCredentials: Sendable {
    /// What a stranger sees of real credentials: fake ones must look like most of a host's.
    public struct Shape: Sendable, Hashable {
        /// In `SCRAMKey.acceptedIterations`.
        public let iterations: Int
        /// Bytes, 1 to `SCRAMKey.maximumSaltLength`.
        public let saltLength: Int

        /// Values outside of what real credentials can have are moved to the nearest that they can.
        public init(iterations: Int, saltLength: Int = SCRAMKey.saltLength) {
            let allowed = SCRAMKey.acceptedIterations
            self.iterations = min(max(iterations, allowed.lowerBound), allowed.upperBound)
            self.saltLength = min(max(saltLength, 1), SCRAMKey.maximumSaltLength)
        }
    }

    private let secret: [UInt8]
    private let shapes: [SCRAMHash: Shape]

    /// - Parameters:
    ///   - secret: 32 random bytes of the cluster, the same on all nodes.
    ///   - shapes: per hash the shape that most accounts of the host have; at least one.
    public init(secret: [UInt8], shapes: [SCRAMHash: Shape]) {
        self.secret = secret
        self.shapes = shapes
    }

    /// The same shape for every hash: for a host whose accounts all had their passwords set here.
    public init(secret: [UInt8], iterations: Int) {
        self.init(secret: secret, shapes: Dictionary(uniqueKeysWithValues: SCRAMHash.allCases.map { ($0, Shape(iterations: iterations)) }))
    }

    /// Keys that no password matches. A hash for which no shape was given looks like passwords set here.
    /// - Parameters:
    ///   - user: prepared localpart.
    ///   - host: prepared domain: the same name has another salt on another host.
    public func record(for user: String, host: String, hash: SCRAMHash) throws(CredentialsError) -> SCRAMKey {
        let shape = shapes[hash] ?? Shape(iterations: shapes.values.first?.iterations ?? SCRAMKey.acceptedIterations.lowerBound)
        let whose = Array("\0\(hash.mechanism)\0\(user)\0\(host)".utf8)
        func bytes(_ purpose: String, by function: SCRAMHash) -> [UInt8] { function.hmac(key: secret, Array(purpose.utf8) + whose) }
        return try SCRAMKey(
            hash: hash, salt: Array(bytes("salt", by: .sha512).prefix(shape.saltLength)), iterations: shape.iterations,
            storedKey: bytes("stored key", by: hash), serverKey: bytes("server key", by: hash))
    }

    /// The key a password in PLAIN is checked with: of the strongest hash, as for a real account.
    func strongest(for user: String, host: String) throws(CredentialsError) -> SCRAMKey {
        try record(for: user, host: host, hash: shapes.keys.max() ?? .sha512)
    }
}

extension FakeCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the secret.
    public var description: String { "FakeCredentials" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
