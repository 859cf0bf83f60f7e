import PortableData
import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// Something for the home of an account that is imported.
struct ImportLetter: Sendable {
    var part: ImportReport.Part
    /// How many things are in it.
    var count: Int
    /// Whether the home says how many of them it took: an account that is there may have some already.
    var isCountedByHome = true
    /// How many of the messages in it are owed; `count` has the others.
    var owed = 0
    var command: AccountCommand

    init(_ part: ImportReport.Part, _ count: Int, _ piece: AccountPiece) {
        self.part = part
        self.count = count
        command = .call(Account.restoreCall, piece.encode())
    }

    init(_ part: ImportReport.Part, _ count: Int, call: String, _ argument: [UInt8]) {
        self.part = part
        self.count = count
        command = .call(call, argument)
    }
}

/// What is known of an account on its way in, and what it is turned into. No step of its own: `ImportJob` asks.
struct ImportWork: Sendable {
    enum Mode: Sendable, Equatable {
        /// Not there, or left unfinished by an import before.
        case new
        /// There, and added to.
        case added
        case skipped
    }

    /// Things in one letter at most.
    private static let lettered = 200
    /// Bytes of a letter, about.
    private static let letterBytes = 131_072

    let jid: JID
    private let core: Core
    private let terms: ImportTerms
    private(set) var mode = Mode.skipped
    /// Of an account that is there.
    private(set) var credentials: [UInt8] = []
    private(set) var keys: [PortableKey] = []
    private(set) var disabledReason: String?
    var reordered: Int { messages.reordered }

    private var rows: AccountRows?
    private var contacts: [JID: PortableContact] = [:]
    private var requests: [JID: Stanza] = [:]
    private var blocked: Set<JID> = []
    private var items: [AccountPiece.Item] = []
    private var privateElements: [String: [UInt8]] = [:]
    private var privateBytes = 0
    private var messages = ImportMessages()
    private var offlineBytes = 0
    private var offline = 0
    private var hasArchive = false
    private var ready: [ImportLetter] = []

    init(_ jid: JID, _ core: Core, _ terms: ImportTerms) {
        self.jid = jid
        self.core = core
        self.terms = terms
    }

    private var settings: Settings { core.settings }
    private var archives: Bool { core.hosts[jid.domain]?.archive == true }

    /// Says what is there.
    mutating func meet(_ there: AccountRecord?, mark: String) {
        guard let there else {
            mode = .new
            return
        }
        credentials = there.credentials
        messages.liveKey = there.archiveKey
        if there.disabledReason == mark {
            mode = .new
            return
        }
        guard terms.adds else { return }
        mode = .added
        rows = AccountRows(partition: core.identity.partition(of: jid.description), number: there.number, identity: core.identity)
    }

    // MARK: Taking

    /// Takes one thing of the account.
    mutating func take(
        _ line: ImportJob.Line, in snapshot: any Snapshot, pass: (String) -> Void
    ) throws(PortableRefusal) {
        switch try PortableItem(Array(line.xml.utf8), at: line.place, of: jid) {
        case .key(let key):
            if keys.contains(key) { return }
            guard !keys.contains(where: { $0.mechanism == key.mechanism }) else {
                throw PortableRefusal("keys of \(key.mechanism) stand twice; the first are taken")
            }
            keys.append(key)
        case .contact(let contact):
            guard contacts[contact.jid] != nil || contacts.count < settings.limits.rosterItems else {
                throw PortableRefusal("the contact \(contact.jid) is one more than limits.roster_items")
            }
            contacts[contact.jid] = contact
        case .request(let stanza):
            guard let from = stanza.from, requests[from] != nil || requests.count < settings.limits.rosterItems else {
                throw PortableRefusal("a subscription request is one more than limits.roster_items")
            }
            requests[from] = stanza
        case .vCard(let xml):
            let bound = min(settings.profile.vCardBytes, settings.limits.stanzaBytes)
            guard xml.count <= bound else { throw PortableRefusal("its vCard has \(xml.count) bytes; \(bound) are allowed") }
            items.append(AccountPiece.Item(kind: .vcard, name: "", value: xml))
        case .privateElement(let name, let xml): try take(privateElement: name, xml)
        case .blocked(let address): try block(address)
        case .privacy(let addresses, let others):
            for _ in 0..<others { pass("rule of a privacy list that is more than a blocked address") }
            for address in addresses { try block(address) }
        case .offline(let stanza, let id, let stamp): try take(offline: stanza, id, stamp, in: snapshot, pass: pass)
        case .archived(let stanza, let id, let stamp):
            guard archives else { return pass("archived message: the host archives nothing") }
            try bound(stanza)
            try messages.archive(stanza, id: id, stamp: stamp, now: core.clock.now, as: record, isThere: there(snapshot))
        case .archive: hasArchive = true
        case .disabled(let reason): disabledReason = reason
        case .archiveIDs(let key):
            if mode == .new { messages.fileKey = key } else { messages.fileKey = messages.liveKey == key ? key : nil }
        case .unknown(let kind): pass(kind)
        }
    }

