import CLibXML2

/// The parser's callbacks. Free of captures and of class references: the context is a `SAXState` in plain memory.
enum SAXCallbacks {
    /// A handler table for `xmlCreatePushParserCtxt`, which copies it.
    static func table() -> xmlSAXHandler {
        var sax = xmlSAXHandler()
        // Without the mark only the first version's part is copied.
        sax.initialized = UInt32(XML_SAX2_MAGIC)
        sax.startElementNs = { context, local, prefix, uri, namespaceCount, namespaces, attributeCount, _, attributes in
            guard let state = context?.assumingMemoryBound(to: SAXState.self), let local else { return }
            state.pointee.start(local, prefix, uri, Int(namespaceCount), namespaces, Int(attributeCount), attributes)
        }
        sax.endElementNs = { context, _, _, _ in
            context?.assumingMemoryBound(to: SAXState.self).pointee.end()
        }
        sax.characters = { context, bytes, count in
            guard let bytes else { return }
            context?.assumingMemoryBound(to: SAXState.self).pointee.characters(bytes, Int(count))
        }
        sax.ignorableWhitespace = sax.characters
        sax.cdataBlock = { context, bytes, count in
            guard let bytes else { return }
            context?.assumingMemoryBound(to: SAXState.self).pointee.section(bytes, Int(count))
        }
        // The framer lets none of these through; a second lock costs nothing.
        sax.comment = { context, _ in context?.assumingMemoryBound(to: SAXState.self).pointee.fail(.restricted) }
        sax.processingInstruction = { context, _, _ in context?.assumingMemoryBound(to: SAXState.self).pointee.fail(.restricted) }
        sax.internalSubset = { context, _, _, _ in context?.assumingMemoryBound(to: SAXState.self).pointee.fail(.restricted) }
        sax.serror = { context, error in
            guard let state = context?.assumingMemoryBound(to: SAXState.self), let error else { return }
            state.pointee.report(error.pointee.code, error.pointee.level)
        }
        return sax
    }
}

extension SAXState {
    /// Notes what libxml2 complains of. A namespace name that is no URI is only complained of: Namespaces in XML §2.3 does not
    /// make it an error. An unbound prefix is "recoverable" to libxml2 and an error to every other parser.
    mutating func report(_ code: Int32, _ level: xmlErrorLevel) {
        guard level.rawValue >= XML_ERR_ERROR.rawValue, failure == nil else { return }
        switch UInt32(bitPattern: code) {
        case XML_WAR_NS_URI.rawValue, XML_WAR_NS_URI_RELATIVE.rawValue: return
        case XML_ERR_UNDECLARED_ENTITY.rawValue, XML_WAR_UNDECLARED_ENTITY.rawValue: failure = .restricted
        case XML_ERR_NO_MEMORY.rawValue: failure = .outOfMemory
        default: failure = .notWellFormed
        }
    }
}
