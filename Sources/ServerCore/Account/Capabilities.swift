public import Stanzas
import XMLStream

/// How a client says in its presence what it can do (XEP-0115 §4): a string that stands for its answer to disco#info.
public struct CapabilityAnnouncement: Hashable, Sendable {
    /// A URI of the software.
    public var node: String
    /// The name of the hash function.
    public var hash: String
    /// The verification string.
    public var ver: String

    /// What a presence announces; nil when it announces nothing, or in the form from before 1.4, which cannot be verified.
    public init?(_ presence: Stanza) {
        guard let fact = presence.payload.facts.first(.capabilities), let element = presence.payload.element(of: fact),
            let node = element["node"], let hash = element["hash"], let ver = element["ver"],
            [node, hash, ver].allSatisfy({ (1...Self.bound).contains($0.utf8.count) })
        else { return nil }
        self.node = node
        self.hash = hash
        self.ver = ver
    }

    /// Bytes of each part: they stay in memory.
    private static let bound = 512
}

/// What is known of a session's client, for the administrator. The answer to the call `capabilities.show`.
public struct CapabilityReport: Sendable, Equatable {
    /// Category, type and name of the client's first identity; empty when it is not known.
    public var client: String
    /// `node#ver`.
    public var announced: String
    /// How many features it has, 0 while they are not known.
    public var features: Int

    public init(client: String, announced: String, features: Int) {
        self.client = client
        self.announced = announced
        self.features = features
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.string(client)
        writer.string(announced)
        writer.count(features)
        return writer.bytes
    }

    public init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        client = try reader.string()
        announced = try reader.string()
        features = try reader.count()
    }
}

extension Account {
    /// What a session announced last. One that says nothing in a later presence is what it was (XEP-0115 §5.2.4).
    public func announcement(of session: JID) -> CapabilityAnnouncement? { resource(jid: session)?.announcement }

    /// What a session's client can do, as far as it is known and proved.
    public func capabilities(of session: JID) -> DiscoInfo? { resource(jid: session)?.capabilities }

    /// Notes what a session announces; what was known of it before is forgotten.
    ///
    /// - Returns: false when there is nothing new in it.
    public func announce(_ announcement: CapabilityAnnouncement, by session: JID) -> Bool {
        guard let resource = resource(jid: session), resource.announcement != announcement else { return false }
        resource.announcement = announcement
        resource.capabilities = nil
        return true
    }

    /// Notes what a session can do, unless it announces something else by now.
    public func learn(_ capabilities: DiscoInfo, announced: CapabilityAnnouncement, by session: JID) {
        guard let resource = resource(jid: session), resource.announcement == announced else { return }
        resource.capabilities = capabilities
    }
}
