public import Synchronization

/// A value that every thread reads at any moment without a lock, a copy or a count, and that is replaced as a whole now and then.
///
/// Whoever reads may do so while it is being replaced, so earlier values are never freed: a few kilobytes for each time an operator
/// reloads the configuration.
public final class Replaceable<Value: Sendable>: Sendable {
    @usableFromInline let address: Atomic<UInt>

    public init(_ value: Value) {
        address = Atomic(UInt(bitPattern: Self.place(value)))
    }

    private static func place(_ value: Value) -> UnsafeMutablePointer<Value> {
        let pointer = UnsafeMutablePointer<Value>.allocate(capacity: 1)
        pointer.initialize(to: value)
        return pointer
    }

    /// Where the value stands now; it stays there for as long as the process lives.
    @inlinable public var pointer: UnsafePointer<Value> {
        // Never zero: memory was allocated for every one.
        UnsafePointer(bitPattern: address.load(ordering: .acquiring)).unsafelyUnwrapped
    }

    /// The value that is in force now. Two reads may see two values: who needs one reads once.
    @inlinable public var value: Value {
        unsafeAddress { pointer }
    }

    /// From now on this is in force.
    public func replace(_ value: Value) {
        address.store(UInt(bitPattern: Self.place(value)), ordering: .releasing)
    }
}
