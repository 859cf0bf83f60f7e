import Stanzas
import Synchronization
import Testing

@testable import Authentication

@Suite struct PasswordPoolTests {
    private func check(_ password: String) throws -> PasswordCheck {
        let key = try #require(Credentials.derive(password: "pencil", iterations: 4096, hashes: [.sha256]).keys[.sha256])
        return PasswordCheck(password: try SecretBytes(preparing: password), key: key)
    }

    @Test func checksPasswords() async throws {
        let pool = try PasswordPool(threads: 2, capacity: 16)
        for (password, expected) in [("pencil", true), ("pen", false)] {
            let check = try check(password)
            let result = await withCheckedContinuation { continuation in
                if !pool.verify(check, completion: { continuation.resume(returning: $0) }) { continuation.resume(returning: !expected) }
            }
            #expect(result == expected)
        }
    }

    @Test func makesKeys() async throws {
        let pool = try PasswordPool(threads: 1, capacity: 1)
        func derive(_ password: String) async -> Result<Credentials, CredentialsError>? {
            await withCheckedContinuation { continuation in
                if !pool.derive(password: password, iterations: 4096, completion: { continuation.resume(returning: $0) }) {
                    continuation.resume(returning: nil)
                }
            }
        }
        #expect(try #require(await derive("pencil")).get().verify("pencil"))
        #expect(await derive("") == .failure(.password(.empty)))
    }

    @Test func refusesMoreThanItsCapacity() throws {
        let pool = try PasswordPool(threads: 1, capacity: 3)
        let check = try check("pencil")
        let counts = Mutex((accepted: 0, refused: 0, done: 0))
        @Sendable func finish() { counts.withLock { $0.done += 1 } }
        // The only thread waits for this lock in its first completion, so what is added behind it stays in the queue.
        counts.withLock { counts in
            let first = pool.verify(check) { _ in finish() }
            #expect(first)
            for _ in 0..<20 {
                if pool.verify(check, completion: { _ in finish() }) { counts.accepted += 1 } else { counts.refused += 1 }
            }
        }
        pool.stop()
        let result = counts.withLock { $0 }
        // The first has either left the queue by then or not.
        #expect(result.accepted == 2 || result.accepted == 3)
        #expect(result.accepted + result.refused == 20)
        #expect(result.done == result.accepted + 1)
    }

    @Test func stopsAfterTheLastJob() throws {
        let done = Atomic(0)
        let pool = try PasswordPool(threads: 2, capacity: 32)
        let check = try check("pencil")
        for _ in 0..<10 {
            let added = pool.verify(check) { if $0 { done.add(1, ordering: .relaxed) } }
            #expect(added)
        }
        pool.stop()
        #expect(done.load(ordering: .relaxed) == 10)
        #expect(!pool.verify(check) { _ in })
        pool.stop()
    }

    @Test func mayBeDroppedInACompletion() async throws {
        let check = try check("pencil")
        await withCheckedContinuation { continuation in
            let holder = Holder()
            holder.pool.withLock { $0 = try? PasswordPool(threads: 1, capacity: 1) }
            let added = holder.pool.withLock { pool in
                pool?.verify(check) { _ in
                    holder.drop()
                    continuation.resume()
                } == true
            }
            if !added { continuation.resume() }
            #expect(added)
        }
    }

    private final class Holder: Sendable {
        let pool = Mutex<PasswordPool?>(nil)
        func drop() {
            let last = pool.withLock { pool in
                defer { pool = nil }
                return pool
            }
            _ = last
        }
    }
}
