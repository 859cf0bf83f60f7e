import AdminLanguage
import AdminSocket
import Glibc
import LMDBStore
import Logging
import ServerCore
import Settings
import Stanzas
import Store
import Synchronization
import Telemetry

/// Backups of this node while it keeps the store: one at a time, asked for by an administrator through any node, or by the schedule.
final class BackupKeeper: Sendable {
    private struct Run {
        var number: UInt64
        var directory: String
        var started: Int64
        var isScheduled: Bool
        var bytes: UInt64 = 0
        var expected: UInt64 = 0
        var isAborted = false
        var outcome: Result<Backup, StoreFailure>?
    }

    private struct State {
        var run: Run?
        var isStopped = false
        /// When the schedule last began one, whatever became of it.
        var lastAttempt: Int64 = 0
        var lastSuccess: Int64 = 0
    }

    /// Between two looks at the schedule.
    private static let interval = Duration.seconds(2)

    private let volume: LMDBVolume
    private let core: Core
    private var settings: Settings.Backup { core.settings.backup }
    private let log: Logger
    private let state = Mutex(State())
    private let lastSuccess: Gauge
    /// Begin of the newest backup in the folder, whichever node took it, and when that was looked up.
    private let newest = Newest()
    private final class Newest: Sendable {
        let look = Mutex<(started: Int64, at: MonotonicTime)?>(nil)
    }
    private let lastBytes: Gauge
    private let running: Gauge
    private let succeeded: Counter
    private let failed: Counter

    init(volume: LMDBVolume, core: Core, settings: Settings, registry: Registry, log: Logger) throws {
        self.volume = volume
        self.core = core
        let place = settings.backup.directory.isEmpty ? settings.node.directory + "/backups" : settings.backup.directory
        directory = Self.absolute(place)
        self.log = log
        lastSuccess = try registry.gauge(
            "martlet_backup_last_success_timestamp_seconds", help: "When the last backup that this node took was begun; 0: none.")
        lastBytes = try registry.gauge("martlet_backup_last_size_bytes", help: "Size of the last backup that this node took.")
        let hours = settings.backup.everyHours
        try registry.reading("martlet_backup_interval_seconds", help: "What lies between two scheduled backups; 0: none is scheduled.") {
            Double(hours) * 3_600
        }
        let newest = newest
        try registry.samples(
            "martlet_backup_newest_timestamp_seconds",
            help: "When the newest whole backup in the folder of backups was begun, by whichever node, in seconds since 1970."
        ) { newest.look.withLock { $0.map { [Registry.Sample([], Double($0.started / 1_000_000))] } } ?? [] }
        running = try registry.gauge("martlet_backup_running", help: "1 while this node takes a backup.")
        succeeded = try registry.counter(
            "martlet_backups_total", help: "Backups that this node began and that have ended.", labels: [("result", "ok")])
        failed = try registry.counter(
            "martlet_backups_total", help: "Backups that this node began and that have ended.", labels: [("result", "failed")])
    }

