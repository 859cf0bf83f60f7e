extension XMLWriter {
    /// Writes an element of a parsed tree with everything in it: the same infoset, not the same bytes. Prefixes are not kept: each change of
    /// namespace is declared as the default, attributes in namespaces get prefixes of the writer's own.
    ///
    /// Takes no stack for depth. For first-level children the original bytes are cheaper where they are at hand.
    /// - Parameters:
    ///   - namespace: the default namespace where the element is written.
    ///   - limit: the most bytes it may take. A prefix that is declared once in the source may be declared thousands of times here, so what
    ///     a peer sent needs one.
    /// - Returns: whether it is written; when it has not, what stands behind `bytes` is part of an element.
    @discardableResult
    public mutating func element(_ element: Element, in namespace: String = "jabber:client", limit: Int = .max) -> Bool {
        let arena = element.arena
        let start = bytes.count
        /// The open elements: where they end, their local name, their namespace.
        var open: [(end: UInt32, local: String, record: NodeRecord, namespace: String)] = []
        let last = element.record.end
        var index = element.node
        while index < last {
            while let top = open.last, top.end <= index {
                end(top.local)
                open.removeLast()
            }
            let record = arena.nodes[Int(index)]
            if record.isText {
                Self.escape(arena.bytes(record.string, record.length), into: &bytes)
                index = record.end
                if bytes.count - start > limit { return false }
                continue
            }
            let current = Element(arena: arena, node: index)
            let own: String
            var isDeclared = true
            if let parent = open.last, parent.record.isInNamespace(of: record) {
                // The very declaration of its parent: a long name is not looked at again for each child.
                own = parent.namespace
            } else {
                own = current.namespace
                isDeclared = own == open.last?.namespace ?? namespace
            }
            // Bound to its prefix and to nothing else (Namespaces in XML §3).
            let isXML = own == Self.xmlNamespace
            let name = isXML ? "xml:" + current.local : current.local
            bytes.append(UInt8(ascii: "<"))
            raw(name)
            if !isDeclared, !isXML { attribute("xmlns", own) }
            if record.attributeCount > 0 { attributes(of: current) }
            if record.end == index + 1 {
                raw("/>")
            } else {
                bytes.append(UInt8(ascii: ">"))
                open.append((record.end, name, record, own))
            }
            if bytes.count - start > limit { return false }
            index += 1
        }
        while let top = open.popLast() { end(top.local) }
        return bytes.count - start <= limit
    }

    private static let xmlNamespace = "http://www.w3.org/XML/1998/namespace"

    private mutating func attributes(of element: Element) {
        var prefixes: [String: String] = ["": "", Self.xmlNamespace: "xml:"]
        for item in element.attributes {
            let prefix: String
            if let known = prefixes[item.namespace] {
                prefix = known
            } else {
                let made = "a\(prefixes.count)"
                attribute("xmlns:" + made, item.namespace)
                prefix = made + ":"
                prefixes[item.namespace] = prefix
            }
            attribute(prefix + item.local, item.value)
        }
    }
}

extension NodeRecord {
    /// Whether both take their namespace from the same declaration, as far as that is seen without comparing names.
    fileprivate func isInNamespace(of other: NodeRecord) -> Bool {
        name == 0 && other.name == 0 && namespace == other.namespace && namespaceLength == other.namespaceLength
    }
}

extension Element {
    /// The element as XML of its own, to be read where the default namespace is `jabber:client`. Not for what a peer sent: it can take many
    /// times the bytes of the source (`XMLWriter.element(_:in:limit:)`).
    public var xml: [UInt8] {
        var writer = XMLWriter()
        writer.element(self)
        return writer.bytes
    }
}
