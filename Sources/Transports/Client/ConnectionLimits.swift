internal import Authentication
import Synchronization

/// Counts the client connections of a node, in all and by address prefix (/32, /64).
final class ConnectionLimits: Sendable {
    /// Whether one more connection may stay.
    enum Admission: Equatable { case admitted, nodeIsFull, addressIsFull }

    private let total: Int
    private let perAddress: Int
    private let count = Atomic<Int>(0)
    private let prefixes = Mutex<[AddressPrefix: Int]>([:])

    /// - Parameters:
    ///   - total: connections of the node; 0: no bound.
    ///   - perAddress: connections of one prefix; 0: no bound.
    init(total: Int, perAddress: Int) {
        self.total = total
        self.perAddress = perAddress
    }

    /// Connections that are open now, those on their way out among them.
    var connections: Int { count.load(ordering: .relaxed) }

    /// Counts a connection, admitted or not. Each call is followed by one of `left`.
    func entered(_ prefix: AddressPrefix?) -> Admission {
        let now = count.wrappingAdd(1, ordering: .relaxed).newValue
        var ofAddress = 0
        if perAddress > 0, let prefix {
            ofAddress = prefixes.withLock { prefixes in
                prefixes[prefix, default: 0] += 1
                return prefixes[prefix] ?? 0
            }
        }
        if perAddress > 0, ofAddress > perAddress { return .addressIsFull }
        return total > 0 && now > total ? .nodeIsFull : .admitted
    }

    /// A connection that was counted is gone.
    func left(_ prefix: AddressPrefix?) {
        count.wrappingSubtract(1, ordering: .relaxed)
        guard perAddress > 0, let prefix else { return }
        prefixes.withLock { prefixes in
            guard let count = prefixes[prefix] else { return }
            prefixes[prefix] = count > 1 ? count - 1 : nil
        }
    }
}
