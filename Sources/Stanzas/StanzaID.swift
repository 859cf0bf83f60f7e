public import XMLStream

/// The id that an account or a room gave a stanza (XEP-0359 §2.1): unique and stable within the scope of `by`.
public struct StanzaID: Hashable, Sendable {
    public static let name = Name("stanza-id", NS.stanzaID)

    public var id: String
    /// Who gave it.
    public var by: JID

    public init(id: String, by: JID) {
        self.id = id
        self.by = by
    }

    /// Reads `<stanza-id/>`; nil when it is another element, or lacks an id or a legal `by`.
    public init?(_ element: Element) {
        guard element.is(Self.name), let id = element["id"], !id.isEmpty, let by = element["by"].flatMap({ try? JID($0) }) else {
            return nil
        }
        self.init(id: id, by: by)
    }

    public func write(into writer: inout XMLWriter) {
        writer.empty("stanza-id", xmlns: NS.stanzaID, ("id", id), ("by", by.description))
    }
}

/// The id that the sender gave a stanza (XEP-0359 §2.2). Nothing keeps a sender from giving one twice, or another's.
public struct OriginID: Hashable, Sendable {
    public static let name = Name("origin-id", NS.stanzaID)

    public var id: String

    public init(id: String) { self.id = id }

    /// Reads `<origin-id/>`; nil when it is another element or lacks an id.
    public init?(_ element: Element) {
        guard element.is(Self.name), let id = element["id"], !id.isEmpty else { return nil }
        self.init(id: id)
    }

    public func write(into writer: inout XMLWriter) {
        writer.empty("origin-id", xmlns: NS.stanzaID, ("id", id))
    }
}
