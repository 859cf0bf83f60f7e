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
        continueRetraction(
            RetractionSearch(
                from: from, to: to, peer: rows.peer(peer.bare.description), id: id,
                originIDHash: originHash(from: from, id: id, to: from.bare == jid && to.bare != jid ? to : nil),
                tombstone: Payload(written: xml.bytes), below: sequence),
            account: rows.number)
    }

    private func continueRetraction(_ search: RetractionSearch, account: UInt64) {
        read({ (snapshot, rows) throws(StoreFailure) in
            var search = search
            try search.advance(in: snapshot, rows)
            return search
        }) { [unowned self] result in
            // Made anew under the same name meanwhile, or nothing can be read now: then there is no tombstone.
            guard rows?.number == account, case .success(let search) = result else { return }
            if let (key, value) = search.replacement {
                put(key, value, waits: false)
                core.metrics.retractions.increment()
            } else if !search.isDone {
                continueRetraction(search, account: account)
            }
        }
    }
}
