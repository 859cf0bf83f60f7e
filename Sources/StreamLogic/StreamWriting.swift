public import Stanzas
public import XMLStream

/// The bytes for what `ClientStream` answers.
public enum StreamWriting {
    /// The language of every text this server writes itself (RFC 6120 §4.7.4).
    public static let language = "en"
    /// `</stream:stream>`.
    public static let end = "</stream:stream>"

    /// The response stream header, XML declaration included (RFC 6120 §4.2, §4.7, §11.5).
    public static func header(_ header: ResponseHeader, id: String, into writer: inout XMLWriter) {
        writer.raw("<?xml version='1.0'?>")
        writer.start(
            "stream:stream", xmlns: NS.client, ("xmlns:stream", NS.stream), ("from", header.from), ("to", header.to?.description),
            ("id", id),
            ("version", header.hasVersion ? "1.0" : nil), ("xml:lang", language))
    }

    /// The stream features.
    ///
    /// - Parameters:
    ///   - mechanisms: in order of preference; without any the SASL feature is left out.
    ///   - channelBindings: types that may be used with the -PLUS mechanisms (XEP-0440).
    ///   - more: further features, well-formed, each declaring its namespace.
    public static func features(
        _ offer: Offer, mechanisms: [String] = [], channelBindings: [String] = [], more: [UInt8] = [], into writer: inout XMLWriter
    ) {
        writer.start("stream:features")
        switch offer.startTLS {
        case .none: break
        case .optional: writer.empty("starttls", xmlns: NS.tls)
        case .required: writer.element("starttls", xmlns: NS.tls) { $0.empty("required") }
        }
        if offer.authentication, !mechanisms.isEmpty {
            writer.element("mechanisms", xmlns: NS.sasl) { writer in
                for mechanism in mechanisms { writer.element("mechanism", text: mechanism) }
            }
            if !channelBindings.isEmpty {
                writer.element("sasl-channel-binding", xmlns: NS.channelBindings) { writer in
                    for type in channelBindings { writer.empty("channel-binding", ("type", type)) }
                }
            }
        }
        if offer.compression {
            writer.element("compression", xmlns: NS.compressFeature) { $0.element("method", text: ClientStream.compressionMethod) }
        }
        if offer.binding {
            writer.element("bind", xmlns: NS.bind) { $0.empty("required") }
            writer.element("session", xmlns: NS.session) { $0.empty("optional") }
        }
        writer.raw(more)
        writer.end("stream:features")
    }

    /// `<proceed/>` (RFC 6120 §5.4.2.3).
    public static func proceed(into writer: inout XMLWriter) { writer.empty("proceed", xmlns: NS.tls) }

    /// `<failure/>` of TLS, and the end of the stream that follows (RFC 6120 §5.4.2.2).
    public static func tlsFailure(into writer: inout XMLWriter) {
        writer.empty("failure", xmlns: NS.tls)
        writer.raw(end)
    }

    /// `<challenge/>` (RFC 6120 §6.4.3).
    public static func challenge(_ data: [UInt8], into writer: inout XMLWriter) {
        writer.element("challenge", xmlns: NS.sasl, text: data.isEmpty ? "=" : Base64.encode(data))
    }

    /// `<success/>` (RFC 6120 §6.4.6); nil data means none, empty data is written as "=".
    public static func success(_ data: [UInt8]?, into writer: inout XMLWriter) {
        writer.element("success", xmlns: NS.sasl, text: data.map { $0.isEmpty ? "=" : Base64.encode($0) })
    }

    /// `<failure/>` of SASL (RFC 6120 §6.5).
    public static func failure(_ condition: SASLCondition, into writer: inout XMLWriter) {
        writer.element("failure", xmlns: NS.sasl) { $0.empty(condition.rawValue) }
    }

    /// The end of the stream from this side.
    ///
    /// - Parameter id: for the header, where one is still owed.
    public static func closing(_ closing: Closing, id: @autoclosure () -> String, into writer: inout XMLWriter) {
        if let header = closing.header { self.header(header, id: id(), into: &writer) }
        closing.error?.write(into: &writer)
        writer.raw(end)
    }

    /// The result of a bind (RFC 6120 §7.6.1).
    public static func bound(_ jid: JID, id: String, into writer: inout XMLWriter) {
        writer.element("iq", ("type", "result"), ("id", id)) { writer in
            writer.element("bind", xmlns: NS.bind) { $0.element("jid", text: jid.description) }
        }
    }

    /// A result that answers an iq of the negotiation; `payload` is well-formed and declares its namespace.
    public static func result(_ payload: [UInt8], id: String, into writer: inout XMLWriter) {
        guard !payload.isEmpty else { return writer.empty("iq", ("type", "result"), ("id", id)) }
        writer.element("iq", ("type", "result"), ("id", id)) { $0.raw(payload) }
    }

    /// An error that answers an iq of the negotiation.
    public static func refusal(_ error: StanzaError, id: String, into writer: inout XMLWriter) {
        writer.element("iq", ("type", "error"), ("id", id)) { error.write(into: &$0) }
    }
}
