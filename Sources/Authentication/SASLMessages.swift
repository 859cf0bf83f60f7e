internal import Stanzas

/// The first message of PLAIN (RFC 4616 §2): `[authzid] NUL authcid NUL passwd`.
struct PlainMessage {
    var authzid: String?
    var authcid: String
    var password: String

    init(_ data: [UInt8]) throws(SASLFailure) {
        let parts = data.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[1].isEmpty, !parts[2].isEmpty, let authzid = String(validating: parts[0], as: UTF8.self),
            let authcid = String(validating: parts[1], as: UTF8.self), let password = String(validating: parts[2], as: UTF8.self)
        else { throw .malformedRequest }
        self.authzid = authzid.isEmpty ? nil : authzid
        self.authcid = authcid
        self.password = password
    }
}

/// The first message of a SCRAM client (RFC 5802 §7): `gs2-header [reserved-mext ","] username "," nonce ["," extensions]`.
struct SCRAMClientFirst {
    /// The gs2-cbind-flag.
    enum Binding: Equatable {
        /// `n`: the client knows no channel binding.
        case unsupported
        /// `y`: the client knows channel binding and believes that the server does not.
        case unused
        /// `p=`: the type the client binds with.
        case required(String)
    }
    var binding: Binding
    var authzid: String?
    var authcid: String
    /// The gs2-header, with the comma that ends it: what the last message repeats.
    var header: [UInt8]
    /// The client-first-message-bare: what follows the header.
    var bare: [UInt8]
    var nonce: [UInt8]

    init(_ data: [UInt8]) throws(SASLFailure) {
        guard String(validating: data, as: UTF8.self) != nil, !data.contains(0) else { throw .malformedRequest }
        let parts = data.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard parts.count >= 4 else { throw .malformedRequest }
        let flag = String(decoding: parts[0], as: UTF8.self)
        switch flag {
        case "n": binding = .unsupported
        case "y": binding = .unused
        default:
            let name = flag.utf8.dropFirst(2)
            guard flag.utf8.starts(with: "p=".utf8), !name.isEmpty, name.allSatisfy(Self.isBindingName) else { throw .malformedRequest }
            binding = .required(String(decoding: name, as: UTF8.self))
        }
        if !parts[1].isEmpty { authzid = try Self.saslName(parts[1], after: "a=") }
        // A mandatory extension ("m=") in place of the name is one that we do not know: the login must fail.
        authcid = try Self.saslName(parts[2], after: "n=")
        let nonce = parts[3].dropFirst(2)
        guard parts[3].starts(with: "r=".utf8), !nonce.isEmpty, nonce.allSatisfy(Self.isPrintable) else { throw .malformedRequest }
        header = Array(data.prefix(parts[0].count + parts[1].count + 2))
        bare = Array(data.dropFirst(header.count))
        self.nonce = Array(nonce)
        for extension_ in parts[4...] where !Self.isAttribute(extension_) { throw .malformedRequest }
    }

    /// saslname: not empty, "," and "=" only as =2C and =3D.
    private static func saslName(_ value: ArraySlice<UInt8>, after prefix: String) throws(SASLFailure) -> String {
        guard value.starts(with: prefix.utf8), value.count > 2 else { throw .malformedRequest }
        var name: [UInt8] = []
        var rest = value.dropFirst(2)
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "=") else {
                name.append(byte)
                continue
            }
            if rest.starts(with: "2C".utf8) {
                name.append(UInt8(ascii: ","))
            } else if rest.starts(with: "3D".utf8) {
                name.append(UInt8(ascii: "="))
            } else {
                throw .malformedRequest
            }
            rest = rest.dropFirst(2)
        }
        return String(decoding: name, as: UTF8.self)
    }

    private static func isBindingName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// printable: any ASCII character but controls, space and ",".
    static func isPrintable(_ byte: UInt8) -> Bool { (0x21...0x7E).contains(byte) && byte != UInt8(ascii: ",") }

    /// attr-val: a letter, "=", something. "m" is for extensions that must be understood, and none is (§5.1).
    static func isAttribute(_ value: ArraySlice<UInt8>) -> Bool {
        guard let name = value.first, name != UInt8(ascii: "m"), value.dropFirst().first == UInt8(ascii: "="), value.count > 2 else {
            return false
        }
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(name | 0x20)
    }
}

/// The last message of a SCRAM client: `channel-binding "," nonce ["," extensions] "," proof`. Only its form is checked here: whether
/// nonce, binding and proof are right is for `SCRAMServer` or libsasl2 to say.
struct SCRAMClientFinal {
    /// What `c=` has, decoded: gs2-header and channel binding data.
    var binding: [UInt8]
    var nonce: [UInt8]
    /// As long as the hash.
    var proof: [UInt8]
    /// The client-final-message-without-proof.
    var withoutProof: [UInt8]

    init(_ data: [UInt8], hash: SCRAMHash) throws(SASLFailure) {
        guard String(validating: data, as: UTF8.self) != nil, !data.contains(0) else { throw .malformedRequest }
        let parts = data.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard parts.count >= 3, let binding = parts.first, let proof = parts.last, binding.starts(with: "c=".utf8),
            let header = Base64.decode(binding.dropFirst(2)), !header.isEmpty, proof.starts(with: "p=".utf8),
            let proved = Base64.decode(proof.dropFirst(2)), proved.count == hash.length
        else { throw .malformedRequest }
        let nonce = parts[1].dropFirst(2)
        guard parts[1].starts(with: "r=".utf8), !nonce.isEmpty, nonce.allSatisfy(SCRAMClientFirst.isPrintable),
            parts[2..<(parts.count - 1)].allSatisfy(SCRAMClientFirst.isAttribute)
        else { throw .malformedRequest }
        self.binding = header
        self.nonce = Array(nonce)
        self.proof = proved
        withoutProof = Array(data.dropLast(proof.count + 1))
    }
}

/// Who logs in, from the names in a client's first message.
struct SASLIdentity {
    /// Prepared localpart of the account.
    let user: String

    /// - Parameter host: prepared domain of the stream.
    init(authcid: String, authzid: String?, host: String) throws(SASLFailure) {
        // RFC 6120 §6.3.8: the simple user name. Some clients send their bare JID, which names the same account.
        var name = authcid
        if let at = authcid.utf8.firstIndex(of: UInt8(ascii: "@")) {
            let domain = String(authcid[authcid.utf8.index(after: at)...])
            guard (try? JID.prepareDomain(domain)) == host else { throw .notAuthorized }
            name = String(authcid[..<at])
        }
        // A name that no account can have is treated like one that no account has.
        guard let user = try? JID.prepareUsername(name) else { throw .notAuthorized }
        // RFC 6120 §6.3.8: if there is an authorization identity it is a bare JID; we let everybody act as himself only.
        if let authzid {
            guard let requested = try? JID(authzid), let own = try? JID(local: user, domain: host, resource: nil), requested == own else {
                throw .invalidAuthzid
            }
        }
        self.user = user
    }
}
