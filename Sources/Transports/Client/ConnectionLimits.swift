internal import Authentication
import Synchronization

/// Counts the client connections of a node, in all and by address prefix (/32, /64).
final class ConnectionLimits: Sendable {
    /// Whether one more connection may stay.
    enum Admission: Equatable { case admitted, nodeIsFull, addressIsFull }

    private let total: Atomic<Int>
    private let perAddress: Atomic<Int>
    private let count = Atomic<Int>(0)
    private let prefixes = Mutex<[AddressPrefix: Int]>([:])

    /// - Parameters:
    ///   - total: connections of the node; 0: no bound.
    ///   - perAddress: connections of one prefix; 0: no bound.
    init(total: Int, perAddress: Int) {
        self.total = Atomic(total)
        self.perAddress = Atomic(perAddress)
    }

    /// Other bounds for the connections that come; those there are stay.
    func change(total: Int, perAddress: Int) {
        self.total.store(total, ordering: .relaxed)
        self.perAddress.store(perAddress, ordering: .relaxed)
    }

    /// Connections that are open now, those on their way out among them.
    var connections: Int { count.load(ordering: .relaxed) }

    /// Counts a connection, admitted or not. Each call is followed by one of `left`.
    func entered(_ prefix: AddressPrefix?) -> Admission {
        let now = count.wrappingAdd(1, ordering: .relaxed).newValue
        var ofAddress = 0
        // Counted also without a bound: there may be one tomorrow.
        if let prefix {
            ofAddress = prefixes.withLock { prefixes in
                prefixes[prefix, default: 0] += 1
                return prefixes[prefix] ?? 0
            }
        }
        let (total, perAddress) = (total.load(ordering: .relaxed), perAddress.load(ordering: .relaxed))
        if perAddress > 0, ofAddress > perAddress { return .addressIsFull }
        return total > 0 && now > total ? .nodeIsFull : .admitted
    }

    /// A connection that was counted is gone.
    func left(_ prefix: AddressPrefix?) {
        count.wrappingSubtract(1, ordering: .relaxed)
        guard let prefix else { return }
        prefixes.withLock { prefixes in
            guard let count = prefixes[prefix] else { return }
            prefixes[prefix] = count > 1 ? count - 1 : nil
        }
    }
}
