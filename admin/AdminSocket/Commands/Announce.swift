import AdminLanguage
import ServerCore
import Stanzas
import Store
import Synchronization

/// `message …`: what hosts say to their users.
extension Commands {
    /// An id that no two announcements share.
    private static func newID() -> String {
        let number = UInt64.random(in: .min ... .max)
        return String(number, radix: 36)
    }

    func sendMessage(_ invocation: Invocation, _ text: String, _ sink: ReplySink) {
        guard let jid = account(invocation, sink), let host = sender(invocation.option("from") ?? jid.domain, sink) else { return }
        let message = Announcement(
            from: host, subject: invocation.option("subject") ?? "", text: text, audience: .everybody, id: Self.newID())
        if let refusal = message.refusal { return sink.fail(.invalid, "the message cannot be sent: \(refusal)") }
        send(.call(Announcement.call, message.encode()), to: jid) { result in
            switch result {
            case .done(let sessions):
                sink.end {
                    $0.fact("sessions", ReplyValue(sessions))
                    $0.ok(
                        sessions == 0
                            ? "\(jid) is away and gets it at the next login"
                            : "sent to \(jid), who is online with \(sessions) \(sessions == 1 ? "session" : "sessions")")
                }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .value: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    private func sender(_ host: String, _ sink: ReplySink) -> JID? {
        guard let jid = try? JID(host), jid.local == nil, jid.isBare, core.hosts[jid.domain] != nil else {
            sink.fail(
                .invalid, "\(host) is not a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
            return nil
        }
        return jid
    }

    func broadcast(_ invocation: Invocation, _ text: String, _ sink: ReplySink) {
        guard !invocation.flag("online") || !invocation.flag("all") else {
            return sink.fail(.usage, "--online and --all exclude each other")
        }
        var hosts = core.hosts.keys.compactMap { try? JID($0) }
        if let wanted = invocation.option("host") {
            guard let host = sender(wanted, sink) else { return }
            hosts = [host]
        }
        let messages = hosts.map { host in
            Announcement(
                from: host, subject: invocation.option("subject") ?? "", text: text,
                audience: invocation.flag("all") ? .everybody : .online,
                id: Self.newID())
        }
        guard let first = messages.first else { return sink.fail(.unavailable, "there is no host") }
        if let refusal = first.refusal { return sink.fail(.invalid, "the message cannot be sent: \(refusal)") }
        let broadcast = Broadcast(
            self, Dictionary(messages.map { ($0.host.domain, $0.encode()) }) { first, _ in first }, online: first.audience == .online,
            onlyHost: invocation.option("host").flatMap { _ in first.host.domain },
            rate: invocation.integerOption("rate") ?? CommandTable.defaultBroadcastRate, sink)
        broadcast.begin()
    }
}

/// One announcement on its way to many accounts, so many a second and no more.
private final class Broadcast: Sendable {
    /// Accounts that were told and have not answered: behind a slow disk it waits.
    private static let window = 500
    /// Accounts that are read at once.
    private static let page = 1_000

    private struct State {
        var waiting: [JID] = []
        var after: Key?
        var isRead = false
        var isReading = false
        var total: Int?
        var inWork = 0
        var told = 0
        var present = 0
        var refused = 0
        var ticks = 0
        var isOver = false
        var silent: Set<UInt64> = []
    }

    private let commands: Commands
    /// By host.
    private let messages: [String: [UInt8]]
    private let isForOnline: Bool
    private let host: String?
    private let sink: ReplySink
    /// Accounts of one tick, and its length.
    private let batch: Int
    private let tick: Duration
    private let state = Mutex(State())

    init(_ commands: Commands, _ messages: [String: [UInt8]], online: Bool, onlyHost host: String?, rate: Int, _ sink: ReplySink) {
        self.commands = commands
        self.messages = messages
        isForOnline = online
        self.host = host
        self.sink = sink
        batch = max(1, rate / 10)
        tick = .milliseconds(1_000 * max(1, rate / 10) / max(1, rate))
    }

    func begin() {
        guard isForOnline else { return work() }
        commands.sessions(SessionFilter(host: host), sink) { [self] sessions, silent in
            let users = Set(sessions.compactMap { try? JID($0.jid).bare })
            state.withLock { state in
                state.waiting = users.sorted()
                state.isRead = true
                state.total = users.count
                state.silent = silent
            }
            work()
        }
    }

    /// One tick: as many as may be told now.
    private func work() {
        guard let loop = commands.core.shards.first?.loop else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        guard sink.isOpen else { return sink.fail(.failed, "nobody waits for the rest") }
        let (chosen, mustRead) = state.withLock { state in
            let count = max(0, min(batch, Self.window - state.inWork, state.waiting.count))
            let chosen = state.waiting.suffix(count)
            state.waiting.removeLast(count)
            state.inWork += count
            state.ticks += 1
            let mustRead = !state.isRead && !state.isReading && state.waiting.count < batch
            if mustRead { state.isReading = true }
            return (chosen, mustRead)
        }
        if mustRead { read() }
        for jid in chosen { tell(jid) }
        if isOver() { return finish() }
        show()
        _ = loop.schedule(after: tick) { self.work() }
    }

    private func isOver() -> Bool { state.withLock { $0.isRead && $0.waiting.isEmpty && $0.inWork == 0 } }

    private func show() {
        let (isDue, told, total) = state.withLock { ($0.ticks % 10 == 0, $0.told + $0.refused, $0.total) }
        if isDue { sink.write { $0.progress(told, of: total) } }
    }

    private func tell(_ jid: JID) {
        guard let message = messages[jid.domain] else { return note(.notFound) }
        commands.send(.call(Announcement.call, message), to: jid) { self.note($0, jid) }
    }

    private func note(_ result: CommandResult, _ jid: JID? = nil) {
        state.withLock { state in
            state.inWork -= 1
            switch result {
            case .done(let sessions):
                state.told += 1
                state.present += sessions > 0 ? 1 : 0
            case .notFound: break
            case .failed, .exists, .value: state.refused += 1
            }
        }
        if case .failed(let why) = result { sink.write { $0.warning(why) } }
    }

    /// The next accounts.
    private func read() {
        let core = commands.core
        let after = state.withLock { $0.after }
        core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(ofHost: host, after: after, limit: Self.page, in: snapshot, identity: core.identity)
                let jids = page.accounts.filter(\.isEnabled).compactMap { try? JID($0.jid) }
                state.withLock { state in
                    state.waiting = jids.reversed() + state.waiting
                    state.after = page.next
                    state.isRead = page.next == nil
                    state.isReading = false
                }
            } catch {
                sink.write { $0.warning("the accounts cannot be read: \(error)") }
                state.withLock { state in
                    state.isRead = true
                    state.isReading = false
                    state.refused += 1
                }
            }
        }
    }

    private func finish() {
        let state = state.withLock { $0 }
        sink.write { reply in
            reply.fact("accounts", ReplyValue(state.told))
            reply.fact("online", ReplyValue(state.present))
            reply.fact("refused", ReplyValue(state.refused))
        }
        let sentence = isForOnline ? "\(state.present) users have it" : "\(state.told) accounts have it, \(state.present) of them now"
        guard state.refused == 0 else {
            return sink.fail(.partial, "\(sentence), \(state.refused) did not take it")
        }
        commands.endScatter(state.silent, sink, ok: sentence)
    }
}
