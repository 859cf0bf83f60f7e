import Stanzas

extension Stanza {
    /// A stanza as a record keeps it: `encode(into:)` alone in its bytes.
    init(encoded bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        self = try Stanza.decode(&reader)
    }
}

extension Shard {
    /// Shows a stanza's binary form, in a buffer that is used again for the next.
    func encode<R>(_ stanza: Stanza, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        if encoded.capacity > 65_536 { encoded = [] } else { encoded.removeAll(keepingCapacity: true) }
        stanza.encode(into: &encoded)
        return encoded.withUnsafeBytes(body)
    }
}
