/// Makes what is stored of a password. It takes milliseconds of work, so it is never done on a loop.
public protocol PasswordKeys: Sendable {
    /// Derives the keys of a new password.
    ///
    /// - Parameter completion: called once, on any thread.
    /// - Returns: false when too many wait; then `completion` is never called.
    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool
}

/// Why a password is not taken.
public enum PasswordRefusal: Error, Sendable, Equatable {
    /// It is none: the sentence says why, and nothing of it.
    case unusable(String)
    /// Too many are being checked or set.
    case busy
}

extension Shard {
    /// What is stored of a password; `then` is called once on this loop.
    func deriveKeys(of password: String, then: @escaping (Result<[UInt8], PasswordRefusal>) -> Void) {
        nextCommand += 1
        let id = nextCommand
        pendingKeys[id] = then
        let isTaken = core.passwords.derive(password) { result in
            self.enter { shard in shard.pendingKeys.removeValue(forKey: id)?(result) }
        }
        if !isTaken { pendingKeys.removeValue(forKey: id)?(.failure(.busy)) }
    }
}

extension Turn {
    /// What is stored of a password; `then` is called once on this loop, unless this process ceases to be the home meanwhile. The account
    /// stays awake until then.
    public func deriveKeys(of password: String, then: @escaping (Result<[UInt8], PasswordRefusal>) -> Void) {
        account.reads += 1
        account.shard.deriveKeys(of: password) { [account] result in
            account.reads -= 1
            if !account.isRetired { then(result) }
        }
    }
}
