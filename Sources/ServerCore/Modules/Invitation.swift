public import Stanzas

/// A promise to whoever shows its token: an account, the friendship of the inviter, or both (XEP-0379, XEP-0401, XEP-0445). It is kept with
/// the account of its host, where it is used up.
public struct Invitation: Sendable, Equatable {
    /// The token: 26 characters of base 32, 130 bits of chance. Its first six are the invitation's name among others and no secret.
    public var token: String
    /// Bare JID; nil: made at the console.
    public var inviter: JID?
    /// The localpart that is kept for whoever registers with it; nil: the invitee chooses.
    public var username: String?
    /// Whether an account may be made with it.
    public var givesAccount: Bool
    /// Whether the inviter and the invitee become contacts.
    public var befriends: Bool
    /// µs since 1970, UTC.
    public var created: Int64
    /// µs since 1970, UTC.
    public var expires: Int64
    /// How many times it can still be used.
    public var uses: Int
    /// Registrations that are under way with it, and until when they are waited for: each holds one use.
    public var claims: [UInt64: Int64] = [:]

    public init(
        token: String = Invitation.makeToken(), inviter: JID?, username: String? = nil, givesAccount: Bool, befriends: Bool, created: Int64,
        expires: Int64, uses: Int
    ) {
        self.token = token
        self.inviter = inviter
        self.username = username
        self.givesAccount = givesAccount
        self.befriends = befriends
        self.created = created
        self.expires = expires
        self.uses = uses
    }

    private static let nameLength = 6
    private static let tokenLength = 26
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")

    /// A token nobody can guess.
    public static func makeToken() -> String {
        var generator = SystemRandomNumberGenerator()
        return String((0..<tokenLength).map { _ in alphabet[Int(generator.next(upperBound: UInt8(32)))] })
    }

    /// The name of the invitation that a token may belong to; nil for what is no token.
    public static func name(ofToken token: String) -> String? {
        token.utf8.count == tokenLength ? String(token.prefix(nameLength)) : nil
    }

    /// What it is listed and revoked by.
    public var name: String { String(token.prefix(Self.nameLength)) }

    /// Uses that no registration under way holds.
    public func freeUses(now: Int64) -> Int { uses - claims.values.count { $0 > now } }

    // MARK: Links

    /// `xmpp:` with what the invitee's client shall do (XEP-0401 §5.1, §5.4, XEP-0445 §2).
    public func uri(host: String) -> String {
        if befriends, !isForAccount, let inviter {
            return "xmpp:\(Self.escape(inviter.local ?? ""))@\(inviter.domain)?roster;preauth=\(token)\(givesAccount ? ";ibr=y" : "")"
        }
        let address = username.map { Self.escape($0) + "@" + host } ?? host
        return "xmpp:\(address)?register;preauth=\(token)"
    }

    /// Whether it was made to give an account, whatever else comes with it.
    public var isForAccount = false

    /// The page that a template makes of it: `{token}`, `{host}` and `{uri}` are filled in; nil where there is no template.
    public func link(template: String, host: String) -> String? {
        guard !template.isEmpty else { return nil }
        var text = ""
        var rest = Substring(template)
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            text += rest[..<open]
            switch rest[rest.index(after: open)..<close] {
            case "token": text += token
            case "host": text += host
            case "uri": text += Self.escape(uri(host: host))
            default: text += rest[open...close]
            }
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }

    /// Percent-encodes all but unreserved characters (RFC 3986 §2.3, RFC 5122 §2.7).
    static func escape(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                escaped += "%" + (digits.utf8.count == 1 ? "0" : "") + digits
            }
        }
        return escaped
    }

    // MARK: As bytes

    private static let version: UInt8 = 1

    public func encode(into writer: inout ByteWriter) {
        writer.uint8(Self.version)
        writer.string(token)
        writer.string(inviter?.description ?? "")
        writer.string(username ?? "")
        writer.uint8((givesAccount ? 1 : 0) | (befriends ? 2 : 0) | (isForAccount ? 4 : 0))
        writer.uint64(UInt64(bitPattern: created))
        writer.uint64(UInt64(bitPattern: expires))
        writer.count(uses)
        writer.count(claims.count)
        for (claim, until) in claims.sorted(by: { $0.key < $1.key }) {
            writer.uint64(claim)
            writer.uint64(UInt64(bitPattern: until))
        }
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.bytes
    }

    public init(from reader: inout ByteReader) throws(CodecError) {
        guard try reader.uint8() == Self.version else { throw .unknownVersion }
        token = try reader.string()
        let inviter = try reader.string()
        self.inviter = inviter.isEmpty ? nil : try? JID(inviter)
        let username = try reader.string()
        self.username = username.isEmpty ? nil : username
        let flags = try reader.uint8()
        givesAccount = flags & 1 != 0
        befriends = flags & 2 != 0
        isForAccount = flags & 4 != 0
        created = Int64(bitPattern: try reader.uint64())
        expires = Int64(bitPattern: try reader.uint64())
        uses = try reader.count()
        for _ in 0..<(try reader.count()) { claims[try reader.uint64()] = Int64(bitPattern: try reader.uint64()) }
    }

    /// The one invitation in these bytes; nil when there is none.
    public init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let read = try? Invitation(from: &reader) else { return nil }
        self = read
    }

    /// Several, one behind the other.
    public static func decodeAll(_ bytes: [UInt8]) -> [Invitation] {
        var reader = ByteReader(bytes)
        var all: [Invitation] = []
        while !reader.isAtEnd, let next = try? Invitation(from: &reader) { all.append(next) }
        return all
    }
}

extension Invitation: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the token.
    public var description: String { "Invitation(\(name), \(uses) uses)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["name": name]) }
}

/// What may be asked of a host's account about its invitations (`AccountCommand.call`).
public enum InvitationCall {
    /// Keeps one, whose token the asker made. Answers it; `failed` says why not.
    public static let create = "invitation create"
    /// Those of an inviter, given as bare JID, or all for an empty argument. Answers them one behind the other.
    public static let list = "invitation list"
    /// Takes back the one of this name, with the inviter's bare JID behind a space when it must be his. Answers how many.
    public static let revoke = "invitation revoke"
}
