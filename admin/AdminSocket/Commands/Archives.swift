import AdminLanguage
import Logging
import ServerCore
import Stanzas
import Store
import Synchronization
import XMLStream

/// `archive …`.
extension Commands {
    // MARK: Show

    func showArchive(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        var with: JID?
        if let text = invocation.option("with") {
            guard let peer = self.jid(text, sink) else { return }
            with = peer
        }
        guard let start = moment("start", invocation, sink), let end = moment("end", invocation, sink) else { return }
        let range = UInt64(max(0, start ?? 0))...UInt64(max(0, end ?? .max, start ?? 0))
        guard (end ?? .max) >= (start ?? 0) else { return sink.fail(.invalid, "--end is before --start") }
        tellOfBodies(invocation, jid)
        let view = ArchiveView(
            jid: jid, with: with, limit: invocation.integerOption("limit") ?? CommandTable.defaultMessages,
            isBackward: invocation.flag("last"), hasBodies: invocation.flag("bodies"), rest: range)
        show(view, sink)
    }

    /// The value of an option, when it was given; nil after the answer that it is no moment.
    func moment(_ option: String, _ invocation: Invocation, _ sink: ReplySink) -> Int64?? {
        guard let text = invocation.option(option) else { return .some(nil) }
        guard let moment = Moment.parse(text, now: core.clock.now) else {
            refuseMoment(option, text, sink)
            return nil
        }
        return .some(moment)
    }

    /// Who reads what people wrote to each other leaves a trace.
    func tellOfBodies(_ invocation: Invocation, _ jid: JID) {
        guard invocation.flag("bodies") else { return }
        context.log.notice("texts of messages shown", metadata: ["command": "\(invocation.command.name)", "jid": "\(jid)"])
    }

    /// A slice of rows on a snapshot of its own: a long archive is not read in one go.
    private func show(_ view: ArchiveView, _ sink: ReplySink) {
        read(view.jid, sink) { (snapshot, record, rows) throws(StoreFailure) in
            var view = view
            try view.advance(in: snapshot, rows, ids: ArchiveIDs(key: record.archiveKey))
            guard view.isDone else { return show(view, sink) }
            sink.end { reply in
                MessageTable.show(view.isBackward ? view.found.reversed() : view.found, hasBodies: view.hasBodies, &reply)
                if view.damaged > 0 { reply.warning("\(view.damaged) messages are damaged and left out; store verify names them") }
                reply.ok("\(view.found.count) messages\(view.isCut ? "; there are more, ask with --limit, --start or --end" : "")")
            }
        }
    }

    // MARK: Purge

    func purgeArchive(_ invocation: Invocation, _ sink: ReplySink) {
        var with: JID?
        if let text = invocation.option("with") {
            guard let peer = contact(text, sink) else { return }
            with = peer
        }
        guard let before = moment("before", invocation, sink) else { return }
        guard before != nil || with != nil || invocation.flag("all") else {
            return sink.fail(.usage, "say what goes: --before DATE, --with CONTACT, or --all")
        }
        guard !invocation.flag("all") || before == nil && with == nil else {
            return sink.fail(.usage, "--all leaves nothing to choose: leave it out, or --before and --with")
        }
        // What is written from now on is not meant.
        let through = UInt64(max(0, min(before.map { $0 &- 1 } ?? .max, core.clock.now)))
        let purge = ArchivePurge(through: through, with: with)
        switch (invocation.text("JID"), invocation.option("host")) {
        case (_?, nil):
            guard let jid = account(invocation, sink) else { return }
            HostPurge(self, purge, sink).purge(jid)
        case (nil, let host?):
            guard let domain = try? JID.prepareDomain(host), core.hosts[domain] != nil else {
                return sink.fail(
                    .invalid, "\(host) is not a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
            }
            HostPurge(self, purge, sink).purge(host: domain)
        case (nil, nil): sink.fail(.usage, "say whose: a JID, or --host HOST")
        case (_?, _?): sink.fail(.usage, "a JID and --host exclude each other")
        }
    }
}

/// A part of an archive as the administrator sees it, in the making.
private struct ArchiveView: Sendable {
    let jid: JID
    let with: JID?
    let limit: Int
    let isBackward: Bool
    let hasBodies: Bool
    var rest: ClosedRange<UInt64>
    var found: [MessageTable.Row] = []
    var bytes = 0
    var isCut = false
    var isDone = false
    var damaged = 0

    /// Rows that are looked at in one snapshot.
    private static let slice = 8_192
    /// Bytes of texts at which it ends.
    private static let byteBound = 16 << 20

    init(jid: JID, with: JID?, limit: Int, isBackward: Bool, hasBodies: Bool, rest: ClosedRange<UInt64>) {
        self.jid = jid
        self.with = with
        self.limit = limit
        self.isBackward = isBackward
        self.hasBodies = hasBodies
        self.rest = rest
    }

    mutating func advance(in snapshot: any Snapshot, _ rows: AccountRows, ids: ArchiveIDs) throws(StoreFailure) {
        // One of the account's own resources took part in conversations with anybody.
        let peer = with.flatMap { $0.bare == jid && $0.resource != nil ? nil : rows.peer($0.bare.description) }
        let scan = try rows.scanArchive(rest, peer: peer, reverse: isBackward, rows: Self.slice, in: snapshot) { message in
            let row = MessageTable.Row(message, id: ids.id(message.sequence), hasBody: hasBodies)
            if let with, with.resource != nil, row.from != with.description, row.to != with.description { return true }
            guard found.count < limit, bytes < Self.byteBound else {
                isCut = true
                return false
            }
            bytes += row.body?.utf8.count ?? 0
            found.append(row)
            return true
        }
        damaged += scan.damaged.count
        guard let next = scan.next, !isCut else {
            isDone = true
            return
        }
        rest = isBackward ? rest.lowerBound...next : next...rest.upperBound
    }
}

/// A purge on its way through one account, or one account after the other.
private final class HostPurge: Sendable {
    /// Accounts that are looked at in one snapshot.
    private static let page = 200

