internal import CLibXML2
internal import XMLStream

/// An element as a value: what two readers must agree on.
indirect enum Tree: Equatable {
    /// Attributes in order of namespace and name; text is what stands directly in it.
    case element(name: String, attributes: [String], text: [UInt8], children: [Tree])

    init(_ element: Element) {
        self = .element(
            name: "{\(element.namespace)}\(element.local)",
            attributes: element.attributes.map { "{\($0.namespace)}\($0.local)=\($0.value)" }.sorted {
                $0.utf8.lexicographicallyPrecedes($1.utf8)
            },
            text: Array(element.text.utf8), children: element.children.map { Tree($0) })
    }

    static func == (a: Tree, b: Tree) -> Bool {
        guard case .element(let name, let attributes, let text, let children) = a,
            case .element(let otherName, let otherAttributes, let otherText, let otherChildren) = b
        else { return false }
        // By octets: Swift's strings would take two spellings of one character for the same.
        return name.utf8.elementsEqual(otherName.utf8) && text == otherText && children == otherChildren
            && attributes.map { Array($0.utf8) } == otherAttributes.map { Array($0.utf8) }
    }
}

/// What libxml2's own tree says of stanzas inside a stream header, read at once and without anything of ours.
struct Document {
    private(set) var children: [Tree] = []
    /// Text between the stanzas that is no white space.
    private(set) var hasText = false
    /// Comments, processing instructions, entities.
    private(set) var hasForbidden = false
    /// Levels, a stanza being the first.
    private(set) var depth = 0
    /// Most attributes of one element, declarations among them.
    private(set) var attributes = 0

    /// Whether libxml2 had nothing to say of its namespaces.
    private(set) var isClean = true
    /// Whether it had more to say than that a name is no URI, or a relative one.
    private(set) var hasUnboundPrefix = false

    /// Nil when it is not well-formed.
    init?(_ stanzas: [UInt8]) {
        let text =
            Array("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".utf8) + stanzas
            + Array("</stream:stream>".utf8)
        let options = XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue | XML_PARSE_NOENT.rawValue
        xmlInitParser()
        guard let context = xmlNewParserCtxt() else { return nil }
        defer { xmlFreeParserCtxt(context) }
        // By each of its messages: the last one, which the context keeps, may be a lesser one.
        let worse = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
        defer { worse.deallocate() }
        worse.initialize(to: false)
        context.pointee._private = UnsafeMutableRawPointer(worse)
        context.pointee.sax?.pointee.serror = { context, error in
            // A namespace name that is no URI reference is a fault to libxml2, and none to Namespaces in XML.
            let lesser = [XML_WAR_NS_URI.rawValue, XML_WAR_NS_URI_RELATIVE.rawValue].map { Int32(bitPattern: $0) }
            guard let error, !lesser.contains(error.pointee.code) else { return }
            context?.assumingMemoryBound(to: xmlParserCtxt.self).pointee._private?.assumingMemoryBound(to: Bool.self).pointee = true
        }
        let made = text.withUnsafeBytes { raw in
            xmlCtxtReadMemory(
                context, raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: raw.count), nil, "UTF-8",
                Int32(bitPattern: options))
        }
        guard let document = made else { return nil }
        defer { xmlFreeDoc(document) }
        guard context.pointee.wellFormed == 1, let root = xmlDocGetRootElement(document) else { return nil }
        isClean = context.pointee.nsWellFormed == 1
        hasUnboundPrefix = !isClean && worse.pointee
        var node = root.pointee.children
        while let current = node {
            switch current.pointee.type {
            case XML_ELEMENT_NODE: children.append(tree(current, 1))
            case XML_TEXT_NODE, XML_CDATA_SECTION_NODE:
                hasText = hasText || Self.content(current).contains { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
                if current.pointee.type == XML_CDATA_SECTION_NODE { hasForbidden = true }
            default: hasForbidden = true
            }
            node = current.pointee.next
        }
    }

    private mutating func tree(_ node: xmlNodePtr, _ level: Int) -> Tree {
        depth = max(depth, level)
        var count = 0
        var declaration = node.pointee.nsDef
        while let current = declaration {
            count += 1
            declaration = current.pointee.next
        }
        var found: [String] = []
        var attribute = node.pointee.properties
        while let current = attribute {
            count += 1
            var value: [UInt8] = []
            var part = current.pointee.children
            while let text = part {
                value += Self.content(text)
                part = text.pointee.next
            }
            found.append("{\(Self.uri(current.pointee.ns))}\(Self.text(current.pointee.name))=\(String(decoding: value, as: UTF8.self))")
            attribute = current.pointee.next
        }
        attributes = max(attributes, count)
        var text: [UInt8] = []
        var inner: [Tree] = []
        var child = node.pointee.children
        while let current = child {
            switch current.pointee.type {
            case XML_ELEMENT_NODE: inner.append(tree(current, level + 1))
            case XML_TEXT_NODE, XML_CDATA_SECTION_NODE: text += Self.content(current)
            default: hasForbidden = true
            }
            child = current.pointee.next
        }
        return .element(
            name: "{\(Self.uri(node.pointee.ns))}\(Self.text(node.pointee.name))",
            attributes: found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }, text: text, children: inner)
    }

    private static func uri(_ namespace: xmlNsPtr?) -> String { text(namespace?.pointee.href) }

    private static func text(_ bytes: UnsafePointer<xmlChar>?) -> String { bytes.map { String(cString: $0) } ?? "" }

    private static func content(_ node: xmlNodePtr) -> [UInt8] {
        guard let content = node.pointee.content else { return [] }
        return Array(UnsafeBufferPointer(start: content, count: Int(xmlStrlen(content))))
    }
}
