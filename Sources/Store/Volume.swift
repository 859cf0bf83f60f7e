/// The store at one moment. Valid only inside the closure it was given to, and on its thread; afterwards every call throws
/// `StoreFailure.closed`.
public protocol Snapshot {
    /// The value of a row; nil when there is none.
    func get(_ key: Key) throws(StoreFailure) -> [UInt8]?

    /// How many rows there are, as the store itself keeps count; nil where it does not.
    var rows: UInt64? { get }

    /// Shows every row whose key starts with `prefix` and lies in `from...through` (both inclusive, nil: unbounded, `from` is
    /// the lower one in both directions), ascending, or descending when `reverse`. The buffers are valid only inside `body`,
    /// which returns false to stop.
    func scan(
        prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
    ) throws(StoreFailure)
}

extension Snapshot {
    public var rows: UInt64? { nil }
}

/// A snapshot of a store that cannot be read: every call throws the reason.
public struct UnreadableSnapshot: Snapshot {
    public let failure: StoreFailure
    public init(_ failure: StoreFailure) { self.failure = failure }

    public func get(_ key: Key) throws(StoreFailure) -> [UInt8]? { throw failure }

    public func scan(
        prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
    ) throws(StoreFailure) { throw failure }
}

/// One store of a host: rows under keys, read as snapshots, written as effects by the keeper alone.
public protocol Volume: AnyObject, Sendable {
    /// What was fixed when the volume was made.
    var identity: VolumeIdentity { get }

    /// Runs `body` on a snapshot, on the calling thread, which may wait for the disk: never a loop. Keep it to milliseconds:
    /// pages that a snapshot sees cannot be reused meanwhile.
    func read<T>(_ body: (any Snapshot) throws -> T) throws -> T

    /// Asks for a synced commit. Never waits; first come, first committed; everything ready goes in one transaction.
    ///
    /// `completion` is called once, on the volume's own thread: durable, or not done at all. After a failure everything is
    /// refused for at least a second, and until a probe succeeds; a submitter that derives its next effects from earlier ones
    /// uses a `CommitLane`, which stays shut until it has taken note.
    func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void)

    var statistics: VolumeStatistics { get }
}

/// Whether a volume takes writes.
public enum VolumeState: Sendable, Equatable {
    /// Another process is the keeper, or nobody yet.
    case following
    /// This process is the keeper and commits.
    case keeping
    /// This process is the keeper; a commit failed, and probes have failed since.
    case readOnly(StoreFailure)
    case closed
}

/// Figures of a volume since it was opened in this process.
public struct VolumeStatistics: Sendable, Equatable {
    public var state = VolumeState.following
    /// Synced transactions.
    public var commits: UInt64 = 0
    /// Submissions that were in them.
    public var submissions: UInt64 = 0
    /// Puts and deletes that were in them.
    public var operations: UInt64 = 0
    /// Bytes of keys and values put.
    public var bytesPut: UInt64 = 0
    /// Submissions that failed.
    public var failures: UInt64 = 0
    /// Submissions that wait now.
    public var waiting = 0
    /// Nanoseconds spent in transactions.
    public var commitNanoseconds: UInt64 = 0
    /// Bytes of the data file that have been used at one time; freed pages are among them.
    public var usedBytes: UInt64 = 0
    /// Reserved address space in bytes.
    public var mapBytes: UInt64 = 0
    public init() {}
}
