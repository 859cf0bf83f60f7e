internal import Stanzas

/// A device of an account: a client that named its installation when it logged in (XEP-0388 §2.3), with the tokens it may log in with
/// (XEP-0484). The value of an item of kind `device`, whose name is the installation's UUID.
public struct DeviceRecord: Sendable, Equatable {
    /// A secret that stands for the account's password, for one device and one mechanism.
    public struct Token: Sendable, Equatable {
        /// As the client was given it; the mechanism proves that one has it, so it is kept as it is.
        public var secret: String
        /// The one mechanism it is for (XEP-0484 §3.4).
        public var mechanism: String
        /// µs since 1970, UTC.
        public var issued: Int64
        public var expires: Int64
        /// The highest attempt that was counted with it; nil: none was.
        public var count: UInt32?

        public init(secret: String, mechanism: String, issued: Int64, expires: Int64, count: UInt32? = nil) {
            self.secret = secret
            self.mechanism = mechanism
            self.issued = issued
            self.expires = expires
            self.count = count
        }
    }

    public static let version: UInt8 = 1

    public var software: String?
    public var device: String?
    /// µs since 1970, UTC.
    public var firstSeen: Int64
    public var lastSeen: Int64
    /// The mechanism of the last login.
    public var mechanism: String
    /// The number that the last login was asked for with, to know it when it is asked again.
    public var lastLogin: UInt64 = 0
    /// The token that was used last.
    public var current: Token?
    /// The token that was given last and not used yet: until it is, the one before stays good (XEP-0484 §3.5).
    public var fresh: Token?

    public init(software: String?, device: String?, firstSeen: Int64, lastSeen: Int64, mechanism: String) {
        self.software = software
        self.device = device
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        self.mechanism = mechanism
    }

    public var tokens: [Token] { [fresh, current].compactMap { $0 } }

    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(Self.version)
        writer.optional(software)
        writer.optional(device)
        writer.int64(firstSeen)
        writer.int64(lastSeen)
        writer.string(mechanism)
        writer.uint64(lastLogin)
        for token in [current, fresh] {
            writer.flag(token != nil)
            guard let token else { continue }
            writer.string(token.secret)
            writer.string(token.mechanism)
            writer.int64(token.issued)
            writer.int64(token.expires)
            writer.flag(token.count != nil)
            writer.uint32(token.count ?? 0)
        }
        return writer.bytes
    }

    /// Nil for what `encode` did not write.
    public init?(_ bytes: [UInt8]) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.uint8() == Self.version else { return nil }
            software = try reader.optionalString()
            device = try reader.optionalString()
            firstSeen = try reader.int64()
            lastSeen = try reader.int64()
            mechanism = try reader.string()
            lastLogin = try reader.uint64()
            current = try Self.token(from: &reader)
            fresh = try Self.token(from: &reader)
            guard reader.isAtEnd else { return nil }
        } catch {
            return nil
        }
    }

    private static func token(from reader: inout ByteReader) throws -> Token? {
        guard try reader.flag() else { return nil }
        let secret = try reader.string()
        let mechanism = try reader.string()
        let issued = try reader.int64()
        let expires = try reader.int64()
        let isCounted = try reader.flag()
        let count = try reader.uint32()
        guard isCounted || count == 0 else { throw FieldError() }
        return Token(secret: secret, mechanism: mechanism, issued: issued, expires: expires, count: isCounted ? count : nil)
    }
}

extension DeviceRecord.Token: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the secret.
    public var description: String { "Token(\(mechanism))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension DeviceRecord: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without secrets.
    public var description: String { "DeviceRecord(\(tokens.count) tokens)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension AccountRows {
    /// One device; nil when there is none of this id.
    public func device(_ id: String, in snapshot: any Snapshot) throws(StoreFailure) -> DeviceRecord? {
        try item(.device, id, in: snapshot).flatMap { DeviceRecord($0) }
    }
}
