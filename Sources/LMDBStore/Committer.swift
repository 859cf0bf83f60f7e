import Store

/// The one thread that writes the volume: everything that is ready goes into one synced transaction.
///
/// After a failure it refuses everything until a probe commit succeeds, a second later at the earliest: what is submitted
/// meanwhile may stand on memory that never became true.
final class Committer: Sendable {
    struct Submission: Sendable {
        var effects: Effects
        var completion: @Sendable (Result<Void, StoreFailure>) -> Void
    }

    private struct Inbox {
        var queue: [Submission] = []
        var statistics = VolumeStatistics()
        var isClosed = false
    }

    struct Options: Sendable {
        /// Bytes in use at which rows may no longer be added; 0: no bound.
        var quotaBytes: UInt64
        /// Puts and deletes of one transaction, unless a single submission has more.
        var operations: Int
        /// Nanoseconds between probes.
        var probeInterval: UInt64
        var stateChanged: @Sendable (VolumeState) -> Void
        var committed: @Sendable (_ operations: Int, _ submissions: Int, _ nanoseconds: UInt64) -> Void = { _, _, _ in }
    }

    private let inbox = Monitor(Inbox())
    private let thread: Thread

    init(_ environment: Environment, _ options: Options) throws(StoreFailure) {
        let inbox = inbox
        thread = try Thread("store-committer") {
            var work = Work(environment: environment, options: options, inbox: inbox)
            work.run()
        }
    }

    func submit(_ submission: Submission) {
        let isClosed = inbox.offer { inbox in
            if !inbox.isClosed { inbox.queue.append(submission) }
            return inbox.isClosed
        }
        if isClosed { submission.completion(.failure(.closed)) }
    }

    var statistics: VolumeStatistics {
        inbox.look { inbox in
            var statistics = inbox.statistics
            statistics.waiting = inbox.queue.count
            return statistics
        }
    }

    /// Commits what waits, then ends the thread.
    func close() {
        let wasOpen = inbox.change { inbox in
            defer { inbox.isClosed = true }
            return !inbox.isClosed
        }
        if wasOpen { thread.join() }
    }

    /// What the thread knows; confined to it.
    private struct Work {
        let environment: Environment
        let options: Options
        let inbox: Monitor<Inbox>
        private var refusal: Refusal?
        private var usage: (bytes: UInt64, measured: UInt64)?
        private var nextReaderCheck = Clock.now &+ Self.readerCheckInterval

        private struct Refusal {
            var reason: StoreFailure
            var nextProbe: UInt64
        }

        private static let readerCheckInterval: UInt64 = 10_000_000_000
        private static let usageInterval: UInt64 = 1_000_000_000

        init(environment: Environment, options: Options, inbox: Monitor<Inbox>) {
            self.environment = environment
            self.options = options
            self.inbox = inbox
        }

        mutating func run() {
            environment.checkReaders()
            set(.keeping)
            while true {
                let wake = min(nextReaderCheck, refusal?.nextProbe ?? .max)
                let ready: [Submission]?? = inbox.wait(until: wake) { inbox in
                    guard !inbox.queue.isEmpty else { return inbox.isClosed ? .some(nil) : nil }
                    var queue: [Submission] = []
                    queue.reserveCapacity(inbox.queue.count)
                    swap(&queue, &inbox.queue)
                    return queue
                }
                if case .some(.none) = ready { return }
                chores()
                if case .some(.some(let queue)) = ready { work(off: queue) }
            }
        }

        private mutating func chores() {
            let now = Clock.now
            if now >= nextReaderCheck {
                environment.checkReaders()
                nextReaderCheck = now &+ Self.readerCheckInterval
            }
            guard let refused = refusal, now >= refused.nextProbe else { return }
            refusal?.nextProbe = now &+ options.probeInterval
            if refused.reason == .quota {
                usage = nil
                if !isOverQuota() { reopen() }
                return
            }
            do throws(StoreFailure) {
                try environment.commit(CollectionOfOne(VolumeRows.probe(moment: now)))
                reopen()
            } catch { report(error) }
        }

        private mutating func work(off queue: [Submission]) {
            var next = 0
            while next < queue.count {
                if let reason = refuses(queue[next]) {
                    answer(queue[next...next], .failure(reason))
                    next += 1
                    continue
                }
                var end = next + 1
                var operations = queue[next].effects.operations.count
                while end < queue.count, operations + queue[end].effects.operations.count <= options.operations {
                    // Near the quota each submission is judged when its turn has come.
                    guard refusal == nil else { break }
                    operations += queue[end].effects.operations.count
                    end += 1
                }
                commit(queue[next..<end], operations: operations)
                next = end
            }
        }

        /// Why a submission may not be committed now.
        private mutating func refuses(_ submission: Submission) -> StoreFailure? {
            if let refusal, refusal.reason != .quota { return .readOnly }
            if refusal == nil {
                guard isOverQuota() else { return nil }
                close(.quota)
            }
            // What stands on a refused one is refused by its lane.
            return submission.effects.grows ? .quota : nil
        }

        private mutating func commit(_ group: ArraySlice<Submission>, operations: Int) {
            let started = Clock.now
            do throws(StoreFailure) {
                try environment.commit(group.lazy.map(\.effects))
                let spent = Clock.now &- started
                var bytes = 0
                for submission in group {
                    for case .put(let key, let value) in submission.effects.operations { bytes += key.bytes.count + value.count }
                }
                inbox.look { inbox in
                    inbox.statistics.commits += 1
                    inbox.statistics.submissions += UInt64(group.count)
                    inbox.statistics.operations += UInt64(operations)
                    inbox.statistics.bytesPut += UInt64(bytes)
                    inbox.statistics.commitNanoseconds &+= spent
                }
                options.committed(operations, group.count, spent)
                for submission in group { submission.completion(.success(())) }
            } catch {
                close(error)
                answer(group, .failure(error))
            }
        }

        private func answer(_ group: ArraySlice<Submission>, _ result: Result<Void, StoreFailure>) {
            inbox.look { $0.statistics.failures += UInt64(group.count) }
            for submission in group { submission.completion(result) }
        }

        // MARK: Open and shut

        private mutating func close(_ reason: StoreFailure) {
            refusal = Refusal(reason: reason, nextProbe: Clock.now &+ options.probeInterval)
            report(reason)
        }

        private mutating func reopen() {
            refusal = nil
            set(.keeping)
        }

        private mutating func report(_ reason: StoreFailure) {
            refusal?.reason = reason
            set(.readOnly(reason))
        }

        private func set(_ state: VolumeState) {
            let changed = inbox.look { inbox in
                defer { inbox.statistics.state = state }
                return inbox.statistics.state != state
            }
            if changed { options.stateChanged(state) }
        }

        // MARK: Quota

        /// LMDB never gives pages back to the file system, so the size of the file alone says nothing once rows were deleted:
        /// near the bound the free pages are counted, once a second.
        private mutating func isOverQuota() -> Bool {
            let quota = options.quotaBytes
            guard quota > 0 else { return false }
            let file = environment.size.used
            guard file >= quota else { return false }
            let now = Clock.now
            if let usage, now &- usage.measured < Self.usageInterval { return usage.bytes >= quota }
            guard let free = try? environment.freeBytes() else { return true }
            let bytes = file - min(free, file)
            usage = (bytes, now)
            return bytes >= quota
        }
    }
}
