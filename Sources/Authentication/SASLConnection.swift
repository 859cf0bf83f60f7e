internal import CSASL
internal import Glibc

/// What libsasl2's callbacks may know of one connection.
struct SASLSlot {
    /// The stored keys as text (`SCRAMKey.text`), ended by NUL.
    var record: UnsafeMutablePointer<CChar>
    /// Without the NUL.
    var recordLength: Int

    /// The slot in a connection's callbacks: it rides on the proxy policy's context.
    static func find(in callbacks: UnsafePointer<sasl_callback_t>?) -> UnsafeMutablePointer<SASLSlot>? {
        guard var callback = callbacks else { return nil }
        while callback.pointee.id != UInt(SASL_CB_LIST_END) {
            if callback.pointee.id == UInt(SASL_CB_PROXY_POLICY) { return callback.pointee.context?.assumingMemoryBound(to: SASLSlot.self) }
            callback += 1
        }
        return nil
    }
}

/// One sasl_conn_t with everything it points to. About 8 KB: made when the keys are there, dropped as soon as the exchange ends.
final class SASLConnection {
    private let connection: OpaquePointer
    private let memory: SASLConnectionMemory

    /// - Parameter binding: type and data, for a -PLUS mechanism.
    /// - Returns: nil when there is no memory.
    init?(host: String, key: SCRAMKey, binding: (type: ChannelBindingType, data: [UInt8])?) {
        let memory = SASLConnectionMemory(record: key.text, binding: binding)
        var connection: OpaquePointer?
        // No realm: with one, names would reach the mechanism as user@realm. Success data: the last message comes with the verdict.
        guard sasl_server_new("xmpp", host, nil, nil, nil, memory.callbacks, UInt32(SASL_SUCCESS_DATA), &connection) == SASL_OK,
            let connection
        else { return nil }
        self.connection = connection
        self.memory = memory
        if let binding = memory.binding, sasl_setprop(connection, SASL_CHANNEL_BINDING, binding) != SASL_OK { return nil }
    }

    deinit {
        var connection: OpaquePointer? = connection
        // Before `memory`, which it points into.
        sasl_dispose(&connection)
    }

    /// What one step came to.
    enum Outcome {
        case challenge([UInt8])
        case done([UInt8])
        case refused(code: Int32)
    }

    func start(mechanism: String, _ data: [UInt8]) -> Outcome {
        step(data) { input, length, output, outputLength in
            sasl_server_start(connection, mechanism, input, length, output, outputLength)
        }
    }

    func step(_ data: [UInt8]) -> Outcome {
        step(data) { input, length, output, outputLength in sasl_server_step(connection, input, length, output, outputLength) }
    }

    private func step(
        _ data: [UInt8],
        _ call: (UnsafePointer<CChar>?, UInt32, UnsafeMutablePointer<UnsafePointer<CChar>?>, UnsafeMutablePointer<UInt32>) -> Int32
    ) -> Outcome {
        guard let length = UInt32(exactly: data.count) else { return .refused(code: SASL_BADPROT) }
        var output: UnsafePointer<CChar>?
        var outputLength: UInt32 = 0
        let code = data.withUnsafeBytes { call($0.baseAddress?.assumingMemoryBound(to: CChar.self), length, &output, &outputLength) }
        let answer = output.map { Array(UnsafeRawBufferPointer(start: $0, count: Int(outputLength))) } ?? []
        switch code {
        case SASL_OK: return .done(answer)
        case SASL_CONTINUE: return .challenge(answer)
        default: return .refused(code: code)
        }
    }
}

/// The memory a sasl_conn_t points into; lives longer than it.
private final class SASLConnectionMemory {
    let callbacks: UnsafeMutablePointer<sasl_callback_t>
    let binding: UnsafeMutablePointer<sasl_channel_binding_t>?
    private let slot: UnsafeMutablePointer<SASLSlot>
    private let record: UnsafeMutableBufferPointer<CChar>
    private let bindingName: UnsafeMutableBufferPointer<CChar>
    private let bindingData: UnsafeMutableBufferPointer<UInt8>

    init(record text: String, binding: (type: ChannelBindingType, data: [UInt8])?) {
        record = Self.copy(text.utf8CString)
        slot = .allocate(capacity: 1)
        bindingName = Self.copy((binding?.type.rawValue ?? "").utf8CString)
        bindingData = Self.copy(binding?.data ?? [])
        callbacks = .allocate(capacity: 2)
        let procedure = unsafeBitCast(allowAuthorization as AuthorizationCallback, to: SASLProcedure.self)
        callbacks[0] = sasl_callback_t(id: UInt(SASL_CB_PROXY_POLICY), proc: procedure, context: UnsafeMutableRawPointer(slot))
        callbacks[1] = sasl_callback_t(id: UInt(SASL_CB_LIST_END), proc: nil, context: nil)
        if binding != nil, let name = bindingName.baseAddress {
            let pointer = UnsafeMutablePointer<sasl_channel_binding_t>.allocate(capacity: 1)
            pointer.initialize(
                to: sasl_channel_binding_t(
                    name: UnsafePointer(name), critical: 1, len: UInt(bindingData.count), data: UnsafePointer(bindingData.baseAddress)))
            self.binding = pointer
        } else {
            self.binding = nil
        }
        if let address = record.baseAddress { slot.initialize(to: SASLSlot(record: address, recordLength: record.count - 1)) }
    }

    deinit {
        if let address = record.baseAddress { explicit_bzero(address, record.count) }
        record.deallocate()
        bindingName.deallocate()
        bindingData.deallocate()
        binding?.deallocate()
        callbacks.deallocate()
        slot.deallocate()
    }

    private static func copy<C: Collection>(_ source: C) -> UnsafeMutableBufferPointer<C.Element> {
        let target = UnsafeMutableBufferPointer<C.Element>.allocate(capacity: source.count)
        _ = target.initialize(from: source)
        return target
    }
}

private typealias AuthorizationCallback =
    @convention(c) (
        OpaquePointer?, UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UInt32, UnsafePointer<CChar>?, UInt32, UnsafePointer<CChar>?,
        UInt32,
        OpaquePointer?
    ) -> Int32

/// SASL_CB_PROXY_POLICY: whether the authenticated may act as the requested. Whoever asks for another than himself never gets this far
/// (`SASLExchange` compares the prepared names), while libsasl2 would find "juliet" and "juliet@example.com" different.
private func allowAuthorization(
    _: OpaquePointer?, _: UnsafeMutableRawPointer?, _: UnsafePointer<CChar>?, _: UInt32, _: UnsafePointer<CChar>?, _: UInt32,
    _: UnsafePointer<CChar>?, _: UInt32, _: OpaquePointer?
) -> Int32 { SASL_OK }
