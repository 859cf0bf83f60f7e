import Authentication
import ServerCore

/// Makes the keys of new passwords on the threads that check passwords.
struct NewKeys: PasswordKeys {
    let pool: PasswordPool
    let iterations: Int

    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool {
        pool.derive(password: password, iterations: iterations) { result in
            completion(result.map { $0.encode() }.mapError { .unusable($0.description) })
        }
    }
}
