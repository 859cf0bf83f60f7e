import Synchronization

/// One submitter's way to the volume, for submitters that derive their next effects from memory which earlier ones made.
///
/// When a commit fails, everything submitted after it stands on memory that never became true. The lane therefore fails shut:
/// it refuses whatever comes until its owner, having dropped that memory, calls `resume`.
public final class CommitLane: Sendable {
    private let volume: any Volume
    private let failure = Mutex<StoreFailure?>(nil)

    public init(_ volume: any Volume) { self.volume = volume }

    /// As `Volume.commit`. When the lane is shut, `completion` gets the failure that shut it, on the calling thread.
    public func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        if let failure = failure.withLock({ $0 }) { return completion(.failure(failure)) }
        volume.commit(effects) { [self] result in
            // Before the owner hears of it: what it submits meanwhile is refused already.
            if case .failure(let reason) = result { failure.withLock { $0 = $0 ?? reason } }
            completion(result)
        }
    }

    /// Opens the lane after a failure. Call it when the failures of everything submitted before have been worked off.
    public func resume() { failure.withLock { $0 = nil } }
}
