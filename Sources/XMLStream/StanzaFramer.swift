#if canImport(Glibc)
    import Glibc
#endif

/// Cuts the bytes of a stream into its header, whole stanzas and its end, without judging their well-formedness.
///
/// A parser that is fed partial tags costs time quadratic in the tag's length and memory for the life of the connection;
/// this machine costs a few words a connection and looks at each byte once, however the bytes were split. It enforces
/// every bound of `XMLLimits` while the bytes arrive and refuses comments, processing instructions and declarations
/// (RFC 6120 §11.1). Where it and the parser disagree about the end of a stanza, the parser refuses the stanza.
public struct StanzaFramer: Sendable {
    /// What the bytes given so far amount to. Offsets count from the first byte given.
    public enum Frame: Equatable, Sendable {
        /// No frame is complete. The first `consumed` bytes were white space between stanzas: drop them before the next call.
        case needMore(consumed: Int)
        /// A stream header (with its XML declaration, if it has one). Drop `end` bytes.
        case header(start: Int, end: Int)
        /// A whole first-level element. Drop `end` bytes.
        case stanza(start: Int, end: Int)
        /// The closing tag of the stream. Drop `end` bytes.
        case end(end: Int)
    }

    private enum State: UInt8 {
        case outside, text, open, tag, singleQuoted, doubleQuoted, endTag, bang, cdata, declaration, afterDeclaration
    }

    /// May be raised between frames, as after authentication.
    public var limits: XMLLimits
    private var state = State.outside
    private var expectsHeader: Bool
    private var matched: UInt8 = 0
    private var depth = 0
    private var attributes = 0
    private var declarations = 0
    private var start = 0
    private var scanned = 0

    /// - Parameter expectsHeader: whether a stream header comes first; false for a stream framed by something else (RFC 7395).
    public init(limits: XMLLimits, expectsHeader: Bool = true) {
        self.limits = limits
        self.expectsHeader = expectsHeader
    }

    /// A new stream begins on the same connection: a header comes next (RFC 6120 §4.3.3).
    public mutating func restart() {
        self = StanzaFramer(limits: limits)
    }

