#if canImport(Glibc)
    import Glibc
#endif

/// Turns framed bytes into elements. One serves all connections of an event loop that share a content namespace.
///
/// Behind it stand a few live libxml2 parsers, one for each set of namespace declarations seen on recent stream headers
/// (nearly always one), re-made after an error, a large stanza, or when their dictionary has grown. Confined to one thread.
public final class XMLStreamParser {
    /// Namespace declarations in force at once, those of the header among them; beyond, `tooManyNamespaces`.
    public static let scopeLimit = 192
    private static let contextsKept = 4

    public let namespace: StreamNamespace
    /// Most recently used first.
    private var contexts: [XMLContext] = []
    /// Headers that were read lately, in a ring: nearly all clients send one of a few, and each client the same twice.
    private var headers: [(bytes: [UInt8], header: StreamHeader)] = []
    private var oldestHeader = 0
    private static let headersKept = 16
    private static let longestHeaderKept = 512

    public init(namespace: StreamNamespace) {
        self.namespace = namespace
    }

    /// Parses one stanza as `StanzaFramer` cut it.
    ///
    /// Elements of the content namespace, where they take it from the stream or from the stanza's own tag, are reported in
    /// `jabber:client` on every stream, so that one set of names serves both kinds.
    ///
    /// - Parameter scope: of the header of the stream the stanza came from; nil for the usual declarations.
    /// - Throws: `ParseError`; the parser remains usable, the stream does not.
    public func parse(stanza: UnsafeRawBufferPointer, scope: StreamScope?) throws(ParseError) -> Element {
        let scope = scope ?? StreamScope.standardScope(of: namespace)
        let context = try context(for: scope)
        do throws(ParseError) {
            let element = try context.parse(stanza: stanza)
            if !context.mayBeReused(after: stanza.count) { contexts.removeFirst() }
            return element
        } catch {
            contexts.removeFirst()
            throw error
        }
    }

    /// Parses a stream header as `StanzaFramer` cut it, with or without its XML declaration.
    ///
    /// - Throws: `ParseError`.
    public func parse(header: UnsafeRawBufferPointer) throws(ParseError) -> StreamHeader {
        if let base = header.baseAddress {
            for known in headers where known.bytes.count == header.count && memcmp(known.bytes, base, header.count) == 0 {
                return known.header
            }
        }
        let parsed = try read(header: header)
        guard header.count <= Self.longestHeaderKept else { return parsed }
        if headers.count < Self.headersKept {
            headers.append((Array(header), parsed))
        } else {
            headers[oldestHeader] = (Array(header), parsed)
            oldestHeader = (oldestHeader + 1) % Self.headersKept
        }
        return parsed
    }

    private func read(header: UnsafeRawBufferPointer) throws(ParseError) -> StreamHeader {
        var tag = header
        if header.count > 2, header[0] == UInt8(ascii: "<"), header[1] == UInt8(ascii: "?") {
            guard let end = header.firstIndex(of: UInt8(ascii: ">")) else { throw ParseError(.notWellFormed) }
            try XMLDeclaration.check(UnsafeRawBufferPointer(rebasing: header[...end]))
            guard let start = header[(end + 1)...].firstIndex(of: UInt8(ascii: "<")) else { throw ParseError(.notWellFormed) }
            tag = UnsafeRawBufferPointer(rebasing: header[start...])
        }
        let (element, declarations) = try XMLContext(namespace: namespace, scope: nil).parse(header: tag)
        return StreamHeader(element, declarations)
    }

    /// The live parser for a scope, moved to the front.
    private func context(for scope: StreamScope) throws(ParseError) -> XMLContext {
        if let first = contexts.first, first.scope == scope { return first }
        if let index = contexts.firstIndex(where: { $0.scope == scope }) {
            let found = contexts.remove(at: index)
            contexts.insert(found, at: 0)
            return found
        }
        let made = try XMLContext(namespace: namespace, scope: scope)
        contexts.insert(made, at: 0)
        if contexts.count > Self.contextsKept { contexts.removeLast() }
        return made
    }
}

extension Element {
    /// Parses one standalone element whose default namespace, unless it says otherwise, is `jabber:client`.
    ///
    /// For payloads that are read again and for tests; streams use `XMLStreamParser`. White space around it is allowed.
    /// - Throws: `ParseError`; `badFormat` when there is not exactly one element.
    public static func parse(_ bytes: [UInt8], limits: XMLLimits = XMLLimits()) throws(ParseError) -> Element {
        let parsed = bytes.withUnsafeBytes { bytes in
            Result { () throws(ParseError) -> Element in try parse(bytes, limits: limits) }
        }
        return try parsed.get()
    }

    /// The same for bytes in memory; nothing refers to them afterwards.
    public static func parse(_ bytes: UnsafeRawBufferPointer, limits: XMLLimits = XMLLimits()) throws(ParseError) -> Element {
        var framer = StanzaFramer(limits: limits, expectsHeader: false)
        guard case .stanza(let start, let end) = try framer.next(bytes) else { throw ParseError(.badFormat) }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[end...])
        guard case .needMore(let consumed) = try framer.next(rest), consumed == rest.count else { throw ParseError(.badFormat) }
        return try XMLStreamParser.ofThread.parse(stanza: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), scope: nil)
    }
}

extension XMLStreamParser {
    /// A parser of the calling thread's own, for standalone elements.
    static var ofThread: XMLStreamParser {
        guard let key = threadKey else { return XMLStreamParser(namespace: .client) }
        if let raw = pthread_getspecific(key) { return Unmanaged<XMLStreamParser>.fromOpaque(raw).takeUnretainedValue() }
        let parser = XMLStreamParser(namespace: .client)
        let raw = Unmanaged.passRetained(parser)
        if pthread_setspecific(key, raw.toOpaque()) != 0 { raw.release() }
        return parser
    }
}

private let threadKey: pthread_key_t? = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key) { raw in
        if let raw { Unmanaged<XMLStreamParser>.fromOpaque(raw).release() }
    }
    return code == 0 ? key : nil
}()
