import AdminLanguage
import Authentication
import ServerCore
import Stanzas
import Store
import Synchronization

/// `user …`: accounts.
extension Commands {
    func addUser(_ invocation: Invocation, password: String, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        derive(password, sink) { credentials in
            self.write(.create(credentials: credentials), to: jid, sink) { "\($0) added" }
        }
    }

    func setPassword(_ invocation: Invocation, password: String, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        derive(password, sink) { credentials in
            self.write(.setCredentials(credentials), to: jid, sink) { "\($0) has a new password" }
        }
    }

    /// Derives the keys of every hash off the loops.
    private func derive(_ password: String, _ sink: ReplySink, then: @escaping @Sendable ([UInt8]) -> Void) {
        guard !password.isEmpty else { return sink.fail(.invalid, "the password is empty") }
        let isTaken = context.passwords.derive(password: password, iterations: context.iterations) { result in
            switch result {
            case .success(let credentials): then(credentials.encode())
            case .failure(let error): sink.fail(.invalid, "the password cannot be used: \(error)")
            }
        }
        if !isTaken { sink.fail(.unavailable, "too many passwords are being checked or set at the moment; try again") }
    }

    // MARK: Lists

    func listUsers(_ invocation: Invocation, _ sink: ReplySink) {
        let listing = UserListing(
            host: invocation.option("host"), pattern: invocation.text("PATTERN"),
            after: invocation.option("after").flatMap { try? JID($0).description },
            limit: invocation.integerOption("limit") ?? CommandTable.defaultLimit,
            state: invocation.option("state").flatMap { UserListing.Wanted(rawValue: $0) },
            idleSince: invocation.integerOption("idle").map { core.clock.now &- Int64($0) * 1_000_000 })
        if let host = invocation.option("host"), core.hosts[host] == nil, (try? JID.prepareDomain(host)).flatMap({ core.hosts[$0] }) == nil
        {
            return sink.fail(
                .invalid, "\(host) is not a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
        }
        guard listing.asksForSessions else { return collect(listing, from: nil, silent: [], sink) }
        sessions(SessionFilter(host: listing.host), sink) { sessions, silent in
            var listing = listing
            listing.online = Set(sessions.map { String($0.jid.prefix { $0 != "/" }) })
            collect(listing, from: nil, silent: silent, sink)
        }
    }

    private func collect(_ listing: UserListing, from key: Key?, silent: Set<UInt64>, _ sink: ReplySink) {
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(ofHost: listing.host, after: key, limit: 2_000, in: snapshot, identity: core.identity)
                var listing = listing
                listing.add(page)
                // Each page on a snapshot of its own: a long read must not hold pages back from being used again.
                if let next = page.next { return collect(listing, from: next, silent: silent, sink) }
                listing.cut()
                show(listing, silent: silent, sink)
            } catch {
                sink.fail(.unavailable, "the accounts cannot be read: \(error)")
            }
        }
    }

    private func show(_ listing: UserListing, silent: Set<UInt64>, _ sink: ReplySink) {
        sink.write { reply in
            reply.table("users", ["jid", "state", "created", "last_seen"])
            for record in listing.found {
                reply.row(
                    .text(record.jid), .text(record.isEnabled ? "enabled" : "disabled"), .text(Moment.text(record.created)),
                    record.lastUnavailable.map { .text(Moment.text($0)) } ?? .none)
            }
            if listing.damaged > 0 {
                reply.warning("\(listing.damaged) account records are damaged and left out; see the log of the keeper")
            }
        }
        var sentence = "\(listing.found.count) accounts"
        if listing.isCut, let last = listing.found.last { sentence += "; more follow, go on with --after \(last.jid)" }
        endScatter(silent, sink, ok: sentence)
    }

    /// The sessions of the whole cluster that a filter lets through, and the nodes that did not answer in time.
    func sessions(_ filter: SessionFilter, _ sink: ReplySink, then: @escaping @Sendable ([SessionInfo], Set<UInt64>) -> Void) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        let collected = Gathered()
        shard.enter { shard in
            shard.ask(
                filter.question, part: { part in collected.add((try? SessionPart(part))?.sessions ?? []) },
                done: { silent in then(collected.all, silent) })
        }
    }

    private final class Gathered: Sendable {
        private let sessions = Mutex<[SessionInfo]>([])
        func add(_ more: [SessionInfo]) { sessions.withLock { $0 += more } }
        var all: [SessionInfo] { sessions.withLock { $0 } }
    }

    // MARK: One account

    func showUser(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        readSettled(jid, sink) { (snapshot, _, rows) throws(StoreFailure) in
            guard let holdings = try AccountHoldings(jid, rows, in: snapshot) else {
                return sink.fail(.notFound, "there is no account \(jid)")
            }
            sink.write { reply in
                show(holdings.account.account, &reply)
                holdings.show(&reply)
                holdings.showBounds(core.settings, &reply)
                if !holdings.account.damaged.isEmpty {
                    reply.warning("\(holdings.account.damaged.count) records of the account are damaged; store verify names them")
                }
            }
            list(SessionFilter(jid: jid), limit: 100, sink)
        }
    }

    private func show(_ record: AccountRecord, _ reply: inout Reply) {
        reply.fact("jid", .text(record.jid))
        reply.fact("state", .text(record.isEnabled ? "enabled" : "disabled"))
        if let reason = record.disabledReason { reply.fact("disabled_reason", .text(reason)) }
        if let since = record.disabledSince { reply.fact("disabled_since", .text(Moment.text(since))) }
        reply.fact("created", .text(Moment.text(record.created)))
        reply.fact("last_seen", record.lastUnavailable.map { .text(Moment.text($0)) } ?? .none)
        if let status = record.lastStatus { reply.fact("last_status", .text(String(status.prefix(1_000)))) }
        let credentials = try? Credentials.decode(record.credentials)
        for hash in SCRAMHash.allCases {
            if let key = credentials?.keys[hash] { reply.fact("key", .text("\(hash.mechanism), \(key.iterations) iterations")) }
        }
    }

    func deleteUser(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        let isDry = invocation.flag("dry-run")
        readSettled(jid, sink) { (snapshot, _, rows) throws(StoreFailure) in
            guard let holdings = try AccountHoldings(jid, rows, in: snapshot) else {
                return sink.fail(.notFound, "there is no account \(jid)")
            }
            sink.write { holdings.show(&$0) }
            guard !isDry else { return sink.end { $0.ok("\(jid) was not deleted; this would go") } }
            write(.delete, to: jid, sink) { "\($0) deleted, and all this with it" }
        }
    }
}

