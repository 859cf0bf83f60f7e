import PortableData
import ServerCore
import Stanzas
import Store

/// Where the messages of an imported account stand: each gets the moment it came as its number, so that order and ids are the same
/// whenever the file is imported again.
///
/// A message that is both archived and not delivered yet stands twice in a file, and becomes one record. Numbers of archived messages are
/// even and those of others odd, so that neither takes the other's place.
struct ImportMessages: Sendable {
    /// What stands at a number already.
    enum Occupant { case nobody, itself, another }

    typealias Make = (Stanza, UInt64, Int64, MessageRecord.Flags) -> MessageRecord

    /// Messages that are remembered to be found a second time.
    private static let remembered = 20_000
    /// Places that are tried for a message of an account that is there.
    private static let tries = 4_096
    /// Seconds between two stamps of one message, as servers write them.
    private static let slack: Int64 = 60_000_000

    private struct Seen {
        var stamp: Int64
        var sequence: UInt64
        var isOwed: Bool
    }

    /// The key that the ids of the file were made with, when it says so.
    var fileKey: UInt64?
    /// The key of the account that is there.
    var liveKey: UInt64?
    private(set) var reordered = 0
    private var toldKey = false
    private var lastArchived: (sequence: UInt64, stamp: Int64) = (0, 0)
    private var lastOwed: UInt64 = 0
    private var seen: [Int: [Seen]] = [:]
    private var seenCount = 0
    private var ready: [MessageRecord] = []
    private var readyBytes = 0
    /// Owed messages, by number: their archive may still come.
    private var held: [UInt64: MessageRecord] = [:]
    private var heldBytes = 0
    /// Those of them that an account archives.
    private var worth: Set<UInt64> = []
    /// Bytes of owed messages that wait for their archive.
    private static let heldBound = 4 << 20

    /// The key for an account that is made: told to its home before its messages.
    mutating func takeKey(isNew: Bool) -> UInt64? {
        guard isNew, !toldKey, let fileKey else { return nil }
        toldKey = true
        return fileKey
    }

    // MARK: Placing

    mutating func archive(
        _ stanza: Stanza, id: String, stamp: DateTime, now: Int64, as make: Make, isThere: (MessageRecord) -> Occupant
    ) throws(PortableRefusal) {
        let moment = try Self.moment(stamp, now)
        let known = number(of: id, now)
        // In the order of the file (§4.11), also where the clock went back.
        let ordered = max(moment, lastArchived.stamp)
        if ordered > moment { reordered += 1 }
        if let other = find(stanza, ordered, owed: true) {
            lastArchived.stamp = ordered
            if held[other.sequence]?.header.flags.insert(.archived) == nil {
                // It went ahead; its home puts both together.
                append(make(stanza, other.sequence, ordered, [.archived, .owed]))
            }
            return
        }
        let sequence = known ?? max(UInt64(bitPattern: ordered) & ~1, lastArchived.sequence + 2)
        if let placed = place(make(stanza, sequence, ordered, .archived), isThere) {
            append(placed)
            remember(stanza, placed, isOwed: false)
            lastArchived = (max(lastArchived.sequence, placed.sequence & ~1), ordered)
        } else {
            lastArchived.stamp = ordered
        }
    }

    /// A message that was not delivered; `flags` say what it is to the account.
    mutating func owe(
        _ stanza: Stanza, id: String?, stamp: DateTime?, now: Int64, isWorthArchiving: Bool, flags: MessageRecord.Flags, as make: Make,
        isThere: (MessageRecord) -> Occupant
    ) throws(PortableRefusal) {
        let moment =
            try stamp.map { (stamp) throws(PortableRefusal) in try Self.moment(stamp, now) } ?? max(Int64(lastOwed), now - 1_000_000)
        if let other = find(stanza, moment, owed: false) {
            // Its record is in the archive; an account that is there is owed nothing.
            guard flags.contains(.owed) else { return }
            hold(make(stanza, other.sequence, other.stamp, [.archived, .owed]))
            lastOwed = max(lastOwed, other.sequence | 1)
            return
        }
        let known = id.flatMap { number(of: $0, now) }
        let sequence = known ?? max(UInt64(bitPattern: moment) | 1, lastOwed == 0 ? 0 : lastOwed + 2)
        if let placed = place(make(stanza, sequence, moment, flags), isThere) {
            hold(placed)
            if isWorthArchiving { worth.insert(placed.sequence) }
            remember(stanza, placed, isOwed: true)
            lastOwed = placed.sequence | 1
        }
    }

