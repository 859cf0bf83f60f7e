public import Stanzas
import Store

/// A contact as the account knows it: the roster item and the state of both subscriptions.
public struct Contact: Sendable, Equatable {
    /// Bytes of a name and of a group's at most.
    static let textBound = 1_023
    /// Groups of one contact at most.
    static let groupBound = 100

    public var jid: JID
    public var name: String
    public var groups: [String]
    public var state: SubscriptionState
    /// The roster version at which it last changed.
    public var version: UInt64
    /// Removed: kept so that a client that was away can be told.
    public var isRemoved: Bool
    /// In the roster as clients see it (a pending request alone is not: RFC 6121 A.2.1 "None + Pending In").
    public var isListed: Bool

    public init(
        jid: JID, name: String = "", groups: [String] = [], state: SubscriptionState = .init(), version: UInt64 = 0,
        isRemoved: Bool = false, isListed: Bool = false
    ) {
        self.jid = jid
        self.name = name
        self.groups = groups
        self.state = state
        self.version = version
        self.isRemoved = isRemoved
        self.isListed = isListed
    }
}

/// The roster of an account: contacts, subscriptions and their version (RFC 6121 §2).
public struct RosterBook {
    private var contacts: [JID: Contact] = [:]
    private var requests: [JID: Stanza] = [:]
    /// Rises with every change.
    public private(set) var version: UInt64 = 0

    init() {}

    init(items: [RosterItemRecord], pendingIn: [PendingInRecord], version: UInt64) {
        self.version = version
        for item in items {
            guard let jid = try? JID(item.jid) else { continue }
            contacts[jid] = Contact(
                jid: jid, name: item.name, groups: item.groups,
                state: SubscriptionState(code: item.state), version: item.version, isRemoved: item.isRemoved, isListed: item.isListed)
        }
        for pending in pendingIn {
            guard let jid = try? JID(pending.jid), let stanza = try? Stanza(encoded: pending.stanza) else { continue }
            requests[jid] = stanza
        }
    }

    public subscript(_ jid: JID) -> Contact? { contacts[jid] }

    /// What a roster get lists.
    public var items: [Contact] { contacts.values.filter { $0.isListed && !$0.isRemoved }.sorted { $0.jid < $1.jid } }
    public var count: Int { contacts.values.count { $0.isListed && !$0.isRemoved } }
    /// What changed after a version, oldest first, removals included.
    func changes(after version: UInt64) -> [Contact] {
        contacts.values.filter { $0.version > version && ($0.isListed || $0.isRemoved) }.sorted { $0.version < $1.version }
    }

    /// Contacts that get this account's presence.
    var presenceSubscribers: [JID] { contacts.values.filter { $0.state.hasFrom }.map(\.jid) }
    /// Contacts whose presence this account gets.
    var presenceSources: [JID] { contacts.values.filter { $0.state.hasTo }.map(\.jid) }
    func sendsPresence(to contact: JID) -> Bool { contacts[contact]?.state.hasFrom ?? false }
    func getsPresence(of contact: JID) -> Bool { contacts[contact]?.state.hasTo ?? false }
    var pendingRequests: [Stanza] { requests.sorted { $0.key < $1.key }.map(\.value) }
    func request(of contact: JID) -> Stanza? { requests[contact] }

    mutating func nextVersion() -> UInt64 {
        version += 1
        return version
    }

    mutating func set(_ contact: Contact) { contacts[contact.jid] = contact }
    mutating func forget(_ jid: JID) { contacts[jid] = nil }
    mutating func setRequest(_ stanza: Stanza?, of contact: JID) { requests[contact] = stanza }
    var everyContact: [Contact] { Array(contacts.values) }
}
