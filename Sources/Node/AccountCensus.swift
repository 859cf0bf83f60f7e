import Authentication
import Logging
import ServerCore
import Stanzas
import Store
import Synchronization

/// Keeps a `LoginCensus` up to date: counts all accounts again soon after a change that this node was asked for, and once in a while
/// for those that others were asked for.
///
/// Runs on reader threads, a page and a snapshot at a time, so that no read stays open for long and other reads come in between.
final class AccountCensus: Sendable {
    /// Accounts a page.
    private static let page = 500
    /// Between counts when nothing is known to have changed.
    private static let interval = Duration.seconds(60)
    /// After a change: an import is thousands of them.
    private static let pause = Duration.seconds(1)
    /// Counting takes no more than this part of the time.
    private static let share = 20

    private struct State {
        var isCounting = false
        /// Something changed while a count was under way.
        var isStale = false
        var isStopped = false
        /// The next count comes soon already.
        var isSoon = false
        /// Of the timer that is in force: an older one does nothing.
        var timer = 0
        /// How long the last count took.
        var lastTook = Duration.zero
        var waiting: [@Sendable () -> Void] = []

        var restAfterChange: Duration { max(AccountCensus.pause, min(lastTook * AccountCensus.share, AccountCensus.interval)) }
    }

    private struct Count {
        var tallies: [String: LoginTally] = [:]
        var accounts = 0
        var damaged = 0
        let began = MonotonicTime.now
    }

    let logins: LoginCensus
    private let core: Core
    private let log: Logger
    private let state = Mutex(State())

    init(logins: LoginCensus, core: Core, log: Logger) {
        self.logins = logins
        self.core = core
        self.log = log
    }

    /// Counts for the first time, and from then on by itself.
    ///
    /// - Parameter counted: called when the first count is done, or cannot be done.
    func start(counted: @escaping @Sendable () -> Void) {
        state.withLock { $0.waiting.append(counted) }
        begin()
    }

    func stop() { state.withLock { $0.isStopped = true } }

    /// An account was made, changed or removed through this node.
    func changed(_ command: AccountCommand, _ account: JID) {
        switch command {
        case .kick, .call: return
        default: break
        }
        // What a new account lacks must not be offered to it for a moment.
        if case .create(let bytes) = command, let credentials = try? Credentials.decode(bytes) {
            logins.add(credentials, to: account.domain)
        }
        let delay: Duration? = state.withLock { state in
            guard !state.isCounting, !state.isSoon else {
                state.isStale = state.isCounting
                return nil
            }
            state.isSoon = true
            return state.restAfterChange
        }
        if let delay { plan(after: delay) }
    }

    private func begin() {
        let isFree = state.withLock { state in
            guard !state.isStopped, !state.isCounting else { return false }
            state.isCounting = true
            state.isSoon = false
            return true
        }
        if isFree { read(Count(), after: nil) }
    }

    private func read(_ count: Count, after key: Key?) {
        core.readers.read { [self] snapshot in
            var count = count
            let page: AccountRecord.Page
            do {
                page = try AccountRecord.page(ofHost: nil, after: key, limit: Self.page, in: snapshot, identity: core.identity)
            } catch {
                log.warning("accounts cannot be counted", metadata: ["reason": "\(error)"])
                return end(began: count.began)
            }
            count.damaged += page.damaged.count
            for record in page.accounts where record.isEnabled {
                guard let at = record.jid.utf8.firstIndex(of: UInt8(ascii: "@")),
                    let credentials = try? Credentials.decode(record.credentials)
                else {
                    count.damaged += 1
                    continue
                }
                count.accounts += 1
                count.tallies[String(record.jid[record.jid.index(after: at)...]), default: LoginTally()].add(credentials)
            }
            guard page.next == nil else { return read(count, after: page.next) }
            logins.replace(with: count.tallies)
            log.debug("accounts counted", metadata: ["accounts": "\(count.accounts)", "damaged": "\(count.damaged)"])
            end(began: count.began)
        }
    }

    private func end(began: MonotonicTime) {
        let took = Duration.microseconds(Int64(clamping: MonotonicTime.now.microseconds(since: began)))
        let (waiting, delay) = state.withLock { state in
            state.lastTook = took
            state.isCounting = false
            state.isSoon = state.isStale
            state.isStale = false
            defer { state.waiting = [] }
            return (state.waiting, state.isSoon ? state.restAfterChange : max(Self.interval, took * Self.share))
        }
        for body in waiting { body() }
        plan(after: delay)
    }

    private func plan(after delay: Duration) {
        guard let loop = core.shards.first?.loop else { return }
        let number = state.withLock { state in
            state.timer &+= 1
            return state.timer
        }
        _ = loop.schedule(after: delay) { [weak self] in
            guard let self, state.withLock({ $0.timer == number }) else { return }
            begin()
        }
    }
}
