internal import COpenSSL
import Glibc

/// What one event loop lends to OpenSSL during a call: the ciphertext to read, and room for the ciphertext it writes.
///
/// All connections of a loop share it, because nothing is left in it between two calls. The BIO's callbacks touch this
/// struct alone: no object is retained for them.
struct TLSMemoryState {
    var input: UnsafePointer<UInt8>?
    var left = 0
    var output: UnsafeMutablePointer<UInt8>?
    var written = 0
    var capacity = 0
}

/// The memory that the TLS connections of one event loop share. Confined to the loop; made once for each.
public final class TLSMemory {
    /// Plain bytes of one record at most (RFC 8446 §5.1).
    static let recordBytes = 16_384
    private static let keptCapacity = 65_536

    let state: UnsafeMutablePointer<TLSMemoryState>
    /// Where records are decrypted to before they are handed on.
    let plain: UnsafeMutableRawBufferPointer

    public init() {
        state = .allocate(capacity: 1)
        state.initialize(to: TLSMemoryState())
        plain = .allocate(byteCount: Self.recordBytes, alignment: 16)
    }

    deinit {
        free(state.pointee.output)
        state.deinitialize(count: 1)
        state.deallocate()
        plain.deallocate()
    }

    /// What OpenSSL wrote since the last call; valid inside `body`, gone after it.
    func takeOutput<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R? {
        guard state.pointee.written > 0 else { return nil }
        let result = body(UnsafeRawBufferPointer(start: state.pointee.output, count: state.pointee.written))
        dropOutput()
        return result
    }

    /// Forgets what was written, and memory beyond the usual.
    func dropOutput() {
        state.pointee.written = 0
        if state.pointee.capacity > Self.keptCapacity {
            free(state.pointee.output)
            state.pointee.output = nil
            state.pointee.capacity = 0
        }
    }

    /// A BIO over this memory, for one connection that owns it from now on.
    func makeBIO() -> OpaquePointer? {
        guard let method = bioMethod.pointer, let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, state)
        BIO_set_init(bio, 1)
        return bio
    }
}

/// One table of callbacks for the process.
private struct BIOMethod: @unchecked Sendable {
    // @unchecked: written once, then only read by OpenSSL.
    let pointer: OpaquePointer?
}

private let bioMethod: BIOMethod = {
    guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "event loop") else { return BIOMethod(pointer: nil) }
    BIO_meth_set_read(method, readCiphertext)
    BIO_meth_set_write(method, writeCiphertext)
    BIO_meth_set_ctrl(method, controlBIO)
    return BIOMethod(pointer: method)
}()

private func readCiphertext(_ bio: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ length: Int32) -> Int32 {
    guard let buffer, length > 0, let data = BIO_get_data(bio) else { return -1 }
    let state = data.assumingMemoryBound(to: TLSMemoryState.self)
    BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY)
    let count = min(Int(length), state.pointee.left)
    guard count > 0, let input = state.pointee.input else {
        BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
        return -1
    }
    memcpy(buffer, input, count)
    state.pointee.input = input + count
    state.pointee.left -= count
    return Int32(truncatingIfNeeded: count)
}

private func writeCiphertext(_ bio: OpaquePointer?, _ buffer: UnsafePointer<CChar>?, _ length: Int32) -> Int32 {
    guard let buffer, length > 0, let data = BIO_get_data(bio) else { return -1 }
    let state = data.assumingMemoryBound(to: TLSMemoryState.self)
    BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY)
    let needed = state.pointee.written + Int(length)
    if needed > state.pointee.capacity {
        let capacity = max(needed, state.pointee.capacity * 2, 20_480)
        guard let grown = realloc(state.pointee.output, capacity) else { return -1 }
        state.pointee.output = grown.assumingMemoryBound(to: UInt8.self)
        state.pointee.capacity = capacity
    }
    guard let output = state.pointee.output else { return -1 }
    memcpy(output + state.pointee.written, buffer, Int(length))
    state.pointee.written = needed
    return length
}

private func controlBIO(_ bio: OpaquePointer?, _ command: Int32, _ number: Int, _ pointer: UnsafeMutableRawPointer?) -> Int {
    command == BIO_CTRL_FLUSH ? 1 : 0
}
