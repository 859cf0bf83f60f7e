public import Stanzas
internal import XMLStream

/// Why one thing of an account is not taken: a sentence that repeats no secret.
public struct PortableRefusal: Error, Equatable, Sendable {
    public let sentence: String
    public init(_ sentence: String) { self.sentence = sentence }
}

/// SCRAM keys of one hash (§4.3), in base 64 as they stood.
public struct PortableKey: Equatable, Sendable {
    /// `SCRAM-SHA-1` and the like, without `-PLUS`.
    public var mechanism: String
    public var iterations: Int
    public var salt: [UInt8]
    public var storedKey: [UInt8]
    public var serverKey: [UInt8]

    public init(mechanism: String, iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.mechanism = mechanism
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }
}

extension PortableKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without salt and keys.
    public var description: String { "PortableKey(\(mechanism))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A contact (§4.4) with both subscriptions.
public struct PortableContact: Equatable, Sendable {
    public enum Subscription: String, Sendable, CaseIterable { case none, to, from, both }

    public var jid: JID
    public var name: String
    public var groups: [String]
    public var subscription: Subscription
    /// `ask='subscribe'`: the contact has not answered.
    public var asks: Bool
    /// `approved='true'`: a request of the contact is granted at once (RFC 6121 §3.4).
    public var isApproved: Bool

    public init(jid: JID, name: String, groups: [String], subscription: Subscription, asks: Bool, isApproved: Bool) {
        self.jid = jid
        self.name = name
        self.groups = groups
        self.subscription = subscription
        self.asks = asks
        self.isApproved = isApproved
    }
}

/// One thing of an account.
public enum PortableItem: Sendable {
    case key(PortableKey)
    case contact(PortableContact)
    /// A subscription request that was not answered (§4.9).
    case request(Stanza)
    /// `<vCard/>`, whole.
    case vCard([UInt8])
    /// An element of private storage, and its name: local name, a space, namespace.
    case privateElement(name: String, xml: [UInt8])
    case blocked(JID)
    /// Blocked addresses out of the default privacy list, and how many rules of privacy lists are more than that.
    case privacy(blocked: [JID], others: Int)
    /// A message that was not delivered; with its id in the archive and the moment it came, when those are known.
    case offline(Stanza, id: String?, stamp: DateTime?)
    case archived(Stanza, id: String, stamp: DateTime)
    /// The file has the account's archive.
    case archive
    /// Why the account may not log in.
    case disabled(reason: String)
    /// What this server made the ids of the archive with.
    case archiveIDs(key: UInt64)
    /// Nothing that can be taken, by its kind.
    case unknown(kind: String)
}

extension PortableItem {
    private static let message = Name("message", NS.client)
    private static let presence = Name("presence", NS.client)

    /// Reads one thing, as `PortableReader` cut it.
    ///
    /// - Parameters:
    ///   - xml: one element; its default namespace is `jabber:client` where it does not say otherwise.
    ///   - account: whose it is.
    public init(_ xml: [UInt8], at place: Portable.Place, of account: JID) throws(PortableRefusal) {
        let element: Element
        do throws(ParseError) {
            element = try Element.parse(xml, limits: .part)
        } catch {
            throw PortableRefusal("it is no element that can be read: \(error)")
        }
        switch place {
        case .user: self = try Self.child(element, xml, of: account)
        case .roster: self = try Self.contact(element, of: account)
        case .privateXML: self = .privateElement(name: element.local + " " + element.namespace, xml: xml)
        case .blocked:
            guard element.local == "item", let text = element["jid"] else { throw PortableRefusal("a blocked address has no jid") }
            self = .blocked(try Self.jid(text))
        case .offline:
            guard element.local == "message" else {
                self = .unknown(kind: "<\(element.local)/> among the offline messages")
                return
            }
            let kept = try Self.kept(try Self.stanza(element, xml, .message), of: account)
            self = .offline(kept.stanza, id: kept.id, stamp: kept.stamp)
        case .archive: self = try Self.result(element, of: account)
        }
    }

    private static func child(_ element: Element, _ xml: [UInt8], of account: JID) throws(PortableRefusal) -> PortableItem {
        switch (element.namespace, element.local) {
        case (Portable.scram, "scram-credentials"): return .key(try PortableKey(element))
        case (NS.vCard, "vCard"): return .vCard(xml)
        case (NS.client, "presence"):
            guard element["type"] == "subscribe" else { return .unknown(kind: "<presence/> that is no subscription request") }
            var stanza = try stanza(element, xml, .presence)
            guard let from = stanza.from?.bare, from.local != nil || from.isDomain else {
                throw PortableRefusal("a subscription request does not say from whom")
            }
            stanza.from = from
            stanza.to = account
            return .request(stanza)
        case ("jabber:iq:privacy", "query"): return try privacy(element)
        case (Portable.archive, "archive"): return .archive
        case (Portable.own, "disabled"): return .disabled(reason: element.text)
        case (Portable.own, "archive-ids"):
            guard let text = element["key"], let key = UInt64(text, radix: 16) else { throw PortableRefusal("its archive-ids are damaged") }
            return .archiveIDs(key: key)
        default: return .unknown(kind: "<\(element.local)/> of \(element.namespace)")
        }
    }

    /// A prepared address, or why it is none (RFC 7622).
    static func jid(_ text: String) throws(PortableRefusal) -> JID {
        do throws(JIDError) {
            return try JID(text)
        } catch {
            throw PortableRefusal("\(shown(text)) is not a JID: \(error)")
        }
    }

    /// A text of the file on a line of a report.
    static func shown(_ text: String) -> String {
        let line = text.unicodeScalars.prefix(100).map { $0.value < 0x20 ? "?" : String($0) }.joined()
        return "“\(line)”"
    }

    private static func contact(_ element: Element, of account: JID) throws(PortableRefusal) -> PortableItem {
        guard element.local == "item", let text = element["jid"] else { throw PortableRefusal("a contact has no jid") }
        let jid = try jid(text)
        guard jid.isBare else { throw PortableRefusal("the contact \(shown(text)) has a resource: a roster holds none") }
        guard jid != account else { throw PortableRefusal("the account is a contact of its own") }
        guard let subscription = PortableContact.Subscription(rawValue: element["subscription"] ?? "none") else {
            throw PortableRefusal("the contact \(shown(text)) has a subscription that is none")
        }
        var groups: [String] = []
        for child in element.children where child.local == "group" {
            let group = child.text
            if !group.isEmpty, !groups.contains(group) { groups.append(group) }
        }
        return .contact(
            PortableContact(
                jid: jid, name: element["name"] ?? "", groups: groups, subscription: subscription, asks: element["ask"] == "subscribe",
                isApproved: ["true", "1"].contains(element["approved"])))
    }

    /// XEP-0016: denied addresses of the default list are what XEP-0191 knows.
    private static func privacy(_ query: Element) throws(PortableRefusal) -> PortableItem {
        let chosen = query.children.first { $0.local == "default" }?["name"]
        var blocked: [JID] = []
        var others = 0
        for list in query.children where list.local == "list" {
            for item in list.children where item.local == "item" {
                // The rule behind all others that allows the rest says nothing.
                if item["type"] == nil, item["action"] == "allow" { continue }
                guard list["name"] == chosen, item["type"] == "jid", item["action"] == "deny", !isPartial(item),
                    let text = item["value"]
                else {
                    others += 1
                    continue
                }
                let jid = try jid(text)
                if !blocked.contains(jid) { blocked.append(jid) }
            }
        }
        return .privacy(blocked: blocked, others: others)
    }

    /// Whether a rule is about some kinds of stanzas only.
    private static func isPartial(_ item: Element) -> Bool {
        let kinds = Set(item.children.map(\.local))
        return !kinds.isEmpty && !kinds.isSuperset(of: ["message", "iq", "presence-in", "presence-out"])
    }

    // MARK: Messages

    private static func stanza(_ element: Element, _ xml: [UInt8], _ kind: StanzaKind) throws(PortableRefusal) -> Stanza {
        let read = xml.withUnsafeBytes { source in
            Result { () throws(StanzaShapeError) in try Stanza(element, source: source, streamLang: nil) }
        }
        switch read {
        case .success(let stanza) where stanza.kind == kind: return stanza
        case .failure(let error) where error.reason == .fromMalformed:
            throw PortableRefusal("its from, \(shown(error.from ?? "")), is not a JID")
        case .failure(let error) where error.reason == .toMalformed:
            throw PortableRefusal("its to, \(shown(error.to ?? "")), is not a JID")
        case .failure(let error) where error.reason == .badRequest:
            throw PortableRefusal("it is a \(kind.name) of a type that there is not")
        case .success, .failure: throw PortableRefusal("it is no \(kind.name) of jabber:client")
        }
    }

    private static func result(_ element: Element, of account: JID) throws(PortableRefusal) -> PortableItem {
        guard element.local == "result" else { return .unknown(kind: "<\(element.local)/> in the archive") }
        guard let id = element["id"] else { throw PortableRefusal("an archived message has no id") }
        guard let forwarded = element.children.first(where: { $0.local == "forwarded" && $0.namespace == "urn:xmpp:forward:0" }),
            let message = forwarded.children.first(where: { $0.is(Self.message) })
        else { throw PortableRefusal("the archive's \(shown(id)) has no message of jabber:client in it") }
        guard let stamp = forwarded.first(Delay.name).flatMap({ Delay($0) })?.stamp else {
            throw PortableRefusal("the archive's \(shown(id)) does not say when it was")
        }
        // Out of its surroundings.
        var writer = XMLWriter()
        guard writer.element(message, limit: Portable.partBytes) else {
            throw PortableRefusal("the archive's \(shown(id)) is larger than \(Portable.partBytes) bytes")
        }
        let xml = writer.bytes
        let own: Element
        do throws(ParseError) {
            own = try Element.parse(xml, limits: .part)
        } catch {
            throw PortableRefusal("the archive's \(shown(id)) cannot be read: \(error)")
        }
        let kept = try kept(try Self.stanza(own, xml, .message), of: account)
        return .archived(kept.stanza, id: id, stamp: stamp)
    }

    /// A message as an account keeps it: without what its server wrote into it for the way to a client, which says when it came and under
    /// which id it is archived.
    private static func kept(
        _ stanza: Stanza, of account: JID
    ) throws(PortableRefusal) -> (stanza: Stanza, id: String?, stamp: DateTime?) {
        guard stanza.type != .error || stanza.from != nil else { throw PortableRefusal("it is an error from nobody") }
        var stanza = stanza
        if stanza.from == nil { stanza.from = account }
        if stanza.to == nil { stanza.to = account }
        guard stanza.from?.bare == account || stanza.to?.bare == account else {
            throw PortableRefusal("it is neither from \(account) nor to it")
        }
        var stamp: DateTime?
        var oldest: DateTime?
        var id: String?
        let payload = stanza.payload
        stanza.payload = payload.removing { child in
            // What ejabberd marks its archived messages with, from before XEP-0359.
            guard [.delay, .stanzaID, .other].contains(child.kind), let element = payload.element(of: child) else { return false }
            if child.kind == .other {
                return element.local == "archived" && element.namespace == "urn:xmpp:mam:tmp"
                    && (element["by"].flatMap { try? JID($0) })?.bare == account
            }
            if child.kind == .stanzaID {
                guard (element["by"].flatMap { try? JID($0) })?.bare == account else { return false }
                id = element["id"]
                return true
            }
            guard let delay = Delay(element) else { return false }
            oldest = min(oldest ?? delay.stamp, delay.stamp)
            // XEP-0203: of whoever kept it for the account.
            guard delay.from == nil || delay.from == account.domainJID || delay.from?.bare == account else { return false }
            stamp = delay.stamp
            return true
        }
        return (stanza, id, stamp ?? oldest)
    }
}

extension PortableKey {
    /// Reads `<scram-credentials/>`.
    fileprivate init(_ element: Element) throws(PortableRefusal) {
        guard let mechanism = element["mechanism"] else { throw PortableRefusal("SCRAM keys without a mechanism") }
        func text(_ name: String) throws(PortableRefusal) -> String {
            let found = element.children.filter { $0.local == name }
            guard found.count == 1, let first = found.first else { throw PortableRefusal("\(mechanism): \(name) must stand once") }
            return String(first.text.filter { !$0.isWhitespace })
        }
        func bytes(_ name: String) throws(PortableRefusal) -> [UInt8] {
            guard let bytes = Base64.decode(try text(name).utf8), !bytes.isEmpty else {
                throw PortableRefusal("\(mechanism): \(name) is not base 64")
            }
            return bytes
        }
        let count = try text("iter-count")
        guard count.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let iterations = Int(count) else {
            throw PortableRefusal("\(mechanism): iter-count is not a number")
        }
        self.init(
            mechanism: mechanism, iterations: iterations, salt: try bytes("salt"), storedKey: try bytes("stored-key"),
            serverKey: try bytes("server-key"))
        decodeTwice()
    }

    /// ejabberd (23.01 and others) writes base 64 of base 64: then neither key is as long as its hash before it is decoded once more.
    private mutating func decodeTwice() {
        let length = ["SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64][mechanism]
        guard let length, storedKey.count != length, serverKey.count != length, let stored = Base64.decode(storedKey),
            stored.count == length,
            let server = Base64.decode(serverKey), server.count == length, let plainSalt = Base64.decode(salt), !plainSalt.isEmpty
        else { return }
        (storedKey, serverKey, salt) = (stored, server, plainSalt)
    }
}

extension XMLLimits {
    /// For what a file holds.
    static let part = XMLLimits(stanzaBytes: Portable.partBytes + 1_024, depth: 260, attributes: 1_000, namespaceDeclarations: 150)
}
