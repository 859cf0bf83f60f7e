extension StanzaError {
    /// The stanza of type error that tells a sender (RFC 6120 §8.3.1): same kind and id, `from` and `to` changed over. Nil when the stanza
    /// is itself an error or a result, which nothing answers, so that no two entities answer each other for ever.
    public func reply(to stanza: Stanza) -> Stanza? {
        guard stanza.mayBeAnswered else { return nil }
        var reply = Stanza(
            kind: stanza.kind, type: .error, id: stanza.id, from: stanza.to, to: stanza.from, payload: Payload(written: bytes, as: .error))
        if stanza.trace != 0 { reply.trace = stanza.trace }
        return reply
    }
}
