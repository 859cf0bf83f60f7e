import AdminLanguage
import LMDBStore
import ServerCore
import Stanzas
import Store
import Synchronization

/// `user restore`: one account out of a backup into the running server.
extension Commands {
    func restoreUser(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        guard let path = invocation.option("from") else {
            return sink.fail(.usage, "say which backup, with --from and its folder; store backups shows those there are")
        }
        if let refusal = Self.refusal(ofPath: path) { return sink.fail(.invalid, refusal) }
        guard let parts = Self.parts(invocation.option("what")) else {
            let known = AccountExtract.Part.allCases.map(\.rawValue).joined(separator: ", ")
            return sink.fail(.usage, "--what is not understood; write some of \(known), with commas between them")
        }
        let wins = invocation.flag("replace")
        do throws(StoreFailure) {
            // A large copy takes its time: a look at it is shown now and then.
            let shown = Mutex<UInt64>(0)
            try StoreCopy.open(path) { bytes, total in
                let isDue = shown.withLock { shown in
                    guard bytes - min(shown, bytes) >= 64 << 20 else { return false }
                    shown = bytes
                    return true
                }
                if isDue { sink.write { $0.progress(bytes, of: total) } }
                return true
            } done: { result in
                switch result {
                case .failure(let failure): sink.fail(.failed, Self.sentence(failure))
                case .success(let copy):
                    UserRestore(commands: self, jid: jid, copy: copy, parts: parts, wins: wins, sink: sink).begin()
                }
            }
        } catch {
            sink.fail(.failed, Self.sentence(error))
        }
    }

    /// The parts that are named, all of them when none is; nil when one is not known.
    private static func parts(_ wanted: String?) -> Set<AccountExtract.Part>? {
        guard let wanted else { return Set(AccountExtract.Part.allCases) }
        let words = Set(wanted.split(separator: ",").map(String.init))
        let parts = Set(words.compactMap { AccountExtract.Part(rawValue: $0) })
        return parts.count == words.count && !parts.isEmpty ? parts : nil
    }

    private static func sentence(_ failure: StoreFailure) -> String {
        switch failure {
        case .format(let sentence), .io(let sentence), .abandoned(let sentence): sentence
        default: "\(failure)"
        }
    }
}

/// The way of one account: made if it is not there, then piece by piece to its home, each when the one before is durable.
private final class UserRestore: Sendable {
    private struct State {
        var isNew = false
        var pieces: [(part: AccountExtract.Part, piece: AccountPiece)] = []
        var hasMessages: Bool
        var after: UInt64 = 0
        var counts: [AccountExtract.Part: Int] = [:]
    }

    private let commands: Commands
    private let jid: JID
    private let copy: StoreCopy
    private let parts: Set<AccountExtract.Part>
    private let wins: Bool
    private let sink: ReplySink
    private let state: Mutex<State>

    init(commands: Commands, jid: JID, copy: StoreCopy, parts: Set<AccountExtract.Part>, wins: Bool, sink: ReplySink) {
        self.commands = commands
        self.jid = jid
        self.copy = copy
        self.parts = parts
        self.wins = wins
        self.sink = sink
        state = Mutex(State(hasMessages: parts.contains(.messages)))
    }

