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
        /// `from` is no JID: on a client's stream a matter for the stream (`invalid-from`, RFC 6120 §4.9.3.9).
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
    /// - Throws: `StanzaShapeError`.
    public init(_ element: Element, source: UnsafeRawBufferPointer, streamLang: String?) throws(StanzaShapeError) {
        guard let kind = StanzaKind(element) else {
            throw StanzaShapeError(reason: .notAStanza, kind: nil, type: nil, id: element["id"], to: element["to"], from: element["from"])
        }
        var seen = 0
        func attribute(_ name: String) -> String? {
            guard let value = element[name] else { return nil }
            seen += 1
            return value
        }
        let id = attribute("id")
        let toText = attribute("to")
        let fromText = attribute("from")
        let typeText = attribute("type")
        let ownLang = element.lang
        if ownLang != nil { seen += 1 }
        let type = StanzaType(attribute: typeText, in: kind)
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
        self.init(kind: kind, type: type, id: id, from: from, to: to, lang: ownLang ?? streamLang, payload: payload)
        if element.attributeCount > seen { extraAttributes = Self.extras(element) }
    }

    /// The attributes that no field holds; those in a namespace get a declaration of their own.
    private static func extras(_ element: Element) -> String {
        var bytes: [UInt8] = []
        var prefixes: [String: String] = [:]
        for attribute in element.attributes {
            if attribute.namespace.isEmpty {
                if ["id", "to", "from", "type"].contains(attribute.local) { continue }
                XMLWriter.attribute(attribute.local, attribute.value, into: &bytes)
            } else if attribute.namespace == "http://www.w3.org/XML/1998/namespace" {
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
