import ServerCore
import Stanzas
import StreamLogic
import XMLStream

/// A client in memory that has not authenticated: the stream machine, and the modules that answer visitors.
public final class MemoryVisitor: Player, @unchecked Sendable {
    // @unchecked: the whole cluster runs in one thread.
    private var stream: ClientStream
    private let shard: Shard
    private let cluster: MemoryCluster
    private let visitor: Visitor
    /// The features that the modules offer.
    public let features: String
    private var received: [String] = []
    private var end: String?

    /// - Parameter address: the prefix that the client is said to come from.
    public init(_ cluster: MemoryCluster, node: Int = 0, loop: Int = 0, address: String = "192.0.2.7/32", isProtected: Bool = true) throws {
        self.cluster = cluster
        shard = cluster.nodes[node].shards[loop]
        visitor = Visitor(domain: cluster.domain, address: address, isProtected: isProtected)
        features = String(decoding: shard.table.features(for: visitor), as: UTF8.self)
        stream = ClientStream(
            policy: StreamPolicy(
                hosts: [cluster.domain: .init(offersTLS: false, requiresTLS: false)], domain: cluster.domain, mechanisms: ["PLAIN"]))
        let header =
            "<stream:stream to='\(cluster.domain)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        let parsed = try Array(header.utf8).withUnsafeBytes { try XMLStreamParser(namespace: .client).parse(header: $0) }
        guard case .open = stream.header(parsed) else { throw PlayFailure(description: "the stream of a visitor is refused") }
    }

    public let jid = ""

    public func send(_ xml: String) async throws { try say(xml) }

    /// Sends a request; it is worked on when the cluster runs.
    public func say(_ xml: String) throws {
        let element = try Element.parse(Array(xml.utf8))
        shard.enter { shard in self.take(element, shard) }
    }

    private func take(_ element: Element, _ shard: Shard) {
        switch stream.receive(element) {
        case .visit(let isSet):
            guard let payload = ClientStream.payload(of: element),
                shard.receive(payload, isSet: isSet, from: visitor, answer: { self.answer($0) })
            else { return answer(.error(StanzaError(.serviceUnavailable))) }
        case .fail(let closing): close(closing)
        case .refuse(let id, let error, let closing): write(error, id, closing)
        default: break
        }
    }

    private func answer(_ reply: IQReply) {
        switch reply {
        case .result(let payload):
            guard case .answer(let id) = stream.visited(nil) else { return }
            put { StreamWriting.result(payload, id: id, into: &$0) }
        case .error(let error):
            guard case .refuse(let id, let error, let closing) = stream.visited(error) else { return }
            write(error, id, closing)
        case .later, .sent: break
        }
    }

    private func write(_ error: StanzaError, _ id: String, _ closing: Closing?) {
        put { StreamWriting.refusal(error, id: id, into: &$0) }
        if let closing { close(closing) }
    }

    private func put(_ body: (inout XMLWriter) -> Void) {
        var writer = XMLWriter()
        body(&writer)
        received.append(String(decoding: writer.bytes, as: UTF8.self))
    }

    private func close(_ closing: Closing) { end = closing.error?.condition.rawValue ?? "closed" }

    public func takeReceived() async throws -> [String] { take() }

    /// What came since the last call.
    public func take() -> [String] {
        defer { received.removeAll() }
        return received
    }

    public func leave() async throws { stream.lost() }
    public func drop() async throws { stream.lost() }
    public func endCondition() async throws -> String? { end }
}
