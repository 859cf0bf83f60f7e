internal import COpenSSL
internal import Glibc

/// An issuer of certificates with a folder for them, which goes with the object.
public final class TestAuthority {
    public let directory: String
    private let key: OpaquePointer
    private let certificate: OpaquePointer

    /// The issuer's own certificate, which clients would trust.
    public var anchor: String { path("authority.crt") }

    public init() throws {
        var template = Array("/tmp/martlet-authority-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ProcessFailure.system("mkdtemp") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        key = try Self.newKey()
        guard let own = X509_new() else { throw ProcessFailure("no memory for a certificate") }
        certificate = own
        try Self.fill(own, subject: "Authority", days: 3_650, key: key)
        X509_set_issuer_name(own, X509_get_subject_name(own))
        try Self.extend(own, NID_basic_constraints, "critical,CA:TRUE")
        guard X509_sign(own, key, EVP_sha256()) > 0 else { throw ProcessFailure("nothing can be signed") }
        try write(own, to: anchor)
    }

    deinit {
        EVP_PKEY_free(key)
        X509_free(certificate)
        guard let folder = opendir(directory) else { return }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink(path(name))
        }
        closedir(folder)
        rmdir(directory)
    }

    public func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// Writes `name.crt` and `name.key`, whose mode is 600.
    ///
    /// - Parameters:
    ///   - names: the subjectAltName, as OpenSSL writes it: "DNS:example.org".
    ///   - days: from now; negative for a certificate that has expired.
    ///   - isSelfSigned: nobody vouches for it but itself.
    public func issue(_ name: String, names: String, days: Int = 365, isSelfSigned: Bool = false) throws {
        let leafKey = try Self.newKey()
        defer { EVP_PKEY_free(leafKey) }
        guard let leaf = X509_new() else { throw ProcessFailure("no memory for a certificate") }
        defer { X509_free(leaf) }
        try Self.fill(leaf, subject: name, days: days, key: leafKey)
        X509_set_issuer_name(leaf, X509_get_subject_name(isSelfSigned ? leaf : certificate))
        try Self.extend(leaf, NID_subject_alt_name, names)
        guard X509_sign(leaf, isSelfSigned ? leafKey : key, EVP_sha256()) > 0 else { throw ProcessFailure("nothing can be signed") }
        try write(leaf, to: path(name + ".crt"))
        guard let file = fopen(path(name + ".key"), "we") else { throw ProcessFailure.system(name) }
        defer { fclose(file) }
        guard fchmod(fileno(file), 0o600) == 0, PEM_write_PrivateKey(file, leafKey, nil, nil, 0, nil, nil) == 1 else {
            throw ProcessFailure("the key cannot be written")
        }
    }

    private static func newKey() throws -> OpaquePointer {
        guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { throw ProcessFailure("no key can be made") }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1,
            EVP_PKEY_keygen(context, &key) == 1, let key
        else { throw ProcessFailure("no key can be made") }
        return key
    }

    private static func fill(_ certificate: OpaquePointer, subject: String, days: Int, key: OpaquePointer) throws {
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), Int(Int32.random(in: 1 ... .max)))
        X509_gmtime_adj(X509_getm_notBefore(certificate), -86_400 * 400)
        X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86_400 + 3_600)
        let bytes = Array(subject.utf8)
        guard X509_set_pubkey(certificate, key) == 1,
            X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, bytes, Int32(bytes.count), -1, 0) == 1
        else { throw ProcessFailure("the certificate cannot be filled") }
    }

    private static func extend(_ certificate: OpaquePointer, _ kind: Int32, _ value: String) throws {
        guard let extended = X509V3_EXT_conf_nid(nil, nil, kind, value) else { throw ProcessFailure("\(value) is no extension") }
        X509_add_ext(certificate, extended, -1)
        X509_EXTENSION_free(extended)
    }

    private func write(_ certificate: OpaquePointer, to path: String) throws {
        guard let file = fopen(path, "we") else { throw ProcessFailure.system(path) }
        defer { fclose(file) }
        guard PEM_write_X509(file, certificate) == 1 else { throw ProcessFailure("\(path) cannot be written") }
    }
}
