internal import COpenSSL
internal import Glibc

/// A certificate, as `check certificates` looks at it.
final class Certificate {
    let pointer: OpaquePointer

    /// Takes over a reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }
    deinit { X509_free(pointer) }

    /// Reads all certificates of a PEM file, in their order; none when there is none, or it cannot be read.
    static func read(_ path: String) -> [Certificate] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var all: [Certificate] = []
        while let certificate = PEM_read_X509(file, nil, { _, _, _, _ in 0 }, nil) { all.append(Certificate(owning: certificate)) }
        // The end of the file is an error to OpenSSL.
        ERR_clear_error()
        return all
    }

    static func der(_ certificate: OpaquePointer) -> [UInt8] {
        let length = i2d_X509(certificate, nil)
        guard length > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: Int(length))
        bytes.withUnsafeMutableBufferPointer { buffer in
            var position = buffer.baseAddress
            _ = i2d_X509(certificate, &position)
        }
        return bytes
    }

    var der: [UInt8] { Self.der(pointer) }

    // MARK: Validity

    /// Days until it ends, negative when it has; nil when that cannot be told.
    var daysLeft: Int? {
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard let end = X509_get0_notAfter(pointer), ASN1_TIME_diff(&days, &seconds, nil, end) == 1 else { return nil }
        return days == 0 && seconds < 0 ? -1 : Int(days)
    }

    var isNotYetValid: Bool { X509_get0_notBefore(pointer).map { X509_cmp_current_time($0) > 0 } ?? false }

    // MARK: Names

    private static let onSRV = "1.3.6.1.5.5.7.8.7"
    private static let onXMPP = "1.3.6.1.5.5.7.8.5"

    /// Whether a dNSName names the domain, with a wildcard in its first label too (RFC 6125 §6.4).
    func names(_ domain: String) -> Bool {
        domain.withCString { X509_check_host(pointer, $0, 0, UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT), nil) } == 1
    }

    /// Whether an SRVName (RFC 4985) or an xmppAddr (RFC 6120 §13.7.1.4) names the domain.
    func namesService(_ domain: String, unicode: String) -> Bool {
        otherNames.contains { type, value in
            type == Self.onSRV && value.lowercased() == "_xmpp-client." + domain
                || type == Self.onXMPP && (value == domain || value == unicode)
        }
    }

    private var otherNames: [(type: String, value: String)] {
        guard let names = X509_get_ext_d2i(pointer, NID_subject_alt_name, nil, nil) else { return [] }
        defer { martlet_general_names_free(names) }
        var found: [(type: String, value: String)] = []
        for index in 0..<max(0, martlet_general_names_count(names)) {
            var type = [CChar](repeating: 0, count: 80)
            var value = [CChar](repeating: 0, count: 1_024)
            guard martlet_general_name_other(names, index, &type, 80, &value, 1_024) == 1 else { continue }
            found.append((Self.text(type), Self.text(value)))
        }
        return found
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: Key and signature

    /// Bits of security of its key (SP 800-57), and its size.
    var keyStrength: (security: Int, bits: Int)? {
        guard let key = X509_get0_pubkey(pointer) else { return nil }
        return (Int(EVP_PKEY_get_security_bits(key)), Int(EVP_PKEY_get_bits(key)))
    }

    /// Whether it is signed with a hash that nobody accepts any more.
    var hasOldSignature: Bool {
        [NID_sha1WithRSAEncryption, NID_ecdsa_with_SHA1, NID_md5WithRSAEncryption, NID_dsaWithSHA1].contains(
            X509_get_signature_nid(pointer))
    }

    var isSelfSigned: Bool { X509_check_issued(pointer, pointer) == Int32(X509_V_OK) }

    /// Whether the private key in a file is its own; nil when there is no key in the file.
    func fits(key path: String) -> Bool? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        guard let key = PEM_read_PrivateKey(file, nil, { _, _, _, _ in 0 }, nil) else {
            ERR_clear_error()
            return nil
        }
        defer { EVP_PKEY_free(key) }
        let fits = X509_check_private_key(pointer, key) == 1
        ERR_clear_error()
        return fits
    }

    // MARK: Chain

    enum Trust: Equatable {
        case trusted
        /// The issuer of the last certificate is missing.
        case noIssuer
        case failed(String)
    }

    /// Whether a client would come from the first certificate over the others to one it trusts; when they end is not looked at here.
    ///
    /// - Parameter anchors: a PEM file of trusted certificates; nil: those of this machine.
    static func trust(_ chain: [Certificate], anchors: String?) -> Trust {
        guard let leaf = chain.first, let store = X509_STORE_new() else { return .failed("it cannot be verified") }
        defer { X509_STORE_free(store) }
        let loaded = anchors.map { X509_STORE_load_locations(store, $0, nil) } ?? X509_STORE_set_default_paths(store)
        guard loaded == 1 else {
            ERR_clear_error()
            return .failed("\(anchors ?? "the certificates of this machine") cannot be read")
        }
        guard let work = X509_STORE_CTX_new(), let others = martlet_x509_stack_new() else { return .failed("it cannot be verified") }
        defer {
            X509_STORE_CTX_free(work)
            martlet_x509_stack_free(others)
        }
        for certificate in chain.dropFirst() { martlet_x509_stack_push(others, certificate.pointer) }
        guard martlet_x509_verify_init(work, store, leaf.pointer, others) == 1 else { return .failed("it cannot be verified") }
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(work), UInt(X509_V_FLAG_NO_CHECK_TIME))
        if X509_verify_cert(work) == 1 { return .trusted }
        let code = X509_STORE_CTX_get_error(work)
        ERR_clear_error()
        switch code {
        case Int32(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY), Int32(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT),
            Int32(X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE):
            return .noIssuer
        default: return .failed(String(cString: X509_verify_cert_error_string(Int(code))))
        }
    }
}
