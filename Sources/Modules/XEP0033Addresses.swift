public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0033: Extended Stanza Addressing. Every host is a multicast service for its own users: what one of them sends to the domain with
/// a list of addresses goes to each of them. Nothing is relayed for others.
public final class ExtendedAddressing: Module {
    public static let name = "addresses"
    public static let implements = [XEP(33, "1.2.1", "Extended Stanza Addressing")]
    private let bound: Int

    public init(_ context: ModuleContext) { bound = context.settings.limits.addresses }

    public func register(in registration: inout Registration) {
        guard bound > 0 else { return }
        registration.feature(NS.address, of: .server)
        let bound = bound
        registration.expand { stanza, turn in
            guard stanza.payload.facts.mask.contains(.addresses), stanza.type != .error else { return nil }
            return Result { () throws(StanzaError) in
                // §3, §5.1: presence as it is directed to somebody. Subscriptions are between two.
                guard stanza.kind == .message || stanza.type == .none || stanza.type == .unavailable else { throw StanzaError(.badRequest) }
                let addresses = try AddressHeader(of: stanza, bound: bound)
                // §2.2, §6: to all of them, or to none.
                guard addresses.recipients.allSatisfy({ turn.isReached($0.jid.domain) }) else {
                    throw StanzaError(.forbidden, text: "One of the addresses cannot be reached from here")
                }
                return try addresses.copies(of: stanza)
            }
        }
        // §2.2: for those who are not at home here nothing is sent on.
        registration.refuse { stanza in
            stanza.payload.facts.mask.contains(.addresses) ? StanzaError(.forbidden, text: "Nothing is relayed for others") : nil
        }
    }
}

/// The addresses of a stanza (§4).
struct AddressHeader {
    struct Recipient {
        var jid: JID
        /// Known to nobody but itself.
        var isBlind: Bool
        /// Its element as it is shown.
        var xml: [UInt8]
    }

    /// Who gets it now.
    private(set) var recipients: [Recipient] = []
    /// What everybody sees.
    private var shown: [UInt8] = []
    private let lang: String?

    /// Reads the header of a stanza for a multicast service.
    ///
    /// - Throws: `bad-request` for what §4 does not allow, `jid-malformed` for an address that cannot be one here, `not-acceptable` for more
    ///   than `bound` receivers (§9).
    init(of stanza: Stanza, bound: Int) throws(StanzaError) {
        let facts = stanza.payload.facts.children.filter { $0.kind == .addresses }
        guard facts.count == 1, let fact = facts.first, let header = stanza.payload.element(of: fact) else {
            throw StanzaError(.badRequest, text: "One list of addresses, please")
        }
        lang = header.lang
        var count = 0
        for address in header.children where address.is(Self.address) {
            count += 1
            guard let type = address["type"], !type.isEmpty else { throw StanzaError(.badRequest, text: "An address has no type") }
            let (text, uri, node) = (address["jid"], address["uri"], address["node"])
            guard uri == nil || text == nil && node == nil else { throw StanzaError(.badRequest, text: "An address is a JID or a URI") }
            guard text != nil || uri != nil || type == "noreply" else { throw StanzaError(.badRequest, text: "An address has no JID") }
            let jid = text.flatMap { try? JID($0) }
            guard text == nil || jid != nil else { throw StanzaError(.jidMalformed, text: "An address is no JID") }
            let isBlind = type == "bcc"
            let isDelivered = address["delivered"] == "true"
            guard isBlind || type == "to" || type == "cc" else {
                shown += try Self.write(address, delivered: false)
                continue
            }
            if isDelivered {
                if !isBlind { shown += try Self.write(address, delivered: true) }
                continue
            }
            // §4.2, §9: other schemes are not understood here.
            guard let jid else { throw StanzaError(.jidMalformed, text: "Only JIDs can be reached from here") }
            guard recipients.count < bound else { throw StanzaError(.notAcceptable, text: "More than \(bound) addresses") }
            let xml = try Self.write(address, delivered: !isBlind)
            if !isBlind { shown += xml }
            recipients.append(Recipient(jid: jid, isBlind: isBlind, xml: xml))
        }
        guard count > 0 else { throw StanzaError(.badRequest, text: "The list of addresses is empty") }
    }

    private static let address = Name("address", NS.address)

    /// One address with what stands in it, marked as delivered or as it came.
    private static func write(_ address: Element, delivered: Bool) throws(StanzaError) -> [UInt8] {
        var xml = XMLWriter()
        xml.raw("<address")
        for attribute in address.attributes where attribute.namespace.isEmpty && !(delivered && attribute.local == "delivered") {
            xml.attribute(attribute.local, attribute.value)
        }
        if let lang = address.lang { xml.attribute("xml:lang", lang) }
        if delivered { xml.attribute("delivered", "true") }
        xml.raw(">")
        for child in address.children {
            // What somebody adds to an address (§4.7) travels with it, as long as it is small.
            guard xml.element(child, in: NS.address, limit: max(0, 4_096 - xml.bytes.count)) else {
                throw StanzaError(.notAcceptable, text: "An address is too large")
            }
        }
        xml.end("address")
        return xml.bytes
    }

    /// A stanza for each recipient: the same for all who may be seen, for a blind one with its own address alone added (§6).
    func copies(of stanza: Stanza) throws(StanzaError) -> [Stanza] {
        let bare = stanza.payload.removing { $0.kind == .addresses }
        let common = bare.appending(header(and: []), as: .addresses)
        return recipients.map { recipient in
            var copy = stanza
            copy.to = recipient.jid
            copy.payload = recipient.isBlind ? bare.appending(header(and: recipient.xml), as: .addresses) : common
            return copy
        }
    }

    private func header(and own: [UInt8]) -> [UInt8] {
        guard !shown.isEmpty || !own.isEmpty else { return [] }
        var xml = XMLWriter()
        xml.start("addresses", xmlns: NS.address, ("xml:lang", lang))
        xml.raw(shown)
        xml.raw(own)
        xml.end("addresses")
        return xml.bytes
    }
}
