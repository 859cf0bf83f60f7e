public import Stanzas

/// One connected component as the administrator sees it.
public struct ComponentInfo: Sendable, Equatable {
    /// The domain it speaks for.
    public var domain: String
    public var nodeName: String
    /// "address:port" of the peer.
    public var remoteAddress: String
    /// When it was granted the domain, wall clock µs.
    public var since: Int64
    public var stanzasIn: UInt64
    public var stanzasOut: UInt64
    /// Stanzas from it that are not handled yet.
    public var unhandled: Int
    /// Bytes that its socket has not taken yet.
    public var queuedBytes: Int

    /// The question for `Shard.ask`.
    public static let question: [UInt8] = [2]

    /// The components in one part of an answer.
    public static func decode(_ part: [UInt8]) throws(CodecError) -> [ComponentInfo] {
        var reader = ByteReader(part)
        var all: [ComponentInfo] = []
        while !reader.isAtEnd { all.append(try ComponentInfo(from: &reader)) }
        return all
    }

    private init(from reader: inout ByteReader) throws(CodecError) {
        domain = try reader.string()
        nodeName = try reader.string()
        remoteAddress = try reader.string()
        since = Int64(bitPattern: try reader.uint64())
        stanzasIn = try reader.uint64()
        stanzasOut = try reader.uint64()
        unhandled = try reader.count()
        queuedBytes = try reader.count()
    }

    init(_ session: ComponentSession, nodeName: String) {
        domain = session.domain.domain
        self.nodeName = nodeName
        remoteAddress = session.connection.facts.remoteAddress
        since = session.since
        stanzasIn = session.stanzasIn
        stanzasOut = session.stanzasOut
        unhandled = session.unhandled
        queuedBytes = session.bytesWaiting
    }

    func encode(into writer: inout ByteWriter) {
        writer.string(domain)
        writer.string(nodeName)
        writer.string(remoteAddress)
        writer.uint64(UInt64(bitPattern: since))
        writer.uint64(stanzasIn)
        writer.uint64(stanzasOut)
        writer.count(unhandled)
        writer.count(queuedBytes)
    }
}

extension Shard {
    /// The components that are connected here, when that is the question.
    func componentAnswer(to question: [UInt8]) -> [UInt8]? {
        guard question == ComponentInfo.question else { return nil }
        var writer = ByteWriter()
        for session in componentSessions.values where session.isBound {
            ComponentInfo(session, nodeName: core.nodeName).encode(into: &writer)
        }
        return writer.bytes
    }
}
