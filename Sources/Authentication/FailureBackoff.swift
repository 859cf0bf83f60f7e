internal import Glibc

/// Counts failed logins of accounts and of address prefixes in a sliding window, to answer `temporary-auth-failure` before any work is
/// done for who guesses passwords (RFC 6120 §13.9.1).
///
/// Memory is bounded by `maximumSubjects`: under a flood of different ones the oldest are forgotten first. Time is passed in, from a clock
/// that never goes back. Confined to one loop.
public final class FailureBackoff {
    /// Whom failures are counted for.
    ///
    /// A keyed 64-bit hash, so that long names take no more memory than short ones; nobody outside can make two of them meet.
    public struct Subject: Hashable, Sendable {
        private let key: Int

        /// The bare JID of an account, whether it exists or not.
        public static func account(_ jid: String) -> Subject { Subject(key: hash(0, jid)) }
        /// Everybody behind an address prefix.
        public static func address(_ prefix: AddressPrefix) -> Subject { Subject(key: hash(1, prefix)) }

        private static func hash(_ kind: UInt8, _ value: some Hashable) -> Int {
            var hasher = Hasher()
            hasher.combine(kind)
            hasher.combine(value)
            return hasher.finalize()
        }
    }

    /// Failures within the window from which on a subject is refused.
    public private(set) var limit: Int
    /// Nanoseconds.
    public private(set) var window: Int64
    public let maximumSubjects: Int

    /// Subjects with a failure since the last turn, and those with their last failure before it: what is in neither has none in the window.
    private var recent: [Subject: Times] = [:]
    private var older: [Subject: Times] = [:]
    private var turned: Int64?

    /// - Parameters:
    ///   - limit: at least 1.
    ///   - window: seconds, at least 1.
    ///   - maximumSubjects: at least 2; each takes about 80 bytes and 8 for each failure up to the limit.
    public init(limit: Int, window seconds: Int, maximumSubjects: Int = 65_536) {
        self.limit = max(limit, 1)
        window = Self.nanoseconds(seconds)
        self.maximumSubjects = max(maximumSubjects, 2)
    }

    /// Other bounds from now on; failures that were counted stay counted.
    public func change(limit: Int, window seconds: Int) {
        self.limit = max(limit, 1)
        window = Self.nanoseconds(seconds)
    }

    private static func nanoseconds(_ seconds: Int) -> Int64 { Int64(min(max(seconds, 1), 86_400)) * 1_000_000_000 }

    /// Subjects remembered.
    public var count: Int { recent.count + older.count }

    /// Whether a login may be tried. Refused attempts do not count as failures: the window runs out though somebody goes on trying.
    /// - Parameter now: nanoseconds of a monotonic clock.
    public func allows(_ subject: Subject, now: Int64) -> Bool {
        guard let times = recent[subject] ?? older[subject] else { return true }
        return times.count(after: now - window) < limit
    }

    /// Counts a failed login.
    public func failed(_ subject: Subject, now: Int64) {
        turn(now)
        var times = recent[subject] ?? older.removeValue(forKey: subject) ?? Times()
        times.add(now, after: now - window, limit: limit)
        recent[subject] = times
    }

    /// Forgets the failures of an account whose owner has logged in. The address keeps its: one right password excuses no guessing of others.
    public func succeeded(account jid: String) {
        let subject = Subject.account(jid)
        recent[subject] = nil
        older[subject] = nil
    }

    private func turn(_ now: Int64) {
        let since = turned ?? now
        turned = since
        guard now - since >= window || recent.count >= maximumSubjects / 2 else { return }
        // Whatever is still in `older` had its last failure before the last turn: a window ago, or too many subjects ago.
        older = recent
        recent = [:]
        turned = now
    }

    /// The moments of the last failures, at most `limit`, in order.
    private struct Times {
        private var moments: [Int64] = []

        func count(after start: Int64) -> Int { moments.count { $0 > start } }

        mutating func add(_ now: Int64, after start: Int64, limit: Int) {
            moments.removeAll { $0 <= start }
            if moments.count >= limit { moments.removeFirst(moments.count - limit + 1) }
            moments.append(now)
        }
    }
}

/// What of a client's address stands for one customer of a network: all of an IPv4 address, the first 64 bits of an IPv6 address.
public struct AddressPrefix: Hashable, Sendable, CustomStringConvertible {
    /// The address with the rest of it zero; IPv4 in the last four bytes of `::ffff:0:0/96`.
    private let high: UInt64
    private let low: UInt64

    /// From an address as text, without port; an IPv6 zone (`%eth0`) is left out. Nil for anything else.
    public init?(_ address: String) {
        let text = String(address.prefix { $0 != "%" })
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr))
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: six) { Array($0) }
        let high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        let low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
        if high == 0, low >> 32 == 0xFFFF {
            self.init(ipv4: UInt32(truncatingIfNeeded: low))
        } else {
            self.init(high: high, low: 0)
        }
    }

    private init(ipv4: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(ipv4)) }

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// E.g. `192.0.2.7/32` or `2001:db8:0:1::/64`.
    public var description: String {
        if high == 0, low != 0 {
            return (0..<4).map { String(low >> (24 - 8 * UInt64($0)) & 0xFF) }.joined(separator: ".") + "/32"
        }
        return (0..<4).map { String(high >> (48 - 16 * UInt64($0)) & 0xFFFF, radix: 16) }.joined(separator: ":") + "::/64"
    }
}
