/// The words of the Portable Import/Export Format (XEP-0227).
public enum Portable {
    /// The root, hosts, users and offline messages (§4).
    public static let namespace = "urn:xmpp:pie:0"
    /// `<scram-credentials/>` (§4.3).
    public static let scram = "urn:xmpp:pie:0#scram"
    /// `<archive/>` (§4.11).
    public static let archive = "urn:xmpp:pie:0#mam"
    /// What this server writes beside what the text knows, and what others pass over: `<disabled/>`, `<archive-ids/>`.
    public static let own = "urn:x-martlet:portable:0"
    public static let xInclude = "http://www.w3.org/2001/XInclude"
    static let roster = "jabber:iq:roster"
    static let privateXML = "jabber:iq:private"
    static let blocking = "urn:xmpp:blocking"
    static let pubsub = "http://jabber.org/protocol/pubsub"

    /// Bytes of one thing of an account (a message, a vCard, a contact) written as XML; what is larger is not carried.
    public static let partBytes = 1_048_576
    /// Bytes of one line between the two ends of an import: a part and what says where it stood.
    public static let longestLine = partBytes + 8_192

    /// Where in an account a thing stood.
    public enum Place: String, Sendable, CaseIterable {
        /// A child of `<user/>` itself: keys, vCard, privacy lists, subscription requests.
        case user
        /// A contact.
        case roster
        /// An element of private storage.
        case privateXML = "private"
        /// A blocked address.
        case blocked
        /// A message that was not delivered.
        case offline
        /// An archived message.
        case archive
    }
}