    /// The file has no archive of the account: what is owed and belongs there is archived as if it came now.
    mutating func archiveOwed() {
        for sequence in worth { held[sequence]?.header.flags.insert(.archived) }
    }

    private mutating func append(_ record: MessageRecord) {
        ready.append(record)
        readyBytes += record.stanza.count
    }

    private mutating func hold(_ record: MessageRecord) {
        held[record.sequence] = record
        heldBytes += record.stanza.count
    }

    /// The number that an id of the file stands for, when this server made it.
    private func number(of id: String, _ now: Int64) -> UInt64? {
        guard let fileKey, let number = ArchiveIDs(key: fileKey).sequence(id), number > 0, number <= UInt64(bitPattern: now) else {
            return nil
        }
        return number
    }

    private static func moment(_ stamp: DateTime, _ now: Int64) throws(PortableRefusal) -> Int64 {
        guard stamp.microseconds > 1 else { throw PortableRefusal("a message is of \(stamp), before all clocks") }
        guard stamp.microseconds <= now else { throw PortableRefusal("a message is of \(stamp), which is still to come") }
        return stamp.microseconds
    }

    /// The record where nothing else stands; nil when it is there already.
    private func place(_ record: MessageRecord, _ isThere: (MessageRecord) -> Occupant) -> MessageRecord? {
        var record = record
        for _ in 0..<Self.tries {
            switch isThere(record) {
            case .nobody: return record
            case .itself: return nil
            case .another: record.header.sequence += 2
            }
        }
        return nil
    }

    // MARK: One message, twice

    private static func hash(_ stanza: Stanza) -> Int {
        var hasher = Hasher()
        hasher.combine(stanza.from)
        hasher.combine(stanza.id)
        let body = stanza.payload.facts.children.first { $0.kind == .body }
        if let body { hasher.combine(stanza.payload.bytes(of: body)) } else { hasher.combine(stanza.payload.bytes) }
        return hasher.finalize()
    }

    private mutating func remember(_ stanza: Stanza, _ record: MessageRecord, isOwed: Bool) {
        if seenCount >= Self.remembered {
            seen = [:]
            seenCount = 0
        }
        seenCount += 1
        seen[Self.hash(stanza), default: []].append(Seen(stamp: record.stamp, sequence: record.sequence, isOwed: isOwed))
    }

    /// The nearest in time that stood in the other list; each is found once.
    private mutating func find(_ stanza: Stanza, _ stamp: Int64, owed: Bool) -> Seen? {
        let hash = Self.hash(stanza)
        guard var same = seen[hash] else { return nil }
        let near = same.indices.filter { same[$0].isOwed == owed && abs(same[$0].stamp - stamp) <= Self.slack }
        guard let nearest = near.min(by: { abs(same[$0].stamp - stamp) < abs(same[$1].stamp - stamp) }) else { return nil }
        defer { seen[hash] = same }
        return same.remove(at: nearest)
    }

    // MARK: Taking

    /// Records in lots of about this size; the last lot only when nothing more comes.
    mutating func take(upTo bytes: Int, all: Bool) -> [[MessageRecord]] {
        if all || heldBytes > Self.heldBound {
            for record in held.values.sorted(by: { $0.sequence < $1.sequence }) { append(record) }
            held = [:]
            worth = []
            heldBytes = 0
        }
        guard all || readyBytes >= bytes else { return [] }
        var lots: [[MessageRecord]] = []
        var lot: [MessageRecord] = []
        var size = 0
        for record in ready {
            if !lot.isEmpty, size + record.stanza.count > bytes || lot.count >= 500 {
                lots.append(lot)
                lot = []
                size = 0
            }
            lot.append(record)
            size += record.stanza.count
        }
        if !lot.isEmpty { lots.append(lot) }
        ready = []
        readyBytes = 0
        return lots
    }
}
