internal import Stanzas

/// A login of a device, told to the home of its account: the home decides on tokens (XEP-0484), because only it sees every use of one.
public struct DeviceLogin: Sendable, Equatable {
    /// The name of the call.
    public static let call = "device.login"

    /// The UUID of the installation, in lower case.
    public var id: String
    public var software: String?
    public var device: String?
    /// The SASL mechanism that proved the login.
    public var mechanism: String
    /// Random: the same login asked for again is known by it.
    public var number: UInt64
    /// The token that proved it; nil: something else did.
    public var token: String?
    /// How often the client says to have tried with the token.
    public var count: UInt32?
    /// The token is not to be used again.
    public var invalidate: Bool
    /// The mechanism that a new token is wanted for; nil: none is.
    public var wantsTokenFor: String?

    public init(
        id: String, software: String? = nil, device: String? = nil, mechanism: String, number: UInt64 = .random(in: 1 ... .max),
        token: String? = nil, count: UInt32? = nil, invalidate: Bool = false, wantsTokenFor: String? = nil
    ) {
        self.id = id
        self.software = software
        self.device = device
        self.mechanism = mechanism
        self.number = number
        self.token = token
        self.count = count
        self.invalidate = invalidate
        self.wantsTokenFor = wantsTokenFor
    }

    /// The call's argument.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.string(id)
        writer.optional(software)
        writer.optional(device)
        writer.string(mechanism)
        writer.uint64(number)
        writer.optional(token)
        writer.bool(count != nil)
        writer.uint32(count ?? 0)
        writer.bool(invalidate)
        writer.optional(wantsTokenFor)
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        do throws(CodecError) {
            id = try reader.string()
            software = try reader.optional()
            device = try reader.optional()
            mechanism = try reader.string()
            number = try reader.uint64()
            token = try reader.optional()
            let isCounted = try reader.bool()
            let number = try reader.uint32()
            count = isCounted ? number : nil
            invalidate = try reader.bool()
            wantsTokenFor = try reader.optional()
        } catch {
            return nil
        }
    }

    /// What the home says.
    public enum Answer: Sendable, Equatable {
        /// The token is not good any more, or this use of it was counted before.
        case refused
        /// The login stands, with a new token and its end (µs since 1970, UTC) where there is one.
        case accepted(token: String?, expires: Int64)

        func encode() -> [UInt8] {
            var writer = ByteWriter()
            switch self {
            case .refused: writer.uint8(0)
            case .accepted(let token, let expires):
                writer.uint8(1)
                writer.optional(token)
                writer.uint64(UInt64(bitPattern: expires))
            }
            return writer.bytes
        }

        /// What a call answered with.
        public init?(_ bytes: [UInt8]) {
            var reader = ByteReader(bytes)
            do throws(CodecError) {
                switch try reader.uint8() {
                case 0: self = .refused
                case 1: self = .accepted(token: try reader.optional(), expires: Int64(bitPattern: try reader.uint64()))
                default: return nil
                }
            } catch {
                return nil
            }
        }
    }
}

extension DeviceLogin: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the token.
    public var description: String { "DeviceLogin(\(mechanism))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension DeviceLogin.Answer: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the token.
    public var description: String { if case .refused = self { "refused" } else { "accepted" } }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A device as its owner and the administrator see it: without secrets.
public struct DeviceInfo: Sendable, Equatable {
    /// The call that lists them; its argument is empty.
    public static let listCall = "device.list"
    /// The call that logs a device out, or all of them where its argument is empty: tokens are void, sessions end.
    public static let revokeCall = "device.revoke"

    public var id: String
    public var software: String?
    public var device: String?
    /// µs since 1970, UTC.
    public var firstSeen: Int64
    public var lastSeen: Int64
    /// The SASL mechanism of the last login.
    public var mechanism: String
    /// What its token is for, and until when it is good (µs since 1970, UTC); nil without a token.
    public var tokenMechanism: String?
    public var tokenExpires: Int64
    /// Sessions of the device now.
    public var sessions: Int

    static func encode(_ all: [DeviceInfo]) -> [UInt8] {
        var writer = ByteWriter()
        writer.count(all.count)
        for info in all {
            writer.string(info.id)
            writer.optional(info.software)
            writer.optional(info.device)
            writer.uint64(UInt64(bitPattern: info.firstSeen))
            writer.uint64(UInt64(bitPattern: info.lastSeen))
            writer.string(info.mechanism)
            writer.optional(info.tokenMechanism)
            writer.uint64(UInt64(bitPattern: info.tokenExpires))
            writer.uint32(UInt32(clamping: info.sessions))
        }
        return writer.bytes
    }

    /// What the call that lists them answered with.
    public static func decode(_ bytes: [UInt8]) -> [DeviceInfo]? {
        var reader = ByteReader(bytes)
        var all: [DeviceInfo] = []
        do throws(CodecError) {
            for _ in 0..<(try reader.count()) {
                all.append(
                    DeviceInfo(
                        id: try reader.string(), software: try reader.optional(), device: try reader.optional(),
                        firstSeen: Int64(bitPattern: try reader.uint64()), lastSeen: Int64(bitPattern: try reader.uint64()),
                        mechanism: try reader.string(), tokenMechanism: try reader.optional(),
                        tokenExpires: Int64(bitPattern: try reader.uint64()), sessions: Int(try reader.uint32())))
            }
        } catch {
            return nil
        }
        return all
    }
}
