/// How a login is tied to the TLS connection it runs in, by the registered names.
public enum ChannelBindingType: String, CaseIterable, Sendable {
    /// RFC 9266: an exporter of TLS 1.3, or of TLS 1.2 with the extended master secret.
    case tlsExporter = "tls-exporter"
    /// RFC 5929 §4: the hash of the server's certificate.
    case tlsServerEndPoint = "tls-server-end-point"
    /// RFC 5929 §3: the first Finished message; TLS 1.2 and older only.
    case tlsUnique = "tls-unique"
}

/// The channel binding data of one TLS connection, each kind where the connection has it.
public struct ChannelBindings: Sendable, Equatable {
    public var tlsExporter: [UInt8]?
    public var tlsServerEndPoint: [UInt8]?
    public var tlsUnique: [UInt8]?

    public init(tlsExporter: [UInt8]? = nil, tlsServerEndPoint: [UInt8]? = nil, tlsUnique: [UInt8]? = nil) {
        self.tlsExporter = tlsExporter
        self.tlsServerEndPoint = tlsServerEndPoint
        self.tlsUnique = tlsUnique
    }

    /// The data of one type; nil where the connection has none.
    public subscript(type: ChannelBindingType) -> [UInt8]? {
        let data =
            switch type {
            case .tlsExporter: tlsExporter
            case .tlsServerEndPoint: tlsServerEndPoint
            case .tlsUnique: tlsUnique
            }
        return data?.isEmpty == false ? data : nil
    }

    /// The types to announce (XEP-0440), best first. -PLUS mechanisms are offered when there is one.
    public var types: [ChannelBindingType] { ChannelBindingType.allCases.filter { self[$0] != nil } }
}
