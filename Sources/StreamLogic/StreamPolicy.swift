public import Stanzas

/// What the operator decided about clients' streams; the same for all of them until it is replaced.
public struct StreamPolicy: Sendable, Equatable {
    /// One virtual host.
    public struct Host: Sendable, Equatable {
        /// A certificate is loaded for it.
        public var offersTLS: Bool
        /// Nothing but STARTTLS is offered on a plain connection (RFC 6120 §5.3.1).
        public var requiresTLS: Bool

        public init(offersTLS: Bool, requiresTLS: Bool) {
            self.offersTLS = offersTLS
            self.requiresTLS = requiresTLS
        }
    }

    /// Served domains, prepared.
    public var hosts: [String: Host]
    /// Domains that were served once: they are answered with `host-gone`.
    public var goneHosts: Set<String>
    /// The name in the response header where the client named none that is served (RFC 6120 §4.9.1.3).
    public var domain: String
    /// Every mechanism this server offers on some stream; one of them asked for before TLS is `encryption-required`.
    public var mechanisms: Set<String>
    /// Failed, aborted or abandoned SASL handshakes after which the stream is closed (RFC 6120 §6.4.5).
    public var authenticationFailures: Int
    /// Refused resources after which the stream is closed (RFC 6120 §7.7.3: 5 to 10 retries).
    public var bindFailures: Int
    /// Errors in stream management after which the stream is closed (XEP-0198 §6).
    public var managementFailures = 10
    /// Compression is offered to clients that have authenticated (XEP-0138).
    public var compression = false
    /// Refused requests for compression after which the stream is closed.
    public var compressionFailures = 5
    /// Refused requests of a client that has not authenticated after which the stream is closed.
    public var visitFailures: Int

    public init(
        hosts: [String: Host], goneHosts: Set<String> = [], domain: String, mechanisms: Set<String> = [], authenticationFailures: Int = 5,
        bindFailures: Int = 6, visitFailures: Int = 10
    ) {
        self.hosts = hosts
        self.goneHosts = goneHosts
        self.domain = domain
        self.mechanisms = mechanisms
        self.authenticationFailures = max(1, authenticationFailures)
        self.bindFailures = max(1, bindFailures)
        self.visitFailures = max(1, visitFailures)
    }
}

/// Why a new stream is turned away while the node is leaving.
public enum Draining: Sendable, Equatable {
    /// `system-shutdown`.
    case shutdown
    /// `see-other-host` with an address (RFC 6120 §4.9.3.19), given only where the stream is protected or cannot be.
    case redirect(String)
}

/// The conditions of a SASL failure (RFC 6120 §6.5), by the element's name.
public enum SASLCondition: String, Sendable, CaseIterable {
    case aborted = "aborted"
    case accountDisabled = "account-disabled"
    case credentialsExpired = "credentials-expired"
    case encryptionRequired = "encryption-required"
    case incorrectEncoding = "incorrect-encoding"
    case invalidAuthzid = "invalid-authzid"
    case invalidMechanism = "invalid-mechanism"
    case malformedRequest = "malformed-request"
    case mechanismTooWeak = "mechanism-too-weak"
    case notAuthorized = "not-authorized"
    case temporaryAuthFailure = "temporary-auth-failure"
}

/// The attributes of a response stream header (RFC 6120 §4.7); its id is the caller's, since chance is no part of the machine.
public struct ResponseHeader: Sendable, Equatable {
    /// The host, or the server's own name where the client named none that is served.
    public var from: String
    /// Bare JID from the `from` of the client's header, if it had one (§4.7.2).
    public var to: JID?
    /// False where the client's header had no version (§4.7.5).
    public var hasVersion: Bool

    public init(from: String, to: JID?, hasVersion: Bool = true) {
        self.from = from
        self.to = to
        self.hasVersion = hasVersion
    }
}

/// What the stream features of one stage are made of (RFC 6120 §4.3.2).
public struct Offer: Sendable, Equatable {
    public enum StartTLS: Sendable { case none, optional, required }
    public var startTLS: StartTLS
    /// SASL mechanisms; the caller chooses them by host and protection and tells the machine (`ClientStream.mechanisms`).
    public var authentication: Bool
    /// Compression of the stream (XEP-0138).
    public var compression: Bool
    /// Resource binding and what comes with it.
    public var binding: Bool

    public init(startTLS: StartTLS = .none, authentication: Bool = false, compression: Bool = false, binding: Bool = false) {
        self.startTLS = startTLS
        self.authentication = authentication
        self.compression = compression
        self.binding = binding
    }
}

/// How this side ends the stream: what is written, in this order.
public struct Closing: Sendable, Equatable {
    /// The response header, where none was sent on this stream yet (RFC 6120 §4.9.1.2).
    public var header: ResponseHeader?
    public var error: StreamError?

    public init(header: ResponseHeader? = nil, error: StreamError? = nil) {
        self.header = header
        self.error = error
    }
}