    private func bound(_ stanza: Stanza) throws(PortableRefusal) {
        let bound = settings.limits.stanzaBytes
        guard stanza.payload.bytes.count <= bound else {
            throw PortableRefusal("a message has \(stanza.payload.bytes.count) bytes; \(bound) are allowed (limits.stanza_bytes)")
        }
    }

    private mutating func block(_ address: JID) throws(PortableRefusal) {
        guard address.bare != jid, address != jid.domainJID else {
            throw PortableRefusal("it blocks itself or its own server, which cannot be blocked")
        }
        guard blocked.contains(address) || blocked.count < settings.limits.blockedAddresses else {
            throw PortableRefusal("the blocked address \(address) is one more than limits.blocked_addresses")
        }
        if blocked.insert(address).inserted {
            items.append(AccountPiece.Item(kind: .blocked, name: address.description, value: []))
        }
    }

    private mutating func take(privateElement name: String, _ xml: [UInt8]) throws(PortableRefusal) {
        guard name.utf8.count <= 1_024 else { throw PortableRefusal("the name of a private element is too long") }
        // As the module keeps it: its default namespace is that of the storage.
        var writer = XMLWriter()
        guard
            let element = try? Element.parse(
                xml, limits: XMLLimits(stanzaBytes: .max, depth: .max, attributes: .max, namespaceDeclarations: .max)),
            writer.element(element, in: NS.privateStorage, limit: settings.profile.privateBytes),
            privateBytes + writer.bytes.count <= settings.profile.privateBytes
        else { throw PortableRefusal("its private elements are more than profile.private_bytes") }
        guard privateElements[name] != nil || privateElements.count < settings.profile.privateItems else {
            throw PortableRefusal("its private elements are more than profile.private_items")
        }
        privateBytes += writer.bytes.count
        // Of one name there may be several, which are one.
        privateElements[name, default: []] += writer.bytes
    }

    // MARK: Messages

    /// Whether an account that is there has this very message at a place, or another one.
    private func there(_ snapshot: any Snapshot) -> (MessageRecord) -> ImportMessages.Occupant {
        guard let rows else { return { _ in .nobody } }
        return { record in
            let key = Keys.message(rows.partition, rows.number, sequence: record.sequence)
            guard let value = try? snapshot.get(key) else { return .nobody }
            guard let there = try? MessageRecord.decode(value, key: key), there.stanza == record.stanza else { return .another }
            return .itself
        }
    }

    private var record: @Sendable (Stanza, UInt64, Int64, MessageRecord.Flags) -> MessageRecord {
        let (jid, identity) = (jid, core.identity)
        return { stanza, sequence, stamp, flags in
            let peer = stanza.from?.bare == jid ? stanza.to?.bare ?? jid : stanza.from?.bare ?? jid
            var bytes: [UInt8] = []
            stanza.encode(into: &bytes)
            return MessageRecord(
                sequence: sequence, stamp: stamp, flags: flags, originSession: 0, inSeq: 0, originIDHash: 0,
                peer: max(1, identity.hash128(peer.description).0), stanza: bytes)
        }
    }

    private mutating func take(
        offline stanza: Stanza, _ id: String?, _ stamp: DateTime?, in snapshot: any Snapshot, pass: (String) -> Void
    ) throws(PortableRefusal) {
        guard mode == .new || archives else { return pass("offline message: the account is there, and the host archives nothing") }
        guard stanza.type == .chat || stanza.type == .normal else {
            return pass("offline message of the type \(stanza.type), which is not kept for later")
        }
        try bound(stanza)
        let bounds = settings.offline
        offline += 1
        offlineBytes += stanza.payload.bytes.count
        guard bounds.messages == 0 || offline <= bounds.messages, bounds.bytes == 0 || offlineBytes <= bounds.bytes else {
            throw PortableRefusal("an offline message is more than offline.messages or offline.bytes")
        }
        // What an account that is there has had already is not owed to it again.
        try messages.owe(
            stanza, id: id, stamp: stamp, now: core.clock.now, isWorthArchiving: stanza.isWorthArchiving,
            flags: mode == .new ? .owed : .archived, as: record,
            isThere: there(snapshot))
    }

