import COpenSSL
import NIOCore

/// What all connections share of TLS.
final class TLSSettings: @unchecked Sendable {
    // @unchecked: OpenSSL locks a context, and it is not changed after it is made.
    fileprivate let context: OpaquePointer
    fileprivate let verifies: Bool

    /// - Parameters:
    ///   - ca: a PEM file; nil: the machine's authorities.
    ///   - verifies: whether the server's certificate must lead there and name the domain.
    init(ca: String?, verifies: Bool) throws {
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw Failure("TLS does not start") }
        self.context = context
        self.verifies = verifies
        SSL_CTX_ctrl(context, SSL_CTRL_MODE, Int(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY), nil)
        SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        // Every login is a whole one, as those of clients that were away.
        SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
        guard verifies else { return }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        let isLoaded = ca.map { SSL_CTX_load_verify_locations(context, $0, nil) } ?? SSL_CTX_set_default_verify_paths(context)
        guard isLoaded == 1 else { throw Failure("no certificates can be read from \(ca ?? "this machine")") }
    }

    deinit { SSL_CTX_free(context) }
}

/// One connection's TLS, between the bytes of the socket and those of the stream. Confined to the loop.
final class TLSClient {
    private let session: OpaquePointer
    private let verifies: Bool
    /// What came from the socket, and what is to go there; owned by `session`.
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private(set) var isOpen = false
    /// The peer ended it, or it broke.
    private(set) var failure: String?

    init?(_ settings: TLSSettings, domain: String) {
        guard let session = SSL_new(settings.context) else { return nil }
        guard let incoming = BIO_new(BIO_s_mem()), let outgoing = BIO_new(BIO_s_mem()) else {
            SSL_free(session)
            return nil
        }
        self.session = session
        verifies = settings.verifies
        self.incoming = incoming
        self.outgoing = outgoing
        SSL_set_bio(session, incoming, outgoing)
        SSL_set_connect_state(session)
        var name = Array(domain.utf8CString)
        SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), &name)
        if settings.verifies { SSL_set1_host(session, domain) }
    }

    deinit { SSL_free(session) }

    /// Takes bytes of the socket; `body` gets those of the stream.
    func receive(_ bytes: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var rest = bytes
        while !rest.isEmpty {
            let taken = BIO_write(incoming, rest.baseAddress, Int32(clamping: rest.count))
            guard taken > 0 else { return fail("no memory") }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(Int(taken)))
        }
        if !isOpen, !shakeHands() { return }
        while failure == nil {
            let count = SSL_read(session, scratch.baseAddress, Int32(clamping: scratch.count))
            guard count > 0 else {
                switch SSL_get_error(session, count) {
                case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return
                case SSL_ERROR_ZERO_RETURN: return fail("closed")
                default: return fail(Self.reason)
                }
            }
            body(UnsafeRawBufferPointer(rebasing: scratch[..<Int(count)]))
        }
    }

    /// Goes on with the handshake. True when it is done.
    @discardableResult
    func shakeHands() -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(session)
        if result == 1 {
            isOpen = true
            return true
        }
        guard SSL_get_error(session, result) != SSL_ERROR_WANT_READ else { return false }
        let verdict = SSL_get_verify_result(session)
        let isTrusted = !verifies || verdict == Int(X509_V_OK)
        fail(isTrusted ? Self.reason : "the certificate: \(String(cString: X509_verify_cert_error_string(verdict)))")
        return false
    }

    /// Encrypts bytes of the stream.
    func send(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, failure == nil else { return }
        // A BIO in memory takes everything.
        if SSL_write(session, bytes, Int32(clamping: bytes.count)) <= 0 { fail(Self.reason) }
    }

    /// What has to go to the socket now.
    func take(_ allocator: ByteBufferAllocator) -> ByteBuffer? {
        let waiting = BIO_ctrl_pending(outgoing)
        guard waiting > 0 else { return nil }
        var buffer = allocator.buffer(capacity: waiting)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: waiting) { space in
            max(0, Int(BIO_read(outgoing, space.baseAddress, Int32(clamping: waiting))))
        }
        return buffer
    }

    private func fail(_ reason: String) { failure = failure ?? reason }

    private static var reason: String {
        var text = [CChar](repeating: 0, count: 256)
        ERR_error_string_n(ERR_get_error(), &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
