import Glibc
public import Store

/// Threads that may wait for the disk, each with a read transaction at hand.
public final class ReaderPool: Sendable {
    private struct Jobs {
        var waiting: [@Sendable (any Snapshot) -> Void] = []
        /// Jobs of `waiting` that are taken.
        var taken = 0
        var isClosed = false
    }

    private let environment: Environment
    private let jobs = Monitor(Jobs())
    private let threads: [Thread]

    init(_ environment: Environment, threads count: Int) throws(StoreFailure) {
        self.environment = environment
        var threads: [Thread] = []
        for _ in 0..<max(1, count) {
            let jobs = jobs
            do throws(StoreFailure) {
                threads.append(try Thread("store-reader") { Self.work(jobs, environment) })
            } catch {
                jobs.change { $0.isClosed = true }
                for thread in threads { thread.join() }
                throw error
            }
        }
        self.threads = threads
    }

    /// Runs `body` with a fresh snapshot on a reader thread; first come, first served. When the store cannot be read, the
    /// snapshot's calls throw the reason.
    public func read(_ body: @escaping @Sendable (any Snapshot) -> Void) {
        // Any thread takes it: one is woken. One that comes from another job looks before it sleeps.
        let isClosed = jobs.offer { jobs in
            if !jobs.isClosed { jobs.waiting.append(body) }
            return jobs.isClosed
        }
        if isClosed { body(UnreadableSnapshot(.closed)) }
    }

    /// Runs what waits, then ends the threads.
    func close() {
        let wasOpen = jobs.change { jobs in
            defer { jobs.isClosed = true }
            return !jobs.isClosed
        }
        if wasOpen { for thread in threads { thread.join() } }
    }

    private static func work(_ jobs: Monitor<Jobs>, _ environment: Environment) {
        while true {
            let next: (@Sendable (any Snapshot) -> Void)?? = jobs.wait { jobs in
                guard jobs.taken < jobs.waiting.count else { return jobs.isClosed ? .some(nil) : nil }
                let job = jobs.waiting[jobs.taken]
                jobs.taken += 1
                if jobs.taken == jobs.waiting.count {
                    jobs.waiting.removeAll(keepingCapacity: true)
                    jobs.taken = 0
                }
                return job
            }
            guard case .some(.some(let job)) = next else { return }
            do {
                try environment.read { job($0) }
            } catch {
                job(UnreadableSnapshot(error as? StoreFailure ?? .io("reading: \(error)")))
            }
        }
    }
}
