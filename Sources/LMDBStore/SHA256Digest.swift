import COpenSSL
import Glibc
import Store

/// SHA-256 over bytes that come in pieces.
final class SHA256Digest {
    private let context: OpaquePointer

    init() throws(StoreFailure) {
        guard let context = EVP_MD_CTX_new() else { throw .io("no memory for a checksum") }
        guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            EVP_MD_CTX_free(context)
            throw .io("SHA-256 is not to be had from OpenSSL")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    func add(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { _ = EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    }

    /// The 32 bytes. Once, at the end.
    func finish() throws(StoreFailure) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        guard EVP_DigestFinal_ex(context, &digest, nil) == 1 else { throw .io("a checksum could not be finished") }
        return digest
    }

    /// The digest of an open file from its beginning to its end, and its size.
    ///
    /// - Parameter progress: told the bytes read; false ends it.
    static func ofFile(_ descriptor: Int32, progress: (UInt64) -> Bool) throws(StoreFailure) -> (sha256: [UInt8], bytes: UInt64) {
        let digest = try SHA256Digest()
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var size: UInt64 = 0
        while true {
            let count = pread(descriptor, &block, block.count, off_t(clamping: size))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw StoreFailure(system: errno, "reading the copy") }
            if count == 0 { break }
            digest.add(block[..<count])
            size += UInt64(count)
            guard progress(size) else { throw .abandoned("reading was ended") }
        }
        return (try digest.finish(), size)
    }
}
