import Stanzas

/// What an account knows of one of its sessions: enough to decide, nothing to deliver.
final class Resource {
    struct Flags: OptionSet {
        let rawValue: UInt8
        init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Asked for the roster, so it gets pushes (RFC 6121 §2.2: "interested resource").
        static let interested = Flags(rawValue: 1)
        /// Carbons are on (XEP-0280).
        static let carbons = Flags(rawValue: 2)
        /// Its client said that nobody looks at it (XEP-0352).
        static let inactive = Flags(rawValue: 4)
        /// Asked for the block list, so it hears of changes (XEP-0191 §3.3).
        static let blocklist = Flags(rawValue: 8)
    }

    /// Addresses one session may send directed presence to and be remembered for; beyond, the presence is refused.
    static let directedBound = 1_000
    /// Messages in flight to one session beyond which the rest waits in the store.
    static let flightBound = 256
    /// Owed messages that are read at once.
    static let pageBound = 100

    let name: String
    let jid: JID
    /// Where the session is; it changes when the session moves.
    var session: SessionRef
    let bind: BindID
    /// The installation of the client (`BindTerms.device`).
    let device: String?
    var flags: Flags = []
    /// The last available presence, as it is broadcast; nil while the resource is not available.
    var presence: Stanza?
    var priority: Int8 = 0
    /// What it said of what it can do (XEP-0115), and what of that is known.
    var announcement: CapabilityAnnouncement?
    var capabilities: DiscoInfo?
    /// A commit failed: whether the store has its row is not known.
    var lacksRow = false
    /// Whether an initial presence was handled already.
    var sawPresence = false
    var directed: Set<JID> = []
    /// Messages that were handed over and not acknowledged.
    var inFlight: Set<UInt64> = []
    /// Archived messages up to here its client finds in the archive, of which it heard when it was bound: none of them waits for it.
    var archivedThrough: UInt64 = 0
    /// More than `flightBound` were in flight: what comes now waits in the store, in order.
    var isLagging = false

    /// Stream management, once its client enabled it.
    var management: ManagementNote?
    /// When its socket was lost, while it waits for its client.
    var detachedSince = MonotonicTime(nanoseconds: 0)
    /// It is changing its loop.
    var move: Move?
    /// Where it was before it did: that loop keeps it until it hears that it has arrived.
    var movedFrom: SessionRef?
    /// How often it did.
    var moves: UInt32 = 0

    /// Whether it lost its socket and waits for its client to resume it: available all the same, but nobody is there now.
    var isDetached: Bool { management?.isDetached ?? false }
    /// The same, and nobody knows for how long.
    var isWaiting: Bool { management?.isWaiting ?? false }
    var isAvailable: Bool { presence != nil }
    /// Nobody attends to it: what it gets is not seen now.
    var isAsleep: Bool { flags.contains(.inactive) || isDetached }

    /// Whether the inbox goes to `other` rather than to it: to one who is there, of those to the highest priority, of those to the oldest.
    func isAfter(_ other: Resource) -> Bool {
        (isDetached ? 0 : 1, priority, other.bind) < (other.isDetached ? 0 : 1, other.priority, bind)
    }

    init(name: String, jid: JID, session: SessionRef, bind: BindID, device: String? = nil) {
        self.device = device
        self.name = name
        self.jid = jid
        self.session = session
        self.bind = bind
    }
}
