// What accounts and hosts say of themselves: vCards, private storage, contact addresses.

extension Settings {
    /// `[profile]`: what an account may keep for itself and for others to see.
    public struct Profile: Sendable, Equatable {
        /// Bytes of one vCard (XEP-0054).
        public var vCardBytes = 131_072
        /// Bytes of all private XML of one account (XEP-0049).
        public var privateBytes = 262_144
        /// Elements of private XML of one account, told apart by name and namespace.
        public var privateItems = 100
        public init() {}
    }

    /// `[search]`: the directory of a host's users (XEP-0055).
    public struct Search: Sendable, Equatable {
        /// Whether there is one. In it stands who asks for it.
        public var enabled = false
        /// Users in one answer.
        public var results = 50
        public init() {}
    }

    /// URIs at which people reach those who run a host (XEP-0157 §3), and where they learn of its outages (XEP-0455 §2.1).
    public struct Contacts: Sendable, Equatable {
        public var abuse: [String] = []
        public var admin: [String] = []
        public var feedback: [String] = []
        public var sales: [String] = []
        public var security: [String] = []
        public var status: [String] = []
        public var support: [String] = []
        /// Documents for clients, not pages for people.
        public var outage: [String] = []
        public init() {}
    }
}

extension SettingsTable {
    static let profile: [Setting<Settings>] = [
        .integer(
            "profile.vcard_bytes", \.profile.vCardBytes, 1_024...16_777_216, "bytes", live: true,
            "The largest vCard of an account, its photo included; limits.stanza_bytes bounds it too."),
        .integer(
            "profile.private_bytes", \.profile.privateBytes, 1_024...16_777_216, "bytes", live: true,
            "All private XML of an account together, as bookmarks and notes of older clients."),
        .integer(
            "profile.private_items", \.profile.privateItems, 1...10_000, "elements", live: true, "Elements of private XML of an account."),
        .flag(
            "search.enabled", \.search.enabled, live: true,
            "Whether users can search for others of their host, by name and mail address. Only who asks to be listed is found."),
        .integer(
            "search.results", \.search.results, 1...1_000, "users", live: true,
            "Users in one answer; who wants others must search more closely."),
    ]

    static let contacts: [Setting<Settings.Host>] = [
        .texts(
            "abuse_addresses", \.contacts.abuse, .texts(.uri), live: true,
            "Where abuse is reported. These addresses are told to everybody who asks."),
        .texts("admin_addresses", \.contacts.admin, .texts(.uri), live: true, "Where those who run the service are reached."),
        .texts("feedback_addresses", \.contacts.feedback, .texts(.uri), live: true, "Where its users say what they think."),
        .texts("sales_addresses", \.contacts.sales, .texts(.uri), live: true, "Where its sales people are reached."),
        .texts("security_addresses", \.contacts.security, .texts(.uri), live: true, "Where holes are reported."),
        .texts("status_addresses", \.contacts.status, .texts(.uri), live: true, "Where people read how the service is doing."),
        .texts("support_addresses", \.contacts.support, .texts(.uri), live: true, "Where its users get help."),
        .texts(
            "outage_addresses", \.contacts.outage, .texts(.uri), live: true,
            "Where clients find a JSON document about outages (XEP-0455), best as https:// on another machine, readable by all."),
    ]
}

extension TextShape {
    /// A scheme, a colon, and something behind it, all of it in characters that may stand in a URI or IRI.
    static func isURI(_ text: String) -> Bool {
        let utf8 = text.utf8
        guard utf8.count <= 2_048, isLine(text), let colon = utf8.firstIndex(of: UInt8(ascii: ":")), let first = utf8.first else {
            return false
        }
        func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
        let scheme = utf8[..<colon]
        return isLetter(first) && scheme.allSatisfy { isLetter($0) || TOMLCursor.isDigit($0) || "+-.".utf8.contains($0) }
            && utf8.index(after: colon) < utf8.endIndex && !utf8.contains { " \"<>\\^`{|}".utf8.contains($0) }
    }
}
