import Stanzas

extension Stanza {
    /// A stanza as a record keeps it: `encode(into:)` alone in its bytes.
    init(encoded bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        self = try Stanza.decode(&reader)
    }
}