/// The accounts of a list in the order of their JIDs: the whole table is read, in pages, and the first `limit` are kept.
private struct UserListing: Sendable {
    enum Wanted: String, Sendable { case enabled, disabled, online, offline }

    let host: String?
    let pattern: String?
    let after: String?
    let limit: Int
    let state: Wanted?
    /// µs since 1970: nobody was logged in since then.
    let idleSince: Int64?
    /// Bare JIDs with a session.
    var online: Set<String> = []
    var found: [AccountRecord] = []
    var isCut = false
    var damaged = 0

    init(host: String?, pattern: String?, after: String?, limit: Int, state: Wanted?, idleSince: Int64?) {
        self.host = host.map { (try? JID.prepareDomain($0)) ?? $0 }
        self.pattern = pattern
        self.after = after
        self.limit = limit
        self.state = state
        self.idleSince = idleSince
    }

    var asksForSessions: Bool { state == .online || state == .offline || idleSince != nil }

    mutating func add(_ page: AccountRecord.Page) {
        damaged += page.damaged.count
        for record in page.accounts where isWanted(record) { found.append(record) }
        if found.count > 2 * limit { cut() }
    }

    private func isWanted(_ record: AccountRecord) -> Bool {
        if let after, record.jid <= after { return false }
        if let pattern, !Pattern.matches(record.jid, pattern) { return false }
        if let idleSince, record.lastUnavailable ?? record.created > idleSince || online.contains(record.jid) { return false }
        switch state {
        case .enabled: return record.isEnabled
        case .disabled: return !record.isEnabled
        case .online: return online.contains(record.jid)
        case .offline: return !online.contains(record.jid)
        case nil: return true
        }
    }

    mutating func cut() {
        found.sort { $0.jid < $1.jid }
        if found.count > limit {
            found.removeLast(found.count - limit)
            isCut = true
        }
    }
}

/// Moments as the administrator reads them: UTC, to the second.
enum Moment {
    static func text(_ microseconds: Int64) -> String {
        DateTime(microseconds: microseconds - microseconds % 1_000_000).description
    }
}
