public import Stanzas
internal import XMLStream

/// The start tag of an account (§4.2): who it is, and the password when the file has it.
public struct PortableUser: Sendable {
    /// What the file has for a login.
    public enum Password: Sendable {
        case plain(String)
        /// SCRAM keys in the place of a password, as ejabberd writes them: `scram:` (or `scram:HASH:`) and stored key, server key, salt,
        /// iterations with commas between them.
        case key(PortableKey)
    }

    public let jid: JID
    public let password: Password?

    /// - Parameters:
    ///   - xml: `<user/>` as `PortableReader` gives it.
    ///   - host: the domain it stands in.
    public init(_ xml: String, host: String) throws(PortableRefusal) {
        let element: Element
        do throws(ParseError) {
            element = try Element.parse(Array(xml.utf8), limits: .part)
        } catch {
            throw PortableRefusal("the user cannot be read: \(error)")
        }
        guard let name = element["name"] else { throw PortableRefusal("a user has no name") }
        do throws(JIDError) {
            jid = try JID(local: name, domain: host, resource: nil)
        } catch {
            throw PortableRefusal("\(PortableItem.shown(name)) cannot be the name of a user (RFC 7622): \(error)")
        }
        guard let text = element["password"], !text.isEmpty else {
            password = nil
            return
        }
        password = try Self.keyInPassword(text).map { .key($0) } ?? .plain(text)
    }

    private static func keyInPassword(_ text: String) throws(PortableRefusal) -> PortableKey? {
        guard text.utf8.starts(with: "scram:".utf8) else { return nil }
        let rest = text.dropFirst(6)
        let head = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let hash = head.count == 2 ? head[0].lowercased() : "sha"
        let fields = (head.count == 2 ? head[1] : rest).split(separator: ",", omittingEmptySubsequences: false)
        // A password may well begin like this: without four fields that fit it is one.
        guard fields.count == 4, let storedKey = Base64.decode(fields[0].utf8), let serverKey = Base64.decode(fields[1].utf8),
            let salt = Base64.decode(fields[2].utf8), !storedKey.isEmpty, !serverKey.isEmpty,
            fields[3].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let iterations = Int(fields[3])
        else { return nil }
        let mechanism: String
        switch hash {
        case "sha", "sha1", "sha-1": mechanism = "SCRAM-SHA-1"
        case "sha256", "sha-256": mechanism = "SCRAM-SHA-256"
        case "sha512", "sha-512": mechanism = "SCRAM-SHA-512"
        default: throw PortableRefusal("its SCRAM keys are of a hash that is not known")
        }
        return PortableKey(mechanism: mechanism, iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }
}

extension PortableUser: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the password.
    public var description: String { "PortableUser(\(jid))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["jid": jid]) }
}
