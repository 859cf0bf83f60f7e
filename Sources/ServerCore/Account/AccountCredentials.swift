internal import Stanzas
import Store

/// New keys in the place of those that were looked up (XEP-0480): nothing where others came meanwhile.
public struct CredentialsExchange: Sendable, Equatable {
    /// The name of the call: `.done` when the new ones stand, `.exists` when others came meanwhile.
    public static let call = "credentials.exchange"

    public var old: [UInt8]
    public var new: [UInt8]

    public init(old: [UInt8], new: [UInt8]) {
        self.old = old
        self.new = new
    }

    /// The call's argument.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes(old)
        writer.bytes(new)
        return writer.bytes
    }

    init(from bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        old = try reader.bytes()
        new = try reader.bytes()
    }
}

extension CredentialsExchange: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the keys.
    public var description: String { "CredentialsExchange" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension Account {
    static func registerCredentials(in registration: inout Registration) {
        registration.call(CredentialsExchange.call) { argument, turn, result in
            guard let keys = try? CredentialsExchange(from: argument) else { return result.reply(.failed("the keys cannot be read")) }
            result.reply(turn.account.exchange(keys))
        }
    }

    /// The password is the same: its sessions and tokens stay.
    private func exchange(_ keys: CredentialsExchange) -> CommandResult {
        guard var record else { return .notFound }
        // Asked again after a takeover: done already.
        if record.credentials == keys.new { return .done(1) }
        guard record.credentials == keys.old else { return .exists }
        record.credentials = keys.new
        write(record)
        return .done(1)
    }
}
