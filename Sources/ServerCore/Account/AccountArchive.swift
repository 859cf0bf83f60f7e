import Settings
public import Stanzas
import Store
import Telemetry
import XMLStream

/// What an account knows of its archive beside the store.
struct ArchiveMemory {
    /// Decoded once; nil: not looked at yet.
    private(set) var preferences: ArchivePreferences?
    /// Archived messages that were acknowledged, and the store may not know it yet: after a failed commit they stay acknowledged.
    private var unflushed: [UInt64] = []
    private var flushing: (batch: UInt64, messages: [UInt64]) = (0, [])
    /// Messages written since the mark of the inbox was.
    private(set) var unmarked = 0
    /// The beginning of the account's `<stanza-id/>`; empty: not made yet.
    var stanzaIDHead: [UInt8] = []
    /// Searches for messages that were taken back, one after the other, and what waits until they are done.
    var retractions = RetractionQueue()

    /// Sent messages after which the mark of the inbox is written although nothing was acknowledged: what stands above it is looked
    /// through when the account is loaded.
    static let markBound = 1_024

    var acknowledged: [UInt64] { flushing.messages + unflushed }

    mutating func acknowledge(_ message: UInt64) { unflushed.append(message) }
    mutating func wrote() { unmarked += 1 }
    mutating func remember(_ preferences: ArchivePreferences) { self.preferences = preferences }
    mutating func forgetPreferences() { preferences = nil }

    /// The inbox was written with a batch that is not durable yet.
    mutating func flushed(in batch: UInt64, durable: UInt64) {
        let before = flushing.batch > durable ? flushing.messages : []
        flushing = (batch, before + unflushed)
        unflushed.removeAll()
        unmarked = 0
    }

    /// What was written last was not kept: it is still to be written, however many commits fail.
    mutating func commitFailed() {
        unflushed = flushing.messages + unflushed
        flushing = (0, [])
    }
}

/// What is archived (XEP-0313 §6.1.1), under which id (XEP-0359).
extension Account {
    /// What the user wants archived (XEP-0441).
    public var archivePreferences: ArchivePreferences {
        if let known = archive.preferences { return known }
        let read = items(.archivePreferences)[""].flatMap { ArchivePreferences($0) } ?? ArchivePreferences()
        archive.remember(read)
        return read
    }

    /// Keeps what the user wants archived from now on.
    public func setArchivePreferences(_ preferences: ArchivePreferences) {
        keep(.archivePreferences, "", preferences.encode())
        archive.forgetPreferences()
    }

    var archiveIDs: ArchiveIDs { ArchiveIDs(key: record?.archiveKey ?? 0) }

    /// Whether a message from or to `peer` is archived.
    func belongsInArchive(_ stanza: Stanza, peer: JID?) -> Bool {
        guard host?.archives == true, stanza.isWorthArchiving, let peer, !carriesOwnStanzaID(stanza) else { return false }
        return items(.archivePreferences).isEmpty || archivePreferences.keeps(peer) { roster[$0]?.isListed == true }
    }

    /// The sender's own copy: one record, which nobody is owed. Returns its sequence.
    func archiveOutgoing(_ stanza: Stanza, _ ticket: Ticket?) -> UInt64? {
        // What the account sends to itself comes in again and is archived then (§6.1.1: once).
        guard let to = stanza.to, !to.hasSameBare(as: jid), belongsInArchive(stanza, peer: to) else { return nil }
        let origin = originHash(of: stanza, to: to)
        // Sent again, it is passed on again, and archived once.
        guard !recent.isRepeated(ticket), !recent.contains(origin: origin) else { return nil }
        let isKept = host?.keeps == true
        guard let kept = write(stanza, .archived, peer: to, ticket, origin: origin, waits: isKept) else { return nil }
        inbox.pass(kept.sequence)
        shard.metrics.archivedMessages.increment()
        archive.wrote()
        if stanza.payload.facts.mask.contains(.retraction) { honourRetraction(stanza, peer: to, sequence: kept.sequence) }
        if archive.unmarked >= ArchiveMemory.markBound { touchInbox() }
        return kept.sequence
    }

    /// A message that is handed over without being owed, on a host that relays: its record follows, and nothing waits for it.
    func archiveRelayed(_ stanza: inout Stanza) {
        guard belongsInArchive(stanza, peer: stanza.from),
            let kept = write(stanza, .archived, peer: stanza.from, nil, origin: 0, waits: false)
        else { return }
        inbox.pass(kept.sequence)
        archived(&stanza, kept.sequence)
    }

    /// A message that came in has its record: it carries the id on its way to the sessions.
    func archived(_ stanza: inout Stanza, _ sequence: UInt64) {
        shard.metrics.archivedMessages.increment()
        if stanza.payload.facts.mask.contains(.retraction), let from = stanza.from {
            honourRetraction(stanza, peer: from, sequence: sequence)
        }
        identify(&stanza, sequence)
    }

    /// Adds the id that a message has in this archive (§3.5).
    func identify(_ stanza: inout Stanza, _ sequence: UInt64) {
        var element = archive.stanzaIDHead
        if element.isEmpty {
            // All but the id is the same for every message of the account.
            var xml = XMLWriter()
            xml.raw("<stanza-id xmlns='\(NS.stanzaID)'")
            xml.attribute("by", jid.description)
            xml.raw(" id='")
            element = xml.bytes
            archive.stanzaIDHead = element
        }
        element.append(contentsOf: archiveIDs.id(sequence).utf8)
        element.append(contentsOf: "'/>".utf8)
        stanza.payload = stanza.payload.appending(element, as: .stanzaID)
    }

    /// XEP-0359 §3: only this account gives ids in its own name; one that a sender wrote would be believed by its clients.
    func cutForgedStanzaIDs(_ stanza: inout Stanza) {
        guard stanza.payload.facts.mask.contains(.stanzaID) else { return }
        let payload = stanza.payload
        stanza.payload = payload.removing { isOwnStanzaID($0, in: payload) }
    }

    /// Whether a message that comes again, from a session that could not hand it over, was archived before.
    func carriesOwnStanzaID(_ stanza: Stanza) -> Bool {
        guard stanza.payload.facts.mask.contains(.stanzaID) else { return false }
        return stanza.payload.facts.children.contains { isOwnStanzaID($0, in: stanza.payload) }
    }

    private func isOwnStanzaID(_ child: ChildFact, in payload: Payload) -> Bool {
        guard child.kind == .stanzaID, let by = payload.element(of: child)?["by"] else { return false }
        return (try? JID(by))?.bare == jid
    }
}

extension Stanza {
    /// What belongs to a conversation, besides what a `<store/>` hint says: not what is for the moment (chat states, attention) or for a
    /// program (events, unknown payloads).
    private static let worthArchiving: PayloadMask = [
        .body, .subject, .encrypted, .receipt, .marker, .retraction, .moderation, .replacement, .reactions, .directInvitation, .outOfBand,
        .jingleMessage,
    ]

    /// Whether a message is archived by its type, payload and hints (XEP-0313 §6.1.1, XEP-0334).
    public var isWorthArchiving: Bool {
        guard isKeepable else { return false }
        let mask = payload.facts.mask
        if mask.contains(.noPermanentStore) { return false }
        return mask.contains(.store) || !mask.isDisjoint(with: Stanza.worthArchiving)
    }
}
