public import Stanzas
public import XMLStream

/// The server's side of a client's stream, from its first header to its end (RFC 6120 §4 to §7).
///
/// Overview: header, features, STARTTLS, header, features, SASL, header, features, bind, stanzas, end. Every step is a method that
/// takes what happened and answers what is to be done; the answers are values.
///
/// Function: the machine owns the order of the steps and every rule about who may send what when. It has no socket, clock, store or
/// source of chance: those who have them call `header`, `receive`, `stepped`, `bound` and the rest, and carry out the answers.
///
/// Implementation: a few words of state. Work that takes time (TLS, SASL, the grant of a resource) leaves a state in which nothing
/// more is read (`wantsInput`) until its outcome comes in as an event.
public struct ClientStream: ~Copyable {
    enum State: Equatable {
        /// A stream header must come.
        case header
        /// Features were sent; the client chooses.
        case negotiating
        /// `<proceed/>` was sent.
        case securing
        /// A SASL handshake stands; `challenged` while the client has to answer.
        case authenticating(challenged: Bool)
        /// SASL2: the client proved who it is, and has a task left.
        case tasking(TaskStep)
        /// SASL2: the client is who it says; what it asked for inline is being done.
        case completing
        /// The home grants a resource.
        case binding(id: String)
        /// The connection is made ready for compression.
        case compressing
        /// The home looks for the session to resume.
        case resuming
        /// A request of one who has not authenticated is being worked on.
        case visiting(id: String)
        /// Stanzas flow.
        case ready
        /// This side sent its closing tag.
        case closing
        /// Both sides are done.
        case closed
    }

    public let policy: StreamPolicy
    var state = State.header
    var headerSent = false
    var authenticationFailures = 0
    var bindFailures = 0
    var managementFailures = 0
    /// Stream management is enabled.
    var isManaged = false
    var visitFailures = 0
    var compressionFailures = 0
    /// Failures of authentication that were none of SASL.
    var nonSASLFailures = 0
    /// A login without SASL, from its request to its answer.
    var nonSASL: NonSASLRequest?
    /// Whether the connection is compressed (XEP-0138).
    public internal(set) var isCompressed = false
    /// The `from` of the last header that came over a protected connection.
    var claimed: JID?
    /// Whether TLS protects the connection.
    public internal(set) var isSecure: Bool
    /// The host the client chose, once its header named one that is served.
    public internal(set) var domain: String?
    /// `xml:lang` of the client's header, for stanzas that have none (RFC 6120 §4.7.4).
    public internal(set) var language: String?
    /// The bare JID that authenticated.
    public internal(set) var account: JID?
    /// In which form the client asked last to be authenticated, and has to be answered.
    public internal(set) var profile = SASLProfile.rfc6120
    /// What `<authenticate/>` asked for, from then until its answer.
    public internal(set) var request: AuthenticationRequest? {
        get { if case .is(let request)? = asked { request } else { nil } }
        set { asked = newValue.map { .is($0) } }
    }
    /// Apart, since it is there during a login alone and every stream would have room for it.
    private indirect enum Asked { case `is`(AuthenticationRequest) }
    private var asked: Asked?
    /// Who a task is left to, once it is.
    var tasked: JID?
    /// The full JID, once bound.
    public internal(set) var fullJID: JID?
    /// The mechanisms offered on this stream; set by the caller when `header` answered an offer with `authentication`.
    public var mechanisms: [String] = []
    /// The mechanisms offered for tokens (XEP-0484), set likewise.
    public var tokenMechanisms: [String] = []

    /// - Parameter secure: TLS came before the stream (XEP-0368).
    public init(policy: StreamPolicy, secure: Bool = false) {
        self.policy = policy
        isSecure = secure
    }

    /// Whether the next frame may be read: false while TLS, SASL or the grant of a resource is under way, and after the end.
    public var wantsInput: Bool {
        switch state {
        case .header, .negotiating, .authenticating(challenged: true), .tasking(.offered), .tasking(.asked), .ready, .closing: true
        case .securing, .authenticating(challenged: false), .tasking(.working), .completing, .compressing, .binding, .resuming, .visiting,
            .closed:
            false
        }
    }

    /// Whether a resource is bound and the stream open.
    public var isReady: Bool { state == .ready }
    /// Whether this side sent its closing tag or both did.
    public var isClosing: Bool { state == .closing || state == .closed }

    // MARK: Headers

    /// What a stream header is answered with.
    public enum Opening: Equatable, Sendable {
        /// Write the header, then features for the offer if the header has a version.
        case open(ResponseHeader, Offer)
        /// Write the end.
        case refuse(Closing)
        /// The stream is over: write nothing.
        case ignore
    }

    /// A stream header came.
    ///
    /// - Parameter draining: why new streams are turned away, if they are. A stream that has authenticated is let through to its end.
    public mutating func header(_ header: StreamHeader, draining: Draining? = nil) -> Opening {
        guard state == .header else { return isClosing ? .ignore : .refuse(fail(StreamError(.badFormat))) }
        let from = header.from.map { try? JID($0) }
        var response = ResponseHeader(from: domain ?? policy.domain, to: from.flatMap { $0?.bare }, hasVersion: header.version != nil)
        let host: (name: String, StreamPolicy.Host)
        switch check(header) {
        case .failure(let error): return refuse(error, response)
        case .success(let found): host = found
        }
        response.from = host.name
        if let from, from == nil || from?.domain != host.name { return refuse(StreamError(.invalidFrom), response) }
        if let account {
            // The identity is settled: the new stream is for the same host, and from no one else (§4.3.5, §6.4.6).
            guard host.name == account.domain else { return refuse(StreamError(.notAuthorized), response) }
            if let from = response.to, from != account { return refuse(StreamError(.invalidFrom), response) }
        } else if let draining, let error = refusal(draining, host.1) {
            return refuse(error, response)
        }
        domain = host.name
        language = header.lang.flatMap { Self.isLanguage($0) ? $0 : nil }
        claimed = isSecure ? response.to : nil
        if !isSecure, host.1.requiresTLS, !host.1.offersTLS {
            return refuse(StreamError(.internalServerError, text: "TLS is required here but not available"), response)
        }
        headerSent = true
        state = .negotiating
        return .open(response, offer(host.1))
    }

