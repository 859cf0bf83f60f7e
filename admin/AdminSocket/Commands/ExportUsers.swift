import AdminLanguage
import Authentication
import PortableData
import ServerCore
import Stanzas
import Store
import Synchronization

/// `export xep0227`: a file in pieces of prose, which `martletctl` puts together.
extension Commands {
    func exportPortable(_ invocation: Invocation, _ sink: ReplySink) {
        var hosts = core.hosts.keys.sorted()
        var only: JID?
        switch (invocation.option("host"), invocation.option("user")) {
        case (.some, .some): return sink.fail(.usage, "--host and --user are two different things: give one")
        case (let host?, nil):
            guard let domain = try? JID(host), domain.isDomain, core.hosts[domain.domain] != nil else {
                return sink.fail(.notFound, "\(host) is not a host of this server; the hosts are \(hosts.joined(separator: ", "))")
            }
            hosts = [domain.domain]
        case (nil, let user?):
            guard let account = account(user, sink) else { return }
            hosts = [account.domain]
            only = account
        case (nil, nil): break
        }
        let export = PortableExport(commands: self, hosts: hosts, only: only, encodesTwice: invocation.flag("ejabberd"), sink: sink)
        guard let only else { return export.begin() }
        core.readers.read { snapshot in
            let there = try? AccountRecord.find(only.description, in: snapshot, identity: core.identity)
            if there == nil { sink.fail(.notFound, "there is no account \(only)") } else { export.begin() }
        }
    }
}

/// One export: account after account, piece after piece, each when the one before has left for the client.
///
/// The head of an account and the list of what it is owed come out of one snapshot; messages are read in further ones, up to the last that
/// stood in the first, since no read stays open for long. They never change; what is deleted meanwhile may be missing.
private final class PortableExport: Sendable {
    /// Accounts a page.
    private static let page = 200
    /// Bytes of one piece, about.
    private static let piece = 131_072
    /// Rows of one read.
    private static let rows = 2_000
    /// Bytes of one line of prose: escaped it may take six times as many.
    private static let line = 10_000

    /// What is still to be written of an account.
    private struct Rest {
        var jid: JID
        var rows: AccountRows
        var key: UInt64
        var owed: ArraySlice<OwedMessage>
        var isInArchive = false
        var next: UInt64 = 1
        var last: UInt64
    }

    private struct State {
        var hosts: ArraySlice<String>
        var host = ""
        var accounts: [String] = []
        var after: Key?
        var rest: Rest?
        var done = 0
        var messages = 0
        var damaged = 0
        var writer: PortableWriter
    }

    private let commands: Commands
    private let only: JID?
    private let sink: ReplySink
    private let state: Mutex<State>
    private var core: Core { commands.core }

    init(commands: Commands, hosts: [String], only: JID?, encodesTwice: Bool, sink: ReplySink) {
        self.commands = commands
        self.only = only
        self.sink = sink
        state = Mutex(State(hosts: hosts[...], writer: PortableWriter(encodesTwice: encodesTwice)))
    }

    func begin() {
        sink.write { $0.warning("what is written holds the keys of passwords and private messages: keep it where only you can read it") }
        state.withLock { $0.writer.begin() }
        nextHost()
    }

    // MARK: Accounts

    private func nextHost() {
        let isThere = state.withLock { state in
            guard let host = state.hosts.popFirst() else { return false }
            state.host = host
            state.after = nil
            state.writer.begin(host: host)
            if let only { state.accounts = [only.description] }
            return true
        }
        guard isThere else { return end() }
        if only != nil { nextAccount() } else { nextPage() }
    }

