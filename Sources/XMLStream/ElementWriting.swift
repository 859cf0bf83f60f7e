extension XMLWriter {
    /// Writes an element of a parsed tree with everything in it: the same infoset, not the same bytes. Prefixes are not kept: each change of
    /// namespace is declared as the default, attributes in namespaces get prefixes of the writer's own.
    ///
    /// Takes no stack for depth. For first-level children the original bytes are cheaper where they are at hand.
    /// - Parameter namespace: the default namespace where the element is written.
    public mutating func element(_ element: Element, in namespace: String = "jabber:client") {
        let arena = element.arena
        /// The open elements: where they end, their local name, their namespace.
        var open: [(end: UInt32, local: String, namespace: String)] = []
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
                continue
            }
            let current = Element(arena: arena, node: index)
            let name = current.local
            let own = current.namespace
            bytes.append(UInt8(ascii: "<"))
            raw(name)
            if own != open.last?.namespace ?? namespace { attribute("xmlns", own) }
            if record.attributeCount > 0 { attributes(of: current) }
            if record.end == index + 1 {
                raw("/>")
            } else {
                bytes.append(UInt8(ascii: ">"))
                open.append((record.end, name, own))
            }
            index += 1
        }
        while let top = open.popLast() { end(top.local) }
    }

    private mutating func attributes(of element: Element) {
        var prefixes: [String: String] = ["": "", "http://www.w3.org/XML/1998/namespace": "xml:"]
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

extension Element {
    /// The element as XML of its own, to be read where the default namespace is `jabber:client`.
    public var xml: [UInt8] {
        var writer = XMLWriter()
        writer.element(self)
        return writer.bytes
    }
}
