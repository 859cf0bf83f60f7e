internal import COpenSSL
import Glibc
public import Settings
internal import Stanzas

/// Why a certificate, a key or a TLS setting cannot be used: one sentence that names the file or the setting.
public struct TLSConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// A certificate chain with its key and the rules of handshakes, for one virtual host. Immutable; connections keep the one they began with.
public final class TLSContext: @unchecked Sendable {
    // @unchecked: an SSL_CTX is reference counted and locked inside OpenSSL, and is not changed after init.
    let pointer: OpaquePointer
    /// Things the operator should know, one sentence each: the host is not named by the certificate, or it (nearly) expired.
    public let warnings: [String]
    /// Seconds from loading to the end of the certificate's validity; negative after it.
    public let secondsToExpiry: Int

    /// The end of the certificate's validity, in seconds since 1970.
    public let expiry: Int

    /// Days before the end of a certificate's validity from which `warnings` speaks of it.
    public static let expiryWarningDays = 14

    /// Loads and checks one host's certificate.
    ///
    /// - Parameters:
    ///   - domain: the host, which the certificate should name.
    ///   - certificate: path of a PEM file: the host's certificate first, then its issuers.
    ///   - key: path of a PEM file with the private key, unencrypted.
    /// - Throws: `TLSConfigurationError`.
    public init(domain: String, certificate: String, key: String, settings: Settings.TLS) throws(TLSConfigurationError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_server_method()) else {
            throw TLSConfigurationError("OpenSSL has no memory for a TLS context.")
        }
        var owned = true
        defer { if owned { SSL_CTX_free(context) } }
        try Self.setRules(context, settings)
        try Self.load(context, certificate: certificate, key: key)
        SSL_CTX_set_alpn_select_cb(context, selectProtocol, nil)
        SSL_CTX_callback_ctrl(
            context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, unsafeBitCast(serverNameCallback, to: (@convention(c) () -> Void).self))
        // Asked for (RFC 6120 §5.4.3.1), never insisted on: what the certificate is worth is decided by whoever uses it.
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, acceptAnyCertificate)
        (warnings, secondsToExpiry) = Self.inspect(context, domain: domain, certificate: certificate)
        expiry = Int(time(nil)) &+ secondsToExpiry
        pointer = context
        owned = false
    }

    deinit { SSL_CTX_free(pointer) }

    private static func setRules(_ context: OpaquePointer, _ settings: Settings.TLS) throws(TLSConfigurationError) {
        let minimum = settings.minimum == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION
        guard SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(minimum), nil) == 1 else {
            throw TLSConfigurationError("tls.minimum = \"\(settings.minimum.rawValue)\" is not available in this OpenSSL.")
        }
        guard SSL_CTX_set_cipher_list(context, settings.ciphers) == 1 else {
            throw TLSConfigurationError("tls.ciphers = \"\(settings.ciphers)\" names no cipher that this OpenSSL knows.")
        }
        let groups = settings.groups.withCString { text in
            SSL_CTX_ctrl(context, SSL_CTRL_SET_GROUPS_LIST, 0, UnsafeMutableRawPointer(mutating: text))
        }
        guard groups == 1 else {
            throw TLSConfigurationError("tls.groups = \"\(settings.groups)\" names a group that this OpenSSL does not know.")
        }
        var options = TLSOption.noRenegotiation | TLSOption.noCompression | TLSOption.serverPreference
        if settings.tickets == 0 { options |= TLSOption.noTicket }
        SSL_CTX_set_options(context, options)
        SSL_CTX_set_num_tickets(context, max(0, min(settings.tickets, 4)))
        SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
        SSL_CTX_ctrl(
            context, SSL_CTRL_MODE, Int(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER), nil
        )
        // With client certificates a resumption is only accepted in a named context.
        let name = Array("martlet".utf8)
        SSL_CTX_set_session_id_context(context, name, UInt32(name.count))
        // An encrypted key must fail, not ask on a terminal.
        SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }
    }

    private static func load(_ context: OpaquePointer, certificate: String, key: String) throws(TLSConfigurationError) {
        for (path, what) in [(certificate, "certificate"), (key, "private key")] where access(path, R_OK) != 0 {
            let reason = String(cString: strerror(errno))
            throw TLSConfigurationError("The \(what) file \(path) cannot be read: \(reason).")
        }
        guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
            throw TLSConfigurationError("\(certificate) does not hold a PEM certificate chain (\(TLSFailure.takeReason())).")
        }
        guard SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 else {
            let reason = TLSFailure.takeReason()
            if reason.contains("mismatch") {
                throw TLSConfigurationError("The private key in \(key) does not belong to the certificate in \(certificate).")
            }
            throw TLSConfigurationError("\(key) does not hold an unencrypted PEM private key (\(reason)).")
        }
        guard SSL_CTX_check_private_key(context) == 1 else {
            ERR_clear_error()
            throw TLSConfigurationError("The private key in \(key) does not belong to the certificate in \(certificate).")
        }
    }

    private static func inspect(_ context: OpaquePointer, domain: String, certificate: String) -> (warnings: [String], seconds: Int) {
        guard let leaf = SSL_CTX_get0_certificate(context) else { return ([], 0) }
        var warnings: [String] = []
        if domain.withCString({ X509_check_host(leaf, $0, 0, 0, nil) }) != 1 {
            warnings.append("The certificate in \(certificate) does not name \(domain): clients will not trust it.")
        }
        var days: Int32 = 0
        var seconds: Int32 = 0
        if let begin = X509_get0_notBefore(leaf), X509_cmp_current_time(begin) > 0 {
            warnings.append("The certificate in \(certificate) is not valid yet.")
        }
        guard let end = X509_get0_notAfter(leaf), ASN1_TIME_diff(&days, &seconds, nil, end) == 1 else { return (warnings, 0) }
        let left = Int(days) * 86_400 + Int(seconds)
        if left < 0 {
            warnings.append("The certificate in \(certificate) expired \(-Int(days)) days ago.")
        } else if days < expiryWarningDays {
            warnings.append("The certificate in \(certificate) expires in \(days) days.")
        }
        return (warnings, left)
    }
}

