import CLibXML2

#if canImport(Glibc)
    import Glibc
#endif

typealias XMLBytes = UnsafePointer<xmlChar>

/// A namespace declaration in force.
struct ScopeEntry: BitwiseCopyable {
    /// Nil for the default namespace. Prefix and URI are pointers into the parser's dictionary: equal pointers, equal strings.
    var prefix: XMLBytes?
    var uri: XMLBytes
    var depth: Int
    /// Where the URI stands in the text of the arena being built, or nil while nobody needed it.
    var offset: UInt32?
    var length: UInt32
}

/// A declaration some child of the stanza lacks: its text in `SAXState.declarations`, its place in the source.
struct MissingDeclaration: BitwiseCopyable {
    var position: Int
    var prefix: XMLBytes?
    var offset: Int
    var length: Int
}

/// A name looked up earlier, by the dictionary's pointers.
struct CachedName: BitwiseCopyable {
    var local: XMLBytes?
    var uri: XMLBytes?
    var name: UInt16
}

/// What the callbacks work on: plain memory behind one pointer, because a class reference in them costs two fifths of the parse.
struct SAXState {
    static let cacheSlots = 256

    var context: xmlParserCtxtPtr?
    /// Depth at which stanzas stand: 2 in a stream, 1 when the header itself is read.
    let stanzaDepth: Int
    let isServer: Bool
    var depth = 0
    var failure: ParseError.Reason?

    /// The bytes being parsed and the parser's position before the first of them.
    var source: UnsafePointer<UInt8>?
    var sourceCount = 0
    var origin = 0

    var nodes = RawVector<NodeRecord>(capacity: 32)
    var attributes = RawVector<AttributeRecord>(capacity: 32)
    var text = RawVector<UInt8>(capacity: 512)
    var open = RawVector<UInt32>(capacity: 16)
    var scope = RawVector<ScopeEntry>(capacity: 16)
    var missing = RawVector<MissingDeclaration>(capacity: 4)
    var declarations = RawVector<UInt8>(capacity: 64)
    var cache: UnsafeMutablePointer<CachedName>
    var generation = -1

    /// "jabber:client" and the stream's content namespace, as the dictionary holds them.
    var clientURI: XMLBytes?
    var contentURI: XMLBytes?

    /// Whether the last node is a run of text of the innermost open element.
    var inText = false
    /// Whether the root is in the content namespace: only a stanza's content is read anywhere else.
    var isStanza = false
    /// Where declarations for the current child of the stanza belong.
    var insertionPoint = 0
    var contentStart = 0
    var contentEnd = 0
    /// Behind the last tag that `locate` or `end` saw.
    var lastEnd = 0
    var xmlNamespaceOffset: UInt32?

    init(stanzaDepth: Int, isServer: Bool) {
        self.stanzaDepth = stanzaDepth
        self.isServer = isServer
        cache = .allocate(capacity: Self.cacheSlots)
        cache.initialize(repeating: CachedName(local: nil, uri: nil, name: 0), count: Self.cacheSlots)
    }

    func free() {
        nodes.free()
        attributes.free()
        text.free()
        open.free()
        scope.free()
        missing.free()
        declarations.free()
        cache.deallocate()
    }

    /// Bytes the parser has consumed since it was made.
    var position: Int {
        guard let input = context?.pointee.input, let cur = input.pointee.cur, let base = input.pointee.base else { return 0 }
        return Int(truncatingIfNeeded: input.pointee.consumed) + (cur - base)
    }

    mutating func begin(_ bytes: UnsafeRawBufferPointer) {
        source = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        sourceCount = bytes.count
        origin = position
        nodes.removeAll()
        attributes.removeAll()
        text.removeAll()
        open.removeAll()
        missing.removeAll()
        declarations.removeAll()
        inText = false
        insertionPoint = 0
        contentStart = 0
        contentEnd = 0
        lastEnd = 0
        xmlNamespaceOffset = nil
        for i in 0..<scope.count { scope.base[i].offset = nil }
        let current = NameTable.shared.generation
        if current != generation {
            generation = current
            cache.update(repeating: CachedName(local: nil, uri: nil, name: 0), count: Self.cacheSlots)
        }
    }

