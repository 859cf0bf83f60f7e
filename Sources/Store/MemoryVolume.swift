import Synchronization

/// A volume in memory: the reference for what a volume does, and the store of tests. Nothing in it survives the process.
///
/// Commits are durable at once, on the calling thread, unless `holdsCommits`.
public final class MemoryVolume: Volume {
    private struct Waiting: Sendable {
        var effects: Effects
        var completion: @Sendable (Result<Void, StoreFailure>) -> Void
    }

    private struct State: Sendable {
        var rows = Rows()
        var waiting: [Waiting] = []
        var holds = false
        var failures: [StoreFailure] = []
        var statistics = VolumeStatistics()
    }

    public let identity: VolumeIdentity
    private let state: Mutex<State>

    public init(identity: VolumeIdentity = .random(created: 0, unicodeVersion: "")) {
        self.identity = identity
        var state = State()
        state.rows.apply(VolumeRows.initial(identity))
        state.statistics.state = .keeping
        self.state = Mutex(state)
    }

    // MARK: Volume

    public func read<T>(_ body: (any Snapshot) throws -> T) throws -> T {
        let view = View(rows: state.withLock { $0.rows })
        defer { view.isOpen = false }
        return try body(view)
    }

    public func commit(_ effects: Effects, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        let held = state.withLock { state in
            guard state.holds else { return false }
            state.waiting.append(Waiting(effects: effects, completion: completion))
            state.statistics.waiting = state.waiting.count
            return true
        }
        if !held { carryOut(Waiting(effects: effects, completion: completion)) }
    }

    public var statistics: VolumeStatistics { state.withLock { $0.statistics } }

    // MARK: What tests ask for

    /// While true, commits wait, neither visible nor durable, until `releaseCommits`.
    public var holdsCommits: Bool {
        get { state.withLock { $0.holds } }
        set { state.withLock { $0.holds = newValue } }
    }

    /// Carries out up to `count` of the commits that wait, in order.
    public func releaseCommits(_ count: Int = .max) {
        let released = state.withLock { state in
            let released = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(released.count)
            state.statistics.waiting = state.waiting.count
            return released
        }
        for waiting in released { carryOut(waiting) }
    }

    /// Forgets the commits that wait, as the death of their keeper would. Nobody hears of them.
    public func dropCommits() {
        state.withLock { state in
            state.waiting.removeAll()
            state.statistics.waiting = 0
        }
    }

    /// Lets the next `count` commits fail. A failed commit changes nothing.
    public func failNext(_ count: Int = 1, with failure: StoreFailure = .noSpace) {
        guard count > 0 else { return }
        state.withLock { $0.failures.append(contentsOf: repeatElement(failure, count: count)) }
    }

    /// The failures that are left of `failNext` do not happen.
    public func stopFailing() { state.withLock { $0.failures.removeAll() } }

    /// Overwrites or removes a row behind everybody's back, as a failing disk would.
    public func tamper(_ key: Key, _ value: [UInt8]?) {
        var effects = Effects()
        if let value { effects.put(key, value) } else { effects.delete(key) }
        state.withLock { $0.rows.apply(effects) }
    }

    private func carryOut(_ waiting: Waiting) {
        let result: Result<Void, StoreFailure> = state.withLock { state in
            guard state.failures.isEmpty else {
                state.statistics.failures += 1
                return .failure(state.failures.removeFirst())
            }
            state.rows.apply(waiting.effects)
            state.statistics.commits += 1
            state.statistics.submissions += 1
            state.statistics.operations += UInt64(waiting.effects.operations.count)
            return .success(())
        }
        waiting.completion(result)
    }

    // MARK: Rows

    /// Sorted rows, shared with snapshots by copy on write.
    private struct Rows: Sendable {
        var keys: [Key] = []
        var values: [[UInt8]] = []

        mutating func apply(_ effects: Effects) {
            for operation in effects.operations {
                let index = lowerBound(operation.key)
                let exists = index < keys.count && keys[index] == operation.key
                switch operation {
                case .put(let key, let value):
                    if exists {
                        values[index] = value
                    } else {
                        keys.insert(key, at: index)
                        values.insert(value, at: index)
                    }
                case .delete:
                    if exists {
                        keys.remove(at: index)
                        values.remove(at: index)
                    }
                }
            }
        }

        /// The first row not before `key`.
        func lowerBound(_ key: Key) -> Int {
            var low = 0
            var high = keys.count
            while low < high {
                let middle = low + (high - low) / 2
                if keys[middle] < key { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    private final class View: Snapshot {
        let rows: Rows
        var isOpen = true
        init(rows: Rows) { self.rows = rows }

        func get(_ key: Key) throws(StoreFailure) -> [UInt8]? {
            guard isOpen else { throw .closed }
            let index = rows.lowerBound(key)
            return index < rows.keys.count && rows.keys[index] == key ? rows.values[index] : nil
        }

        func scan(
            prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
            _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
        ) throws(StoreFailure) {
            guard isOpen else { throw .closed }
            let lowest = max(from ?? Key(layout: prefix), Key(layout: prefix))
            var low = rows.lowerBound(lowest)
            var high = low
            while high < rows.keys.count, rows.keys[high].bytes.starts(with: prefix), through.map({ rows.keys[high] <= $0 }) ?? true {
                high += 1
            }
            while low < high {
                let index = reverse ? high - 1 : low
                if reverse { high -= 1 } else { low += 1 }
                guard try show(index, body) else { return }
            }
        }

        /// Passes a row to `body`, whose error crosses the standard library's closures by hand.
        private func show(
            _ index: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
        ) throws(StoreFailure) -> Bool {
            let result: Result<Bool, StoreFailure> = rows.keys[index].bytes.withUnsafeBytes { key in
                rows.values[index].withUnsafeBytes { value in
                    do throws(StoreFailure) { return .success(try body(key, value)) } catch { return .failure(error) }
                }
            }
            return try result.get()
        }
    }
}
