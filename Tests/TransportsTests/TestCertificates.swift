import COpenSSL
import Glibc
import Settings
import Transports

struct TestTrouble: Error {
    var what: String
    init(_ what: String) { self.what = what }
}

/// A directory of self-signed certificates, removed with the object.
final class TestCertificates {
    let directory: String

    init() throws {
        var template = Array("/tmp/martlet-tls-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestTrouble("mkdtemp") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        if let listing = opendir(directory) {
            while let entry = readdir(listing) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                unlink("\(directory)/\(name)")
            }
            closedir(listing)
        }
        rmdir(directory)
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    func write(_ name: String, _ text: String) throws {
        guard let file = fopen(path(name), "w") else { throw TestTrouble("fopen") }
        fputs(text, file)
        fclose(file)
    }

    /// Writes `name.crt` and `name.key` for a domain.
    ///
    /// - Parameter days: validity from now; negative for a certificate that has expired.
    func make(_ name: String, domain: String, days: Int = 365) throws {
        guard let keys = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { throw TestTrouble("key context") }
        defer { EVP_PKEY_CTX_free(keys) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(keys) == 1, EVP_PKEY_CTX_set_ec_paramgen_curve_nid(keys, NID_X9_62_prime256v1) == 1,
            EVP_PKEY_keygen(keys, &key) == 1, let key, let certificate = X509_new()
        else { throw TestTrouble("key") }
        defer {
            EVP_PKEY_free(key)
            X509_free(certificate)
        }
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), Int(UInt16.random(in: 1...UInt16.max)))
        X509_gmtime_adj(X509_getm_notBefore(certificate), -86_400 * 400)
        X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86_400 + 3_600)
        X509_set_pubkey(certificate, key)
        let subject = X509_get_subject_name(certificate)
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, Array(domain.utf8), Int32(domain.utf8.count), -1, 0)
        X509_set_issuer_name(certificate, subject)
        guard let names = X509V3_EXT_conf_nid(nil, nil, NID_subject_alt_name, "DNS:\(domain)") else { throw TestTrouble("extension") }
        X509_add_ext(certificate, names, -1)
        X509_EXTENSION_free(names)
        guard X509_sign(certificate, key, EVP_sha256()) > 0 else { throw TestTrouble("sign") }
        guard let certificateFile = fopen(path(name + ".crt"), "w"), let keyFile = fopen(path(name + ".key"), "w") else {
            throw TestTrouble("fopen")
        }
        PEM_write_X509(certificateFile, certificate)
        PEM_write_PrivateKey(keyFile, key, nil, nil, 0, nil, nil)
        fclose(certificateFile)
        fclose(keyFile)
    }

    /// A table of hosts, each with a fresh certificate; the first is the fallback.
    func table(_ domains: [String], settings: Settings.TLS = Settings.TLS()) throws -> TLSTable {
        let hosts = try domains.map { domain in
            try make(domain, domain: domain)
            var host = Settings.Host(domain: domain)
            host.certificate = path(domain + ".crt")
            host.key = path(domain + ".key")
            return host
        }
        guard let table = try TLSTable.load(hosts, settings: settings) else { throw TestTrouble("no table") }
        return table
    }
}

/// A TLS client without a socket: OpenSSL over memory.
final class TestTLSClient {
    private let context: OpaquePointer
    private let ssl: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private(set) var isOpen = false
    private(set) var sawCloseNotify = false
    /// OpenSSL's word for why the handshake or a read failed.
    private(set) var failure: String?
    private(set) var received: [UInt8] = []

    init(serverName: String? = nil, protocols: [String] = [], maximum: Int32 = TLS1_3_VERSION, minimum: Int32 = TLS1_2_VERSION) throws {
        guard let context = SSL_CTX_new(TLS_client_method()), let ssl = SSL_new(context), let incoming = BIO_new(BIO_s_mem()),
            let outgoing = BIO_new(BIO_s_mem())
        else { throw TestTrouble("client") }
        BIO_ctrl(incoming, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, nil)
        SSL_set_bio(ssl, incoming, outgoing)
        SSL_set_connect_state(ssl)
        SSL_ctrl(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(maximum), nil)
        SSL_ctrl(ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(minimum), nil)
        if minimum < TLS1_2_VERSION { SSL_set_security_level(ssl, 0) }
        if let serverName {
            var name = Array(serverName.utf8CString)
            SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), &name)
        }
        if !protocols.isEmpty {
            let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            SSL_set_alpn_protos(ssl, list, UInt32(list.count))
        }
        self.context = context
        self.ssl = ssl
        self.incoming = incoming
        self.outgoing = outgoing
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// Takes ciphertext from the server, goes on with the handshake, reads what there is.
    func take(_ bytes: [UInt8]) {
        if !bytes.isEmpty { BIO_write(incoming, bytes, Int32(bytes.count)) }
        ERR_clear_error()
        if !isOpen {
            let result = SSL_do_handshake(ssl)
            guard result == 1 else { return note(result) }
            isOpen = true
        }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            ERR_clear_error()
            let count = SSL_read(ssl, &buffer, 16_384)
            guard count > 0 else { return note(count) }
            received += buffer.prefix(Int(count))
        }
    }

    private func note(_ result: Int32) {
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: break
        case SSL_ERROR_ZERO_RETURN: sawCloseNotify = true
        default: failure = failure ?? String(cString: ERR_reason_error_string(ERR_peek_last_error()) ?? SSL_state_string_long(ssl))
        }
    }

    func send(_ bytes: [UInt8]) { SSL_write(ssl, bytes, Int32(bytes.count)) }
    func close() { SSL_shutdown(ssl) }
    func renegotiate() -> Bool { SSL_renegotiate(ssl) == 1 }
    func updateKeys() { SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) }

    /// What the client wants to send.
    func takeOutgoing() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(outgoing))
        let count = BIO_read(outgoing, &bytes, Int32(bytes.count))
        return Array(bytes.prefix(Int(max(0, count))))
    }

    func takeReceived() -> [UInt8] {
        defer { received = [] }
        return received
    }

    var version: String { String(cString: SSL_get_version(ssl)) }

    var exporter: [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        let label = "EXPORTER-Channel-Binding"
        SSL_export_keying_material(ssl, &out, 32, label, label.utf8.count, [0], 0, 1)
        return out
    }

    /// SHA-256 of the server's certificate.
    var certificateHash: [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        X509_digest(SSL_get0_peer_certificate(ssl), EVP_sha256(), &out, nil)
        return out
    }

    func certificateNames(_ domain: String) -> Bool { X509_check_host(SSL_get0_peer_certificate(ssl), domain, 0, 0, nil) == 1 }

    var applicationProtocol: String? {
        var text: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &text, &length)
        return length == 0 ? nil : String(decoding: UnsafeBufferPointer(start: text, count: Int(length)), as: UTF8.self)
    }
}
