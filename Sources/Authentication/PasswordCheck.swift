/// A password from PLAIN and the key to check it with: work for `PasswordPool`, since it takes a PBKDF2. The password is wiped when
/// the check is dropped.
public final class PasswordCheck: Sendable {
    private let password: SecretBytes
    private let key: SCRAMKey

    init(password: SecretBytes, key: SCRAMKey) {
        self.password = password
        self.key = key
    }

    /// Whether the password is right; takes milliseconds. An account that does not exist has a key too, that nothing matches.
    public func run() -> Bool { (try? key.matches(prepared: password.bytes)) ?? false }
}
