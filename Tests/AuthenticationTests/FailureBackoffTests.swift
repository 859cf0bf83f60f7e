import Testing

@testable import Authentication

@Suite struct FailureBackoffTests {
    private let second: Int64 = 1_000_000_000
    private let juliet = FailureBackoff.Subject.account("juliet@example.com")

    @Test func refusesAfterTheLimitUntilTheWindowHasPassed() {
        let backoff = FailureBackoff(limit: 3, window: 60)
        for time in 0..<3 {
            #expect(backoff.allows(juliet, now: Int64(time) * second))
            backoff.failed(juliet, now: Int64(time) * second)
        }
        #expect(!backoff.allows(juliet, now: 3 * second))
        #expect(!backoff.allows(juliet, now: 60 * second - 1))
        // The first is a window old: one more may be tried, and then none.
        #expect(backoff.allows(juliet, now: 60 * second))
        backoff.failed(juliet, now: 60 * second)
        #expect(!backoff.allows(juliet, now: 60 * second))
        #expect(backoff.allows(juliet, now: 61 * second))
        #expect(backoff.allows(.account("romeo@example.com"), now: 3 * second))
    }

    @Test func succeedingForgetsTheAccountOnly() throws {
        let backoff = FailureBackoff(limit: 1, window: 60)
        let address = FailureBackoff.Subject.address(try #require(AddressPrefix("192.0.2.1")))
        backoff.failed(juliet, now: 0)
        backoff.failed(address, now: 0)
        backoff.succeeded(account: "juliet@example.com")
        #expect(backoff.allows(juliet, now: 1))
        #expect(!backoff.allows(address, now: 1))
    }

    @Test func remembersAcrossTurnsAndForgetsAfterwards() {
        let backoff = FailureBackoff(limit: 2, window: 10, maximumSubjects: 1000)
        backoff.failed(juliet, now: 0)
        backoff.failed(juliet, now: 9 * second)
        backoff.failed(.account("a"), now: 10 * second)
        #expect(!backoff.allows(juliet, now: 9 * second + 1))
        backoff.failed(juliet, now: 11 * second)
        #expect(!backoff.allows(juliet, now: 12 * second))
        #expect(backoff.allows(juliet, now: 21 * second))
        backoff.failed(.account("b"), now: 40 * second)
        backoff.failed(.account("c"), now: 60 * second)
        #expect(backoff.count <= 2)
    }

    @Test func memoryIsBounded() {
        let backoff = FailureBackoff(limit: 3, window: 60, maximumSubjects: 100)
        for index in 0..<10_000 {
            backoff.failed(.account("\(index)"), now: Int64(index))
            #expect(backoff.count <= 100)
        }
        #expect(backoff.count >= 50)
    }

    /// Against a list of all failures, with time that jumps.
    @Test func countsLikeTheDefinition() {
        var generator = SeededGenerator(state: 9)
        let backoff = FailureBackoff(limit: 4, window: 20)
        var failures: [(subject: Int, time: Int64)] = []
        var now: Int64 = 5
        for _ in 0..<5000 {
            now += Int64.random(in: 0...(8 * second), using: &generator) / (Bool.random(using: &generator) ? 1 : 20)
            let subject = Int.random(in: 0..<4, using: &generator)
            let expected = failures.count { $0.subject == subject && $0.time > now - 20 * second } < 4
            #expect(backoff.allows(.account("\(subject)"), now: now) == expected)
            if Int.random(in: 0..<3, using: &generator) > 0 {
                backoff.failed(.account("\(subject)"), now: now)
                failures.append((subject, now))
            } else if Int.random(in: 0..<40, using: &generator) == 0 {
                backoff.succeeded(account: "\(subject)")
                failures.removeAll { $0.subject == subject }
            }
            if failures.count > 200 { failures.removeFirst(100) }
        }
    }

    @Test func prefixes() throws {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7/32"), ("::ffff:192.0.2.7", "192.0.2.7/32"), ("2001:db8:0:1:a:b:c:d", "2001:db8:0:1::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"), ("fe80::1%eth0", "fe80:0:0:0::/64"), ("::1", "0:0:0:0::/64"),
        ] { #expect(try #require(AddressPrefix(address)).description == expected) }
        for text in ["", "example.com", "192.0.2", "192.0.2.7:5222", "2001:db8::1/64", "[::1]", "1.2.3.4.5"] {
            #expect(AddressPrefix(text) == nil)
        }
        #expect(AddressPrefix("192.0.2.7") != AddressPrefix("192.0.2.8"))
    }
}
