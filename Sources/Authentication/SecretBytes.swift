internal import Glibc
internal import Stanzas

/// Bytes that are wiped when they are no longer needed: a prepared password on its way to PBKDF2.
final class SecretBytes: Sendable {
    // Written in init and deinit only.
    private nonisolated(unsafe) let storage: UnsafeMutableRawBufferPointer

    /// Prepares a password with OpaqueString (RFC 8265 §4.2).
    convenience init(preparing password: String) throws(CredentialsError) {
        do {
            self.init(try JID.preparePassword(password).utf8)
        } catch {
            throw .password(error.reason)
        }
    }

    init(_ bytes: some Collection<UInt8>) {
        storage = .allocate(byteCount: bytes.count, alignment: 1)
        storage.copyBytes(from: bytes)
    }

    deinit {
        if let address = storage.baseAddress { explicit_bzero(address, storage.count) }
        storage.deallocate()
    }

    /// Valid as long as this object.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(storage) }
}