    /// Looks for the next frame.
    ///
    /// - Parameter bytes: everything not yet consumed: the same bytes as in the last call, less what was dropped, plus what arrived since.
    /// - Throws: `ParseError`. The stream is beyond use after it.
    public mutating func next(_ bytes: UnsafeRawBufferPointer) throws(ParseError) -> Frame {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .needMore(consumed: 0) }
        let count = bytes.count
        var i = scanned
        scan: while i < count {
            switch state {
            case .outside, .afterDeclaration:
                while i < count, isSpace(base[i]) { i += 1 }
                if i == count { break scan }
                guard base[i] == UInt8(ascii: "<") else { throw ParseError(expectsHeader ? .notWellFormed : .badFormat) }
                if state == .outside { start = i }
                i += 1
                state = .open
            case .text:
                guard let hit = find(UInt8(ascii: "<"), base, i, count) else {
                    i = count
                    break scan
                }
                i = hit + 1
                state = .open
            case .open:
                try open(base[i], at: &i)
            case .tag:
                if try scanTag(base, &i, count) {
                    if let frame = try complete(end: i) { return frame }
                }
            case .singleQuoted, .doubleQuoted:
                let quote = state == .singleQuoted ? UInt8(ascii: "'") : UInt8(ascii: "\"")
                guard let hit = find(quote, base, i, count) else {
                    i = count
                    break scan
                }
                i = hit + 1
                state = .tag
            case .endTag:
                guard let hit = find(UInt8(ascii: ">"), base, i, count) else {
                    i = count
                    break scan
                }
                i = hit + 1
                if depth == 0 {
                    try checkSize(i)
                    rest()
                    return .end(end: i)
                }
                depth -= 1
                if let frame = try complete(end: i) { return frame }
            case .bang:
                guard base[i] == cdataOpening[Int(matched)] else { throw ParseError(.restricted) }
                matched += 1
                i += 1
                if Int(matched) == cdataOpening.count { state = .cdata }
            case .cdata:
                guard let hit = find(UInt8(ascii: ">"), base, i, count) else {
                    i = count
                    break scan
                }
                // At least "<![CDATA[" lies before `hit`.
                if base[hit - 1] == UInt8(ascii: "]"), base[hit - 2] == UInt8(ascii: "]") { state = .text }
                i = hit + 1
            case .declaration:
                guard let hit = find(UInt8(ascii: ">"), base, i, count) else {
                    i = count
                    break scan
                }
                i = hit + 1
                try checkSize(i)
                try XMLDeclaration.check(UnsafeRawBufferPointer(rebasing: bytes[start..<i]))
                state = .afterDeclaration
            }
        }
        if state == .outside {
            scanned = 0
            start = 0
            return .needMore(consumed: count)
        }
        try checkSize(count)
        let consumed = start
        start = 0
        scanned = i - consumed
        return .needMore(consumed: consumed)
    }

    /// Decides on the byte after a '<'.
    private mutating func open(_ byte: UInt8, at i: inout Int) throws(ParseError) {
        switch byte {
        case UInt8(ascii: "/"):
            if depth == 0 && expectsHeader { throw ParseError(.notWellFormed) }
            i += 1
            state = .endTag
        case UInt8(ascii: "!"):
            // Only CDATA sections may follow, and only inside a stanza.
            if depth == 0 { throw ParseError(.restricted) }
            i += 1
            matched = 0
            state = .bang
        case UInt8(ascii: "?"):
            guard expectsHeader, i == start + 1 else { throw ParseError(.restricted) }
            i += 1
            state = .declaration
        case UInt8(ascii: ">"), UInt8(ascii: "<"), UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "="):
            throw ParseError(.notWellFormed)
        default:
            if depth >= limits.depth { throw ParseError(.tooDeep) }
            i += 1
            attributes = 0
            declarations = 0
            state = .tag
        }
    }

    /// Scans a start tag outside quotes. Answers true when the tag has ended and `depth` is counted.
    private mutating func scanTag(_ base: UnsafePointer<UInt8>, _ i: inout Int, _ count: Int) throws(ParseError) -> Bool {
        while i < count {
            let byte = base[i]
            i += 1
            // `"`, `'`, `<` and `>` all lie below 64: one shift passes over everything else.
            if byte >= 64 || (tagBytes >> UInt64(byte)) & 1 == 0 { continue }
            switch byte {
            case UInt8(ascii: ">"):
                if base[i - 2] != UInt8(ascii: "/") {
                    depth += 1
                } else if expectsHeader {
                    throw ParseError(.badFormat)
                }
                return true
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                attributes += 1
                if attributes > limits.attributes { throw ParseError(.tooManyAttributes) }
                if declaresNamespace(base, from: start, to: i - 1) {
                    declarations += 1
                    if declarations > limits.namespaceDeclarations { throw ParseError(.tooManyNamespaces) }
                }
                // A value is passed over here at once where it is complete.
                guard let hit = find(byte, base, i, count) else {
                    state = byte == UInt8(ascii: "'") ? .singleQuoted : .doubleQuoted
                    i = count
                    return false
                }
                i = hit + 1
            default:
                throw ParseError(.notWellFormed)
            }
        }
        return false
    }

    /// Called behind each tag: the frame if one ends here, or nil inside a stanza.
    private mutating func complete(end: Int) throws(ParseError) -> Frame? {
        if expectsHeader {
            try checkSize(end)
            let begin = start
            expectsHeader = false
            depth = 0
            rest()
            return .header(start: begin, end: end)
        }
        if depth > 0 {
            state = .text
            return nil
        }
        try checkSize(end)
        let begin = start
        rest()
        return .stanza(start: begin, end: end)
    }

    private mutating func rest() {
        state = .outside
        start = 0
        scanned = 0
    }

    private func checkSize(_ end: Int) throws(ParseError) {
        if end - start > (expectsHeader ? limits.headerBytes : limits.stanzaBytes) { throw ParseError(.tooLarge) }
    }
}

private let cdataOpening: StaticBytes = "[CDATA["

private let tagBytes: UInt64 = 1 << 0x22 | 1 << 0x27 | 1 << 0x3C | 1 << 0x3E

/// A literal's bytes, so that the table needs no initialisation and no retain.
private struct StaticBytes: ExpressibleByStringLiteral, Sendable {
    private let text: StaticString
    init(stringLiteral value: StaticString) { text = value }
    var count: Int { text.utf8CodeUnitCount }
    subscript(_ index: Int) -> UInt8 { text.utf8Start[index] }
}

@inline(__always)
private func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
}

@inline(__always)
private func find(_ byte: UInt8, _ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int? {
    guard let hit = memchr(base + from, Int32(byte), count - from) else { return nil }
    return UnsafeRawPointer(hit) - UnsafeRawPointer(base)
}

/// Whether the attribute whose value's quote stands at `quote` is called `xmlns` or `xmlns:…`. Each name is looked at once.
private func declaresNamespace(_ base: UnsafePointer<UInt8>, from start: Int, to quote: Int) -> Bool {
    var i = quote
    while i > start, isSpace(base[i - 1]) { i -= 1 }
    guard i > start, base[i - 1] == UInt8(ascii: "=") else { return false }
    i -= 1
    while i > start, isSpace(base[i - 1]) { i -= 1 }
    let end = i
    while i > start, !isSpace(base[i - 1]), base[i - 1] != UInt8(ascii: "'"), base[i - 1] != UInt8(ascii: "\"") { i -= 1 }
    guard end - i >= 5, memcmp(base + i, "xmlns", 5) == 0 else { return false }
    return end - i == 5 || base[i + 5] == UInt8(ascii: ":")
}
