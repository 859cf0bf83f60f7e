public import Stanzas
internal import XMLStream

/// Writes a file of XEP-0227, piece by piece: what `PortableReader` and other servers read.
public struct PortableWriter {
    private var xml = XMLWriter()
    private let encodesTwice: Bool

    /// - Parameter encodesTwice: whether the values of keys are base 64 of base 64, which is how ejabberd 23.01 writes and reads them.
    public init(encodesTwice: Bool = false) { self.encodesTwice = encodesTwice }

    /// What was written since the last call.
    public mutating func take() -> [UInt8] {
        defer { xml.bytes.removeAll() }
        return xml.bytes
    }

    /// Bytes that wait to be taken.
    public var count: Int { xml.bytes.count }

    public mutating func begin() {
        xml.raw("<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='\(Portable.namespace)'>\n")
    }

    public mutating func end() { xml.raw("</server-data>\n") }

    public mutating func begin(host: String) {
        xml.start("host", ("jid", host))
        xml.raw("\n")
    }

    public mutating func endHost() { xml.raw("</host>\n") }

    public mutating func begin(user: String) { xml.start("user", ("name", user)) }

    public mutating func endUser() { xml.raw("</user>\n") }

    /// §4.3.
    public mutating func key(_ key: PortableKey) {
        func text(_ bytes: [UInt8]) -> String {
            let once = Base64.encode(bytes)
            return encodesTwice ? Base64.encode(Array(once.utf8)) : once
        }
        xml.element("scram-credentials", xmlns: Portable.scram, ("mechanism", key.mechanism)) { xml in
            xml.element("iter-count", text: "\(key.iterations)")
            xml.element("salt", text: text(key.salt))
            xml.element("server-key", text: text(key.serverKey))
            xml.element("stored-key", text: text(key.storedKey))
        }
    }

    /// An account that may not log in; nothing of XEP-0227 says that.
    public mutating func disabled(reason: String) { xml.element("disabled", xmlns: Portable.own, text: reason) }

    /// §4.4.
    public mutating func roster(_ contacts: [PortableContact]) {
        xml.element("query", xmlns: Portable.roster) { xml in
            for contact in contacts {
                xml.element(
                    "item", ("jid", contact.jid.description), ("name", contact.name.isEmpty ? nil : contact.name),
                    ("subscription", contact.subscription.rawValue), ("ask", contact.asks ? "subscribe" : nil),
                    ("approved", contact.isApproved ? "true" : nil)
                ) { xml in
                    for group in contact.groups { xml.element("group", text: group) }
                }
            }
        }
    }

    /// §4.9.
    public mutating func request(_ stanza: Stanza) { stanza.write(into: &xml.bytes, xmlns: NS.client) }

    /// §4.7: the card as it is kept.
    public mutating func vCard(_ card: [UInt8]) { xml.raw(card) }

    /// §4.6: elements as they are kept, for a place whose default namespace is that of the storage.
    public mutating func privateElements(_ elements: [[UInt8]]) {
        xml.element("query", xmlns: Portable.privateXML) { xml in for element in elements { xml.raw(element) } }
    }

    /// §4.8: blocked addresses, as the default privacy list of servers that know those only.
    public mutating func blocked(_ addresses: [String]) {
        xml.element("query", xmlns: "jabber:iq:privacy") { xml in
            xml.empty("default", ("name", "blocked"))
            xml.element("list", ("name", "blocked")) { xml in
                for (index, address) in addresses.enumerated() {
                    xml.empty("item", ("type", "jid"), ("value", address), ("action", "deny"), ("order", "\(index + 1)"))
                }
                xml.empty("item", ("action", "allow"), ("order", "\(addresses.count + 1)"))
            }
        }
    }

    /// §4.5.
    ///
    /// - Parameter key: what the ids of archived messages were made with, so that an import into this server keeps them. It comes before
    ///   all messages, since those that wait may be archived, too.
    public mutating func beginOffline(key: UInt64) {
        xml.empty("archive-ids", xmlns: Portable.own, ("key", String(key, radix: 16)))
        xml.start("offline-messages")
    }

    public mutating func endOffline() { xml.end("offline-messages") }

    /// A message that was not delivered, oldest first.
    ///
    /// - Parameters:
    ///   - id: the one it is archived under, when it is.
    public mutating func offline(_ stanza: Stanza, stamp: DateTime, id: String?, of account: JID) {
        var stanza = stanza
        if let id {
            var element = XMLWriter()
            element.empty("stanza-id", xmlns: NS.stanzaID, ("by", account.description), ("id", id))
            stanza.payload = stanza.payload.appending(element.bytes, as: .stanzaID)
        }
        var delay = XMLWriter()
        Delay(stamp: stamp, from: account.domainJID).write(into: &delay)
        stanza.payload = stanza.payload.appending(delay.bytes, as: .delay)
        stanza.write(into: &xml.bytes, xmlns: NS.client)
    }

    /// §4.11.
    public mutating func beginArchive() { xml.start("archive", xmlns: Portable.archive) }

    public mutating func endArchive() { xml.end("archive") }

    /// An archived message, oldest first; `message` writes it, with its namespace.
    public mutating func archived(id: String, stamp: DateTime, message: (inout [UInt8]) -> Void) {
        xml.element("result", xmlns: NS.archive, ("id", id)) { xml in
            xml.element("forwarded", xmlns: NS.forward) { xml in
                xml.empty("delay", xmlns: NS.delay, ("stamp", stamp.description))
                message(&xml.bytes)
            }
        }
    }
}
