#if canImport(Glibc)
    import Glibc
#endif
public import XMLStream

/// Why an element from the wire is no stanza, with what is needed to answer it.
public struct StanzaShapeError: Error, Equatable, Sendable {
    /// What is wrong.
    public enum Reason: Sendable, CaseIterable {
        /// Not a message, presence or iq in the stream's content namespace: a matter for the stream (`unsupported-stanza-type`).
        case notAStanza
        /// `bad-request`: RFC 6120 §8.2.3, RFC 6121 §4.7.1.
        case badRequest
        /// `to` is no JID: `jid-malformed` (RFC 6120 §8.3.3.8).
        case toMalformed
        /// `from` is no JID, or not the sender's: on a client's stream a matter for the stream (`invalid-from`, RFC 6120 §4.9.3.9).
        case fromMalformed
    }

    public var reason: Reason
    /// Nil for `notAStanza`.
    public var kind: StanzaKind?
    /// Nil when the type is missing or unknown where there must be one.
    public var type: StanzaType?
    public var id: String?
    /// The attributes as written, perhaps malformed.
    public var to: String?
    public var from: String?

    public init(reason: Reason, kind: StanzaKind?, type: StanzaType?, id: String?, to: String?, from: String?) {
        self.reason = reason
        self.kind = kind
        self.type = type
        self.id = id
        self.to = to
        self.from = from
    }

    /// Whether a stanza error may answer: nothing answers an error or a result (RFC 6120 §8.3.1).
    public var mayBeAnswered: Bool { kind != nil && type != .error && type != .result }

    /// The stanza error that tells of it; nil for `notAStanza`, which is a matter for the stream.
    public var stanzaError: StanzaError? {
        switch reason {
        case .notAStanza: nil
        case .badRequest: StanzaError(.badRequest)
        case .toMalformed, .fromMalformed: StanzaError(.jidMalformed)
        }
    }

    /// The answer to the sender, from the address it wrote to where that is one; nil when nothing may answer (RFC 6120 §8.3.1).
    public func reply() -> Stanza? {
        guard mayBeAnswered, let kind, let stanzaError else { return nil }
        return Stanza(
            kind: kind, type: .error, id: id, from: to.flatMap { try? JID($0) }, to: from.flatMap { try? JID($0) },
            payload: Payload(written: stanzaError.bytes, as: .error))
    }
}

extension Stanza {
    /// Reads a stanza from the wire.
    ///
    /// - Parameters:
    ///   - element: a first-level element of a stream, as `XMLStreamParser` gives it.
    ///   - source: the bytes it was parsed from.
    ///   - streamLang: the stream's `xml:lang`, which a stanza without one takes over (RFC 6120 §8.1.5).
    ///   - sender: the full address of the client whose stream it is: what the stanza is from. It may say so itself, or name the bare one
    ///     (RFC 6120 §8.1.2.1).
    /// - Throws: `StanzaShapeError`.
    public init(
        _ element: Element, source: UnsafeRawBufferPointer, streamLang: String?, sender: JID? = nil
    ) throws(StanzaShapeError) {
        guard let kind = StanzaKind(element) else {
            throw StanzaShapeError(reason: .notAStanza, kind: nil, type: nil, id: element["id"], to: element["to"], from: element["from"])
        }
        let header = HeaderAttributes(element)
        let id = header.idText
        let toText = header.toText
        let fromText = header.fromText
        let type = StanzaType(attribute: header.typeText, in: kind)
        func failure(_ reason: StanzaShapeError.Reason) -> StanzaShapeError {
            StanzaShapeError(reason: reason, kind: kind, type: type, id: id, to: toText, from: fromText)
        }
        guard let type else { throw failure(.badRequest) }
        var from: JID?
        if let fromText {
            guard let jid = try? JID(fromText) else { throw failure(.fromMalformed) }
            from = jid
        }
        var to: JID?
        if let toText {
            guard let jid = try? JID(toText) else { throw failure(.toMalformed) }
            to = jid
        }
        let payload = Payload(element, source: source)
        if kind == .iq {
            guard id != nil else { throw failure(.badRequest) }
            if type == .get || type == .set, payload.facts.children.count != 1 { throw failure(.badRequest) }
        }
        if let from, let sender, from != sender, !(from.isBare && from.hasSameBare(as: sender)) { throw failure(.fromMalformed) }
        self.init(kind: kind, type: type, id: id, from: sender ?? from, to: to, lang: header.langText ?? streamLang, payload: payload)
        if header.hasOthers { extraAttributes = Self.extras(element) }
    }

