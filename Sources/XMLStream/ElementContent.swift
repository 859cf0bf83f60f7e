extension Element {
    /// How many attributes the element has, namespace declarations not counted.
    public var attributeCount: Int { Int(record.attributeCount) }

    /// Copies what stands between the tags of a parsed stanza (a root in the content namespace), byte for byte, in default-namespace normal form: it means the same inside
    /// any element whose default namespace is `jabber:client` (on a server's stream: `jabber:server`, which counts as that).
    ///
    /// Declarations that the children take from the stream header or from the root's own tag are added to the children that use
    /// them; without them another parser would see other names than this one, or none (RFC 6120 §4.8.5).
    ///
    /// - Parameters:
    ///   - source: the bytes this root was parsed from.
    ///   - child: called for each child with its name and its range in the answer.
    /// - Returns: the bytes; at most `max(2 · source, source + 64 KiB)` and a little.
    public func content(from source: UnsafeRawBufferPointer, child: (Name, Range<Int>) -> Void) -> [UInt8] {
        let content = arena.content.clamped(to: 0..<source.count)
        guard node == 0, !content.isEmpty else { return [] }
        if arena.insertions.isEmpty {
            forEachChild { name, range in
                child(name, range.lowerBound - content.lowerBound..<range.upperBound - content.lowerBound)
            }
            return Array(UnsafeRawBufferPointer(rebasing: source[content]))
        }
        return splice(source, content, child)
    }

    /// The children's names and ranges, without making an `Element` of each.
    private func forEachChild(_ body: (Name, Range<Int>) -> Void) {
        let current = arena.generation == NameTable.shared.generation
        let end = record.end
        var index = node + 1
        while index < end {
            let record = arena.nodes[Int(index)]
            if !record.isText {
                let name = record.name != 0 || current ? Name(index: record.name) : Element(arena: arena, node: index).name
                body(name, Int(record.start)..<Int(max(record.start, record.stop)))
            }
            index = record.end
        }
    }

    /// All attributes without making strings of them: local name, namespace (empty when in none) and decoded value, as UTF-8.
    public func forEachAttribute(
        _ body: (_ local: UnsafeRawBufferPointer, _ namespace: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        let record = record
        for i in Int(record.attributes)..<Int(record.attributes) + Int(record.attributeCount) {
            let attribute = arena.attributes[i]
            body(
                UnsafeRawBufferPointer(arena.bytes(attribute.name, attribute.nameLength)),
                UnsafeRawBufferPointer(arena.bytes(attribute.namespace, attribute.namespaceLength)),
                UnsafeRawBufferPointer(arena.bytes(attribute.value, attribute.valueLength)))
        }
    }

    /// The value of the attribute that `forEachAttribute` shows in this turn, from 0; empty beyond the last.
    public func attributeValue(at index: Int) -> String {
        let record = record
        guard index >= 0, index < Int(record.attributeCount) else { return "" }
        let attribute = arena.attributes[Int(record.attributes) + index]
        return arena.string(attribute.value, attribute.valueLength)
    }

    private func splice(_ source: UnsafeRawBufferPointer, _ content: Range<Int>, _ child: (Name, Range<Int>) -> Void) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(content.count + arena.insertions.reduce(0) { $0 + $1.declaration.count })
        var copied = content.lowerBound
        var pending = arena.insertions[...]
        func copy(to end: Int) {
            guard end > copied else { return }
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: source[copied..<min(end, source.count)]))
            copied = end
        }
        forEachChild { name, range in
            copy(to: range.lowerBound)
            let start = bytes.count
            while let next = pending.first, next.position < range.upperBound {
                copy(to: next.position)
                bytes.append(contentsOf: next.declaration)
                pending = pending.dropFirst()
            }
            copy(to: range.upperBound)
            child(name, start..<bytes.count)
        }
        copy(to: content.upperBound)
        return bytes
    }
}