/// Options that C spells as macros.
enum TLSOption {
    static let noTicket: UInt64 = 1 << 14
    static let noCompression: UInt64 = 1 << 17
    static let serverPreference: UInt64 = 1 << 22
    static let noRenegotiation: UInt64 = 1 << 30
}

/// The certificates of all hosts as they were at one moment.
public final class TLSTable: Sendable {
    let contexts: [String: TLSContext]
    /// For a client that names no host, or none of ours.
    let fallback: TLSContext

    /// - Parameters:
    ///   - contexts: by prepared domain.
    ///   - fallback: the domain whose certificate is shown to clients that name none of these.
    /// - Returns: Nil when there is no certificate for the fallback.
    public init?(_ contexts: [String: TLSContext], fallback: String) {
        guard let context = contexts[fallback] else { return nil }
        self.contexts = contexts
        self.fallback = context
    }

    /// Whether this host has a certificate of its own.
    public func covers(_ domain: String) -> Bool { contexts[domain] != nil }

    /// The certificate of the host that a client names in its handshake (RFC 6066 §3): an IDNA A-label there is a U-label here.
    func context(of serverName: String) -> TLSContext? {
        if let context = contexts[serverName] { return context }
        return (try? JID.prepareDomain(serverName)).flatMap { contexts[$0] }
    }

    /// The hosts with a certificate, in order.
    public var domains: [String] { contexts.keys.sorted() }

    /// When the certificate of each host ends, in seconds since 1970.
    public var expiries: [(domain: String, timestamp: Int)] { domains.map { ($0, contexts[$0]?.expiry ?? 0) } }

    /// Everything worth telling the operator about the certificates, in the order of the hosts.
    public var warnings: [String] { domains.flatMap { contexts[$0]?.warnings ?? [] } }

    /// Loads the certificates of all hosts that have one.
    ///
    /// - Returns: Nil when no host has one.
    /// - Throws: `TLSConfigurationError` for the first that cannot be used.
    public static func load(_ hosts: [Settings.Host], settings: Settings.TLS) throws(TLSConfigurationError) -> TLSTable? {
        var contexts: [String: TLSContext] = [:]
        var first: String?
        for host in hosts where !host.certificate.isEmpty || !host.key.isEmpty {
            guard !host.certificate.isEmpty, !host.key.isEmpty else {
                throw TLSConfigurationError("The host \(host.domain) has only one of certificate and key.")
            }
            contexts[host.domain] = try TLSContext(
                domain: host.domain, certificate: host.certificate, key: host.key, settings: settings)
            first = first ?? host.domain
        }
        guard let first else { return nil }
        return TLSTable(contexts, fallback: first)
    }
}
