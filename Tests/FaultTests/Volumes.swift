import Glibc
import LMDBStore
import Store
import Synchronization
import Testing

/// All suites of faults: one after the other, since there is one seam in a process.
@Suite(.serialized) struct AllFaults {}

let identity = VolumeIdentity(
    volumeID: [UInt8](repeating: 9, count: 16), partitions: 64, hashKey: SipKey(1, 2), featureLevel: VolumeIdentity.currentFeatureLevel,
    created: 5, unicodeVersion: "15")

func options() -> LMDBVolume.Options {
    var options = LMDBVolume.Options()
    options.mapBytes = 64 << 20
    options.readers = 1
    options.probeInterval = .milliseconds(1)
    return options
}

/// Tries; when the fault of the trial was met, tries once more, and then it must succeed. The failure is one of the store's own words.
@discardableResult
func once<T>(_ what: String, _ trial: Trial?, _ body: () throws(StoreFailure) -> T) throws -> T {
    do throws(StoreFailure) { return try body() } catch {
        try #require(trial != nil, "\(what): \(error)")
        let sentence = "\(error)"
        #expect(!sentence.contains("\n") && sentence.utf8.count > 10, "\(what): one sentence, not \(sentence)")
    }
    do throws(StoreFailure) { return try body() } catch {
        Issue.record("\(what) a second time, after \(trial.map { "\($0)" } ?? ""): \(error)")
        throw error
    }
}

/// Looks until `condition` holds. Fails the test after a minute.
func eventually(_ what: Comment, at location: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool) throws {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let deadline = time.tv_sec + 60
    while try !condition() {
        clock_gettime(CLOCK_MONOTONIC, &time)
        try #require(time.tv_sec < deadline, what, sourceLocation: location)
        poll(nil, 0, 1)
    }
}

/// Every row that is not the volume's own.
func rows(_ volume: LMDBVolume) throws -> [[UInt8]: [UInt8]] {
    try volume.read { snapshot in
        var rows: [[UInt8]: [UInt8]] = [:]
        try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { (key, value) throws(StoreFailure) in
            if let key = Key(key), key.partition != Keys.volumeWide { rows[key.bytes] = [UInt8](value) }
            return true
        }
        return rows
    }
}

/// A volume with its keeper in this process.
final class KeptVolume: Sendable {
    let volume: LMDBVolume

    convenience init(_ store: String, _ trial: Trial?) throws {
        self.init(try once("opened and kept", trial) { () throws(StoreFailure) in try Self.open(store) })
    }

    init(_ volume: LMDBVolume) { self.volume = volume }

    /// Opens a volume and becomes its keeper.
    static func open(_ store: String) throws(StoreFailure) -> LMDBVolume {
        let volume = try LMDBVolume(at: store, options: options())
        do throws(StoreFailure) {
            guard let lock = try KeeperLock.acquireNow(directory: store, node: "test") else { throw .notKeeper }
            _ = try volume.becomeKeeper(lock)
            return volume
        } catch {
            volume.close()
            throw error
        }
    }

    func close() { volume.close() }

    /// Commits and waits for the answer.
    func commitNow(_ effects: Effects) -> Result<Void, StoreFailure> {
        let answer = Box<Result<Void, StoreFailure>>()
        let arrived = Semaphore()
        volume.commit(effects) { result in
            answer.set(result)
            arrived.signal()
        }
        arrived.wait()
        return answer.value ?? .failure(.closed)
    }

    /// Waits until it takes writes again.
    func reopens(_ trial: Trial?) throws {
        try eventually("it takes writes again, \(trial.map { "\($0)" } ?? ""): \(volume.statistics.state)") {
            volume.statistics.state == .keeping
        }
    }
}

/// A semaphore of the system.
final class Semaphore: @unchecked Sendable {
    // @unchecked: sem_t is made for many threads.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        semaphore = .allocate(capacity: 1)
        semaphore.initialize(to: sem_t())
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func signal() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0, errno == EINTR {} }
}

/// A kept volume whose commits are answered before they return, so that a run has one order: for a server in one thread.
final class SteadyVolume: Volume {
    let kept: KeptVolume
    private let trial: Trial?

    init(_ kept: KeptVolume, _ trial: Trial?) {
        self.kept = kept
        self.trial = trial
    }

    func close() { kept.close() }

    var identity: VolumeIdentity { kept.volume.identity }
    var statistics: VolumeStatistics { kept.volume.statistics }

    func read<T>(_ body: (any Snapshot) throws -> T) throws -> T { try kept.volume.read(body) }

    func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        let result = kept.commitNow(effects)
        // What is refused between a failure and the first probe is not what is looked at here.
        if case .failure = result {
            do { try kept.reopens(trial) } catch { Issue.record(error) }
        }
        completion(result)
    }
}

extension LMDBVolume {
    /// What a walk over every row finds amiss.
    func findings() throws(StoreFailure) -> [Finding] {
        var walk = Verification(identity: identity)
        var findings: [Finding] = []
        do {
            while !walk.isDone { findings += try read { try walk.step(in: $0) } }
        } catch { throw error as? StoreFailure ?? .io("\(error)") }
        return findings
    }
}

/// A value that comes later, perhaps from another thread.
final class Box<Value: Sendable>: Sendable {
    private let state = Mutex<Value?>(nil)
    func set(_ value: Value) { state.withLock { $0 = value } }
    var value: Value? { state.withLock { $0 } }
}
