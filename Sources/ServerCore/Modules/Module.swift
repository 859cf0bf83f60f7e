public import Settings
public import Stanzas
public import XMLStream

/// A standard that a module follows, with the version of the text it was written against.
public struct XEP: Hashable, Comparable, Sendable {
    public var number: Int
    public var version: String
    public var title: String
    public init(_ number: Int, _ version: String, _ title: String) {
        self.number = number
        self.version = version
        self.title = title
    }
    /// "XEP-0030".
    public var label: String { "XEP-" + String(repeating: "0", count: max(0, 4 - String(number).count)) + String(number) }

    public static func < (a: XEP, b: XEP) -> Bool { a.number < b.number }
}

/// One XEP (or a family of them): what it handles is data, declared once at start. An instance lives on one loop and is
/// never touched from another.
public protocol Module: AnyObject, SendableMetatype {
    /// One word, as in `martletctl module list`.
    static var name: String { get }
    /// Feeds disco, the README's table and `martletctl module list`.
    static var implements: [XEP] { get }
    init(_ context: ModuleContext)
    func register(in registration: inout Registration)
}

/// All a module may ask for.
public struct ModuleContext: Sendable {
    public let settings: Settings
    public let clock: WallClock
    /// What this server is called and which version runs (XEP-0092).
    public let software: Software
    /// The wall clock µs at which this process started.
    public let started: Int64
    /// The compiled catalogue of features and identities; complete once every module registered.
    public let catalogue: Catalogue
    public let metrics: CoreMetrics
}

/// The server's own name and version.
public struct Software: Sendable, Equatable {
    public var name: String
    public var version: String
    public var system: String
    public init(name: String = "Martlet", version: String, system: String) {
        self.name = name
        self.version = version
        self.system = system
    }
}

/// Whom a request is addressed to, as the dispatch table tells them apart.
public enum Addressee: UInt8, CaseIterable, Sendable {
    /// The domain.
    case server = 0
    /// The sender's own account: no address, or its own bare JID.
    case ownAccount = 1
    /// Another local account's bare JID, asked by one who may see the account's presence.
    case otherAccount = 2
    /// The domain, asked by one who has no account here, as a component. The turn is the host's own.
    case serverOfStranger = 3
    /// Another local account's bare JID, asked by anybody else. Without a claim the answer is the one that nobody gives (RFC 6121
    /// §8.5.1): whoever claims this shows what everybody may have, and answers where there is nothing to show with
    /// `service-unavailable` alone.
    case accountOfStranger = 4
}

/// An IQ of type get or set for the server or an account.
public struct Request {
    public var stanza: Stanza
    /// Full JID of the asker.
    public var from: JID
    /// The one child of the IQ (RFC 6120 §8.2.3).
    public var payload: Element
    public var isSet: Bool { stanza.type == .set }
}

/// What a handler answers: by type exactly once.
public enum IQReply {
    /// A result with this inner XML; empty for an empty result.
    case result([UInt8])
    case error(StanzaError)
    /// The handler answers through the ticket it took from the turn.
    case later
    /// The answer left already, because something had to leave behind it.
    case sent

    /// A result without a payload.
    public static var done: IQReply { .result([]) }

    /// A result whose payload `body` writes.
    public static func result(_ body: (inout XMLWriter) -> Void) -> IQReply {
        var writer = XMLWriter()
        body(&writer)
        return .result(writer.bytes)
    }
}

/// The stations of a message, in their order, each with the reason why it stands before the next.
public enum Stage: Int, CaseIterable, Sendable {
    /// Blocklists, rate and shape: what is refused must leave no trace in any later station.
    case admit
    /// stanza-id and delay: what is kept must be kept with its stamp.
    case stamp
    /// The archive and the inbox: nothing is delivered that is not kept.
    case keep
    /// Who gets it (RFC 6121 §8): copies go to those who were not chosen.
    case choose
    /// Carbons.
    case copy
    /// Push: for what nobody took.
    case hold
}

/// What a message handler says at its station.
public enum Verdict: Sendable {
    case next
    /// The message ends here, silently.
    case drop
    /// The message ends here and its sender hears this.
    case bounce(StanzaError)
}

/// Which way a message passes an account.
public enum Direction: UInt8, CaseIterable, Sendable {
    case outgoing, incoming
}
