#if canImport(Glibc)
    import Glibc
#endif

/// An element of a parsed tree: a view into one immutable arena, cheap to copy and to send.
///
/// It keeps the whole tree it belongs to alive. Text and attribute values are decoded; comments and the like cannot occur.
public struct Element: Sendable {
    let arena: Arena
    let node: UInt32

    init(arena: Arena, node: UInt32) {
        self.arena = arena
        self.node = node
    }

    var record: NodeRecord { arena.nodes[Int(node)] }

    /// The element's number in the name table, or `unknown`. For comparisons with one name use `is(_:)`.
    public var name: Name {
        let record = record
        if record.name != 0 { return Name(index: record.name) }
        if arena.generation == NameTable.shared.generation { return .unknown }
        return Name(index: NameTable.shared.find(local, namespace))
    }

    /// Whether the element has this name, also when the name was made after the element was parsed.
    public func `is`(_ name: Name) -> Bool {
        let record = record
        if record.name != 0 { return record.name == name.index }
        return self.name == name
    }

    /// The local name.
    public var local: String {
        let record = record
        return record.name != 0 ? Name(index: record.name).local : arena.string(record.string, record.length)
    }

    /// The namespace; empty when the element is in none.
    public var namespace: String {
        let record = record
        return record.name != 0 ? Name(index: record.name).namespace : arena.string(record.namespace, record.namespaceLength)
    }

    /// The value of an attribute that is in no namespace, or nil.
    public subscript(_ attribute: String) -> String? {
        find(attribute, namespace: "").map { arena.string($0.value, $0.valueLength) }
    }

    /// The value of an attribute in a namespace, or nil. `xml:lang` is `lang` in `http://www.w3.org/XML/1998/namespace`.
    public func attribute(_ local: String, namespace: String) -> String? {
        find(local, namespace: namespace).map { arena.string($0.value, $0.valueLength) }
    }

    /// The value of `xml:lang` on this very element.
    public var lang: String? { attribute("lang", namespace: "http://www.w3.org/XML/1998/namespace") }

    /// One attribute as a whole.
    public struct Attribute: Hashable, Sendable {
        public var local: String
        /// Empty when the attribute is in none.
        public var namespace: String
        public var value: String

        public init(local: String, namespace: String, value: String) {
            self.local = local
            self.namespace = namespace
            self.value = value
        }
    }

    /// All attributes but namespace declarations, in the order of the source.
    public var attributes: [Attribute] {
        let record = record
        return (0..<Int(record.attributeCount)).map { i in
            let attribute = arena.attributes[Int(record.attributes) + i]
            return Attribute(
                local: arena.string(attribute.name, attribute.nameLength),
                namespace: arena.string(attribute.namespace, attribute.namespaceLength),
                value: arena.string(attribute.value, attribute.valueLength))
        }
    }

    private func find(_ local: String, namespace: String) -> AttributeRecord? {
        let record = record
        for i in 0..<Int(record.attributeCount) {
            let attribute = arena.attributes[Int(record.attributes) + i]
            if same(attribute.name, attribute.nameLength, local), same(attribute.namespace, attribute.namespaceLength, namespace) {
                return attribute
            }
        }
        return nil
    }

    private func same(_ offset: UInt32, _ length: UInt32, _ text: String) -> Bool {
        guard text.utf8.count == Int(length) else { return false }
        var text = text
        return text.withUTF8 { bytes in
            guard let base = bytes.baseAddress, length > 0 else { return length == 0 }
            return memcmp(arena.text + Int(offset), base, Int(length)) == 0
        }
    }

    /// The child elements in order, without the text between them.
    public var children: Children { Children(self) }

    /// The first child with this name, or nil.
    public func first(_ name: Name) -> Element? {
        for child in children where child.is(name) { return child }
        return nil
    }

    /// The first child with this local name and namespace, or nil.
    public func first(local: String, namespace: String) -> Element? {
        for child in children where child.local == local && child.namespace == namespace { return child }
        return nil
    }

    /// All children with this name, in order.
    public func all(_ name: Name) -> [Element] { children.filter { $0.is(name) } }

    /// The text directly in this element, concatenated; text of descendants is not in it.
    public var text: String {
        var parts: [UInt8] = []
        var only: (UInt32, UInt32)?
        var count = 0
        forEachText { offset, length in
            if count == 0 { only = (offset, length) }
            if count == 1, let first = only { parts.append(contentsOf: arena.bytes(first.0, first.1)) }
            if count >= 1 { parts.append(contentsOf: arena.bytes(offset, length)) }
            count += 1
        }
        if count == 1, let only { return arena.string(only.0, only.1) }
        return String(decoding: parts, as: UTF8.self)
    }

    /// Whether the element has text of its own besides white space.
    public var hasText: Bool {
        var found = false
        forEachText { offset, length in
            found = found || arena.bytes(offset, length).contains { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
        }
        return found
    }

    private func forEachText(_ body: (UInt32, UInt32) -> Void) {
        let end = record.end
        var i = node + 1
        while i < end {
            let record = arena.nodes[Int(i)]
            if record.isText { body(record.string, record.length) }
            i = record.end
        }
    }

    /// Where the element stands in the bytes it was parsed from. Known for the root and its children; empty for deeper elements.
    public var range: Range<Int> {
        let record = record
        return Int(record.start)..<Int(record.stop)
    }

    /// The child elements of one element.
    public struct Children: Sequence, IteratorProtocol, Sendable {
        private let arena: Arena
        private var next32: UInt32
        private let end: UInt32

        init(_ parent: Element) {
            arena = parent.arena
            next32 = parent.node + 1
            end = parent.record.end
        }

        public mutating func next() -> Element? {
            while next32 < end {
                let index = next32
                let record = arena.nodes[Int(index)]
                next32 = record.end
                if !record.isText { return Element(arena: arena, node: index) }
            }
            return nil
        }
    }
}
