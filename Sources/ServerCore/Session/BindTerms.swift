public import Stanzas
import Store

/// What a session is to be from its first moment, beside its resource: known when SASL2 and Bind 2 carry the request (XEP-0386 §3.2).
public struct BindTerms: Sendable, Equatable {
    /// The installation of the client, a UUID in lower case (XEP-0388 §2.3); nil where it did not say.
    public var device: String?
    /// Earlier sessions of the device end (XEP-0386 §3.2).
    public var replacesDevice: Bool
    /// Copies of the account's messages are on (XEP-0280).
    public var carbons: Bool
    /// The client reads in the archive what came before: it hears of the archive's state, and nothing that is archived waits for it
    /// (XEP-0386 §3.2). Means nothing on a host that does not archive.
    public var readsArchive: Bool

    /// What the client and its device call themselves (XEP-0388 §2.3), for the administrator.
    public var client: String?

    public init(
        device: String? = nil, replacesDevice: Bool = false, carbons: Bool = false, readsArchive: Bool = false, client: String? = nil
    ) {
        self.device = device
        self.client = client
        self.replacesDevice = replacesDevice
        self.carbons = carbons
        self.readsArchive = readsArchive
    }

    var flags: Resource.Flags { carbons ? .carbons : [] }
}

extension ByteWriter {
    mutating func terms(_ terms: BindTerms) {
        optional(terms.device)
        bool(terms.replacesDevice)
        bool(terms.carbons)
        bool(terms.readsArchive)
        optional(terms.client)
    }
}

extension ByteReader {
    mutating func terms() throws(CodecError) -> BindTerms {
        BindTerms(
            device: try optional(), replacesDevice: try bool(), carbons: try bool(), readsArchive: try bool(), client: try optional())
    }
}

extension Shard {
    /// The resource that Bind 2 gives (XEP-0386 §3.2.1): the client's tag and a name that stays the same for the same account, tag and
    /// device, and does not tell the device's id.
    ///
    /// - Parameter device: nil: the name is random.
    public func resource(account: JID, tag: String?, device: String?) -> String {
        let number: (UInt64, UInt64)
        if let device {
            // A keyed hash: only who knows the key of the volume could try ids.
            number = core.identity.hash128("device\u{0}\(account.bare)\u{0}\(device)")
        } else {
            number = (core.random.next(), core.random.next())
        }
        let name = Self.legible(number)
        // A tag that no resource can have is left out; one that is too long as well.
        guard let tag, let tagged = try? JID.prepareResource("\(tag)/\(name)") else { return name }
        return tagged
    }

    /// 80 bits in 16 characters, none of which looks like another.
    private static func legible(_ number: (UInt64, UInt64)) -> String {
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789")
        let digits = (0..<8).map { alphabet[Int(number.0 >> (UInt64($0) * 5) & 31)] }
        return String(digits + (0..<8).map { alphabet[Int(number.1 >> (UInt64($0) * 5) & 31)] })
    }
}
