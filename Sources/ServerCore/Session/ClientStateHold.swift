import Stanzas
import XMLStream

/// What can wait while a client is inactive (XEP-0352 §3.2): presence, chat states alone, and events of other people's nodes.
///
/// Only what nobody would miss waits: what is owed to the account, or is bounced when it is lost, is written at once. So nothing
/// here is ever handed back, and what waits counts as delivered to nobody.
///
/// Order: RFC 6120 §10.1 promises it between two addresses, and it is kept for each sender's bare JID. A stanza that cannot wait takes
/// what waits of its sender along, in front of it; what others sent waits on, or a busy room would empty the hold with each message. Of
/// one address only the last presence is kept, and the last chat state of each conversation, each in the place of the last: what
/// its client sees is what it would have seen, with gaps.
struct ClientStateHold {
    /// What becomes of a stanza.
    enum Verdict: Equatable {
        /// It is written, behind what waits of its sender.
        case now
        /// It waits; a later one takes its place, if it says so.
        case waits(replacing: Key?)
    }

    /// What later stanza takes the place of an earlier.
    struct Key: Hashable {
        enum Kind: Hashable { case presence, chatState, copiedChatState }
        var kind: Kind
        var from: JID
        var to: JID?
    }

    private struct Entry {
        var stanza: Stanza
        var sender: JID
        var key: Key?
        var size: Int
    }

    private var entries: [UInt64: Entry] = [:]
    private var latest: [Key: UInt64] = [:]
    /// How many stanzas of each sender wait, by bare JID.
    private var senders: [JID: Int] = [:]
    private var next: UInt64 = 0
    /// What the stanzas take, in bytes.
    private(set) var bytes = 0

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    /// Keeps a stanza. Returns true when it took the place of one, which nobody will see.
    ///
    /// - Parameter sender: bare JID.
    mutating func add(_ stanza: Stanza, of sender: JID, replacing key: Key?) -> Bool {
        let replaced = key.flatMap { latest[$0] }.flatMap { remove($0) } != nil
        var stanza = stanza
        stanza.payload = stanza.payload.detached()
        let entry = Entry(stanza: stanza, sender: sender, key: key, size: stanza.payload.bytes.count + Self.overhead)
        entries[next] = entry
        if let key { latest[key] = next }
        senders[sender, default: 0] += 1
        bytes += entry.size
        next += 1
        return replaced
    }

    /// About what a held stanza takes beside its payload.
    private static let overhead = 256

    /// Takes out what waits of the sender of a stanza that is about to be written, oldest first. A chat state that the stanza itself
    /// puts an end to is dropped: a message says that its author is not composing any more (XEP-0085 §4).
    mutating func take(before stanza: Stanza) -> [Stanza] {
        guard !entries.isEmpty, let from = stanza.from, senders[from.bare] != nil else { return [] }
        if !stanza.payload.facts.mask.isDisjoint(with: [.body, .encrypted]), let state = latest[Key(kind: .chatState, from: from, to: nil)]
        {
            _ = remove(state)
        }
        return entries.filter { $0.value.sender == from.bare }.keys.sorted().compactMap { remove($0) }
    }

    /// Takes out everything, oldest first.
    mutating func takeAll() -> [Stanza] {
        let all = entries.sorted { $0.key < $1.key }.map(\.value.stanza)
        self = ClientStateHold()
        return all
    }

    private mutating func remove(_ number: UInt64) -> Stanza? {
        guard let entry = entries.removeValue(forKey: number) else { return nil }
        if let key = entry.key { latest[key] = nil }
        bytes -= entry.size
        if let left = senders[entry.sender] { senders[entry.sender] = left > 1 ? left - 1 : nil }
        return entry.stanza
    }

    // MARK: What can wait

    /// - Parameters:
    ///   - client: full JID of the session.
    static func verdict(_ stanza: Stanza, client: JID) -> Verdict {
        guard let from = stanza.from else { return .now }
        switch stanza.kind {
        case .iq: return .now
        case .presence:
            // Subscriptions ask the user something; the client's own presence answers it; its own in a room says that it joined or left.
            guard stanza.type == .none || stanza.type == .unavailable, from != client, !isOwnInRoom(stanza) else { return .now }
            return .waits(replacing: Key(kind: .presence, from: from, to: nil))
        case .message:
            guard stanza.type != .error, !stanza.isMissedWhenLost else { return .now }
            switch stanza.payload.facts.mask.subtracting(silent) {
            case .chatState: return .waits(replacing: Key(kind: .chatState, from: from, to: nil))
            // What the user did on another device: read marks, bookmarks.
            case .event: return from.bare == client.bare ? .now : .waits(replacing: nil)
            case .carbon: return copiedChatState(stanza).map { .waits(replacing: $0) } ?? .now
            default: return .now
            }
        }
    }

    /// Payloads that say nothing to anybody by themselves.
    private static let silent: PayloadMask = [
        .thread, .noStore, .noPermanentStore, .noCopy, .private, .originID, .stanzaID, .delay, .addresses,
    ]

    /// XEP-0045 §7.2.2: status 110.
    private static func isOwnInRoom(_ presence: Stanza) -> Bool {
        guard let fact = presence.payload.facts.first(.roomUser), let user = presence.payload.element(of: fact) else { return false }
        return user.all(Names.roomStatus).contains { $0["code"] == "110" }
    }

    /// A copy of a chat state alone.
    private static func copiedChatState(_ stanza: Stanza) -> Key? {
        guard let fact = stanza.payload.facts.first(.carbon), let carbon = stanza.payload.element(of: fact),
            let original = carbon.first(Names.forwarded)?.first(Names.message), let from = original["from"].flatMap({ try? JID($0) })
        else { return nil }
        var hasState = false
        for child in original.children {
            switch child.namespace {
            case NS.chatStates: hasState = true
            case NS.hints where child.local != "store": break
            case NS.stanzaID, NS.delay: break
            case NS.client where child.local == "thread": break
            default: return nil
            }
        }
        guard hasState else { return nil }
        return Key(kind: .copiedChatState, from: from, to: original["to"].flatMap { try? JID($0) })
    }
}