    mutating func fail(_ reason: ParseError.Reason) {
        if failure == nil { failure = reason }
        xmlStopParser(context)
    }

    // MARK: Elements

    mutating func start(
        _ local: XMLBytes, _ prefix: XMLBytes?, _ uri: XMLBytes?, _ namespaceCount: Int, _ namespaces: UnsafeMutablePointer<XMLBytes?>?,
        _ attributeCount: Int, _ values: UnsafeMutablePointer<XMLBytes?>?
    ) {
        depth += 1
        inText = false
        if namespaceCount > 0, let namespaces {
            guard scope.count + namespaceCount <= XMLStreamParser.scopeLimit else { return fail(.tooManyNamespaces) }
            for i in 0..<namespaceCount {
                guard let uri = namespaces[2 * i + 1] else { continue }
                scope.append(ScopeEntry(prefix: namespaces[2 * i], uri: uri, depth: depth, offset: nil, length: 0))
            }
        }
        guard depth >= stanzaDepth else { return }
        var record = NodeRecord(
            name: 0, isText: false, end: 0, string: 0, length: 0, namespace: 0, namespaceLength: 0,
            attributes: UInt32(truncatingIfNeeded: attributes.count), attributeCount: 0, start: 0, stop: 0)
        if depth <= stanzaDepth + 1 { record.start = locate(local, prefix) }
        // The prefix `xml` is bound without a declaration (Namespaces in XML §3).
        let isXML = prefix != nil && prefix == context?.pointee.str_xml
        let named = isXML ? uri : resolve(prefix, uri)
        record.name = number(local, named)
        if record.name == 0 {
            (record.string, record.length) = store(local)
            (record.namespace, record.namespaceLength) = isXML ? storeXMLNamespace() : store(namespace: named)
        }
        if attributeCount > 0, let values { record.attributeCount = readAttributes(values, attributeCount) }
        open.append(UInt32(truncatingIfNeeded: nodes.count))
        nodes.append(record)
    }

    /// Where the tag that just ended began; notes the places that belong to it.
    private mutating func locate(_ local: XMLBytes, _ prefix: XMLBytes?) -> UInt32 {
        let tagEnd = position - origin
        guard let source, tagEnd >= lastEnd, tagEnd < sourceCount else {
            fail(.notWellFormed)
            return 0
        }
        if depth == stanzaDepth {
            contentStart = min(tagEnd + 1, sourceCount)
            lastEnd = contentStart
            if source[0] != UInt8(ascii: "<") { fail(.notWellFormed) }
            return 0
        }
        // Between two children stands text, which has no '<' unless there is a CDATA section.
        let start: Int
        if let hit = memchr(source + lastEnd, Int32(UInt8(ascii: "<")), tagEnd - lastEnd),
            hit.load(fromByteOffset: 1, as: UInt8.self) != UInt8(ascii: "!")
        {
            start = UnsafeRawPointer(hit) - UnsafeRawPointer(source)
        } else if let last = tagStart(source, before: tagEnd), last >= lastEnd {
            // A raw '<' cannot stand in a tag, so the last one is its beginning.
            start = last
        } else {
            fail(.notWellFormed)
            return 0
        }
        if isStanza {
            insertionPoint = start + 1 + (prefix.map { length(of: $0) + 1 } ?? 0) + length(of: local)
        }
        return UInt32(truncatingIfNeeded: start)
    }

    /// Where the last '<' before `position` stands.
    private func tagStart(_ source: UnsafePointer<UInt8>, before position: Int) -> Int? {
        var i = position
        while i > 0 {
            i -= 1
            if source[i] == UInt8(ascii: "<") { return i }
        }
        return nil
    }

