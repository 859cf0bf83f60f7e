import CFaults
import CLMDB
import Glibc
import Testing

/// Kinds of calls; the raw values are those of CFaults.
enum CallKind: Int32, Sendable, CaseIterable {
    case open, read, write, sync, truncate, map, lock, makeDirectory, name, remove, look, pipe, thread
    case lmdbOpen, lmdbBegin, lmdbRead, lmdbWrite, lmdbCommit, lmdbCopy
    case connect, accept, receive, send

    /// The ways in which a call of this kind fails in the world.
    var faults: [Fault] {
        switch self {
        case .open: [.error(EMFILE), .error(EIO), .error(ENOSPC)]
        case .read, .look: [.error(EIO)]
        case .write: [.error(ENOSPC), .error(EIO), .short]
        case .sync: [.error(EIO), .error(ENOSPC)]
        case .truncate: [.error(ENOSPC)]
        case .map: [.error(ENOMEM)]
        case .lock: [.error(ENOLCK)]
        case .makeDirectory, .name: [.error(ENOSPC), .error(EIO)]
        case .remove: [.error(EIO)]
        case .pipe: [.error(EMFILE)]
        case .thread: [.error(EAGAIN)]
        case .lmdbOpen, .lmdbCopy: [.error(ENOMEM), .error(EIO)]
        case .lmdbBegin: [.error(ENOMEM), .error(MDB_READERS_FULL)]
        case .lmdbRead: [.error(MDB_CORRUPTED), .error(MDB_PAGE_NOTFOUND)]
        case .lmdbWrite: [.error(MDB_MAP_FULL), .error(ENOMEM), .error(MDB_CORRUPTED), .error(MDB_TXN_FULL)]
        case .lmdbCommit: [.error(ENOSPC), .error(EIO), .error(MDB_MAP_FULL)]
        case .connect: [.error(ECONNREFUSED), .error(EAGAIN)]
        case .accept: [.error(ECONNABORTED), .error(EMFILE)]
        // No EAGAIN: a socket that was said to be readable is, and NIO relies on it.
        case .receive: [.reset, .short]
        case .send: [.reset, .short, .error(EAGAIN)]
        }
    }
}

/// What becomes of one call.
enum Fault: Sendable, Equatable, CustomStringConvertible {
    /// An error number of the system, or a result of liblmdb.
    case error(Int32)
    /// Half of it is done.
    case short
    /// The connection is at its end.
    case reset

    var code: Int32 {
        switch self {
        case .error(let code): code
        case .short: Int32(FAULTS_SHORT)
        case .reset: Int32(FAULTS_RESET)
        }
    }

    var description: String {
        switch self {
        case .error(let code): code < 0 ? String(cString: mdb_strerror(code)) : String(cString: strerror(code))
        case .short: "half is done"
        case .reset: "reset"
        }
    }
}

/// One run of a scenario: which of its calls fails, and how.
struct Trial: Sendable, CustomStringConvertible {
    var number: UInt64
    var kind: CallKind
    var fault: Fault
    /// As one reads it in a failure, and as `MARTLET_FAULT` replays it: `number` alone.
    var description: String { "call \(number), \(kind): \(fault)" }
}

/// Runs a scenario with every call failing in turn.
enum Drill {
    /// All calls instead of a share of them.
    static let isLong = getenv("MARTLET_FAULTS").map { String(cString: $0) } == "all"
    /// The one call that is to fail: how a failure is looked at again.
    static let only = getenv("MARTLET_FAULT").flatMap { UInt64(String(cString: $0)) }

    /// Where everything lies that scenarios make: in memory where there is such a place, since no power is lost here, only calls.
    static let prefix = (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + "/martlet-fault-"

    /// Ends the plan: nothing fails any more. What came of it is known until the next one.
    static func pause() { _ = faults_disarm() }

    /// The kinds of the calls of a scenario in their order.
    static func count(port: Int = 0, _ body: () throws -> Void) rethrows -> [CallKind] {
        faults_arm(prefix, Int32(port), 0, 0)
        defer { _ = faults_disarm() }
        try body()
        let total = faults_disarm()
        return (0..<total).compactMap { CallKind(rawValue: faults_kind($0 + 1)) }
    }

    /// The trials of a scenario with these calls: all of them, or of each kind the first call with all its faults and every `share`th after.
    static func trials(_ calls: [CallKind], share: Int, without: Set<CallKind> = []) -> [Trial] {
        var seen: [Int32: Int] = [:]
        var trials: [Trial] = []
        for (index, kind) in calls.enumerated() where !without.contains(kind) {
            let turn = seen[kind.rawValue, default: 0]
            seen[kind.rawValue] = turn + 1
            for (variant, fault) in kind.faults.enumerated() {
                let number = UInt64(index) + 1
                guard only.map({ $0 == number }) ?? (isLong || turn == 0 || (turn + variant) % share == 0) else { continue }
                trials.append(Trial(number: number, kind: kind, fault: fault))
            }
        }
        return trials
    }

    /// Runs a scenario once for each trial, and looks that the fault came and that no descriptor stays open.
    ///
    /// - Parameters:
    ///   - without: kinds of calls that do not fail.
    ///   - isExact: whether the calls are the same in every run.
    static func all(
        _ scenario: String, _ calls: [CallKind], share: Int, without: Set<CallKind> = [], port: Int = 0, isExact: Bool = true,
        _ body: (Trial) throws -> Void
    ) {
        all(scenario, calls, share: share, without: without, port: port, isExact: isExact, prepare: { _ in }) { trial, _ in
            try body(trial)
        }
    }

    /// As `all` above, with preparations whose calls do not count.
    static func all<T>(
        _ scenario: String, _ calls: [CallKind], share: Int, without: Set<CallKind> = [], port: Int = 0, isExact: Bool = true,
        prepare: (Trial) throws -> T,
        _ body: (Trial, T) throws -> Void
    ) {
        let trials = trials(calls, share: share, without: without)
        faults_spare(without.reduce(0) { $0 | 1 << UInt64(clamping: $1.rawValue) })
        defer { faults_spare(0) }
        let before = openDescriptors()
        var fired = 0
        for trial in trials {
            defer { pause() }
            do {
                let prepared = try prepare(trial)
                faults_arm(prefix, Int32(port), trial.number, trial.fault.code)
                try body(trial, prepared)
            } catch { Issue.record("\(scenario), \(trial): \(error)") }
            if faults_fired() >= 0 { fired += 1 }
            if isExact { #expect(faults_fired() == trial.kind.rawValue, "\(scenario), \(trial): the call came") }
        }
        #expect(openDescriptors() == before, "\(scenario): nothing stays open")
        var counts: [String] = []
        for kind in CallKind.allCases {
            let count = calls.count { $0 == kind }
            if count > 0 { counts.append("\(kind) \(count)") }
        }
        print("faults: \(scenario): \(calls.count) calls (\(counts.joined(separator: ", "))), \(trials.count) trials, \(fired) faults")
    }
}

/// A directory that goes with its owner.
final class Scratch {
    let path: String

    init() throws {
        var template = Array((Drill.prefix + "XXXXXX").utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in buffer.baseAddress.flatMap { mkdtemp($0) } != nil }
        try #require(made)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        Self.remove(path)
        // The fault may have been kept for this.
        Self.remove(path)
    }

    static func remove(_ path: String) {
        for name in names(path) { remove(path + "/" + name) }
        Glibc.remove(path)
    }

    static func names(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

/// Descriptors that this process has open.
func openDescriptors() -> Int { Scratch.names("/proc/self/fd").count }

struct Trouble: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
}
