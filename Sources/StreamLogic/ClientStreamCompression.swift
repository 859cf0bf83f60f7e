internal import Stanzas
public import XMLStream

/// Stream compression (XEP-0138): who may ask for it when. It comes behind TLS and authentication and before a resource (XEP-0170 §2).
extension ClientStream {
    private static let compress = Name("compress", NS.compress)
    private static let method = Name("method", NS.compress)
    /// The one method there is: RFC 1950.
    static let compressionMethod = "zlib"

    /// Why a request for compression is refused.
    public enum CompressionFailure: String, Sendable {
        case setupFailed = "setup-failed"
        case unsupportedMethod = "unsupported-method"
    }

    /// What a client that has authenticated is offered.
    var offerAuthenticated: Offer { Offer(compression: policy.compression && !isCompressed, binding: true) }

    mutating func receiveCompression(_ element: Element, followed: Bool) -> Received {
        guard element.is(Self.compress) else { return .fail(fail(StreamError(.unsupportedStanzaType))) }
        guard policy.compression else { return refuseCompression(.unsupportedMethod) }
        guard state == .negotiating, account != nil, !isCompressed, !followed else { return refuseCompression(.setupFailed) }
        let methods = element.children.filter { $0.is(Self.method) }.map(\.text)
        guard !methods.isEmpty else { return refuseCompression(.setupFailed) }
        guard methods.contains(Self.compressionMethod) else { return refuseCompression(.unsupportedMethod) }
        state = .compressing
        return .compress
    }

    /// A failure is no reason to end the stream (§3), as long as it does not come again and again.
    private mutating func refuseCompression(_ failure: CompressionFailure) -> Received {
        compressionFailures += 1
        guard compressionFailures >= policy.compressionFailures else { return .refuseCompression(failure, nil) }
        return .refuseCompression(failure, fail(StreamError(.policyViolation, text: "Too many refused requests for compression")))
    }

    /// The connection is ready for compression. Answers whether `<compressed/>` is to be written; behind it, compressed, a new header comes.
    public mutating func compressed() -> Bool {
        guard state == .compressing else { return false }
        isCompressed = true
        restart()
        return true
    }

    /// The connection cannot be compressed.
    public mutating func compressionFailed() -> Received {
        guard state == .compressing else { return .ignore }
        state = .negotiating
        return refuseCompression(.setupFailed)
    }
}

extension StreamWriting {
    /// `<compressed/>` (XEP-0138 §3).
    public static func compressed(into writer: inout XMLWriter) { writer.empty("compressed", xmlns: NS.compress) }

    /// `<failure/>` of compression (XEP-0138 §3).
    public static func compressionFailure(_ failure: ClientStream.CompressionFailure, into writer: inout XMLWriter) {
        writer.element("failure", xmlns: NS.compress) { $0.empty(failure.rawValue) }
    }

    /// The application's condition in a stream error when compressed bytes cannot be read (XEP-0138 §3).
    public static var compressionProcessingFailed: [UInt8] {
        var writer = XMLWriter()
        writer.element("failure", xmlns: NS.compress) { $0.empty("processing-failed") }
        return writer.bytes
    }
}
