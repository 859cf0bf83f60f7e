import Settings
public import Stanzas
import Store
import Telemetry

/// A part of an archive that is to go, on an administrator's word. What is owed stays, whatever it says.
public struct ArchivePurge: Sendable, Equatable {
    /// The name of the call; answered with a `Step`. It may be asked again: what is gone is gone.
    public static let call = "archive.purge"

    /// Messages up to here, in µs since 1970, which is also their sequence.
    public var through: UInt64
    /// Only messages from or to this bare JID; nil: all.
    public var with: JID?
    /// Where this step begins.
    public var from: UInt64

    public init(through: UInt64, with: JID? = nil, from: UInt64 = 0) {
        self.through = through
        self.with = with
        self.from = from
    }

    /// What one step did.
    public struct Step: Sendable, Equatable {
        public var removed = 0
        /// Messages that stay because they are still owed.
        public var owed = 0
        /// Rows that could not be read; they stay.
        public var damaged = 0
        /// Where the next step begins; nil: this was the last.
        public var next: UInt64?

        func encode() -> [UInt8] {
            var writer = ByteWriter()
            writer.count(removed)
            writer.count(owed)
            writer.count(damaged)
            writer.uint64(next ?? 0)
            return writer.bytes
        }

        public init() {}

        /// Reads an answer; nil when it is none.
        public init?(_ bytes: [UInt8]) {
            var reader = ByteReader(bytes)
            guard let removed = try? reader.count(), let owed = try? reader.count(), let damaged = try? reader.count(),
                let next = try? reader.uint64()
            else { return nil }
            self.removed = removed
            self.owed = owed
            self.damaged = damaged
            self.next = next == 0 ? nil : next
        }
    }

    /// The call's argument.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint64(through)
        writer.uint64(from)
        writer.string(with?.description ?? "")
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let through = try? reader.uint64(), let from = try? reader.uint64(), let with = try? reader.string() else { return nil }
        let peer = try? JID(with)
        guard with.isEmpty || peer != nil else { return nil }
        self.init(through: through, with: with.isEmpty ? nil : peer, from: from)
    }
}

/// Owed messages that are to be owed no more, on an administrator's word.
public struct InboxPurge: Sendable, Equatable {
    /// The name of the call; answered with how many they were.
    public static let call = "inbox.purge"

    /// Messages up to here, in µs since 1970.
    public var through: UInt64
    /// Only messages from this bare JID; nil: all.
    public var from: JID?

    public init(through: UInt64, from: JID? = nil) {
        self.through = through
        self.from = from
    }

    /// The name of a call without argument that brings to disk what the account knows and nobody waited for: what was acknowledged, and
    /// when its last session left. Who reads the store then sees it as it is.
    public static let settleCall = "inbox.settle"

    /// The call's argument.
    public func encode() -> [UInt8] { ArchivePurge(through: through, with: from).encode() }

    init?(_ bytes: [UInt8]) {
        guard let same = ArchivePurge(bytes) else { return nil }
        self.init(through: same.through, from: same.with)
    }
}

/// Rows that a step of a purge found on a reader thread.
private struct PurgeFindings: Sendable {
    /// Those that may go.
    var sequences: [UInt64] = []
    /// Those that were written so lately that their submission may come again: nothing but what a repeat is known by.
    var husks: [UInt64: MessageRecord] = [:]
    var damaged = 0
    var next: UInt64?
}

extension Account {
    /// Rows that one step looks at, and removes.
    private static let purgeLooks = 4_096
    private static let purgeBound = 500
    /// Owed messages that are looked at in one snapshot.
    private static let inboxSlice = 1_000

    static func registerPurges(in registration: inout Registration) {
        registration.call(ArchivePurge.call) { argument, turn, result in
            guard let purge = ArchivePurge(argument) else { return result.reply(.failed("the purge cannot be read")) }
            // A message that is being taken back is put once more.
            turn.account.afterRetractions { [account = turn.account] in account.carryOut(purge, result) }
        }
        registration.call(InboxPurge.call) { argument, turn, result in
            guard let purge = InboxPurge(argument) else { return result.reply(.failed("the purge cannot be read")) }
            turn.account.carryOut(purge, result)
        }
        registration.call(InboxPurge.settleCall) { _, turn, result in
            let account = turn.account
            if account.inboxTouched || account.wrote > account.shard.durableBatch { account.flushInbox(waits: true) }
            result.reply(.done(account.inbox.owed))
        }
    }

    // MARK: Archive

