import Authentication
import ServerCore
import Settings

/// Makes the keys of new passwords on the threads that check passwords.
struct NewKeys: PasswordKeys {
    let pool: PasswordPool
    let live: Replaceable<Settings>

    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool {
        pool.derive(password: password, iterations: live.value.authentication.iterations) { result in
            completion(result.map { $0.encode() }.mapError { .unusable($0.description) })
        }
    }
}
