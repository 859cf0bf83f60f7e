/// A task that gives an account the key of one more hash (XEP-0480 §3): the client hashes its password as it is told, and this side
/// makes the key of that.
public struct HashUpgrade: Sendable, Equatable {
    public let hash: SCRAMHash
    public let salt: [UInt8]
    public let iterations: Int

    /// - Parameter iterations: in `SCRAMKey.acceptedIterations`.
    public init(_ hash: SCRAMHash, iterations: Int) throws(CredentialsError) {
        self.hash = hash
        salt = try randomBytes(SCRAMKey.saltLength)
        self.iterations = iterations
    }

    /// The name of the task for a hash.
    public static func task(_ hash: SCRAMHash) -> String { "UPGR-" + hash.mechanism }

    /// The hash that a task is for; nil for another task.
    public static func hash(ofTask task: String) -> SCRAMHash? { SCRAMHash.allCases.first { Self.task($0) == task } }

    public var task: String { Self.task(hash) }

    /// The keys of an account with the one that the answer makes.
    ///
    /// - Parameter saltedPassword: what RFC 5802 §3 calls by that name; not as long as the hash: `.keyLength`.
    public func adding(saltedPassword: [UInt8], to credentials: Credentials) throws(CredentialsError) -> Credentials {
        guard saltedPassword.count == hash.length else { throw .keyLength(hash, length: saltedPassword.count) }
        let key = try SCRAMKey(hash: hash, saltedPassword: saltedPassword, salt: salt, iterations: iterations)
        return try Credentials(credentials.keys.values.filter { $0.hash != hash } + [key])
    }
}

extension HashUpgrade: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the salt.
    public var description: String { "HashUpgrade(\(hash.mechanism))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