    private func nextPage() {
        core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let (host, after) = state.withLock { ($0.host, $0.after) }
                let page = try AccountRecord.page(ofHost: host, after: after, limit: Self.page, in: snapshot, identity: core.identity)
                for failure in page.damaged { sink.write { $0.warning("an account cannot be read: \(failure)") } }
                state.withLock { state in
                    state.damaged += page.damaged.count
                    state.accounts = page.accounts.map(\.jid).reversed()
                    state.after = page.next
                }
                nextAccount()
            } catch {
                sink.fail(.failed, "the accounts cannot be read: \(error)")
            }
        }
    }

    private func nextAccount() {
        let (jid, isMore) = state.withLock { ($0.accounts.popLast(), $0.after != nil) }
        guard let jid else {
            if isMore { return nextPage() }
            state.withLock { $0.writer.endHost() }
            return nextHost()
        }
        core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                try head(jid, in: snapshot)
            } catch {
                state.withLock { $0.damaged += 1 }
                sink.write { $0.warning("\(jid) cannot be read and is left out: \(error)") }
            }
            flush()
        }
    }

    private func head(_ text: String, in snapshot: any Snapshot) throws(StoreFailure) {
        // Deleted since the page was read.
        guard let account = try AccountSnapshot.load(jid: text, from: snapshot, identity: core.identity), let jid = try? JID(text),
            let local = jid.local
        else { return }
        let record = account.account
        if let reason = record.disabledReason, [ImportJob.mark, ImportJob.shut].contains(reason) {
            return sink.write { $0.warning("\(jid) is left out: \(reason)") }
        }
        let rows = AccountRows(partition: core.identity.partition(of: text), number: record.number, identity: core.identity)
        let card = try rows.item(.vcard, "", in: snapshot)
        let elements = try rows.items(.privateXML, in: snapshot).sorted { $0.name < $1.name }.map(\.value)
        let archiveEnd = try rows.archiveEnd(last: true, in: snapshot)?.sequence ?? 0
        for failure in account.damaged { sink.write { $0.warning("\(jid): a row cannot be read: \(failure)") } }
        state.withLock { state in
            state.writer.begin(user: local)
            for key in (try? Credentials.decode(record.credentials))?.keys.sorted(by: { $0.key < $1.key }) ?? [] {
                state.writer.key(
                    PortableKey(
                        mechanism: key.key.mechanism, iterations: key.value.iterations, salt: key.value.salt,
                        storedKey: key.value.storedKey,
                        serverKey: key.value.serverKey))
            }
            if let reason = record.disabledReason { state.writer.disabled(reason: reason) }
            state.writer.roster(account.roster.compactMap(Self.contact).sorted { $0.jid < $1.jid })
            for pending in account.pendingIn.sorted(by: { $0.jid < $1.jid }) {
                if let stanza = Self.stanza(pending.stanza) { state.writer.request(stanza) }
            }
            if let card { state.writer.vCard(card) }
            if !elements.isEmpty { state.writer.privateElements(elements) }
            if let blocked = account.items[.blocked]?.keys, !blocked.isEmpty { state.writer.blocked(blocked.sorted()) }
            state.writer.beginOffline(key: record.archiveKey)
            state.rest = Rest(jid: jid, rows: rows, key: record.archiveKey, owed: account.owed[...], last: archiveEnd)
        }
    }

    private static func stanza(_ bytes: [UInt8]) -> Stanza? {
        var reader = ByteReader(bytes)
        return try? Stanza.decode(&reader)
    }

    private static func contact(_ record: RosterItemRecord) -> PortableContact? {
        guard record.isListed, !record.isRemoved, let jid = try? JID(record.jid) else { return nil }
        let state = SubscriptionState(code: record.state)
        let subscription: PortableContact.Subscription =
            switch state.subscription {
            case .none: .none
            case .to: .to
            case .from: .from
            case .both: .both
            }
        return PortableContact(
            jid: jid, name: record.name, groups: record.groups, subscription: subscription, asks: state.pendingOut,
            isApproved: state.preApproved)
    }

    // MARK: Messages

    private func goOn() {
        guard let rest = state.withLock({ $0.rest }) else { return nextAccount() }
        core.readers.read { [self] snapshot in
            var rest = rest
            var writer = PortableWriter()
            var counted = (messages: 0, damaged: 0)
            var isOver = false
            do throws(StoreFailure) {
                if rest.isInArchive {
                    isOver = try archive(&rest, &writer, &counted, snapshot)
                } else {
                    try offline(&rest, &writer, &counted, snapshot)
                }
            } catch {
                sink.write { $0.warning("\(rest.jid): its messages cannot be read to the end: \(error)") }
                counted.damaged += 1
                writer = PortableWriter()
                if !rest.isInArchive { writer.endOffline() } else { writer.endArchive() }
                writer.endUser()
                isOver = true
            }
            let (bytes, left, total) = (writer.take(), isOver ? nil : rest, counted)
            let done = state.withLock { state in
                state.rest = left
                state.messages += total.messages
                state.damaged += total.damaged
                if left == nil { state.done += 1 }
                return left == nil && state.done % 50 == 0 ? state.done : nil
            }
            if let done { sink.write { $0.progress(done, of: Int?.none) } }
            send(bytes)
        }
    }

    /// What is owed, oldest first; what was delivered since is left out.
    private func offline(
        _ rest: inout Rest, _ writer: inout PortableWriter, _ counted: inout (messages: Int, damaged: Int), _ snapshot: any Snapshot
    ) throws(StoreFailure) {
        var seen = 0
        while writer.count < Self.piece, seen < Self.rows, let owed = rest.owed.popFirst() {
            seen += 1
            let key = Keys.message(rest.rows.partition, rest.rows.number, sequence: owed.sequence)
            guard let value = try snapshot.get(key) else { continue }
            guard let record = try? MessageRecord.decode(value, key: key), let stanza = Self.stanza(record.stanza) else {
                counted.damaged += 1
                continue
            }
            let id = record.flags.contains(.archived) ? ArchiveIDs(key: rest.key).id(owed.sequence) : nil
            writer.offline(stanza, stamp: DateTime(microseconds: record.stamp), id: id, of: rest.jid)
            counted.messages += 1
        }
        guard rest.owed.isEmpty else { return }
        writer.endOffline()
        writer.beginArchive()
        rest.isInArchive = true
    }

    /// Answers true when the account is whole.
    private func archive(
        _ rest: inout Rest, _ writer: inout PortableWriter, _ counted: inout (messages: Int, damaged: Int), _ snapshot: any Snapshot
    ) throws(StoreFailure) -> Bool {
        var next: UInt64?
        if rest.next <= rest.last {
            let ids = ArchiveIDs(key: rest.key)
            var full: UInt64?
            let scan = try rest.rows.scanArchive(rest.next...rest.last, peer: nil, reverse: false, rows: Self.rows, in: snapshot) {
                message in
                guard writer.count < Self.piece else {
                    full = message.sequence
                    return false
                }
                writer.archived(id: ids.id(message.sequence), stamp: DateTime(microseconds: message.stamp)) { bytes in
                    message.stanza.write(into: &bytes, xmlns: NS.client)
                }
                counted.messages += 1
                return true
            }
            counted.damaged += scan.damaged.count
            next = full ?? scan.next
        }
        if let next {
            rest.next = next
            return false
        }
        writer.endArchive()
        writer.endUser()
        return true
    }

    // MARK: Sending

    private func flush() { send(state.withLock { $0.writer.take() }) }

    /// Sends what is written and goes on when the socket has taken it. A client that is gone ends the export.
    private func send(_ bytes: [UInt8]) {
        sink.write(Self.prose(bytes)) { [self] isThere in if isThere { goOn() } else { sink.end { _ in } } }
    }

    private static func prose(_ bytes: [UInt8]) -> (inout Reply) -> Void {
        { reply in
            var rest = bytes[...]
            while !rest.isEmpty {
                var end = min(rest.startIndex + line, rest.endIndex)
                // Not within a character.
                while end < rest.endIndex, end > rest.startIndex + 1, rest[end] & 0xC0 == 0x80 { end -= 1 }
                reply.prose(String(decoding: rest[..<end], as: UTF8.self))
                rest = rest[end...]
            }
        }
    }

    private func end() {
        let (bytes, done, messages, damaged) = state.withLock { state in
            state.writer.end()
            return (state.writer.take(), state.done, state.messages, state.damaged)
        }
        sink.end { reply in
            Self.prose(bytes)(&reply)
            reply.fact("accounts", ReplyValue(done))
            reply.fact("messages", ReplyValue(messages))
            if damaged == 0 {
                reply.ok("accounts written: \(done)")
            } else {
                reply.error(.partial, "accounts written: \(done); what could not be read: \(damaged)")
            }
        }
    }
}
