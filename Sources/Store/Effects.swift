/// One change of the store.
public enum Effect: Sendable, Equatable {
    case put(Key, [UInt8])
    case delete(Key)

    public var key: Key {
        switch self {
        case .put(let key, _), .delete(let key): key
        }
    }
}

/// The puts and deletes that executing a command produced, in order; a later one on the same key wins. They are committed
/// together or not at all.
public struct Effects: Sendable, Equatable {
    public var operations: [Effect] = []
    /// Puts that make a row smaller.
    private var shrinks = 0

    public init() {}

    public var isEmpty: Bool { operations.isEmpty }

    public mutating func put(_ key: Key, _ value: [UInt8]) { operations.append(.put(key, value)) }

    /// Removes a row. A row that is not there is no error.
    public mutating func delete(_ key: Key) { operations.append(.delete(key)) }

    /// Puts a row in the place of a larger one that is there.
    public mutating func shrink(_ key: Key, _ value: [UInt8]) {
        put(key, value)
        shrinks += 1
    }

    public mutating func append(_ other: Effects) {
        operations.append(contentsOf: other.operations)
        shrinks += other.shrinks
    }

    /// Whether there are more puts than deletes, but for rows of which an account has few: what a volume at its quota refuses. Sessions
    /// begin, and what is acknowledged is noted, so that what is owed can be removed.
    public var grows: Bool {
        var balance = -shrinks
        for operation in operations {
            switch operation {
            case .put(let key, _): if Keys.table(of: key)?.isBounded != true { balance += 1 }
            case .delete: balance -= 1
            }
        }
        return balance > 0
    }
}
