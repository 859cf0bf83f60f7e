public import XMLStream

/// What stands inside a stanza: its bytes, forwarded as they came, and the facts about them. Immutable, shared by all copies of a stanza.
///
/// The bytes are in default-namespace normal form: they mean the same inside any element whose default namespace is `jabber:client`,
/// and need no other declaration from outside.
public final class Payload: Sendable {
    public let bytes: [UInt8]
    public let facts: Facts
    /// The tree the bytes were parsed from, while it is at hand.
    private let tree: Element?

    private init(bytes: [UInt8], facts: Facts, tree: Element?) {
        self.bytes = bytes
        self.facts = facts
        self.tree = tree
    }

    public static let empty = Payload(bytes: [], facts: Facts(), tree: nil)

    /// The content of a stanza from the wire.
    ///
    /// - Parameter source: the bytes `element` was parsed from.
    convenience init(_ element: Element, source: UnsafeRawBufferPointer) {
        let (bytes, facts) = Self.read(element, source)
        self.init(bytes: bytes, facts: facts, tree: element)
    }

    /// Parses bytes to learn the facts.
    ///
    /// - Parameter bytes: well-formed content in default namespace `jabber:client`.
    /// - Throws: `ParseError` when it is not.
    public convenience init(_ bytes: [UInt8]) throws(ParseError) {
        let wrapped = Self.wrap(bytes, in: .message)
        let element = try Element.parse(wrapped, limits: .unbounded)
        // `</message><message>` in the bytes would close the wrapping element early; the parser then finds more than one.
        let (content, facts) = wrapped.withUnsafeBytes { source in Self.read(element, source) }
        self.init(bytes: content, facts: facts, tree: element)
    }

    private static func read(_ element: Element, _ source: UnsafeRawBufferPointer) -> ([UInt8], Facts) {
        ChildKind.prepare()
        var facts = Facts()
        facts.reserve(4)
        let bytes = element.content(from: source) { name, range in
            facts.append(ChildFact(kind: ChildKind(name), range: range))
        }
        return (bytes, facts)
    }

    /// Exactly one element that this program wrote itself; it is not parsed.
    public convenience init(written element: [UInt8], as kind: ChildKind = .other) {
        self.init(
            bytes: element, facts: element.isEmpty ? Facts() : Facts([ChildFact(kind: kind, range: 0..<element.count)]), tree: nil)
    }

    /// Bytes and facts that belong together, as a codec read them; nil when a range does not fit.
    convenience init?(bytes: [UInt8], facts: Facts) {
        var end = 0
        for child in facts.children {
            guard child.range.lowerBound >= end, !child.range.isEmpty else { return nil }
            end = child.range.upperBound
        }
        guard end <= bytes.count else { return nil }
        self.init(bytes: bytes, facts: facts, tree: nil)
    }

    public var isEmpty: Bool { bytes.isEmpty }

    /// The same payload without the parsed tree, for keeping: the tree takes more memory than the bytes.
    public func detached() -> Payload {
        tree == nil ? self : Payload(bytes: bytes, facts: facts, tree: nil)
    }

    /// The stanza element around the children: the one from the wire, with its attributes, where that is at hand; else the bytes are parsed
    /// again inside an element of this kind without attributes. Nil only when the bytes are damaged.
    public func element(wrappedIn kind: StanzaKind) -> Element? {
        if let tree { return tree }
        return try? Element.parse(Self.wrap(bytes, in: kind), limits: .unbounded)
    }

    /// One child as an element, parsed again on its own where the tree is gone. Nil only for a fact of another payload.
    public func element(of child: ChildFact) -> Element? {
        if let tree {
            guard let index = facts.children.firstIndex(of: child) else { return nil }
            return tree.children.dropFirst(index).first { _ in true }
        }
        let range = child.range
        guard range.upperBound <= bytes.count else { return nil }
        return bytes.withUnsafeBytes { bytes in
            try? Element.parse(UnsafeRawBufferPointer(rebasing: bytes[range]), limits: .unbounded)
        }
    }

    /// The bytes of one child; empty for a fact of another payload.
    public func bytes(of child: ChildFact) -> ArraySlice<UInt8> {
        bytes[child.range.clamped(to: 0..<bytes.count)]
    }

    /// The payload without some children, as a forged `<stanza-id/>`; the others keep their bytes. The same object when none is cut.
    public func removing(where isUnwanted: (ChildFact) -> Bool) -> Payload {
        var kept = Facts()
        var result: [UInt8] = []
        var copied = 0
        var cut = 0
        for child in facts.children {
            if isUnwanted(child) {
                result.append(contentsOf: bytes[copied..<child.range.lowerBound])
                copied = child.range.upperBound
                cut += child.range.count
            } else {
                kept.append(child.moved(by: -cut))
            }
        }
        guard cut > 0 else { return self }
        result.append(contentsOf: bytes[copied...])
        return Payload(bytes: result, facts: kept, tree: nil)
    }

    /// The payload with one more element at the end, written by this program itself.
    public func appending(_ element: [UInt8], as kind: ChildKind) -> Payload {
        guard !element.isEmpty else { return self }
        var facts = facts
        facts.append(ChildFact(kind: kind, range: bytes.count..<bytes.count + element.count))
        return Payload(bytes: bytes + element, facts: facts, tree: nil)
    }

    private static func wrap(_ bytes: [UInt8], in kind: StanzaKind) -> [UInt8] {
        var wrapped: [UInt8] = []
        wrapped.reserveCapacity(bytes.count + 32)
        wrapped.append(UInt8(ascii: "<"))
        wrapped.append(contentsOf: kind.name.utf8)
        wrapped.append(UInt8(ascii: ">"))
        wrapped.append(contentsOf: bytes)
        wrapped.append(contentsOf: "</".utf8)
        wrapped.append(contentsOf: kind.name.utf8)
        wrapped.append(UInt8(ascii: ">"))
        return wrapped
    }
}

extension XMLLimits {
    /// For bytes that passed a stream's limits before.
    static let unbounded = XMLLimits(
        stanzaBytes: .max, depth: .max, attributes: .max, namespaceDeclarations: .max, headerBytes: .max)
}
