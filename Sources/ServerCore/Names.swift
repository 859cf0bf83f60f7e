import Stanzas
import XMLStream

/// Elements the core itself reads.
enum Names {
    static let priority = Name("priority", NS.client)
    static let status = Name("status", NS.client)
    static let rosterQuery = Name("query", NS.roster)
    static let rosterItem = Name("item", NS.roster)
    static let rosterGroup = Name("group", NS.roster)
    static let legacySession = Name("session", NS.session)
    static let blocklist = Name("blocklist", NS.blocking)
    static let carbonsOn = Name("enable", NS.carbons)
    static let carbonsOff = Name("disable", NS.carbons)
    static let forwarded = Name("forwarded", NS.forward)
    static let message = Name("message", NS.client)
    static let roomStatus = Name("status", NS.mucUser)
    static let roomInvitation = Name("invite", NS.mucUser)
    static let originID = Name("origin-id", NS.stanzaID)
}

extension String {
    /// Without white space at both ends.
    var trimmingASCIISpace: String {
        var bytes = utf8[...]
        while let first = bytes.first, first == 0x20 || (0x09...0x0D).contains(first) { bytes = bytes.dropFirst() }
        while let last = bytes.last, last == 0x20 || (0x09...0x0D).contains(last) { bytes = bytes.dropLast() }
        return String(Substring(bytes))
    }
}
