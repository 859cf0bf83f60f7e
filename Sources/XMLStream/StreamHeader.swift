/// The opening tag of a stream (RFC 6120 §4.2), as the peer wrote it. Judging it is the stream machine's affair.
public struct StreamHeader: Sendable, Equatable {
    /// One namespace declaration.
    public struct Declaration: Sendable, Equatable {
        /// Empty for the default namespace.
        public var prefix: String
        public var uri: String

        public init(prefix: String, uri: String) {
            self.prefix = prefix
            self.uri = uri
        }
    }

    /// Local name and namespace of the tag: `stream` in `http://etherx.jabber.org/streams`, if all is well.
    public var local: String
    public var namespace: String
    public var to: String?
    public var from: String?
    public var id: String?
    public var version: String?
    /// `xml:lang`.
    public var lang: String?
    /// The default namespace, "jabber:client" or "jabber:server", if all is well; nil when none is declared.
    public var contentNamespace: String?
    /// All namespace declarations of the tag, in its order.
    public var declarations: [Declaration]
    /// The same as its stanzas are parsed under them.
    public let scope: StreamScope

    init(_ element: Element, _ declarations: [Declaration]) {
        local = element.local
        namespace = element.namespace
        to = element["to"]
        from = element["from"]
        id = element["id"]
        version = element["version"]
        lang = element.lang
        contentNamespace = declarations.first { $0.prefix.isEmpty && !$0.uri.isEmpty }?.uri
        self.declarations = declarations
        // Equal scopes share one object, so that the usual header costs no comparison later.
        let scope = StreamScope(declarations)
        if scope == .standardClient {
            self.scope = .standardClient
        } else if scope == .standardServer {
            self.scope = .standardServer
        } else {
            self.scope = scope
        }
    }
}
