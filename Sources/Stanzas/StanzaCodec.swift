// The binary form of a stanza, one for the bus and the store. Who embeds it says its version.
//
//   kind u8 | type u8 | present u8 | id? from? to? lang? extra? (strings) | trace? u64 | payload (bytes) | children (count)
//   per child: kind u8 | gap behind the last child (count) | length (count)

extension Stanza {
    private static let hasID: UInt8 = 1
    private static let hasFrom: UInt8 = 2
    private static let hasTo: UInt8 = 4
    private static let hasLang: UInt8 = 8
    private static let hasExtra: UInt8 = 16
    private static let hasTrace: UInt8 = 32

    /// Appends the binary form.
    ///
    /// - Parameter traced: With its mark, for the way between nodes.
    public func encode(into writer: inout ByteWriter, traced: Bool = false) {
        writer.uint8(kind.rawValue)
        writer.uint8(type.rawValue)
        var present: UInt8 = 0
        if id != nil { present |= Self.hasID }
        if from != nil { present |= Self.hasFrom }
        if to != nil { present |= Self.hasTo }
        if lang != nil { present |= Self.hasLang }
        if !extraAttributes.isEmpty { present |= Self.hasExtra }
        if traced, trace != 0 { present |= Self.hasTrace }
        writer.uint8(present)
        if let id { writer.string(id) }
        if let from { writer.string(from.description) }
        if let to { writer.string(to.description) }
        if let lang { writer.string(lang) }
        if !extraAttributes.isEmpty { writer.string(extraAttributes) }
        if present & Self.hasTrace != 0 { writer.uint64(trace) }
        payload.encode(into: &writer)
    }

    /// Appends the binary form.
    public func encode(into bytes: inout [UInt8]) {
        var writer = ByteWriter()
        swap(&writer.bytes, &bytes)
        encode(into: &writer)
        swap(&writer.bytes, &bytes)
    }

    /// Reads what `encode` wrote.
    ///
    /// - Throws: `CodecError`; damaged bytes never trap.
    public static func decode(_ reader: inout ByteReader) throws(CodecError) -> Stanza {
        guard let kind = StanzaKind(rawValue: try reader.uint8()), let type = StanzaType(rawValue: try reader.uint8()), type.fits(kind)
        else {
            throw .malformed
        }
        let present = try reader.uint8()
        guard present <= 63 else { throw .malformed }
        let id = present & hasID != 0 ? try reader.string() : nil
        let from = present & hasFrom != 0 ? try jid(&reader) : nil
        let to = present & hasTo != 0 ? try jid(&reader) : nil
        let lang = present & hasLang != 0 ? try reader.string() : nil
        let extra = present & hasExtra != 0 ? try reader.string() : ""
        let trace = present & hasTrace != 0 ? try reader.uint64() : 0
        var stanza = Stanza(kind: kind, type: type, id: id, from: from, to: to, lang: lang, payload: try Payload.decode(&reader))
        stanza.extraAttributes = extra
        if trace != 0 { stanza.trace = trace }
        return stanza
    }

    private static func jid(_ reader: inout ByteReader) throws(CodecError) -> JID {
        guard let jid = try? JID(try reader.string()) else { throw .malformed }
        return jid
    }
}

extension Payload {
    /// Appends bytes and facts.
    public func encode(into writer: inout ByteWriter) {
        writer.bytes(bytes)
        writer.count(facts.children.count)
        var end = 0
        for child in facts.children {
            writer.uint8(child.kind.rawValue)
            writer.count(child.range.lowerBound - end)
            writer.count(child.range.count)
            end = child.range.upperBound
        }
    }

    /// Reads what `encode` wrote. A kind of child that a newer program wrote counts as `other`.
    public static func decode(_ reader: inout ByteReader) throws(CodecError) -> Payload {
        let bytes = try reader.bytes()
        let count = try reader.count()
        // A child takes three bytes at least: no allocation beyond what is there.
        guard count <= reader.remaining / 3 else { throw .truncated }
        var facts = Facts()
        var end = 0
        for _ in 0..<count {
            let kind = ChildKind(rawValue: try reader.uint8()) ?? .other
            let gap = try reader.count()
            let length = try reader.count()
            guard gap <= bytes.count - end, length > 0, length <= bytes.count - end - gap else { throw .malformed }
            facts.append(ChildFact(kind: kind, range: end + gap..<end + gap + length))
            end += gap + length
        }
        if bytes.isEmpty, count == 0 { return .empty }
        guard let payload = Payload(bytes: bytes, facts: facts) else { throw .malformed }
        return payload
    }
}
