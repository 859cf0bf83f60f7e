import CLibXML2

/// The namespace declarations of a stream header: what a stanza may take for granted on that stream.
public final class StreamScope: Sendable, Equatable {
    /// A header with these declarations and nothing else, in order of prefix: equal scopes have equal texts.
    let header: [UInt8]

    init(_ declarations: [StreamHeader.Declaration]) {
        var bytes = Array("<stream".utf8)
        for declaration in declarations.sorted(by: { $0.prefix < $1.prefix }) {
            XMLWriter.attribute(declaration.prefix.isEmpty ? "xmlns" : "xmlns:" + declaration.prefix, declaration.uri, into: &bytes)
        }
        bytes.append(UInt8(ascii: ">"))
        header = bytes
    }

    static let standardClient = StreamScope(standard(.client))
    static let standardServer = StreamScope(standard(.server))
    static let standardComponent = StreamScope(standard(.component))

    private static func standard(_ namespace: StreamNamespace) -> [StreamHeader.Declaration] {
        [
            StreamHeader.Declaration(prefix: "", uri: namespace.rawValue),
            StreamHeader.Declaration(prefix: "stream", uri: "http://etherx.jabber.org/streams"),
        ]
    }

    static func standardScope(of namespace: StreamNamespace) -> StreamScope {
        switch namespace {
        case .client: standardClient
        case .server: standardServer
        case .component: standardComponent
        }
    }

    public static func == (a: StreamScope, b: StreamScope) -> Bool { a === b || a.header == b.header }
}

/// One libxml2 push parser that stands inside an open stream header, between stanzas. After any error it is of no more use.
final class XMLContext {
    static let largestReused = 32_768
    static let largestDictionary = 65_536

    let scope: StreamScope?
    private let state: UnsafeMutablePointer<SAXState>
    private let context: xmlParserCtxtPtr

    /// - Parameter scope: the header to stand in; nil to read a header itself.
    init(namespace: StreamNamespace, scope: StreamScope?) throws(ParseError) {
        _ = libraryReady
        self.scope = scope
        let state = UnsafeMutablePointer<SAXState>.allocate(capacity: 1)
        state.initialize(to: SAXState(stanzaDepth: scope == nil ? 1 : 2, isServer: namespace != .client))
        self.state = state
        var table = SAXCallbacks.table()
        guard let context = xmlCreatePushParserCtxt(&table, state, nil, 0, nil) else {
            state.pointee.free()
            state.deallocate()
            throw ParseError(.outOfMemory)
        }
        self.context = context
        state.pointee.context = context
        // NOENT: without it `&amp;` in an attribute, and in a namespace name, is handed over as the text `&#38;`. There is nothing else it
        // could substitute: no DTD gets this far, and no entity but the predefined ones is known.
        let options =
            XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue | XML_PARSE_IGNORE_ENC.rawValue
            | XML_PARSE_NOENT.rawValue
        xmlCtxtUseOptions(context, Int32(bitPattern: options))
        xmlDictSetLimit(context.pointee.dict, 1 << 20)
        state.pointee.clientURI = intern(StreamNamespace.client.rawValue)
        state.pointee.contentURI = intern(namespace.rawValue)
        if let scope {
            let fed = scope.header.withUnsafeBytes { bytes in
                Result { () throws(ParseError) in try feed(bytes) }
            }
            try fed.get()
        }
    }

    deinit {
        xmlFreeParserCtxt(context)
        state.pointee.free()
        state.deallocate()
    }

    private func intern(_ string: String) -> XMLBytes? {
        var string = string
        return string.withUTF8 { xmlDictLookup(context.pointee.dict, $0.baseAddress, Int32(truncatingIfNeeded: $0.count)) }
    }

    /// Whether the parser may be kept after a stanza of `size` bytes: its buffers and its dictionary never shrink.
    func mayBeReused(after size: Int) -> Bool {
        size <= Self.largestReused && xmlDictGetUsage(context.pointee.dict) <= Self.largestDictionary
    }

    /// One whole stanza; exactly the given bytes must make it up.
    func parse(stanza bytes: UnsafeRawBufferPointer) throws(ParseError) -> Element {
        try feed(bytes)
        guard state.pointee.depth == 1, state.pointee.open.count == 0, state.pointee.nodes.count > 0,
            Int(state.pointee.nodes.base[0].end) == state.pointee.nodes.count, Int(state.pointee.nodes.base[0].stop) == bytes.count,
            state.pointee.nodes.base[0].start == 0, !state.pointee.nodes.base[0].isText
        else { throw ParseError(.notWellFormed) }
        return build()
    }

    /// The start tag of a stream: its element without content, and its declarations.
    func parse(header bytes: UnsafeRawBufferPointer) throws(ParseError) -> (Element, [StreamHeader.Declaration]) {
        try feed(bytes)
        guard state.pointee.depth == 1, state.pointee.nodes.count == 1 else { throw ParseError(.notWellFormed) }
        state.pointee.nodes.base[0].end = 1
        state.pointee.nodes.base[0].stop = UInt32(truncatingIfNeeded: bytes.count)
        state.pointee.contentStart = bytes.count
        state.pointee.contentEnd = bytes.count
        let declarations = state.pointee.scope.buffer.map { entry in
            StreamHeader.Declaration(
                prefix: entry.prefix.map { String(cString: $0) } ?? "", uri: String(cString: entry.uri))
        }
        return (build(), declarations)
    }

    private func feed(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
        guard let count = Int32(exactly: bytes.count), count > 0 else { throw ParseError(bytes.isEmpty ? .notWellFormed : .tooLarge) }
        guard isValidUTF8(bytes) else { throw ParseError(.notWellFormed) }
        state.pointee.begin(bytes)
        let code = xmlParseChunk(context, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count, 0)
        state.pointee.source = nil
        if let failure = state.pointee.failure { throw ParseError(failure) }
        guard context.pointee.wellFormed == 1, context.pointee.disableSAX == 0,
            code == 0 || UInt32(bitPattern: code) == XML_WAR_NS_URI.rawValue,
            state.pointee.position - state.pointee.origin == bytes.count
        else { throw ParseError(.notWellFormed) }
    }

    private func build() -> Element {
        let insertions = state.pointee.missing.buffer.map { missing in
            Insertion(
                position: missing.position,
                declaration: Array(state.pointee.declarations.buffer[missing.offset..<missing.offset + missing.length]))
        }
        let arena = Arena(
            nodes: state.pointee.nodes.buffer, attributes: state.pointee.attributes.buffer, text: state.pointee.text.buffer,
            content: state.pointee.contentStart..<max(state.pointee.contentStart, state.pointee.contentEnd), insertions: insertions,
            generation: state.pointee.generation)
        return Element(arena: arena, node: 0)
    }
}

/// libxml2's tables must be made once before threads meet in them.
private let libraryReady: Void = xmlInitParser()
