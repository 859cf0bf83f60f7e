internal import Glibc

/// The threads that do PBKDF2, so that loops never do: checks of passwords sent in PLAIN, and new passwords.
///
/// Bounded: when `capacity` jobs wait, further ones are refused at once, and a flood of logins costs no more than the threads' time.
/// Completions are called on a thread of the pool; the caller hops to its loop. Jobs are started in order.
public final class PasswordPool: Sendable {
    private let queue: Queue
    // Written in init and in stop under the queue's lock.
    private nonisolated(unsafe) var threads: [pthread_t] = []

    /// The pool could not start its threads (errno).
    public struct StartError: Error, Equatable, Sendable, CustomStringConvertible {
        public let code: Int32
        public var description: String { "The threads that check passwords do not start (errno \(code))." }
    }

    /// - Parameters:
    ///   - threads: at least 1; more than there are cores is of no use.
    ///   - capacity: jobs that may wait, beside those that run.
    public init(threads count: Int, capacity: Int) throws(StartError) {
        queue = Queue(capacity: max(capacity, 1))
        for _ in 0..<max(count, 1) {
            var thread = pthread_t()
            let context = Unmanaged.passRetained(queue)
            let code = pthread_create(&thread, nil, work, context.toOpaque())
            guard code == 0 else {
                context.release()
                stop()
                throw StartError(code: code)
            }
            threads.append(thread)
        }
    }

    deinit { stop() }

    /// Checks a password.
    /// - Returns: false when too many jobs wait (answer `temporary-auth-failure`); then `completion` is never called.
    public func verify(_ check: PasswordCheck, completion: @escaping @Sendable (Bool) -> Void) -> Bool {
        queue.add { completion(check.run()) }
    }

    /// Makes the keys of a new password (`Credentials.derive`).
    /// - Returns: false when too many jobs wait; then `completion` is never called.
    public func derive(
        password: String, iterations: Int, completion: @escaping @Sendable (Result<Credentials, CredentialsError>) -> Void
    ) -> Bool {
        queue.add {
            completion(
                Result { () throws(CredentialsError) in try Credentials.derive(password: password, iterations: iterations) })
        }
    }

    /// Refuses new jobs, does those that wait, and returns when the last is done. Stopping twice does nothing more.
    public func stop() {
        queue.close()
        for thread in queue.locked({ take(&threads) }) {
            // The last reference may go in a completion, on a thread of the pool.
            if pthread_equal(thread, pthread_self()) != 0 { pthread_detach(thread) } else { pthread_join(thread, nil) }
        }
    }
}

private func take<T>(_ array: inout [T]) -> [T] {
    defer { array = [] }
    return array
}

/// Jobs that wait, and the condition that wakes a thread for each. Everything but the two pthread objects is under the lock.
private final class Queue: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let capacity: Int
    private var jobs: [@Sendable () -> Void] = []
    private var isClosed = false

    init(capacity: Int) {
        self.capacity = capacity
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func add(_ job: @escaping @Sendable () -> Void) -> Bool {
        locked {
            guard !isClosed, jobs.count < capacity else { return false }
            jobs.append(job)
            pthread_cond_signal(condition)
            return true
        }
    }

    /// The next job, waiting for one; nil once the queue is closed and empty.
    func next() -> (@Sendable () -> Void)? {
        locked {
            while jobs.isEmpty, !isClosed { pthread_cond_wait(condition, mutex) }
            return jobs.isEmpty ? nil : jobs.removeFirst()
        }
    }

    func close() {
        locked {
            isClosed = true
            pthread_cond_broadcast(condition)
        }
    }
}

/// The body of a thread of the pool.
private func work(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let queue = Unmanaged<Queue>.fromOpaque(context).takeRetainedValue()
    // Signals are for the main thread.
    var signals = sigset_t()
    sigfillset(&signals)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    while let job = queue.next() { job() }
    return nil
}