    /// The attributes that no field holds; those in a namespace get a declaration of their own.
    private static func extras(_ element: Element) -> String {
        var bytes: [UInt8] = []
        var prefixes: [String: String] = [:]
        for attribute in element.attributes {
            if attribute.namespace.isEmpty {
                if ["id", "to", "from", "type"].contains(attribute.local) { continue }
                XMLWriter.attribute(attribute.local, attribute.value, into: &bytes)
            } else if attribute.namespace == NS.xml {
                if attribute.local == "lang" { continue }
                XMLWriter.attribute("xml:" + attribute.local, attribute.value, into: &bytes)
            } else {
                let prefix: String
                if let known = prefixes[attribute.namespace] {
                    prefix = known
                } else {
                    prefix = "a\(prefixes.count)"
                    prefixes[attribute.namespace] = prefix
                    XMLWriter.attribute("xmlns:" + prefix, attribute.namespace, into: &bytes)
                }
                XMLWriter.attribute(prefix + ":" + attribute.local, attribute.value, into: &bytes)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Where the attributes stand that every stanza may have (RFC 6120 §8.1), found in one pass; plain numbers, as this is done for each stanza.
private struct HeaderAttributes {
    private var id = -1
    private var to = -1
    private var from = -1
    private var type = -1
    private var lang = -1
    private(set) var hasOthers = false
    private let element: Element

    init(_ element: Element) {
        self.element = element
        var (id, to, from, type, lang, others, index) = (-1, -1, -1, -1, -1, false, 0)
        element.forEachAttribute { local, namespace, _ in
            defer { index += 1 }
            switch (local.count, namespace.isEmpty) {
            case (2, true) where local[0] == UInt8(ascii: "i") && local[1] == UInt8(ascii: "d"): id = index
            case (2, true) where local[0] == UInt8(ascii: "t") && local[1] == UInt8(ascii: "o"): to = index
            case (4, true) where Self.is(local, "from"): from = index
            case (4, true) where Self.is(local, "type"): type = index
            case (4, false) where Self.is(local, "lang") && Self.is(namespace, NS.xml): lang = index
            default: others = true
            }
        }
        (self.id, self.to, self.from, self.type, self.lang, hasOthers) = (id, to, from, type, lang, others)
    }

    private static func `is`(_ bytes: UnsafeRawBufferPointer, _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { text in
            guard let a = bytes.baseAddress, let b = text.baseAddress else { return bytes.count == text.count }
            return bytes.count == text.count && memcmp(a, b, text.count) == 0
        }
    }

    var idText: String? { value(id) }
    var toText: String? { value(to) }
    var fromText: String? { value(from) }
    var typeText: String? { value(type) }
    var langText: String? { value(lang) }

    private func value(_ index: Int) -> String? { index < 0 ? nil : element.attributeValue(at: index) }
}

extension StanzaKind {
    private static let messageName = Name("message", "jabber:client")
    private static let presenceName = Name("presence", "jabber:client")
    private static let iqName = Name("iq", "jabber:client")

    /// The kind of a first-level element, or nil when it is no stanza. Elements of a server's stream count as `jabber:client` too.
    public init?(_ element: Element) {
        if element.is(Self.messageName) {
            self = .message
        } else if element.is(Self.presenceName) {
            self = .presence
        } else if element.is(Self.iqName) {
            self = .iq
        } else {
            return nil
        }
    }
}