    /// Looks at what is there, on a thread that may wait for the disk.
    func begin() {
        commands.core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let found = try copy.read { (snapshot) throws(StoreFailure) in
                    try AccountExtract(jid.description, in: snapshot, identity: copy.identity)
                }
                guard let extract = found else { return sink.fail(.notFound, "the backup has no account \(jid)") }
                let there = try AccountRecord.find(jid.description, in: snapshot, identity: commands.core.identity)
                guard there != nil || parts.contains(.credentials) else {
                    return sink.fail(.notFound, "there is no account \(jid), and without its credentials it cannot be made")
                }
                try plan(extract, there: there, in: snapshot)
                secure(extract, there: there)
            } catch {
                sink.fail(.failed, "\(jid) cannot be read: \(error)")
            }
        }
    }

    private func plan(
        _ extract: AccountExtract, there: AccountRecord?, in snapshot: any Snapshot
    ) throws(StoreFailure) {
        let live = there.map {
            AccountRows(
                partition: commands.core.identity.partition(of: jid.description), number: $0.number, identity: commands.core.identity)
        }
        // Private elements are counted by an index of their own, under the volume's key: all of them come back, or none.
        let hasPrivate = if let live { try !live.items(.privateXML, limit: 1, in: snapshot).isEmpty } else { false }
        let privateToo = !hasPrivate && copy.identity.hashKey == commands.core.identity.hashKey
        var pieces = try copy.read { (backup) throws(StoreFailure) in
            var pieces: [(part: AccountExtract.Part, piece: AccountPiece)] = []
            if there == nil { pieces.append((.credentials, .archiveKey(extract.account.archiveKey))) }
            if parts.contains(.roster) { pieces += try extract.roster(wins: wins, in: backup).map { (.roster, $0) } }
            if parts.contains(.items) {
                pieces += try extract.items(wins: wins, privateToo: privateToo, in: backup).map { (.items, $0) }
            }
            return pieces
        }
        // What is not in memory with the account is looked at here.
        if let live, !wins {
            for index in pieces.indices {
                guard case .items(let items, _) = pieces[index].piece else { continue }
                var missing: [AccountPiece.Item] = []
                for item in items {
                    if !item.kind.isResident, try live.item(item.kind, item.name, in: snapshot) != nil { continue }
                    missing.append(item)
                }
                pieces[index].piece = .items(missing, wins: wins)
            }
        }
        if parts.contains(.items), !privateToo {
            sink.write {
                $0.warning(
                    hasPrivate
                        ? "\(jid) has private XML of its own, which stays"
                        : "the backup is of another volume: private XML does not come back")
            }
        }
        let planned = pieces
        state.withLock { state in
            state.isNew = there == nil
            state.pieces = planned.reversed()
        }
    }

    // MARK: The account itself

    private func secure(_ extract: AccountExtract, there: AccountRecord?) {
        guard there == nil else {
            guard parts.contains(.credentials), wins, there?.credentials != extract.account.credentials else { return next() }
            return send(.setCredentials(extract.account.credentials), .credentials) { self.next() }
        }
        send(.create(credentials: extract.account.credentials), .credentials) { [self] in
            guard let reason = extract.account.disabledReason else { return next() }
            send(.disable(reason: reason), nil) { self.next() }
        }
    }

    private func send(_ command: AccountCommand, _ part: AccountExtract.Part?, then: @escaping @Sendable () -> Void) {
        commands.send(command, to: jid) { [self] result in
            switch result {
            case .done(let count):
                if let part { state.withLock { $0.counts[part, default: 0] += count } }
                then()
            case .value: then()
            case .exists: sink.fail(.exists, "\(jid) was made meanwhile; ask again")
            case .notFound: sink.fail(.notFound, "\(jid) was deleted meanwhile; what came back went with it")
            case .failed(let why): sink.fail(.failed, "\(jid) came back in part only: \(why)")
            }
        }
    }

    // MARK: Pieces

    private func next() {
        guard let (part, piece) = state.withLock({ $0.pieces.popLast() }) else { return nextMessages() }
        // Making the account was counted already.
        let counted: AccountExtract.Part? = if case .archiveKey = piece { nil } else { part }
        send(.call(Account.restoreCall, piece.encode()), counted) { self.next() }
    }

    private func nextMessages() {
        guard state.withLock({ $0.hasMessages }) else { return finish() }
        commands.core.readers.read { [self] snapshot in
            let (after, isNew) = state.withLock { ($0.after, $0.isNew) }
            let identity = commands.core.identity
            do throws(StoreFailure) {
                let live = try AccountRecord.find(jid.description, in: snapshot, identity: identity)
                let partition = identity.partition(of: jid.description)
                let (records, following) = try copy.read { (backup) throws(StoreFailure) -> ([MessageRecord], UInt64?) in
                    guard let extract = try AccountExtract(jid.description, in: backup, identity: copy.identity) else { return ([], nil) }
                    return try extract.messages(after: after, owedToo: isNew, for: identity, in: backup) { (number) throws(StoreFailure) in
                        guard let live else { return true }
                        return try snapshot.get(Keys.message(partition, live.number, sequence: number)) == nil
                    }
                }
                state.withLock { state in
                    state.after = following ?? .max
                    state.hasMessages = following != nil
                }
                guard !records.isEmpty else { return nextMessages() }
                send(.call(Account.restoreCall, AccountPiece.messages(records).encode()), .messages) { [self] in
                    let count = state.withLock { $0.counts[.messages] ?? 0 }
                    sink.write { $0.progress(count, of: Int?.none) }
                    nextMessages()
                }
            } catch {
                sink.fail(.failed, "\(jid) came back in part only: \(error)")
            }
        }
    }

    private func finish() {
        let (isNew, counts) = state.withLock { ($0.isNew, $0.counts) }
        sink.end { reply in
            reply.fact("jid", .text(jid.description))
            reply.fact("made", .flag(isNew))
            for part in AccountExtract.Part.allCases where parts.contains(part) {
                reply.fact(part.rawValue, ReplyValue(counts[part] ?? 0))
            }
            reply.ok("\(jid) is back as far as the backup has it")
        }
    }
}
