import XMLStream

/// A message, presence or iq: its header fields, and what is inside as bytes (RFC 6120 §8).
///
/// A value: changing a copy leaves the others as they are. The fields stand in one shared object, so that a stanza on its way (ledger,
/// letter, gate, queue) is passed on by counting one reference instead of one for each of its strings.
public struct Stanza: Sendable {
    /// Changed only while one stanza alone refers to it.
    private final class Fields: @unchecked Sendable {
        var kind: StanzaKind
        var type: StanzaType
        var id: String?
        var from: JID?
        var to: JID?
        var lang: String?
        var extraAttributes: String
        var payload: Payload
        var trace: UInt64

        init(
            kind: StanzaKind, type: StanzaType, id: String?, from: JID?, to: JID?, lang: String?, extraAttributes: String, payload: Payload,
            trace: UInt64
        ) {
            self.trace = trace
            self.kind = kind
            self.type = type
            self.id = id
            self.from = from
            self.to = to
            self.lang = lang
            self.extraAttributes = extraAttributes
            self.payload = payload
        }
    }

    private var fields: Fields

    /// Makes the fields this stanza's own before one is changed.
    private mutating func own() {
        guard !isKnownUniquelyReferenced(&fields) else { return }
        fields = Fields(
            kind: fields.kind, type: fields.type, id: fields.id, from: fields.from, to: fields.to, lang: fields.lang,
            extraAttributes: fields.extraAttributes, payload: fields.payload, trace: fields.trace)
    }

    public var kind: StanzaKind {
        get { fields.kind }
        set {
            own()
            fields.kind = newValue
        }
    }
    public var type: StanzaType {
        get { fields.type }
        set {
            own()
            fields.type = newValue
        }
    }
    /// RFC 6120 §8.1.3. Always there on an iq.
    public var id: String? {
        get { fields.id }
        set {
            own()
            fields.id = newValue
        }
    }
    public var from: JID? {
        get { fields.from }
        set {
            own()
            fields.from = newValue
        }
    }
    public var to: JID? {
        get { fields.to }
        set {
            own()
            fields.to = newValue
        }
    }
    /// `xml:lang` (RFC 6120 §8.1.5).
    public var lang: String? {
        get { fields.lang }
        set {
            own()
            fields.lang = newValue
        }
    }
    /// Further attributes of the start tag, escaped and each with a space before it; normally empty.
    public var extraAttributes: String {
        get { fields.extraAttributes }
        set {
            own()
            fields.extraAttributes = newValue
        }
    }
    public var payload: Payload {
        get { fields.payload }
        set {
            own()
            fields.payload = newValue
        }
    }
    /// The mark of a stanza whose way somebody looks at, put on where it enters and carried along: which one it is, and in the lowest four
    /// bits for whom. 0: nobody looks. It is on no stream and in no store.
    public var trace: UInt64 {
        get { fields.trace }
        set {
            own()
            fields.trace = newValue
        }
    }

    /// A stanza of the server's own. Whether the type fits the kind is the caller's business.
    public init(
        kind: StanzaKind, type: StanzaType, id: String? = nil, from: JID? = nil, to: JID? = nil, lang: String? = nil,
        payload: Payload = .empty
    ) {
        fields = Fields(kind: kind, type: type, id: id, from: from, to: to, lang: lang, extraAttributes: "", payload: payload, trace: 0)
    }

    /// Appends the stanza as XML: a new start tag, the payload byte for byte, the end tag. It reads the same on clients' and servers' streams.
    ///
    /// - Parameters:
    ///   - xmlns: declared on the start tag when given; needed where the surroundings have another default namespace: "jabber:client"
    ///     inside `<forwarded/>`, and on each frame of RFC 7395.
    ///   - from: in place of the stanza's own, when given.
    ///   - to: in place of the stanza's own, when given.
    public func write(into bytes: inout [UInt8], xmlns: String? = nil, from: JID? = nil, to: JID? = nil) {
        bytes.append(UInt8(ascii: "<"))
        bytes.append(text: kind.name)
        if let xmlns { XMLWriter.attribute("xmlns", xmlns, into: &bytes) }
        if let from = from ?? self.from { XMLWriter.attribute("from", from.description, into: &bytes) }
        if let to = to ?? self.to { XMLWriter.attribute("to", to.description, into: &bytes) }
        if let id { XMLWriter.attribute("id", id, into: &bytes) }
        if let type = type.attribute { XMLWriter.attribute("type", type, into: &bytes) }
        if let lang { XMLWriter.attribute("xml:lang", lang, into: &bytes) }
        if !extraAttributes.isEmpty { bytes.append(text: extraAttributes) }
        if payload.isEmpty {
            bytes.append(contentsOf: "/>".utf8)
            return
        }
        bytes.append(UInt8(ascii: ">"))
        bytes.append(contentsOf: payload.bytes)
        bytes.append(UInt8(ascii: "<"))
        bytes.append(UInt8(ascii: "/"))
        bytes.append(text: kind.name)
        bytes.append(UInt8(ascii: ">"))
    }

    /// The stanza as XML on its own.
    public var xml: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(payload.bytes.count + 256)
        write(into: &bytes)
        return bytes
    }

    /// Whether a reply may be an error: nothing answers an error or a result (RFC 6120 §8.3.1).
    public var mayBeAnswered: Bool { type != .error && type != .result }
}
