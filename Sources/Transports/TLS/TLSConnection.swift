internal import COpenSSL

/// Why TLS ended a connection, short, for the log. The peer gets an alert.
public struct TLSFailure: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }

    /// What the reasons are counted as.
    enum Kind: String, CaseIterable, Sendable {
        case timeout
        /// The peer went away in the middle of the handshake.
        case abandoned
        /// What came was no TLS, or was damaged.
        case notTLS = "not-tls"
        case version
        case cipher
        /// The peer refused us with an alert: it does not like the certificate, for one.
        case alert
        case alpn
        case other
    }

    var kind: Kind {
        if description == Self.timeout.description { return .timeout }
        if description.contains("unsupported protocol") || description.contains("version") && !description.contains("wrong version") {
            return .version
        }
        if description.contains("cipher") || description.contains("group") { return .cipher }
        if description.contains("application protocol") { return .alpn }
        if description.contains("alert") { return .alert }
        let garbage = ["wrong version number", "http", "packet length", "bad record", "unexpected message", "unknown record", "decryption"]
        return garbage.contains { description.contains($0) } ? .notTLS : .other
    }

    static let timeout = TLSFailure("handshake timed out")

    /// Empties this thread's error queue into one short reason.
    static func takeReason() -> String {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0, let text = ERR_reason_error_string(code) else { return "unknown reason" }
        return String(cString: text)
    }
}

/// What was agreed in a handshake.
public struct TLSFacts: Sendable, Equatable {
    /// "TLSv1.3" or "TLSv1.2".
    public var version: String
    /// OpenSSL's name of the cipher suite.
    public var cipher: String
    /// The host the client named (RFC 6066 §3), if any.
    public var serverName: String?
    /// The protocol agreed by ALPN, if any.
    public var applicationProtocol: String?
}

/// The server's side of one TLS connection over the memory of its loop: ciphertext in and out, no socket. Confined to the loop.
final class TLSConnection {
    enum State { case handshaking, open, failed }

    private let ssl: OpaquePointer
    private let memory: TLSMemory
    /// Kept for the server name callback.
    private let table: TLSTable
    private(set) var state = State.handshaking
    /// The peer sent close_notify: nothing more will come.
    private(set) var peerClosed = false
    /// close_notify was sent: nothing more may go.
    private(set) var closed = false

    /// - Parameters:
    ///   - host: whose certificate is shown to a client that names none itself; nil for the table's fallback.
    ///   - direct: the connection began with TLS (XEP-0368).
    init(table: TLSTable, host: String?, direct: Bool, memory: TLSMemory) throws(TLSFailure) {
        let context = host.flatMap { table.contexts[$0] } ?? table.fallback
        guard let ssl = SSL_new(context.pointer), let bio = memory.makeBIO() else { throw TLSFailure("no memory for a connection") }
        SSL_set_bio(ssl, bio, bio)
        SSL_set_accept_state(ssl)
        SSL_set_ex_data(ssl, TLSSlot.table, Unmanaged.passUnretained(table).toOpaque())
        if direct { SSL_set_ex_data(ssl, TLSSlot.direct, Unmanaged.passUnretained(table).toOpaque()) }
        self.ssl = ssl
        self.memory = memory
        self.table = table
    }

    deinit { SSL_free(ssl) }

