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
        /// It has no socket and may be resumed (XEP-0198).
        static let detached = Flags(rawValue: 8)
        static let sleep: Flags = [.inactive, .detached]
        /// Asked for the block list, so it hears of changes (XEP-0191 §3.3).
        static let blocklist = Flags(rawValue: 16)
    }

    /// Addresses one session may send directed presence to and be remembered for; beyond, the presence is refused.
    static let directedBound = 1_000
    /// Messages in flight to one session beyond which the rest waits in the store.
    static let flightBound = 256
    /// Owed messages that are read at once.
    static let pageBound = 100

    let name: String
    let jid: JID
    let session: SessionRef
    let bind: BindID
    /// The installation of the client (`BindTerms.device`).
    let device: String?
    var flags: Flags = []
    /// The last available presence, as it is broadcast; nil while the resource is not available.
    var presence: Stanza?
    var priority: Int8 = 0
    /// Whether an initial presence was handled already.
    var sawPresence = false
    /// Whether it was ever available, so that somebody may believe it is.
    var wasAvailable = false
    var directed: Set<JID> = []
    /// Messages that were handed over and not acknowledged.
    var inFlight: Set<UInt64> = []
    /// More than `flightBound` were in flight: what comes now waits in the store, in order.
    var isLagging = false

    var isAvailable: Bool { presence != nil }
    /// Nobody attends to it: what it gets is not seen now.
    var isAsleep: Bool { !flags.isDisjoint(with: .sleep) }

    init(name: String, jid: JID, session: SessionRef, bind: BindID, device: String? = nil) {
        self.device = device
        self.name = name
        self.jid = jid
        self.session = session
        self.bind = bind
    }
}
