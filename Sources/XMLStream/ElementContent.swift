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
    ///   - child: called for each child with its range in the answer.
    /// - Returns: the bytes; at most `max(2 · source, source + 64 KiB)` and a little.
    public func content(from source: UnsafeRawBufferPointer, child: (Element, Range<Int>) -> Void) -> [UInt8] {
        let content = arena.content.clamped(to: 0..<source.count)
        guard node == 0, !content.isEmpty else { return [] }
        if arena.insertions.isEmpty {
            for element in children {
                let range = element.range
                child(element, range.lowerBound - content.lowerBound..<range.upperBound - content.lowerBound)
            }
            return Array(UnsafeRawBufferPointer(rebasing: source[content]))
        }
        return splice(source, content, child)
    }

    private func splice(_ source: UnsafeRawBufferPointer, _ content: Range<Int>, _ child: (Element, Range<Int>) -> Void) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(content.count + arena.insertions.reduce(0) { $0 + $1.declaration.count })
        var copied = content.lowerBound
        var pending = arena.insertions[...]
        func copy(to end: Int) {
            guard end > copied else { return }
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: source[copied..<min(end, source.count)]))
            copied = end
        }
        for element in children {
            let range = element.range
            copy(to: range.lowerBound)
            let start = bytes.count
            while let next = pending.first, next.position < range.upperBound {
                copy(to: next.position)
                bytes.append(contentsOf: next.declaration)
                pending = pending.dropFirst()
            }
            copy(to: range.upperBound)
            child(element, start..<bytes.count)
        }
        copy(to: content.upperBound)
        return bytes
    }
}
