import XMLStream

/// A stanza in its binary form, looked at where it lies: no strings, no addresses and no tree are made of it. Valid as long as its
/// bytes are.
public struct EncodedStanza {
    public let kind: StanzaKind
    public let type: StanzaType
    /// Raw fields: UTF-8, nil when the stanza has none.
    public let id: UnsafeRawBufferPointer?
    public let from: UnsafeRawBufferPointer?
    public let to: UnsafeRawBufferPointer?
    public let lang: UnsafeRawBufferPointer?
    /// Further attributes, as `Stanza.extraAttributes`.
    let extra: UnsafeRawBufferPointer?
    /// What is inside, as `Payload.bytes`.
    public let payload: UnsafeRawBufferPointer
    /// Which kinds of children there are.
    public let mask: PayloadMask

    /// - Parameter bytes: what `Stanza.encode` wrote.
    /// - Throws: `CodecError`; damaged bytes never trap. Whether addresses are legal is not looked at.
    public init(_ bytes: UnsafeRawBufferPointer) throws(CodecError) {
        var reader = RawReader(bytes)
        guard let kind = StanzaKind(rawValue: try reader.uint8()), let type = StanzaType(rawValue: try reader.uint8()), type.fits(kind)
        else { throw .malformed }
        self.kind = kind
        self.type = type
        let present = try reader.uint8()
        guard present <= 31 else { throw .malformed }
        id = present & 1 != 0 ? try reader.field() : nil
        from = present & 2 != 0 ? try reader.field() : nil
        to = present & 4 != 0 ? try reader.field() : nil
        lang = present & 8 != 0 ? try reader.field() : nil
        extra = present & 16 != 0 ? try reader.field() : nil
        payload = try reader.field()
        var mask: PayloadMask = []
        for _ in 0..<(try reader.count()) {
            mask.insert((ChildKind(rawValue: try reader.uint8()) ?? .other).mask)
            _ = try reader.count()
            _ = try reader.count()
        }
        self.mask = mask
        guard reader.isAtEnd else { throw .malformed }
    }

    /// Appends the stanza as XML, as `Stanza.write` does.
    public func write(into bytes: inout [UInt8], xmlns: String) {
        bytes.append(UInt8(ascii: "<"))
        bytes.append(contentsOf: kind.name.utf8)
        XMLWriter.attribute("xmlns", xmlns, into: &bytes)
        if let from { XMLWriter.attribute("from", utf8: from, into: &bytes) }
        if let to { XMLWriter.attribute("to", utf8: to, into: &bytes) }
        if let id { XMLWriter.attribute("id", utf8: id, into: &bytes) }
        if let type = type.attribute { XMLWriter.attribute("type", type, into: &bytes) }
        if let lang { XMLWriter.attribute("xml:lang", utf8: lang, into: &bytes) }
        if let extra { bytes.append(contentsOf: extra) }
        if payload.isEmpty {
            bytes.append(contentsOf: "/>".utf8)
            return
        }
        bytes.append(UInt8(ascii: ">"))
        bytes.append(contentsOf: payload)
        bytes.append(contentsOf: "</".utf8)
        bytes.append(contentsOf: kind.name.utf8)
        bytes.append(UInt8(ascii: ">"))
    }
}

/// As `ByteReader`, over memory that is not an array's.
private struct RawReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func uint8() throws(CodecError) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    /// LEB128 of a size, at most five bytes.
    mutating func count() throws(CodecError) -> Int {
        var value = 0
        for shift in stride(from: 0, through: 28, by: 7) {
            let byte = try uint8()
            value |= Int(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw .malformed
    }

    mutating func field() throws(CodecError) -> UnsafeRawBufferPointer {
        let length = try count()
        guard length <= bytes.count - position else { throw .truncated }
        defer { position += length }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
    }
}