    private func carryOut(_ purge: ArchivePurge, _ result: LaterResult) {
        guard purge.from <= purge.through, let own = rows else { return result.reply(.value(ArchivePurge.Step().encode())) }
        let peer = purge.with.map { own.peer($0.description) }
        let young = UInt64(max(0, core.clock.now &- RecentMessages.graceMicroseconds))
        read({ (snapshot, rows) throws(StoreFailure) in
            var found = PurgeFindings()
            let scan = try rows.scanArchive(
                purge.from...purge.through, peer: peer, reverse: false, rows: Self.purgeLooks, in: snapshot
            ) { (message) throws(StoreFailure) in
                guard found.sequences.count < Self.purgeBound else {
                    found.next = message.sequence
                    return false
                }
                found.sequences.append(message.sequence)
                return true
            }
            found.damaged = scan.damaged.count
            found.next = found.next ?? scan.next
            for sequence in found.sequences where sequence > young {
                let key = Keys.message(rows.partition, rows.number, sequence: sequence)
                guard let value = try snapshot.get(key) else { continue }
                found.husks[sequence] = try MessageRecord.decode(value, key: key).husk
            }
            return found
        }) { [unowned self] read in
            switch read {
            case .failure(let failure): result.reply(.failed("the archive of \(jid) cannot be read: \(failure)"))
            case .success(let found): result.reply(.value(remove(found).encode()))
            }
        }
    }

    private func remove(_ found: PurgeFindings) -> ArchivePurge.Step {
        var step = ArchivePurge.Step()
        step.damaged = found.damaged
        step.next = found.next
        guard let rows else { return step }
        for sequence in found.sequences {
            guard !inbox.isOwed(sequence) else {
                step.owed += 1
                continue
            }
            step.removed += 1
            let key = Keys.message(partition, rows.number, sequence: sequence)
            if let husk = found.husks[sequence] {
                shrink(key, husk.encode())
                spent.append(
                    sequence, origin: Origin(session: husk.header.originSession, inSeq: husk.header.inSeq),
                    after: core.clock.now &+ RecentMessages.graceMicroseconds)
            } else {
                delete(key)
            }
        }
        // The inbox may name some of them as owed still, as far as the store knows, and it says how far numbers were given.
        if step.removed > 0 { flushInbox(waits: true) }
        core.metrics.purgedMessages.increment(by: UInt64(step.removed))
        return step
    }

    // MARK: Inbox

    /// What is on its way to a session is left to it.
    private func carryOut(_ purge: InboxPurge, _ result: LaterResult) {
        let waiting = inbox.waiting.prefix { $0 <= purge.through }
        guard let from = purge.from, let rows else { return result.reply(.done(settleAll(waiting))) }
        settle(Array(waiting)[...], from: rows.peer(from.description), settled: 0, result)
    }

    private func settle(_ messages: ArraySlice<UInt64>, from peer: UInt64, settled: Int, _ result: LaterResult) {
        let slice = messages.prefix(Self.inboxSlice)
        guard !slice.isEmpty else { return result.reply(.done(settled)) }
        read({ (snapshot, rows) throws(StoreFailure) in
            var found: [UInt64] = []
            for message in slice {
                let key = Keys.message(rows.partition, rows.number, sequence: message)
                guard let value = try snapshot.get(key) else { continue }
                do throws(StoreFailure) {
                    if try MessageRecord.decode(value, key: key).header.peer == peer { found.append(message) }
                } catch {
                    // A damaged one is named when it is to be delivered.
                    guard case .damaged = error else { throw error }
                }
            }
            return found
        }) { [unowned self] read in
            switch read {
            case .failure(let failure): result.reply(.failed("the inbox of \(jid) cannot be read: \(failure)"))
            case .success(let found):
                // Handed to a session meanwhile, a message is left to it.
                let count = settleAll(found.filter { inbox.isOwed($0) && inbox.inFlight[$0] == nil })
                settle(messages.dropFirst(slice.count), from: peer, settled: settled + count, result)
            }
        }
    }

    private func settleAll(_ messages: some Sequence<UInt64>) -> Int {
        let count = Array(messages).count { settle($0) }
        if count > 0 { flushInbox(waits: true) }
        return count
    }
}

extension MessageRecord {
    /// The record without what was said in it: enough to know its submission again.
    fileprivate var husk: MessageRecord {
        var record = self
        record.header.flags = []
        guard var stanza = try? Stanza(encoded: record.stanza) else { return record }
        stanza.payload = .empty
        record.stanza = []
        stanza.encode(into: &record.stanza)
        return record
    }
}
