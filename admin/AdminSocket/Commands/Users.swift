import AdminLanguage
import Authentication
import ServerCore
import Stanzas
import Store

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

    // MARK: Reads

    func listUsers(_ invocation: Invocation, _ sink: ReplySink) {
        let host = invocation.option("host")
        let pattern = invocation.option("pattern")
        let after = invocation.option("after").flatMap { try? JID($0).description }
        let limit = invocation.integerOption("limit") ?? CommandTable.defaultLimit
        collect(Listing(host: host, pattern: pattern, after: after, limit: limit), from: nil, sink)
    }

    /// The accounts of a list in the order of their JIDs: the whole table is read, in pages, and the first `limit` are kept.
    private struct Listing: Sendable {
        let host: String?
        let pattern: String?
        let after: String?
        let limit: Int
        var found: [AccountRecord] = []
        var isCut = false
        var damaged = 0

        init(host: String?, pattern: String?, after: String?, limit: Int) {
            self.host = host
            self.pattern = pattern
            self.after = after
            self.limit = limit
        }

        mutating func add(_ page: AccountRecord.Page) {
            damaged += page.damaged.count
            for record in page.accounts {
                if let after, record.jid <= after { continue }
                if let pattern, !Pattern.matches(record.jid, pattern) { continue }
                found.append(record)
            }
            if found.count > 2 * limit { cut() }
        }

        mutating func cut() {
            found.sort { $0.jid < $1.jid }
            if found.count > limit {
                found.removeLast(found.count - limit)
                isCut = true
            }
        }
    }

    private func collect(_ listing: Listing, from key: Key?, _ sink: ReplySink) {
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(ofHost: listing.host, after: key, limit: 10_000, in: snapshot, identity: core.identity)
                var listing = listing
                listing.add(page)
                // Each page on a snapshot of its own: a long read must not hold pages back from being used again.
                if let next = page.next { return collect(listing, from: next, sink) }
                listing.cut()
                show(listing, sink)
            } catch {
                sink.fail(.unavailable, "the accounts cannot be read: \(error)")
            }
        }
    }

    private func show(_ listing: Listing, _ sink: ReplySink) {
        sink.end { reply in
            reply.table("users", ["jid", "state", "created"])
            for record in listing.found {
                reply.row(.text(record.jid), .text(record.isEnabled ? "enabled" : "disabled"), .text(Moment.text(record.created)))
            }
            if listing.damaged > 0 {
                reply.warning("\(listing.damaged) account records are damaged and left out; see the log of the keeper")
            }
            if listing.isCut, let last = listing.found.last {
                reply.ok("\(listing.found.count) accounts; more follow, go on with --after \(last.jid)")
            } else {
                reply.ok("\(listing.found.count) accounts")
            }
        }
    }

    func showUser(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                guard let account = try AccountSnapshot.load(jid: jid.description, from: snapshot, identity: core.identity) else {
                    return sink.fail(.notFound, "there is no account \(jid)")
                }
                let rows = AccountRows(
                    partition: core.identity.partition(of: account.account.jid), number: account.account.number, identity: core.identity)
                let card = try rows.item(.vcard, "", in: snapshot)
                let archive = try rows.archiveSize(rows: 1_000_000, in: snapshot)
                let first = try rows.archiveEnd(last: false, in: snapshot)
                let last = try rows.archiveEnd(last: true, in: snapshot)
                sink.write { reply in
                    show(account, vCardBytes: card?.count ?? 0, &reply)
                    let atLeast = archive.isAll ? "" : "at least "
                    reply.fact("archive", .text("\(atLeast)\(archive.messages) messages, \(archive.bytes) bytes"))
                    reply.fact("archive_first", first.map { .text(Moment.text($0.stamp)) } ?? .none)
                    reply.fact("archive_last", last.map { .text(Moment.text($0.stamp)) } ?? .none)
                }
                list(SessionFilter(jid: jid), limit: 100, sink)
            } catch {
                sink.fail(.unavailable, "the account \(jid) cannot be read: \(error)")
            }
        }
    }

    private func show(_ account: AccountSnapshot, vCardBytes: Int, _ reply: inout Reply) {
        let record = account.account
        reply.fact("jid", .text(record.jid))
        reply.fact("state", .text(record.isEnabled ? "enabled" : "disabled"))
        if let reason = record.disabledReason { reply.fact("disabled_reason", .text(reason)) }
        reply.fact("created", .text(Moment.text(record.created)))
        reply.fact("last_seen", record.lastUnavailable.map { .text(Moment.text($0)) } ?? .none)
        let credentials = try? Credentials.decode(record.credentials)
        for hash in SCRAMHash.allCases {
            if let key = credentials?.keys[hash] { reply.fact("key", .text("\(hash.mechanism), \(key.iterations) iterations")) }
        }
        reply.fact("roster_items", ReplyValue(account.roster.count { $0.isListed && !$0.isRemoved }))
        reply.fact("roster_version", ReplyValue(record.rosterVersion))
        reply.fact("subscription_requests", ReplyValue(account.pendingIn.count))
        reply.fact("blocked_addresses", ReplyValue(account.items[.blocked]?.count ?? 0))
        reply.fact("messages_owed", ReplyValue(account.owed.count))
        reply.fact("vcard_bytes", ReplyValue(vCardBytes))
        if !account.damaged.isEmpty { reply.warning("\(account.damaged.count) records of the account are damaged") }
    }
}

/// Moments as the administrator reads them: UTC, to the second.
enum Moment {
    static func text(_ microseconds: Int64) -> String {
        DateTime(microseconds: microseconds - microseconds % 1_000_000).description
    }
}