    private struct State {
        var waiting: [JID] = []
        var after: Key?
        var isFirstPage = true
        var accounts = 0
        var touched = 0
        var current = ArchivePurge.Step()
        var sum = ArchivePurge.Step()
        var failures = 0
    }

    private let commands: Commands
    private let purge: ArchivePurge
    private let sink: ReplySink
    private let state = Mutex(State())

    init(_ commands: Commands, _ purge: ArchivePurge, _ sink: ReplySink) {
        self.commands = commands
        self.purge = purge
        self.sink = sink
    }

    // MARK: One account

    func purge(_ jid: JID) {
        run(jid, purge) { [self] failure in
            if let failure { return failure == .notFound ? sink.fail(.notFound, "there is no account \(jid)") : fail(failure, jid) }
            end(of: "\(jid)")
        }
    }

    private enum Failure: Equatable {
        case notFound
        case failed(String)
    }

    private func fail(_ failure: Failure, _ jid: JID) {
        if case .failed(let why) = failure { sink.fail(.failed, why) }
    }

    /// Step by step, each when the one before is durable.
    private func run(_ jid: JID, _ purge: ArchivePurge, then: @escaping @Sendable (Failure?) -> Void) {
        commands.send(.call(ArchivePurge.call, purge.encode()), to: jid) { [self] result in
            switch result {
            case .value(let bytes):
                guard let step = ArchivePurge.Step(bytes) else { return then(.failed("the answer cannot be read")) }
                let removed = state.withLock { state in
                    state.sum.removed += step.removed
                    state.sum.owed += step.owed
                    state.sum.damaged += step.damaged
                    return state.sum.removed
                }
                guard let next = step.next else { return then(nil) }
                // Whoever stops waiting stops it.
                guard sink.isOpen else { return sink.fail(.failed, "nobody waits for the rest") }
                if removed > 0 { sink.write { $0.progress(removed, of: Int?.none) } }
                var rest = purge
                rest.from = next
                run(jid, rest, then: then)
            case .notFound: then(.notFound)
            case .failed(let why): then(.failed(why))
            case .done, .exists: then(.failed("the answer cannot be read"))
            }
        }
    }

    // MARK: A host

    func purge(host: String) { nextPage(host) }

    private func nextPage(_ host: String) {
        let core = commands.core
        let (after, isFirst) = state.withLock { ($0.after, $0.isFirstPage) }
        guard isFirst || after != nil else { return end(of: host) }
        core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(ofHost: host, after: after, limit: Self.page, in: snapshot, identity: core.identity)
                var waiting: [JID] = []
                for record in page.accounts {
                    // Accounts that have nothing to lose are not even loaded.
                    let rows = AccountRows(
                        partition: core.identity.partition(of: record.jid), number: record.number, identity: core.identity)
                    var hasSome = false
                    let scan = try rows.scanArchive(
                        0...purge.through, peer: purge.with.map { rows.peer($0.description) }, reverse: false, rows: 1_000, in: snapshot
                    ) { _ in
                        hasSome = true
                        return false
                    }
                    if hasSome || scan.next != nil, let jid = try? JID(record.jid) { waiting.append(jid) }
                }
                let (accounts, next, chosen) = (page.accounts.count, page.next, waiting)
                state.withLock { state in
                    state.isFirstPage = false
                    state.accounts += accounts
                    state.touched += chosen.count
                    state.after = next
                    state.waiting = chosen
                }
                nextAccount(host)
            } catch {
                sink.fail(.unavailable, "the accounts cannot be read: \(error)")
            }
        }
    }

    private func nextAccount(_ host: String) {
        guard sink.isOpen else { return sink.fail(.failed, "nobody waits for the rest") }
        guard let jid = state.withLock({ $0.waiting.popLast() }) else {
            let accounts = state.withLock { $0.accounts }
            sink.write { $0.progress(accounts, of: Int?.none) }
            return nextPage(host)
        }
        run(jid, purge) { [self] failure in
            // Deleted meanwhile, it is gone anyhow.
            if case .failed(let why) = failure {
                state.withLock { $0.failures += 1 }
                sink.write { $0.warning("\(jid): \(why)") }
            }
            nextAccount(host)
        }
    }

    private func end(of whose: String) {
        let state = state.withLock { $0 }
        sink.end { reply in
            if !state.isFirstPage {
                reply.fact("accounts", ReplyValue(state.accounts))
                reply.fact("accounts_touched", ReplyValue(state.touched))
            }
            reply.fact("removed", ReplyValue(state.sum.removed))
            reply.fact("owed", ReplyValue(state.sum.owed))
            if state.sum.owed > 0 { reply.warning("\(state.sum.owed) messages are not delivered yet and stay: see inbox purge") }
            if state.sum.damaged > 0 { reply.warning("\(state.sum.damaged) messages are damaged and stay; store verify names them") }
            if state.failures > 0 {
                reply.error(.partial, "\(state.failures) accounts could not be done; ask again")
            } else {
                reply.ok("\(state.sum.removed) messages of \(whose) removed")
            }
        }
    }
}