    // MARK: Letters

    /// What is ready for the home, and when nothing more comes, all of it.
    mutating func letters(all: Bool, in snapshot: any Snapshot) -> [ImportLetter] {
        if let key = messages.takeKey(isNew: mode == .new) {
            var letter = ImportLetter(.archived, 0, .archiveKey(key))
            letter.isCountedByHome = false
            ready.append(letter)
        }
        if all {
            if !hasArchive, archives { messages.archiveOwed() }
            rosterLetters(in: snapshot)
            itemLetters(in: snapshot)
        }
        for records in messages.take(upTo: Self.letterBytes, all: all) {
            let owed = records.count { $0.flags.contains(.owed) }
            var letter = ImportLetter(.archived, records.count - owed, .messages(records))
            letter.isCountedByHome = false
            ready.append(letter)
            if owed > 0 { ready[ready.count - 1].owed = owed }
        }
        defer { ready = [] }
        return ready
    }

    private mutating func rosterLetters(in snapshot: any Snapshot) {
        var records = contacts.values.sorted { $0.jid < $1.jid }.map { contact in
            var state = SubscriptionState()
            state.outgoing =
                switch contact.subscription {
                case .to, .both: .subscribed
                case .none, .from: contact.asks ? .requested : .none
                }
            state.incoming =
                switch contact.subscription {
                case .from, .both: .subscribed
                case .none, .to: requests[contact.jid] != nil ? .requested : contact.isApproved ? .preApproved : .none
                }
            return RosterItemRecord(
                jid: contact.jid.description, name: contact.name, groups: contact.groups, state: state.code, version: 0, isRemoved: false,
                isListed: true)
        }
        // One who only asks stands in no roster that a client sees (RFC 6121 §3.1.3).
        var pending: [PendingInRecord] = []
        for (from, stanza) in requests.sorted(by: { $0.key < $1.key }) {
            if let contact = contacts[from], contact.subscription == .from || contact.subscription == .both { continue }
            // An account that is there decides about its own contacts.
            if let rows, (try? snapshot.get(Keys.rosterItem(rows.partition, rows.number, core.identity.hash128(from.description)))) != nil {
                continue
            }
            if contacts[from] == nil {
                records.append(
                    RosterItemRecord(
                        jid: from.description, name: "", groups: [], state: SubscriptionState(incoming: .requested).code, version: 0,
                        isRemoved: false, isListed: false))
            }
            var bytes: [UInt8] = []
            stanza.encode(into: &bytes)
            pending.append(PendingInRecord(jid: from.description, stamp: core.clock.now, stanza: bytes))
        }
        let wins = mode == .new || terms.wins
        for start in stride(from: 0, to: records.count, by: Self.lettered) {
            let piece = Array(records[start..<min(start + Self.lettered, records.count)])
            var letter = ImportLetter(.contacts, piece.count { $0.isListed }, .contacts(piece, wins: wins))
            letter.isCountedByHome = mode == .added
            ready.append(letter)
        }
        for start in stride(from: 0, to: pending.count, by: Self.lettered) {
            let piece = Array(pending[start..<min(start + Self.lettered, pending.count)])
            var letter = ImportLetter(.requests, piece.count, .requests(piece))
            letter.isCountedByHome = mode == .added
            ready.append(letter)
        }
        contacts = [:]
        requests = [:]
    }

    private mutating func itemLetters(in snapshot: any Snapshot) {
        let wins = mode == .new || terms.wins
        for item in items {
            // What is not in memory with the account is looked at here.
            if let rows, !wins, !item.kind.isResident, (try? rows.item(item.kind, item.name, in: snapshot)) != nil { continue }
            var letter = ImportLetter(item.kind == .vcard ? .vCards : .blocked, 1, .items([item], wins: wins))
            letter.isCountedByHome = mode == .added
            ready.append(letter)
        }
        items = []
        guard !privateElements.isEmpty else { return }
        var writer = ByteWriter()
        writer.uint8(wins ? 1 : 0)
        writer.count(privateElements.count)
        for (name, xml) in privateElements.sorted(by: { $0.key < $1.key }) {
            writer.string(name)
            writer.bytes(xml)
        }
        var letter = ImportLetter(.privateElements, privateElements.count, call: "private.restore", writer.bytes)
        letter.isCountedByHome = mode == .added
        ready.append(letter)
        privateElements = [:]
    }
}
