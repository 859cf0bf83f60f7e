internal import CSASL
internal import Glibc

/// The process-wide state of libsasl2: set up once, by whoever needs it first, and never taken down.
///
/// Nothing outside of this process decides anything: no configuration file is read (no application name is given), every option that
/// matters is answered by `answerOption`, credentials come from the connection's own slot through the auxprop plugin below,
/// and nothing is logged, since libsasl2's messages name accounts and can hold passwords.
enum SASLLibrary {
    /// What set-up came to.
    static let state: Result<Void, SASLServiceError> = setUp()

    private static func setUp() -> Result<Void, SASLServiceError> {
        sasl_set_mutex(allocateMutex, lockMutex, unlockMutex, freeMutex)
        let callbacks = UnsafeMutablePointer<sasl_callback_t>.allocate(capacity: 3)
        callbacks[0] = sasl_callback_t(
            id: UInt(SASL_CB_GETOPT), proc: unsafeBitCast(answerOption as OptionCallback, to: SASLProcedure.self), context: nil)
        callbacks[1] = sasl_callback_t(
            id: UInt(SASL_CB_LOG), proc: unsafeBitCast(ignoreMessage as LogCallback, to: SASLProcedure.self), context: nil)
        callbacks[2] = sasl_callback_t(id: UInt(SASL_CB_LIST_END), proc: nil, context: nil)
        // libsasl2 keeps the array.
        var code = sasl_server_init(callbacks, nil)
        guard code == SASL_OK else { return .failure(.library(code: code)) }
        code = sasl_auxprop_add_plugin(pluginName.pointer, offerPlugin)
        guard code == SASL_OK else { return .failure(.library(code: code)) }
        let missing = SCRAMHash.allCases.map(\.mechanism).filter { !installed.contains($0) }
        return missing.isEmpty ? .success(()) : .failure(.missingMechanisms(missing))
    }

    /// The mechanisms whose plugins were found.
    private static var installed: Set<String> {
        guard let list = sasl_global_listmech() else { return [] }
        var names: Set<String> = []
        var index = 0
        while let name = list[index] {
            names.insert(String(cString: name))
            index += 1
        }
        return names
    }
}

typealias SASLProcedure = @convention(c) () -> Int32
private typealias OptionCallback =
    @convention(c) (
        UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafeMutablePointer<UnsafePointer<CChar>?>?,
        UnsafeMutablePointer<UInt32>?
    ) -> Int32
private typealias LogCallback = @convention(c) (UnsafeMutableRawPointer?, Int32, UnsafePointer<CChar>?) -> Int32

/// A string of the program's text as libsasl2 wants it: it is there for ever.
private struct ConstantString: Sendable {
    let value: StaticString
    init(_ value: StaticString) { self.value = value }
    var pointer: UnsafePointer<CChar> { UnsafeRawPointer(value.utf8Start).assumingMemoryBound(to: CChar.self) }
}

private let pluginName = ConstantString("martlet")

/// Every option that decides who may log in and how; for the rest libsasl2 has its defaults.
private let options: [(name: StaticString, value: ConstantString)] = [
    ("auxprop_plugin", pluginName),
    ("pwcheck_method", ConstantString("auxprop")),
    ("mech_list", ConstantString("SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1")),
    ("canon_user_plugin", ConstantString("INTERNAL")),
    ("auto_transition", ConstantString("no")),
    ("log_level", ConstantString("0")),
]

/// SASL_CB_GETOPT.
private func answerOption(
    _: UnsafeMutableRawPointer?, _: UnsafePointer<CChar>?, option: UnsafePointer<CChar>?,
    result: UnsafeMutablePointer<UnsafePointer<CChar>?>?, length: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    guard let option, let result else { return SASL_BADPARAM }
    for (name, value) in options where strcmp(option, ConstantString(name).pointer) == 0 {
        result.pointee = value.pointer
        length?.pointee = UInt32(value.value.utf8CodeUnitCount)
        return SASL_OK
    }
    return SASL_FAIL
}

/// SASL_CB_LOG.
private func ignoreMessage(_: UnsafeMutableRawPointer?, _: Int32, _: UnsafePointer<CChar>?) -> Int32 { SASL_OK }

// MARK: Mutexes

private func allocateMutex() -> UnsafeMutableRawPointer? {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    guard pthread_mutex_init(mutex, nil) == 0 else {
        mutex.deallocate()
        return nil
    }
    return UnsafeMutableRawPointer(mutex)
}

private func lockMutex(_ mutex: UnsafeMutableRawPointer?) -> Int32 {
    guard let mutex = mutex?.assumingMemoryBound(to: pthread_mutex_t.self) else { return SASL_FAIL }
    return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL
}

private func unlockMutex(_ mutex: UnsafeMutableRawPointer?) -> Int32 {
    guard let mutex = mutex?.assumingMemoryBound(to: pthread_mutex_t.self) else { return SASL_FAIL }
    return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL
}

private func freeMutex(_ mutex: UnsafeMutableRawPointer?) {
    guard let mutex = mutex?.assumingMemoryBound(to: pthread_mutex_t.self) else { return }
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
}

// MARK: Auxiliary properties

/// What the plugin below says of itself; libsasl2 keeps the pointer.
private nonisolated(unsafe) let plugin: UnsafeMutablePointer<sasl_auxprop_plug_t> = {
    let plugin = UnsafeMutablePointer<sasl_auxprop_plug_t>.allocate(capacity: 1)
    plugin.initialize(
        to: sasl_auxprop_plug_t(
            features: 0, spare_int1: 0, glob_context: nil, auxprop_free: nil, auxprop_lookup: copyRecord,
            name: UnsafeMutablePointer(mutating: pluginName.pointer), auxprop_store: nil))
    return plugin
}()

/// sasl_auxprop_init_t.
private func offerPlugin(
    _: UnsafePointer<sasl_utils_t>?, maximumVersion: Int32, version: UnsafeMutablePointer<Int32>?,
    result: UnsafeMutablePointer<UnsafeMutablePointer<sasl_auxprop_plug_t>?>?, _: UnsafePointer<CChar>?
) -> Int32 {
    guard maximumVersion >= SASL_AUXPROP_PLUG_VERSION, let version, let result else { return SASL_BADVERS }
    version.pointee = SASL_AUXPROP_PLUG_VERSION
    result.pointee = plugin
    return SASL_OK
}

/// Answers a mechanism's question for stored keys from the slot of its connection, and never anything else: which account logs in was
/// decided when the slot was filled, so a name that libsasl2 reads in another way than we do gets nobody else's keys.
private func copyRecord(
    _: UnsafeMutableRawPointer?, parameters: UnsafeMutablePointer<sasl_server_params_t>?, flags: UInt32, _: UnsafePointer<CChar>?,
    _: UInt32
) -> Int32 {
    // Asked again about the authorization identity, we have nothing to add: it is always the same account.
    guard flags & UInt32(SASL_AUXPROP_AUTHZID) == 0 else { return SASL_OK }
    guard let parameters, let slot = SASLSlot.find(in: parameters.pointee.callbacks) else { return SASL_FAIL }
    guard let context = parameters.pointee.propctx, var value = prop_get(context) else { return SASL_OK }
    while let name = value.pointee.name {
        // With the star: of who authenticates. "*userPassword" is asked for too, and there is none.
        if strcmp(name, "*authPassword") == 0 {
            let code = prop_set(context, name, slot.pointee.record, Int32(truncatingIfNeeded: slot.pointee.recordLength))
            guard code == SASL_OK else { return code }
        }
        value += 1
    }
    return SASL_OK
}
