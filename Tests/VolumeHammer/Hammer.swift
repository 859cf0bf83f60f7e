import Glibc
import LMDBStore
import Store

/// Commits forever, in the three-row groups that the crash tests know, and says on standard output what was acknowledged.
///
///     VolumeHammer DIRECTORY NODE MAP-MIB BATCH FILE-KIB
///
/// Lines: `follower` when the volume is open, `keeper EPOCH`, then the number of every group whose commit was acknowledged, or
/// `refused REASON`. A refused group is submitted again. With FILE-KIB above 0 no file may grow beyond it until the first refusal:
/// the disk is full, and then it is not.
@main
enum Hammer {
    static let account: UInt64 = 7

    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 6, let map = UInt64(arguments[3]), let batch = Int(arguments[4]), let limit = UInt(arguments[5]) else {
            exit(64)
        }
        do {
            if limit > 0 { limitFiles(to: limit << 10) }
            try run(directory: arguments[1], node: arguments[2], mapBytes: map << 20, batch: max(1, batch))
        } catch {
            say("failed \(error)")
            exit(1)
        }
    }

    static func run(directory: String, node: String, mapBytes: UInt64, batch: Int) throws {
        var options = LMDBVolume.Options()
        options.mapBytes = mapBytes
        options.probeInterval = .milliseconds(100)
        let volume = try LMDBVolume(at: directory, options: options)
        say("follower")
        let granted = Granted()
        KeeperLock.acquire(directory: directory, node: node) { granted.set($0) }
        let epoch = try volume.becomeKeeper(try granted.wait().get())
        say("keeper \(epoch)")
        var group = try volume.read { try lastGroup(in: $0) } + 1
        while true {
            let window = Window(batch)
            for number in group..<group + UInt64(batch) {
                volume.commit(effects(of: number)) { result in
                    switch result {
                    case .success: say("\(number)")
                    case .failure(let failure): say("refused \(failure)")
                    }
                    if case .success = result { window.leave(wasDone: true) } else { window.leave(wasDone: false) }
                }
            }
            // After a refusal everything submitted behind it is refused too, so what was done is the front of the window.
            let done = window.wait()
            group += UInt64(done)
            if done < batch {
                limitFiles(to: nil)
                usleep(10_000)
            }
        }
    }

    /// Bounds the size of the files that this process writes, in bytes; nil: no bound.
    static func limitFiles(to bytes: UInt?) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
        limit.rlim_cur = min(bytes ?? limit.rlim_max, limit.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    }

    /// Three rows that are true together only.
    static func effects(of group: UInt64) -> Effects {
        var effects = Effects()
        for part in 0..<3 {
            let sequence = group * 3 + UInt64(part)
            let record = MessageRecord(
                sequence: sequence, stamp: Int64(group), flags: .archived, originSession: 0, inSeq: 0, originIDHash: 0,
                stanza: [UInt8](repeating: UInt8(truncatingIfNeeded: group), count: 200))
            effects.put(Keys.message(0, account, sequence: sequence), record.encode())
        }
        return effects
    }

    static func lastGroup(in snapshot: any Snapshot) throws -> UInt64 {
        let page = try MessageRecord.page(0, account, in: 0...UInt64.max, limit: 1, reverse: true, from: snapshot)
        return (page.messages.first?.sequence ?? 0) / 3
    }

    static func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(1, bytes, bytes.count)
    }
}

/// The answer of the keeper lock, for the thread that waits for it.
final class Granted: @unchecked Sendable {
    // @unchecked: the value is touched only with the mutex held.
    private var value: Result<KeeperLock, StoreFailure>?
    private let gate = Gate()
    func set(_ value: Result<KeeperLock, StoreFailure>) { gate.change { self.value = value } }
    func wait() -> Result<KeeperLock, StoreFailure> { gate.wait { self.value } }
}

/// Commits under way.
final class Window: @unchecked Sendable {
    // @unchecked: the count is touched only with the mutex held.
    private var count: Int
    private var done = 0
    private let gate = Gate()
    init(_ count: Int) { self.count = count }

    func leave(wasDone: Bool) {
        gate.change {
            self.count -= 1
            if wasDone { self.done += 1 }
        }
    }

    /// Waits for all of them; returns how many were done.
    func wait() -> Int { gate.wait { self.count == 0 ? self.done : nil } }
}

/// A mutex and its condition.
final class Gate: @unchecked Sendable {
    // @unchecked: both are made for many threads.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func change(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    func wait<R>(_ body: () -> R?) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let answer = body() { return answer }
            pthread_cond_wait(condition, mutex)
        }
    }
}
