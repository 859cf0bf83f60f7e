internal import DequeModule
import Stanzas
import Store
import Telemetry
import XMLStream

/// The search for a message that its sender takes back (XEP-0424), backwards from the retraction, in slices.
struct RetractionSearch: Sendable {
    /// Messages of the account that are looked through at most: who takes back what is older does not get a tombstone, and nobody can
    /// make the server read a long archive for nothing.
    static let reach = 65_536

    /// The bare JIDs of the retraction: the message must have the same (§5).
    let from: [UInt8]
    let to: [UInt8]
    let peer: UInt64
    /// Which message, and the hash that it has when this is its origin-id.
    let id: [UInt8]
    let originIDHash: UInt64
    let tombstone: Payload
    private var position: UInt64
    private var left = Self.reach
    /// The row with a tombstone in place of the message, to be put.
    private(set) var replacement: (key: Key, value: [UInt8])?
    private(set) var isDone = false

    init(from: JID, to: JID, peer: UInt64, id: String, originIDHash: UInt64, tombstone: Payload, below sequence: UInt64) {
        self.from = Array(from.bare.description.utf8)
        self.to = Array(to.bare.description.utf8)
        self.peer = peer
        self.id = Array(id.utf8)
        self.originIDHash = originIDHash
        self.tombstone = tombstone
        position = sequence &- 1
    }

    mutating func advance(in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) {
        var found: UInt64?
        let slice = min(ArchivePage.slice, left)
        let scan = try rows.scanArchive(0...position, peer: peer, reverse: true, rows: slice, in: snapshot) { message in
            guard isMeant(message) else { return true }
            found = message.sequence
            return false
        }
        left -= slice
        if let found { replacement = try bury(found, in: snapshot, rows) }
        isDone = scan.next == nil || left <= 0
        if let next = scan.next { position = next }
    }

    private func isMeant(_ message: ArchivedMessage) -> Bool {
        let stanza = message.stanza
        guard stanza.id?.elementsEqual(id) == true || originIDHash != 0 && message.originIDHash == originIDHash else { return false }
        guard Self.bare(stanza.from).elementsEqual(from), Self.bare(stanza.to).elementsEqual(to) else { return false }
        // A retraction stays (§5), and what is a tombstone already keeps the word that made it one.
        return !stanza.mask.contains(.retraction) && !stanza.payload.starts(with: "<retracted ".utf8)
    }

    private static func bare(_ field: UnsafeRawBufferPointer?) -> Slice<UnsafeRawBufferPointer> {
        guard let field else { return UnsafeRawBufferPointer(start: nil, count: 0)[...] }
        return field.prefix { $0 != UInt8(ascii: "/") }
    }

    /// §4: the message with nothing in it but that it was retracted, in the same place, owed or not as before.
    private func bury(_ sequence: UInt64, in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) -> (Key, [UInt8])? {
        let key = Keys.message(rows.partition, rows.number, sequence: sequence)
        guard let value = try snapshot.get(key) else { return nil }
        var record = try MessageRecord.decode(value, key: key)
        guard var stanza = try? Stanza(encoded: record.stanza) else { return nil }
        stanza.payload = tombstone
        record.stanza = []
        stanza.encode(into: &record.stanza)
        return (key, record.encode())
    }
}

extension Account {
    /// A retraction was archived: the message it takes back becomes a tombstone in this archive (XEP-0424 §4).
    ///
    /// - Parameter peer: the other end of the conversation.
    func honourRetraction(_ stanza: Stanza, peer: JID, sequence: UInt64) {
        guard let rows, let from = stanza.from, let to = stanza.to, let own = stanza.id,
            let fact = stanza.payload.facts.first(.retraction), let element = stanza.payload.element(of: fact),
            element.namespace == NS.retraction, let id = element["id"], !id.isEmpty
        else { return }
        var xml = XMLWriter()
        xml.empty(
            "retracted", xmlns: NS.retraction, ("id", own),
            ("stamp", DateTime(microseconds: Int64(bitPattern: sequence)).description))
        let search = RetractionSearch(
            from: from, to: to, peer: rows.peer(peer.bare.description), id: id,
            originIDHash: originHash(from: from, id: id, to: from.bare == jid && to.bare != jid ? to : nil),
            tombstone: Payload(written: xml.bytes), below: sequence)
        if archive.retractions.add(search) { nextRetraction() }
    }

    /// Runs `body` when every message that was taken back before has its tombstone.
    func afterRetractions(_ body: @escaping () -> Void) {
        if archive.retractions.isEmpty { body() } else { archive.retractions.waiting.append(body) }
    }

    /// One after the other: each sees what the one before it wrote.
    private func nextRetraction() {
        guard let search = archive.retractions.first, let rows else { return }
        continueRetraction(search, archive.retractions.generation, account: rows.number)
    }

    private func continueRetraction(_ search: RetractionSearch, _ generation: Int, account: UInt64) {
        read({ (snapshot, rows) throws(StoreFailure) in
            var search = search
            try search.advance(in: snapshot, rows)
            return search
        }) { [unowned self] result in
            // The account was read or made anew meanwhile: nobody waits for this any more.
            guard generation == archive.retractions.generation, rows?.number == account else { return }
            if case .success(let search) = result {
                if let (key, value) = search.replacement {
                    // What is read from now on waits for it.
                    put(key, value)
                    core.metrics.retractions.increment()
                } else if !search.isDone {
                    return continueRetraction(search, generation, account: account)
                }
            }
            // What cannot be read now gets no tombstone: clients have the retraction all the same.
            let waiting = archive.retractions.removeFirst()
            nextRetraction()
            for body in waiting { body() }
            if archive.retractions.isEmpty { pump() }
        }
    }
}

/// Searches of an account that wait for their turn.
struct RetractionQueue {
    /// Searches that wait at most; who takes back more at once gets no tombstones for the rest.
    private static let bound = 64

    private var searches: Deque<RetractionSearch> = []
    /// What is done when all of them are.
    var waiting: [() -> Void] = []
    /// Tells the answers of searches that were forgotten.
    private(set) var generation = 0

    var isEmpty: Bool { searches.isEmpty }
    var first: RetractionSearch? { searches.first }

    /// Returns true when it is the only one, so that it has to be started.
    mutating func add(_ search: RetractionSearch) -> Bool {
        guard searches.count < Self.bound else { return false }
        searches.append(search)
        return searches.count == 1
    }

    /// Returns what may be done now.
    mutating func removeFirst() -> [() -> Void] {
        _ = searches.popFirst()
        guard searches.isEmpty else { return [] }
        defer { waiting = [] }
        return waiting
    }

    /// After a failed commit: whoever waits for an answer hears that there is none.
    mutating func forgetAll() {
        searches.removeAll()
        waiting = []
        generation += 1
    }
}
