public import ServerCore

/// The table of standards in the README, made from what the code says of itself. `martletd --xep-table` prints it.
public enum XEPTable {
    /// A row: the extension, and where in the server it is followed.
    public struct Row: Sendable, Comparable {
        public var xep: XEP
        /// The name of a module, or of the room that follows it.
        public var place: String

        public static func < (a: Row, b: Row) -> Bool { (a.xep, a.place) < (b.xep, b.place) }
    }

    /// Extensions that are part of the way of every stanza or stream, so that no module could add them.
    public static let core: [Row] = [
        Row(xep: XEP(78, "2.5", "Non-SASL Authentication (off by default)"), place: "streams"),
        Row(xep: XEP(114, "1.6", "Jabber Component Protocol"), place: "components"),
        Row(xep: XEP(138, "2.1", "Stream Compression (off by default)"), place: "streams"),
        Row(xep: XEP(160, "1.0.1", "Best Practices for Handling Offline Messages"), place: "core"),
        Row(xep: XEP(198, "1.6.3", "Stream Management"), place: "core"),
        Row(xep: XEP(203, "2.0", "Delayed Delivery"), place: "core"),
        Row(xep: XEP(227, "1.1", "Portable Import/Export Format for XMPP-IM Servers"), place: "administration"),
        Row(xep: XEP(334, "1.0.0", "Message Processing Hints (storage)"), place: "core"),
        Row(xep: XEP(368, "1.1.0", "SRV records for XMPP over TLS (direct TLS)"), place: "streams"),
        Row(xep: XEP(386, "1.1.0", "Bind 2"), place: "streams"),
        Row(xep: XEP(388, "1.0.4", "Extensible SASL Profile"), place: "streams"),
        Row(xep: XEP(440, "1.0.0", "SASL Channel-Binding Type Capability"), place: "streams"),
        Row(xep: XEP(474, "0.5.0", "SASL SCRAM Downgrade Protection"), place: "streams"),
        Row(xep: XEP(478, "0.2.0", "Stream Limits Advertisement"), place: "streams"),
        Row(xep: XEP(480, "0.2.0", "SASL Upgrade Tasks"), place: "streams"),
        Row(xep: XEP(484, "0.2.0", "Fast Authentication Streamlining Tokens"), place: "streams"),
    ]

    /// Every extension that is followed, in the order of the numbers.
    public static var rows: [Row] {
        (core + ModuleList.all.flatMap { module in module.implements.map { Row(xep: $0, place: module.name) } }).sorted()
    }

    /// The table in Markdown: the RFCs, then the extensions. Ends with a newline.
    public static var markdown: String {
        var lines = ["| RFC | Title |", "|---|---|"]
        for (number, title) in rfcs { lines.append("| [RFC \(number)](https://www.rfc-editor.org/rfc/rfc\(number)) | \(title) |") }
        lines += ["", "| XEP | Version | Title | Where |", "|---|---|---|---|"]
        for row in rows {
            let label = row.xep.label
            let page = "https://xmpp.org/extensions/\(label.lowercased()).html"
            lines.append("| [\(label)](\(page)) | \(row.xep.version) | \(row.xep.title) | \(row.place) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The RFCs that the rooms are written against. They have no module: they are the server.
    private static let rfcs: [(number: Int, title: String)] = [
        (6120, "XMPP: Core (streams of clients)"),
        (6121, "XMPP: Instant Messaging and Presence"),
        (7622, "XMPP: Address Format"),
        (8265, "PRECIS: Usernames and Passwords"),
        (7590, "Use of TLS in XMPP"),
        (5802, "SCRAM-SHA-1 and -PLUS"),
        (7677, "SCRAM-SHA-256 and -PLUS"),
        (4616, "PLAIN, under TLS only"),
        (5929, "Channel binding: tls-server-end-point"),
        (9266, "Channel binding: tls-exporter"),
    ]
}