    /// Where backups go when nobody says otherwise: an absolute path where that can be found out.
    let directory: String

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }

    // MARK: Asked by a node of the cluster

    /// The answer of a node that keeps the store; nothing from any other, so that the one that asks hears of one keeper alone.
    func answer(_ question: StoreQuestion, isKeeper: Bool) -> NodeFacts {
        guard isKeeper else { return NodeFacts() }
        switch question {
        case .begin(let directory):
            do throws(StoreFailure) {
                let number = try begin(directory ?? self.directory, scheduled: false)
                return NodeFacts([("node", .text(core.nodeName)), ("run", ReplyValue(number))])
            } catch {
                return NodeFacts([("node", .text(core.nodeName)), ("refused", .text(Self.sentence(error)))])
            }
        case .look(let number): return look(number)
        case .abort:
            let isRunning = state.withLock { state in
                guard let run = state.run, run.outcome == nil else { return false }
                state.run?.isAborted = true
                return true
            }
            return NodeFacts([("node", .text(core.nodeName)), ("aborted", .flag(isRunning))])
        case .repair(let orphan):
            repair(orphan)
            return NodeFacts([("node", .text(core.nodeName))])
        }
    }

    /// Looks once more whether these rows are nobody's, and gives them to the purge.
    private func repair(_ orphan: OrphanRepair) {
        let (volume, log, now) = (volume, log, core.clock.now)
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                let effects = try orphan.effects(now: now, in: snapshot)
                guard !effects.isEmpty else { return }
                volume.commit(effects) { result in
                    guard case .failure(let reason) = result else { return }
                    log.error("orphans are not removed", metadata: ["account": "\(orphan.account)", "reason": "\(reason)"])
                }
            } catch {
                log.error("orphans are not removed", metadata: ["account": "\(orphan.account)", "reason": "\(error)"])
            }
        }
    }

    private func look(_ number: UInt64?) -> NodeFacts {
        let run = state.withLock { $0.run }
        var facts = NodeFacts([("node", .text(core.nodeName))])
        guard let run, number.map({ $0 == run.number }) ?? true else { return facts }
        facts.facts += [
            ("run", ReplyValue(run.number)), ("started", .text(DateTime(microseconds: run.started).description)),
            ("scheduled", .flag(run.isScheduled)), ("directory", .text(run.directory)),
            ("bytes", ReplyValue(run.bytes)), ("expected", ReplyValue(run.expected)),
        ]
        switch run.outcome {
        case nil: facts.facts.append(("state", "running"))
        case .success(let backup):
            let manifest = backup.manifest
            facts.facts += [
                ("state", "done"), ("path", .text(backup.path)), ("size", ReplyValue(manifest.bytes)), ("rows", ReplyValue(manifest.rows)),
                ("accounts", ReplyValue(manifest.accounts)), ("epoch", ReplyValue(manifest.epoch)),
                ("commit", ReplyValue(manifest.commit)), ("sha256", .text(manifest.sha256)),
                ("finished", .text(DateTime(microseconds: manifest.finished).description)),
            ]
        case .failure(let failure): facts.facts += [("state", "failed"), ("reason", .text(Self.sentence(failure)))]
        }
        return facts
    }

    private static func sentence(_ failure: StoreFailure) -> String {
        switch failure {
        case .noSpace: "there is not enough space for the copy: free some, or name another directory"
        case .abandoned(let why): why
        case .format(let why): why
        default: "\(failure)"
        }
    }

    // MARK: Watched

    /// Looks what the newest backup in the folder is, once a minute at most. It reads the folder: never on a loop.
    func refreshNewest() {
        let now = MonotonicTime.now
        if let last = newest.look.withLock({ $0?.at }), now < last + .seconds(60) { return }
        guard let found = (try? Backups.list(in: directory))?.whole.last(where: { $0.manifest.volume == core.identity.name }) else {
            return newest.look.withLock { $0 = nil }
        }
        newest.look.withLock { $0 = (found.manifest.started, now) }
    }

    // MARK: Running

    private func begin(_ directory: String, scheduled: Bool) throws(StoreFailure) -> UInt64 {
        let started = core.clock.now
        let number = UInt64(bitPattern: started)
        let refusal: StoreFailure? = state.withLock { state in
            guard !state.isStopped else { return .closed }
            if let run = state.run, run.outcome == nil {
                return .format("a backup to \(run.directory) is running already; look at it with store backup --status")
            }
            state.run = Run(number: number, directory: directory, started: started, isScheduled: scheduled)
            return nil
        }
        if let refusal { throw refusal }
        running.set(1)
        log.notice("a backup begins", metadata: ["directory": "\(directory)", "scheduled": "\(scheduled)"])
        do throws(StoreFailure) {
            try volume.startBackup(order(directory, started: started, number: number)) { self.ended(number, $0) }
        } catch {
            ended(number, .failure(error))
        }
        return number
    }

    private func order(_ directory: String, started: Int64, number: UInt64) -> BackupOrder {
        let clock = core.clock
        var order = BackupOrder(
            directory: directory, server: core.software.version, node: core.nodeName, started: started, now: { clock.now })
        order.limits.growthBytes = UInt64(clamping: settings.growthMiB) << 20
        order.limits.bytesPerSecond = UInt64(clamping: settings.mibPerSecond) << 20
        order.limits.isCancelled = { [weak self] in
            self?.state.withLock { $0.isStopped || $0.run?.number != number || $0.run?.isAborted == true } ?? true
        }
        order.limits.progress = { [weak self] bytes, expected in
            self?.state.withLock { state in
                guard state.run?.number == number else { return }
                state.run?.bytes = bytes
                state.run?.expected = expected
            }
        }
        return order
    }

    private func ended(_ number: UInt64, _ result: Result<Backup, StoreFailure>) {
        switch result {
        case .success(let backup):
            let manifest = backup.manifest
            succeeded.increment()
            lastSuccess.set(manifest.started / 1_000_000)
            lastBytes.set(Int64(clamping: manifest.bytes))
            newest.look.withLock { $0 = nil }
            log.notice(
                "a backup is taken",
                metadata: [
                    "event": "\(Event.backupTaken)",
                    "path": "\(backup.path)", "bytes": "\(manifest.bytes)", "rows": "\(manifest.rows)",
                    "seconds": "\((manifest.finished - manifest.started) / 1_000_000)",
                ])
        case .failure(let failure):
            failed.increment()
            log.error("a backup failed", metadata: ["event": "\(Event.backupFailed)", "reason": "\(Self.sentence(failure))"])
        }
        running.set(0)
        let wasScheduled = state.withLock { state in
            guard state.run?.number == number else { return false }
            state.run?.outcome = result
            if case .success(let backup) = result { state.lastSuccess = backup.manifest.started }
            return state.run?.isScheduled == true
        }
        if wasScheduled, case .success(let backup) = result { retain(in: Backups.directory(of: backup.path)) }
    }

    /// Ends what runs and takes no more; called before the volume is closed, which waits for it.
    func stop() { state.withLock { $0.isStopped = true } }

    // MARK: Schedule

    /// Looks whether one is due, now and every few seconds; on any loop.
    func startSchedule() {
        guard settings.everyHours > 0 else { return }
        tick()
    }

    private func tick() {
        guard let shard = core.shards.first, !state.withLock({ $0.isStopped }) else { return }
        shard.enter { [self] shard in
            let isKeeper = shard.placement.owner?.node == core.node && shard.placement.owner?.serves == true
            if isKeeper, mayBeDue { core.readers.read { _ in self.beginIfDue() } }
            _ = shard.loop.schedule(after: Self.interval) { self.tick() }
        }
    }

    /// Whether the folder is worth a look: a planned moment has come since this node last began or took one.
    private var mayBeDue: Bool {
        let (attempt, success, isBusy) = state.withLock { ($0.lastAttempt, $0.lastSuccess, $0.run?.outcome == nil && $0.run != nil) }
        return !isBusy && schedule.isDue(now: core.clock.now, lastSuccess: success, lastAttempt: attempt)
    }

    private var schedule: BackupSchedule { BackupSchedule(everyHours: settings.everyHours, atMinute: settings.minuteOfDay) }

    /// On a thread that may wait for the disk: another node may have been the keeper before, so the folder says when the last one was.
    private func beginIfDue() {
        let now = core.clock.now
        let known = (try? Backups.list(in: directory))?.whole.last { $0.manifest.volume == core.identity.name }
        let (attempt, success) = state.withLock { ($0.lastAttempt, max($0.lastSuccess, known?.manifest.started ?? 0)) }
        guard schedule.isDue(now: now, lastSuccess: success, lastAttempt: attempt) else {
            // Another node took it: no need to look again before the next is due.
            return state.withLock { $0.lastSuccess = success }
        }
        state.withLock { $0.lastAttempt = now }
        do throws(StoreFailure) {
            _ = try begin(directory, scheduled: true)
        } catch {
            log.warning("the backup that is due cannot begin", metadata: ["reason": "\(Self.sentence(error))"])
        }
    }

    /// Removes what is more or older than is to be kept; never the last one, and never that of another volume.
    private func retain(in directory: String) {
        do throws(StoreFailure) {
            let mine = try Backups.list(in: directory).whole.filter { $0.manifest.volume == core.identity.name }
            let spare = BackupSchedule.spare(
                mine.map(\.manifest.started), keep: settings.keep, days: settings.keepDays, now: core.clock.now)
            for index in spare {
                try Backups.remove(mine[index])
                log.notice("an old backup is removed", metadata: ["path": "\(mine[index].path)"])
            }
        } catch {
            log.warning("old backups cannot be removed", metadata: ["reason": "\(error)"])
        }
    }
}
