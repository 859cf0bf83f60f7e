/// Bounds on what one stream may send, enforced by `StanzaFramer` before anything is buffered beyond them.
public struct XMLLimits: Sendable, Equatable {
    /// Bytes of one stanza, from its '<' to its last '>'.
    public var stanzaBytes: Int
    /// Nesting of elements; the stanza itself is level 1.
    public var depth: Int
    /// Attributes in one tag, namespace declarations among them.
    public var attributes: Int
    /// Namespace declarations in one tag.
    public var namespaceDeclarations: Int
    /// Bytes of the stream header with its XML declaration.
    public var headerBytes: Int

    public init(
        stanzaBytes: Int = 262_144, depth: Int = 64, attributes: Int = 256, namespaceDeclarations: Int = 64, headerBytes: Int = 8_192
    ) {
        self.stanzaBytes = stanzaBytes
        self.depth = depth
        self.attributes = attributes
        self.namespaceDeclarations = namespaceDeclarations
        self.headerBytes = headerBytes
    }
}

/// The content namespace of a stream (RFC 6120 §4.8.2).
public enum StreamNamespace: String, Sendable, CaseIterable {
    case client = "jabber:client"
    case server = "jabber:server"
    /// XEP-0114.
    case component = "jabber:component:accept"
}
