/// Appends well-formed XML to a byte buffer. Texts and attribute values are escaped; names are the caller's and written as they are.
public struct XMLWriter: Sendable {
    /// What has been written so far.
    public var bytes: [UInt8]

    public init() { bytes = [] }

    /// Writes behind what `bytes` holds.
    public init(_ bytes: consuming [UInt8]) { self.bytes = bytes }

    /// `<name xmlns='…' attribute='…'>`; attributes whose value is nil are left out.
    public mutating func start(_ name: String, xmlns: String? = nil, _ attributes: (String, String?)...) {
        open(name, xmlns, attributes)
        bytes.append(UInt8(ascii: ">"))
    }

    /// `<name xmlns='…' attribute='…'/>`.
    public mutating func empty(_ name: String, xmlns: String? = nil, _ attributes: (String, String?)...) {
        open(name, xmlns, attributes)
        close()
    }

    /// `</name>`.
    public mutating func end(_ name: String) {
        raw("</")
        raw(name)
        bytes.append(UInt8(ascii: ">"))
    }

    /// An element with text, or an empty element when the text is nil.
    public mutating func element(_ name: String, xmlns: String? = nil, _ attributes: (String, String?)..., text: String?) {
        open(name, xmlns, attributes)
        guard let text else { return close() }
        bytes.append(UInt8(ascii: ">"))
        self.text(text)
        end(name)
    }

    /// An element around whatever `body` writes.
    public mutating func element<E: Error>(
        _ name: String, xmlns: String? = nil, _ attributes: (String, String?)..., body: (inout XMLWriter) throws(E) -> Void
    ) throws(E) {
        open(name, xmlns, attributes)
        bytes.append(UInt8(ascii: ">"))
        try body(&self)
        end(name)
    }

    /// Character data, escaped.
    public mutating func text(_ text: String) { Self.escape(text, into: &bytes) }

    /// Well-formed XML, written as it is.
    public mutating func raw(_ xml: String) { bytes.append(text: xml) }

    /// Well-formed XML, written as it is.
    public mutating func raw(_ xml: some Sequence<UInt8>) { bytes.append(contentsOf: xml) }

    /// ` name='value'`, the value escaped; for start tags put together by hand.
    public mutating func attribute(_ name: String, _ value: String) {
        Self.attribute(name, value, into: &bytes)
    }

    private mutating func open(_ name: String, _ xmlns: String?, _ attributes: [(String, String?)]) {
        bytes.append(UInt8(ascii: "<"))
        raw(name)
        if let xmlns { attribute("xmlns", xmlns) }
        for (name, value) in attributes {
            if let value { attribute(name, value) }
        }
    }

    private mutating func close() { raw("/>") }

    /// ` name='value'`, the value escaped.
    public static func attribute(_ name: String, _ value: String, into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: " "))
        bytes.append(text: name)
        bytes.append(UInt8(ascii: "="))
        bytes.append(UInt8(ascii: "'"))
        escape(value, into: &bytes)
        bytes.append(UInt8(ascii: "'"))
    }

    /// ` name='value'`, the value escaped; its bytes are valid UTF-8.
    public static func attribute(_ name: String, utf8 value: UnsafeRawBufferPointer, into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: " "))
        bytes.append(text: name)
        bytes.append(UInt8(ascii: "="))
        bytes.append(UInt8(ascii: "'"))
        value.withMemoryRebound(to: UInt8.self) { escape($0, into: &bytes) }
        bytes.append(UInt8(ascii: "'"))
    }

    /// Escapes for text and for attribute values at once: the five predefined entities, and CR, LF and TAB as references, since
    /// a parser would normalise them otherwise (XML 1.0 §2.11, §3.3.3). Control characters that XML 1.0 §2.2 knows no form for,
    /// U+FFFE and U+FFFF become U+FFFD: what leaves the server is always well-formed.
    public static func escape(_ text: String, into bytes: inout [UInt8]) {
        if text.utf8.withContiguousStorageIfAvailable({ source in escape(source, into: &bytes) }) == nil {
            Array(text.utf8).withUnsafeBufferPointer { source in escape(source, into: &bytes) }
        }
    }

    /// The same for bytes that are valid UTF-8.
    static func escape(_ source: UnsafeBufferPointer<UInt8>, into bytes: inout [UInt8]) {
        guard let base = source.baseAddress else { return }
        var plain = 0
        var i = 0
        while i < source.count {
            // Eight at a time where nothing needs care; the last eight may have been looked at in part.
            let ahead = min(i, source.count &- 8)
            if ahead >= 0, isPlain(UnsafeRawPointer(base + ahead).loadUnaligned(as: UInt64.self)) {
                i = ahead &+ 8
                continue
            }
            let byte = base[i]
            // All that needs care lies below 64, but for the noncharacters, which begin with 0xEF.
            if byte >= 64 ? byte != 0xEF : (careful >> UInt64(byte)) & 1 == 0 {
                i += 1
                continue
            }
            var width = 1
            let replacement: StaticString
            switch byte {
            case UInt8(ascii: "<"): replacement = "&lt;"
            case UInt8(ascii: ">"): replacement = "&gt;"
            case UInt8(ascii: "&"): replacement = "&amp;"
            case UInt8(ascii: "'"): replacement = "&apos;"
            case UInt8(ascii: "\""): replacement = "&quot;"
            case 0x0A: replacement = "&#10;"
            case 0x0D: replacement = "&#13;"
            case 0x09: replacement = "&#9;"
            case 0x00..<0x20: replacement = "\u{FFFD}"
            case 0xEF where source.count - i >= 3 && base[i + 1] == 0xBF && base[i + 2] >= 0xBE:
                replacement = "\u{FFFD}"
                width = 3
            default:
                i += 1
                continue
            }
            if i > plain { bytes.append(contentsOf: UnsafeBufferPointer(start: base + plain, count: i - plain)) }
            bytes.append(contentsOf: UnsafeBufferPointer(start: replacement.utf8Start, count: replacement.utf8CodeUnitCount))
            i += width
            plain = i
        }
        bytes.append(contentsOf: UnsafeBufferPointer(start: base + plain, count: source.count - plain))
    }
}

/// Whether none of these eight bytes needs care. A byte less one borrows into its highest bit only when it was zero (or above 128, which
/// the complement takes out): the same sum for all eight, and where it says that none is, none is.
@inline(__always)
private func isPlain(_ bytes: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    @inline(__always)
    func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
    let control = (bytes &- (ones &* 0x20)) & ~bytes
    // 0x26 and 0x27 differ in one bit, 0x3C and 0x3E too.
    let entities =
        zeros(bytes ^ (ones &* 0x22)) | zeros((bytes & (ones &* 0xFE)) ^ (ones &* 0x26))
        | zeros((bytes & (ones &* 0xFD)) ^ (ones &* 0x3C))
    return (control | entities | zeros(bytes ^ (ones &* 0xEF))) & (ones &* 0x80) == 0
}

/// Control characters and the five that have entities.
private let careful: UInt64 = 0xFFFF_FFFF | 1 << 0x22 | 1 << 0x26 | 1 << 0x27 | 1 << 0x3C | 1 << 0x3E

extension [UInt8] {
    /// Appends the UTF-8 of a string in one piece, where it lies: its view is a sequence that an array would ask for its bytes twice.
    @inlinable
    public mutating func append(text: String) {
        // A string that is changed, as `withUTF8` may, is counted once more than one that is looked at.
        if text.utf8.withContiguousStorageIfAvailable({ append(contentsOf: $0) }) == nil { append(contentsOf: text.utf8) }
    }
}
