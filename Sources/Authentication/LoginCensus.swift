import Stanzas
import Synchronization

/// What the enabled accounts of one host can log in with, counted.
public struct LoginTally: Sendable, Equatable {
    /// Enabled accounts with credentials that can be read.
    public private(set) var accounts = 0
    private var having: [SCRAMHash: Int] = [:]
    private var shapes: [SCRAMHash: [FakeCredentials.Shape: Int]] = [:]

    public init() {}

    /// Counts one enabled account.
    public mutating func add(_ credentials: Credentials) {
        accounts += 1
        for key in credentials.keys.values {
            having[key.hash, default: 0] += 1
            let shape = FakeCredentials.Shape(iterations: key.iterations, saltLength: key.salt.count)
            shapes[key.hash, default: [:]][shape, default: 0] += 1
        }
    }

    /// The hashes that no counted account lacks, since with any other some account could not log in. Where every hash is lacked by
    /// somebody: the one that most accounts have, the strongest of several. Where no account has one that is allowed: all of those,
    /// so that nothing is told of it.
    /// - Parameter allowed: what the operator allows.
    public func offered(of allowed: Set<SCRAMHash>) -> Set<SCRAMHash> {
        let useful = having.filter { allowed.contains($0.key) }
        guard let most = useful.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return allowed }
        guard most.value == accounts else { return [most.key] }
        return Set(useful.filter { $0.value == accounts }.keys)
    }

    /// Per hash that at least half of the accounts have, the shape most of them have; where there is none, of all. Nil without an account.
    var majority: [SCRAMHash: FakeCredentials.Shape]? {
        guard accounts > 0 else { return nil }
        var found: [SCRAMHash: FakeCredentials.Shape] = [:]
        let isScattered = !having.values.contains { $0 * 2 >= accounts }
        for (hash, counts) in shapes where isScattered || (having[hash] ?? 0) * 2 >= accounts {
            // By the values where the counts are equal: every node and every start comes to the same.
            found[hash] =
                counts.max { ($0.value, $0.key.iterations, $0.key.saltLength) < ($1.value, $1.key.iterations, $1.key.saltLength) }?.key
        }
        return found
    }
}

/// What is known of the accounts of every host, for what a login is offered and for what strangers are shown.
///
/// It holds counts alone, and follows the accounts at a distance: whoever reads the store brings it up to date.
public final class LoginCensus: Sendable {
    /// What a login on one host goes by.
    public struct Host: Sendable {
        /// What may be offered.
        public var hashes: Set<SCRAMHash>
        /// What is allowed and not offered, since some account lacks it: worth an upgrade (XEP-0480).
        public var lacked: Set<SCRAMHash>
        /// What stands in for accounts that do not exist.
        public var fake: FakeCredentials
    }

    private struct State {
        var tallies: [String: LoginTally] = [:]
        var hosts: [String: Host] = [:]
        var iterations: Int
        var allowed: Set<SCRAMHash>
    }

    private let secret: [UInt8]
    private let state: Mutex<State>

    /// - Parameters:
    ///   - secret: 32 random bytes of the cluster, the same on all nodes (`FakeCredentials`).
    ///   - iterations: of passwords that are set here, for a host without accounts.
    ///   - mechanisms: what the operator allows (`MechanismPolicy.mechanisms`).
    public init(secret: [UInt8], iterations: Int, mechanisms: [String]) {
        self.secret = secret
        state = Mutex(State(iterations: iterations, allowed: Self.hashes(mechanisms)))
    }

    /// The operator allows others from now on, or new passwords are set with other iterations.
    public func change(iterations: Int, mechanisms: [String]) {
        state.withLock { state in
            state.iterations = iterations
            state.allowed = Self.hashes(mechanisms)
            for (domain, tally) in state.tallies { state.hosts[domain] = make(tally, state) }
        }
    }

    private static func hashes(_ mechanisms: [String]) -> Set<SCRAMHash> { Set(mechanisms.compactMap { SCRAMHash(mechanism: $0) }) }

    /// What a login on this host goes by; for a host that nothing is known of, what a host without accounts would offer.
    public func host(_ domain: String) -> Host {
        state.withLock { state in
            if let known = state.hosts[domain] { return known }
            return make(LoginTally(), state)
        }
    }

    /// Takes new counts, by prepared domain, in place of all there were.
    public func replace(with tallies: [String: LoginTally]) {
        state.withLock { state in
            guard state.tallies != tallies else { return }
            state.tallies = tallies
            state.hosts = tallies.mapValues { make($0, state) }
        }
    }

    /// Counts an account that was just made, before the next full count sees it.
    public func add(_ credentials: Credentials, to domain: String) {
        state.withLock { state in
            var tally = state.tallies[domain] ?? LoginTally()
            tally.add(credentials)
            state.tallies[domain] = tally
            state.hosts[domain] = make(tally, state)
        }
    }

    private func make(_ tally: LoginTally, _ state: State) -> Host {
        let fake =
            tally.majority.map { FakeCredentials(secret: secret, shapes: $0) }
            ?? FakeCredentials(secret: secret, iterations: state.iterations)
        let offered = tally.offered(of: state.allowed)
        return Host(hashes: offered, lacked: state.allowed.subtracting(offered), fake: fake)
    }
}

extension LoginCensus: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Without the secret.
    public var description: String { "LoginCensus" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