    mutating func end() {
        inText = false
        guard depth >= stanzaDepth, open.count > 0 else { return fail(.notWellFormed) }
        let index = Int(open.base[open.count - 1])
        open.removeLast()
        nodes.base[index].end = UInt32(truncatingIfNeeded: nodes.count)
        while scope.count > 0, scope.base[scope.count - 1].depth == depth { scope.removeLast() }
        if depth <= stanzaDepth + 1 {
            let stop = position - origin
            guard let source, stop >= lastEnd, stop <= sourceCount else { return fail(.notWellFormed) }
            nodes.base[index].stop = UInt32(truncatingIfNeeded: stop)
            lastEnd = stop
            if depth == stanzaDepth {
                if let endTag = tagStart(source, before: stop), endTag >= contentStart {
                    contentEnd = endTag
                } else {
                    // `<message/>`: no content.
                    contentStart = stop
                    contentEnd = stop
                }
            }
        }
        depth -= 1
    }

    mutating func characters(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard depth >= stanzaDepth, count > 0 else { return }
        if inText {
            nodes.base[nodes.count - 1].length += UInt32(truncatingIfNeeded: count)
        } else {
            let next = UInt32(truncatingIfNeeded: nodes.count + 1)
            nodes.append(
                NodeRecord(
                    name: 0, isText: true, end: next, string: UInt32(truncatingIfNeeded: text.count),
                    length: UInt32(truncatingIfNeeded: count), namespace: 0, namespaceLength: 0, attributes: 0, attributeCount: 0, start: 0,
                    stop: 0))
            inText = true
        }
        text.append(bytes, count)
    }

    /// A CDATA section. libxml2's push parser hands it over whole and as it stands: its line ends are still to be normalised (XML 1.0 §2.11).
    mutating func section(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var start = 0
        for i in 0..<count where bytes[i] == 0x0D {
            characters(bytes + start, i - start)
            start = i + 1
            if start == count || bytes[start] != 0x0A { withUnsafePointer(to: UInt8(0x0A)) { characters($0, 1) } }
        }
        characters(bytes + start, count - start)
    }

    private mutating func readAttributes(_ values: UnsafeMutablePointer<XMLBytes?>, _ count: Int) -> UInt32 {
        var read: UInt32 = 0
        for i in 0..<count {
            guard let local = values[5 * i], let value = values[5 * i + 3], let end = values[5 * i + 4] else { continue }
            var record = AttributeRecord(name: 0, nameLength: 0, namespace: 0, namespaceLength: 0, value: 0, valueLength: 0)
            (record.name, record.nameLength) = store(local)
            if let prefix = values[5 * i + 1] {
                let uri = values[5 * i + 2]
                if prefix == context?.pointee.str_xml {
                    (record.namespace, record.namespaceLength) = storeXMLNamespace()
                } else {
                    if depth > stanzaDepth { require(prefix) }
                    (record.namespace, record.namespaceLength) = store(namespace: uri)
                }
            }
            (record.value, record.valueLength) = store(value, end - value)
            attributes.append(record)
            read += 1
        }
        return read
    }

    // MARK: Namespaces

    /// The namespace an element counts as: the content namespace, where it comes from the stream or the stanza's own tag, is
    /// `jabber:client` on every stream. Notes a declaration that the element takes from outside the content and that does not
    /// hold where the content will be read.
    private mutating func resolve(_ prefix: XMLBytes?, _ uri: XMLBytes?) -> XMLBytes? {
        if depth == stanzaDepth {
            isStanza = uri != nil && (uri == contentURI || uri == clientURI)
            return isServer && uri == contentURI ? clientURI : uri
        }
        let fromOutside = require(prefix)
        return isServer && fromOutside && prefix == nil && uri == contentURI ? clientURI : uri
    }

    /// Looks where a prefix is declared. When that is outside the stanza's content, the child needs the declaration.
    /// Answers whether it was outside.
    @discardableResult
    private mutating func require(_ prefix: XMLBytes?) -> Bool {
        var i = scope.count
        while i > 0 {
            i -= 1
            let entry = scope.base[i]
            guard entry.prefix == prefix else { continue }
            if entry.depth > stanzaDepth { return false }
            if isStanza, prefix != nil || (entry.uri != contentURI && entry.uri != clientURI) { miss(prefix, entry.uri) }
            return true
        }
        // An unbound prefix is an error that the parser reports itself; no default namespace at all must be said.
        if isStanza, prefix == nil { miss(nil, nil) }
        return true
    }

