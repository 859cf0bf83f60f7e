internal import COpenSSL

/// Where a connection's own values hang on its `SSL`.
enum TLSSlot {
    /// Unretained `TLSTable`, kept alive by the connection.
    static let table = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil, nil)
    /// Not null when the connection began with TLS (XEP-0368).
    static let direct = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil, nil)
}

/// Any certificate is taken, or none; its result stays readable.
let acceptAnyCertificate: @convention(c) (Int32, OpaquePointer?) -> Int32 = { _, _ in 1 }

/// Shows the certificate of the host the client names (RFC 6066 §3); another name changes nothing.
let serverNameCallback: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 = { ssl, _, _ in
    guard let raw = SSL_get_ex_data(ssl, TLSSlot.table), let name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else {
        return SSL_TLSEXT_ERR_NOACK
    }
    let table = Unmanaged<TLSTable>.fromOpaque(raw).takeUnretainedValue()
    guard let context = table.context(of: String(cString: name)) else { return SSL_TLSEXT_ERR_NOACK }
    SSL_set_SSL_CTX(ssl, context.pointer)
    return SSL_TLSEXT_ERR_OK
}

private let xmppClient: [UInt8] = Array("xmpp-client".utf8)

/// ALPN (RFC 7301 §3.2): of the client's list only "xmpp-client" will do on a direct connection (XEP-0368 §4); behind STARTTLS,
/// where the protocol is settled, a list without it changes nothing.
let selectProtocol:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UInt32,
        UnsafeMutableRawPointer?
    ) -> Int32 = { ssl, out, outLength, list, length, _ in
        guard let out, let outLength, let list else { return SSL_TLSEXT_ERR_NOACK }
        var at = 0
        let end = Int(length)
        while at < end {
            let count = Int(list[at])
            guard count > 0, at + 1 + count <= end else { break }
            if UnsafeBufferPointer(start: list + at + 1, count: count).elementsEqual(xmppClient) {
                out.pointee = list + at + 1
                outLength.pointee = UInt8(truncatingIfNeeded: count)
                return SSL_TLSEXT_ERR_OK
            }
            at += 1 + count
        }
        return SSL_get_ex_data(ssl, TLSSlot.direct) == nil ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL
    }