    /// Takes ciphertext from the peer, all of it.
    ///
    /// What is to be sent lies in the memory afterwards, also when this throws: an alert.
    /// - Parameter plain: gets the decrypted bytes in pieces; they are valid inside the call.
    /// - Throws: `TLSFailure`; the connection is beyond use after it.
    func receive(_ bytes: UnsafeRawBufferPointer, plain: (UnsafeRawBufferPointer) -> Void) throws(TLSFailure) {
        let io = memory.state
        io.pointee.input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        io.pointee.left = bytes.count
        defer {
            io.pointee.input = nil
            io.pointee.left = 0
        }
        if state == .handshaking {
            ERR_clear_error()
            let result = SSL_do_handshake(ssl)
            if result != 1 {
                if SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ { return }
                throw fail()
            }
            state = .open
        }
        guard state == .open else { throw TLSFailure("used after a failure") }
        while !peerClosed, io.pointee.left > 0 || SSL_pending(ssl) > 0 {
            ERR_clear_error()
            let count = SSL_read(ssl, memory.plain.baseAddress, Int32(TLSMemory.recordBytes))
            if count > 0 {
                plain(UnsafeRawBufferPointer(rebasing: memory.plain[..<Int(count)]))
                continue
            }
            switch SSL_get_error(ssl, count) {
            case SSL_ERROR_WANT_READ: return
            case SSL_ERROR_ZERO_RETURN: peerClosed = true
            default: throw fail()
            }
        }
    }

    /// Encrypts bytes into the memory.
    func send(_ bytes: UnsafeRawBufferPointer) throws(TLSFailure) {
        guard state == .open, !closed else { throw TLSFailure("not open") }
        var sent = 0
        while sent < bytes.count {
            ERR_clear_error()
            let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
            let count = SSL_write(ssl, rest.baseAddress, Int32(truncatingIfNeeded: min(rest.count, TLSMemory.recordBytes)))
            guard count > 0 else { throw fail() }
            sent += Int(count)
        }
    }

    /// Writes close_notify into the memory (RFC 8446 §6.1), once, if there is a session to close.
    func close() {
        guard state == .open, !closed else { return }
        closed = true
        ERR_clear_error()
        _ = SSL_shutdown(ssl)
        ERR_clear_error()
    }

    private func fail() -> TLSFailure {
        state = .failed
        return TLSFailure(TLSFailure.takeReason())
    }

    // MARK: What was agreed

    var facts: TLSFacts {
        var text: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &text, &length)
        return TLSFacts(
            version: SSL_get_version(ssl).map { String(cString: $0) } ?? "",
            cipher: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) } ?? "",
            serverName: SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) },
            applicationProtocol: length == 0 ? nil : String(decoding: UnsafeBufferPointer(start: text, count: Int(length)), as: UTF8.self))
    }

    /// The data of tls-exporter (RFC 9266 §2); nil before the end of the handshake, and on TLS 1.2 without the extended master secret,
    /// where the value would not be unique (RFC 9266 §3).
    var exporter: [UInt8]? {
        guard state == .open else { return nil }
        if SSL_version(ssl) != TLS1_3_VERSION {
            guard SSL_ctrl(ssl, SSL_CTRL_GET_EXTMS_SUPPORT, 0, nil) == 1 else { return nil }
        }
        let label = "EXPORTER-Channel-Binding"
        var out = [UInt8](repeating: 0, count: 32)
        let context: [UInt8] = [0]
        ERR_clear_error()
        // A context of no bytes is not the same as none before TLS 1.3.
        guard SSL_export_keying_material(ssl, &out, 32, label, label.utf8.count, context, 0, 1) == 1 else {
            ERR_clear_error()
            return nil
        }
        return out
    }

    /// The data of tls-server-end-point (RFC 5929 §4.1): the hash of the certificate that was shown, by the hash of its signature, but
    /// SHA-256 in place of MD5 and SHA-1. Nil where the signature has no hash of its own.
    var serverEndPoint: [UInt8]? {
        guard state == .open, let certificate = SSL_get_certificate(ssl) else { return nil }
        var hash: Int32 = 0
        ERR_clear_error()
        guard X509_get_signature_info(certificate, &hash, nil, nil, nil) == 1, hash != NID_undef else {
            ERR_clear_error()
            return nil
        }
        if hash == NID_md5 || hash == NID_sha1 || hash == NID_md5_sha1 { hash = NID_sha256 }
        guard let digest = EVP_get_digestbyname(OBJ_nid2sn(hash)) else { return nil }
        var out = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        guard X509_digest(certificate, digest, &out, &length) == 1 else {
            ERR_clear_error()
            return nil
        }
        return Array(out.prefix(Int(length)))
    }
}
