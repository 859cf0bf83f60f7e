public import ServerCore
public import Stanzas
import StreamLogic
import XMLStream

/// A component without a socket: what it sends passes the stream's own machine, as from the wire.
public final class MemoryComponent: ClientConnection, Player, @unchecked Sendable {
    // @unchecked: the whole cluster runs in one thread.
    private let shard: Shard
    private let domain: JID
    private var stream: ComponentStream
    public private(set) var session: ComponentSession?
    private var received: [String] = []
    public private(set) var closedWith: String?
    public private(set) var isReading = true
    /// While true, what the server writes does not reach the kernel.
    public var isStalled = false

    init(_ domain: JID, shard: Shard) {
        self.shard = shard
        self.domain = domain
        stream = ComponentStream(domains: [domain.domain], serverName: domain.domain)
    }

    public var facts: ConnectionFacts { ConnectionFacts(remoteAddress: "memory", localPort: 0, mechanism: "handshake", since: 0) }
    public var jid: String { domain.description }

    /// Opens the stream and proves who it is.
    func begin() throws {
        let header = Array("<stream:stream xmlns='\(NS.componentAccept)' xmlns:stream='\(NS.stream)' to='\(domain)'>".utf8)
        let parsed = try header.withUnsafeBytes { try XMLStreamParser(namespace: .component).parse(header: $0) }
        guard case .open = stream.header(parsed) else { throw PlayFailure(description: "\(domain) cannot open a stream") }
        guard case .verify = stream.receive(try Element.parse(Array("<handshake/>".utf8))) else {
            throw PlayFailure(description: "\(domain) is not asked for a handshake")
        }
        shard.enter { shard in
            self.session = shard.attach(component: self.domain, connection: self) { result in
                switch result {
                case .success: _ = self.stream.granted()
                case .failure(let error): if let closing = self.stream.refused(error) { self.finish(closing) }
                }
            }
        }
    }

    private func finish(_ closing: Closing) {
        closedWith = closing.error?.condition.rawValue ?? "closed"
        session?.streamClosed(closing.error.map(StreamEnd.failed) ?? .closedByPeer)
    }

    // MARK: The server's side

    public func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64) {
        guard closedWith == nil, !isStalled else { return }
        received += MemoryClient.cut(bytes)
        session?.written(through: mark)
    }

    public func close(_ error: StreamError?) {
        if let closing = stream.close(error) { closedWith = closing.error?.condition.rawValue ?? "closed" }
    }

    public func cut() { close(nil) }
    public func setReading(_ on: Bool) { isReading = on }

    // MARK: The component's side

    /// Sends one stanza; the cluster works it off when it runs.
    public func post(_ xml: String) throws {
        let bytes = Array(xml.utf8)
        let element = try Element.parse(bytes)
        shard.enter { _ in
            switch self.stream.receive(element) {
            case .stanza: break
            case .fail(let closing): return self.finish(closing)
            case .verify, .ignore: return
            }
            switch bytes.withUnsafeBytes({ self.stream.stanza(element, source: $0) }) {
            case .submit(let stanza): self.session?.submit(stanza, size: bytes.count)
            case .bounce(let answer): self.received.append(String(decoding: answer, as: UTF8.self))
            case .fail(let closing): self.finish(closing)
            case .ignore: break
            }
        }
    }

    public func send(_ xml: String) async throws { try post(xml) }

    public func takeReceived() -> [String] {
        defer { received = [] }
        return received
    }

    public func end(_ reason: StreamEnd) {
        guard closedWith == nil else { return }
        closedWith = "closed"
        shard.enter { _ in self.session?.streamClosed(reason) }
    }

    public func leave() async throws { end(.closedByPeer) }
    public func drop() async throws { end(.lost) }
    public func endCondition() async throws -> String? { closedWith }
}

extension MemoryCluster {
    /// Connects a component to a node.
    public func connectComponent(_ name: String, node: Int, loop: Int = 0) throws -> MemoryComponent {
        let component = MemoryComponent(try JID("\(name).\(domain)"), shard: nodes[node].shards[loop])
        try component.begin()
        run()
        return component
    }
}
