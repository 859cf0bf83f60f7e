public import Stanzas

/// What an account wants archived (XEP-0441).
public struct ArchivePreferences: Sendable, Equatable {
    /// For those who stand in neither list (§2.1.1).
    public enum Default: UInt8, Sendable, CaseIterable {
        case always = 0
        case never = 1
        /// Those in the roster.
        case roster = 2

        /// The attribute's value.
        public var name: String {
            switch self {
            case .always: "always"
            case .never: "never"
            case .roster: "roster"
            }
        }
    }

    public var standard = Default.always
    /// Bare or full JIDs.
    public var always: [JID] = []
    public var never: [JID] = []

    /// Addresses in both lists together.
    public static let bound = 1_000

    public init() {}

    /// Whether messages from or to an address are archived (§2.3.1). A listed full JID outweighs a bare one, and never outweighs always.
    ///
    /// - Parameter isInRoster: asked only where it matters.
    public func keeps(_ peer: JID, isInRoster: (JID) -> Bool) -> Bool {
        if peer.resource != nil {
            if never.contains(peer) { return false }
            if always.contains(peer) { return true }
        }
        let bare = peer.bare
        if never.contains(bare) { return false }
        if always.contains(bare) { return true }
        switch standard {
        case .always: return true
        case .never: return false
        case .roster: return isInRoster(bare)
        }
    }

    /// The value of the item that keeps them.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(standard.rawValue)
        for list in [always, never] {
            writer.count(list.count)
            for jid in list { writer.string(jid.description) }
        }
        return writer.bytes
    }

    /// Reads what `encode` wrote; nil for anything else.
    public init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let standard = (try? reader.uint8()).flatMap({ Default(rawValue: $0) }) else { return nil }
        self.standard = standard
        func list() -> [JID]? {
            guard let count = try? reader.count(), count <= Self.bound else { return nil }
            var list: [JID] = []
            for _ in 0..<count {
                guard let text = try? reader.string(), let jid = try? JID(text) else { return nil }
                list.append(jid)
            }
            return list
        }
        guard let always = list(), let never = list(), reader.isAtEnd else { return nil }
        self.always = always
        self.never = never
    }
}