    private func offer(_ host: StreamPolicy.Host) -> Offer {
        if account != nil { return offerAuthenticated }
        if isSecure { return Offer(authentication: true) }
        guard host.offersTLS else { return Offer(authentication: true) }
        return host.requiresTLS ? Offer(startTLS: .required) : Offer(startTLS: .optional, authentication: true)
    }

    private func refusal(_ draining: Draining, _ host: StreamPolicy.Host) -> StreamError? {
        switch draining {
        case .shutdown: StreamError(.systemShutdown)
        case .redirect(let location): isSecure || !host.offersTLS ? StreamError(.seeOtherHost, location: location) : nil
        }
    }

    private mutating func refuse(_ error: StreamError, _ response: ResponseHeader) -> Opening {
        headerSent = true
        state = .closing
        return .refuse(Closing(header: response, error: error))
    }

    /// Namespaces (§4.8), version (§4.7.5) and host (§4.7.2), in this order.
    ///
    /// Declarations of further namespaces, which a client should not make (§4.8.5), are accepted: each stanza is completed with those
    /// it uses before it travels.
    private func check(_ header: StreamHeader) -> Result<(name: String, StreamPolicy.Host), StreamError> {
        guard header.namespace == NS.stream else { return .failure(StreamError(.invalidNamespace)) }
        guard header.local == "stream" else { return .failure(StreamError(.badFormat)) }
        let prefixes = header.declarations.filter { $0.uri == NS.stream }.map(\.prefix)
        guard prefixes.contains("stream") || prefixes.contains("") else { return .failure(StreamError(.badNamespacePrefix)) }
        // Without a content namespace of its own the header is in the prefix-free style (§4.8.2).
        guard header.contentNamespace == NS.client || header.contentNamespace == NS.stream else {
            return .failure(StreamError(.invalidNamespace))
        }
        // Clients that know no SASL know no versions either; without one no features are sent (§4.7.5).
        if header.version != nil || !policy.nonSASL || !isSecure {
            guard let version = header.version.flatMap(Self.majorVersion), version >= 1 else {
                return .failure(StreamError(.unsupportedVersion))
            }
        }
        guard let to = header.to else {
            if policy.hosts.count == 1, let only = policy.hosts.first { return .success((only.key, only.value)) }
            return .failure(StreamError(.hostUnknown))
        }
        // Most clients write it as we do.
        if let known = policy.hosts.index(forKey: to) { return .success((policy.hosts[known].key, policy.hosts[known].value)) }
        guard let name = try? JID.prepareDomain(to) else { return .failure(StreamError(.hostUnknown)) }
        if let host = policy.hosts[name] { return .success((name, host)) }
        return .failure(StreamError(policy.goneHosts.contains(name) ? .hostGone : .hostUnknown))
    }

    /// The major number of "major.minor"; leading zeros are ignored, numbers too large for us are large.
    static func majorVersion(_ text: String) -> Int? {
        if text == "1.0" { return 1 }
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        var numbers: [Int] = []
        for part in parts {
            guard !part.isEmpty else { return nil }
            var number = 0
            for digit in part {
                guard digit >= 0x30, digit <= 0x39 else { return nil }
                number = min(number, 99_999) * 10 + Int(digit - 0x30)
            }
            numbers.append(number)
        }
        return numbers.first
    }

    /// Whether a value has the form of a language tag (RFC 5646 §2.1), in a reasonable length.
    static func isLanguage(_ text: String) -> Bool {
        let bytes = text.utf8
        guard (1...64).contains(bytes.count) else { return false }
        return bytes.allSatisfy { byte in
            let folded = byte | 0x20
            return folded >= 0x61 && folded <= 0x7A || byte >= 0x30 && byte <= 0x39 || byte == UInt8(ascii: "-")
        }
    }

    // MARK: The end

    /// The client's closing tag came (§4.4).
    public enum End: Equatable, Sendable {
        /// Write this side's closing tag, then end the connection.
        case answer(Closing)
        /// Both tags are exchanged: end the connection.
        case done
    }

    /// `</stream:stream>` came from the client.
    public mutating func ended() -> End {
        let wasClosing = isClosing
        let closing = wasClosing ? Closing() : closing(nil)
        state = .closed
        return wasClosing ? .done : .answer(closing)
    }

    /// This side ends the stream, for an error or without one. Nil when it has ended already.
    public mutating func close(_ error: StreamError?) -> Closing? {
        guard !isClosing else { return nil }
        let closing = closing(error)
        state = .closing
        return closing
    }

    /// Bytes came that are refused. Nil when the stream has ended already.
    public mutating func failed(_ error: ParseError) -> Closing? { close(StreamError(error)) }

    /// The connection is gone, or goes away without another word.
    public mutating func lost() { state = .closed }

    mutating func fail(_ error: StreamError?) -> Closing {
        let closing = closing(error)
        state = .closing
        return closing
    }

    private mutating func closing(_ error: StreamError?) -> Closing {
        let header = headerSent ? nil : ResponseHeader(from: domain ?? policy.domain, to: nil)
        headerSent = true
        return Closing(header: header, error: error)
    }
}