    private mutating func miss(_ prefix: XMLBytes?, _ uri: XMLBytes?) {
        var i = missing.count
        while i > 0, missing.base[i - 1].position == insertionPoint {
            if missing.base[i - 1].prefix == prefix { return }
            i -= 1
        }
        let offset = declarations.count
        declare(" xmlns")
        if let prefix {
            declarations.append(UInt8(ascii: ":"))
            declarations.append(prefix, length(of: prefix))
        }
        declare("='")
        if let uri {
            for i in 0..<length(of: uri) {
                switch uri[i] {
                case UInt8(ascii: "<"): declare("&lt;")
                case UInt8(ascii: "&"): declare("&amp;")
                case UInt8(ascii: "'"): declare("&apos;")
                case 0x09: declare("&#9;")
                case 0x0A: declare("&#10;")
                case 0x0D: declare("&#13;")
                default: declarations.append(uri[i])
                }
            }
        }
        declarations.append(UInt8(ascii: "'"))
        missing.append(
            MissingDeclaration(position: insertionPoint, prefix: prefix, offset: offset, length: declarations.count - offset))
        // One long URI declared once and used by thousands of small children must not grow without bound.
        if declarations.count > max(sourceCount, 65_536) { fail(.tooLarge) }
    }

    private mutating func declare(_ literal: StaticString) {
        declarations.append(literal.utf8Start, literal.utf8CodeUnitCount)
    }

    // MARK: Strings

    @inline(__always)
    private func length(of string: XMLBytes) -> Int { strlen(UnsafeRawPointer(string).assumingMemoryBound(to: CChar.self)) }

    private mutating func store(_ string: XMLBytes) -> (UInt32, UInt32) { store(string, length(of: string)) }

    private mutating func store(_ bytes: XMLBytes, _ count: Int) -> (UInt32, UInt32) {
        let offset = text.count
        text.append(bytes, count)
        return (UInt32(truncatingIfNeeded: offset), UInt32(truncatingIfNeeded: count))
    }

    /// Stores a URI once for each declaration of it, so that the arena stays as small as the source.
    private mutating func store(namespace uri: XMLBytes?) -> (UInt32, UInt32) {
        guard let uri else { return (0, 0) }
        var i = scope.count
        while i > 0 {
            i -= 1
            guard scope.base[i].uri == uri else { continue }
            if let offset = scope.base[i].offset { return (offset, scope.base[i].length) }
            let stored = store(uri)
            scope.base[i].offset = stored.0
            scope.base[i].length = stored.1
            return stored
        }
        if uri == clientURI {
            // On a server's stream `jabber:client` stands for the content namespace and need not be declared anywhere.
            return store(uri)
        }
        fail(.notWellFormed)
        return (0, 0)
    }

    private mutating func storeXMLNamespace() -> (UInt32, UInt32) {
        let literal: StaticString = "http://www.w3.org/XML/1998/namespace"
        if let offset = xmlNamespaceOffset { return (offset, UInt32(literal.utf8CodeUnitCount)) }
        let stored = store(literal.utf8Start, literal.utf8CodeUnitCount)
        xmlNamespaceOffset = stored.0
        return stored
    }

    private mutating func number(_ local: XMLBytes, _ uri: XMLBytes?) -> UInt16 {
        let hash = (UInt(bitPattern: local) >> 2) &* 31 &+ (UInt(bitPattern: uri) >> 3)
        let slot = Int(truncatingIfNeeded: (hash ^ (hash >> 8)) & UInt(Self.cacheSlots - 1))
        let cached = cache[slot]
        if cached.local == local, cached.uri == uri { return cached.name }
        let name = NameTable.shared.find(String(cString: local), uri.map { String(cString: $0) } ?? "")
        cache[slot] = CachedName(local: local, uri: uri, name: name)
        return name
    }
}
