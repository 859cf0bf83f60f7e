internal import Stanzas

/// All that is kept of an account's password: the SCRAM keys of each hash, never the password.
public struct Credentials: Sendable, Equatable {
    /// One or more, each under its own hash.
    public let keys: [SCRAMHash: SCRAMKey]

    /// At least one key, no hash twice.
    public init(_ keys: [SCRAMKey]) throws(CredentialsError) {
        guard !keys.isEmpty else { throw .empty }
        var table: [SCRAMHash: SCRAMKey] = [:]
        for key in keys where table.updateValue(key, forKey: key.hash) != nil { throw .duplicate(key.hash) }
        self.keys = table
    }

    /// Makes the keys of a new password, each with a fresh salt: one PBKDF2 a hash, so not on a loop (`PasswordPool.derive`).
    /// - Parameters:
    ///   - password: is prepared here with OpaqueString (RFC 8265 §4.2).
    ///   - iterations: in `SCRAMKey.acceptedIterations`.
    ///   - salts: gives the salts; the system's random bytes unless a test wants known ones.
    public static func derive(
        password: String, iterations: Int, hashes: [SCRAMHash] = SCRAMHash.allCases, salts: ((SCRAMHash) -> [UInt8])? = nil
    ) throws(CredentialsError) -> Credentials {
        let prepared = try SecretBytes(preparing: password)
        var keys: [SCRAMKey] = []
        for hash in hashes {
            let salt = if let salts { salts(hash) } else { try randomBytes(SCRAMKey.saltLength) }
            keys.append(try SCRAMKey(hash: hash, prepared: prepared.bytes, salt: salt, iterations: iterations))
        }
        return try Credentials(keys)
    }

    /// Reads keys made by another server: one or more entries like `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, white space between.
    public init(importing text: String) throws(CredentialsError) {
        var keys: [SCRAMKey] = []
        for entry in text.split(whereSeparator: \.isWhitespace) { keys.append(try SCRAMKey(importing: entry)) }
        try self.init(keys)
    }

    /// The form `init(importing:)` reads, strongest hash first: as secret as the keys.
    public var text: String { ordered.map(\.text).joined(separator: " ") }

    /// The key of the strongest hash: the one a password sent in PLAIN is checked with.
    var strongest: SCRAMKey? { ordered.first }

    private var ordered: [SCRAMKey] { keys.values.sorted { $0.hash > $1.hash } }

    /// Whether this is the password the keys were made from: one PBKDF2, so not on a loop (`PasswordPool`). Takes the same time for every wrong one.
    public func verify(_ password: String) -> Bool {
        guard let prepared = try? SecretBytes(preparing: password), let key = strongest else { return false }
        return (try? key.matches(prepared: prepared.bytes)) ?? false
    }

    // MARK: Record

    private static let version: UInt8 = 1

    /// The bytes that are stored: version, number of keys, and per key hash, iterations, salt, stored key, server key.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.version)
        writer.count(keys.count)
        for key in ordered {
            writer.uint8(key.hash.rawValue)
            writer.uint32(UInt32(truncatingIfNeeded: key.iterations))
            writer.bytes(key.salt)
            writer.bytes(key.storedKey)
            writer.bytes(key.serverKey)
        }
        return writer.bytes
    }

    /// Reads what `encode` wrote; the whole of it must be used.
    public static func decode(_ bytes: [UInt8]) throws(CredentialsError) -> Credentials {
        do {
            var reader = ByteReader(bytes)
            guard try reader.uint8() == version else { throw CodecError.unknownVersion }
            let count = try reader.count()
            guard count <= SCRAMHash.allCases.count else { throw CodecError.malformed }
            var keys: [SCRAMKey] = []
            for _ in 0..<count {
                guard let hash = SCRAMHash(rawValue: try reader.uint8()) else { throw CodecError.malformed }
                let iterations = Int(try reader.uint32())
                keys.append(
                    try SCRAMKey(
                        hash: hash, salt: try reader.bytes(), iterations: iterations, storedKey: try reader.bytes(),
                        serverKey: try reader.bytes()))
            }
            guard reader.isAtEnd else { throw CodecError.malformed }
            return try Credentials(keys)
        } catch let error as CodecError {
            throw .record(error)
        } catch let error as CredentialsError {
            throw error
        } catch {
            throw .record(.malformed)
        }
    }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The hashes, without the keys.
    public var description: String { "Credentials(\(ordered.map(\.hash.mechanism).joined(separator: ", ")))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
