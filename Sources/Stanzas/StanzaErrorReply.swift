extension StanzaError {
    /// The stanza of type error that answers `stanza`: addresses swapped, id kept, the original payload in front of the error
    /// (RFC 6120 §8.3.1). Nil for what must not be answered: an error, or the answer to an IQ.
    ///
    /// A presence error and a large stanza carry the error alone.
    public func reply(to stanza: Stanza) -> Stanza? {
        guard stanza.mayBeAnswered else { return nil }
        let echo = stanza.kind != .presence && stanza.payload.bytes.count <= Self.echoBound
        let payload = echo ? stanza.payload.appending(bytes, as: .error) : Payload(written: bytes, as: .error)
        return Stanza(kind: stanza.kind, type: .error, id: stanza.id, from: stanza.to, to: stanza.from, payload: payload)
    }

    /// Bytes of a payload beyond which it is not sent back with its error.
    private static var echoBound: Int { 16_384 }
}
