public import ServerCore
public import Stanzas
import XMLStream

/// A client without a socket: what the server writes is cut into stanzas, what it sends is read like from the wire.
public final class MemoryClient: ClientConnection, Player, @unchecked Sendable {
    // @unchecked: the whole cluster runs in one thread.
    private let shard: Shard
    private let cluster: MemoryCluster
    public private(set) var session: Session?
    public private(set) var bindError: StanzaError?
    private var received: [String] = []
    public private(set) var closedWith: String?
    public private(set) var isReading = true
    /// While true, what the server writes does not reach the kernel: nothing is acknowledged.
    public var isStalled = false
    private var stalledMark: UInt64 = 0
    /// Written while stalled: it arrives with `unstall`, or never.
    private var stuck: [String] = []

    init(shard: Shard, cluster: MemoryCluster) {
        self.shard = shard
        self.cluster = cluster
    }

    public var facts: ConnectionFacts {
        ConnectionFacts(remoteAddress: "memory", localPort: 0, mechanism: "none", since: 0)
    }
    public var jid: String { session?.fullJID.description ?? "" }

    func bind(_ account: JID, _ resource: String?) {
        shard.enter { shard in
            self.session = shard.bind(account: account, resource: resource, connection: self) { result in
                if case .failure(let error) = result { self.bindError = error }
            }
        }
    }

    // MARK: The server's side

    public func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64) {
        // The client is gone: the kernel takes it, and nobody reads it.
        guard closedWith == nil else { return }
        let arrived = Self.cut(bytes)
        guard !isStalled, stuck.isEmpty else {
            stalledMark = mark
            stuck += arrived
            return
        }
        received += arrived
        // As a socket with room does: the kernel has it before the call returns.
        session?.written(through: mark)
    }

    /// What was written, as whole elements.
    static func cut(_ bytes: UnsafeRawBufferPointer) -> [String] {
        var arrived: [String] = []
        var framer = StanzaFramer(limits: XMLLimits(), expectsHeader: false)
        var rest = bytes[...]
        while !rest.isEmpty {
            guard case .stanza(let start, let end)? = try? framer.next(UnsafeRawBufferPointer(rebasing: rest)) else {
                // What no client could read is shown as it is: no expectation matches it.
                arrived.append(String(decoding: rest, as: UTF8.self))
                break
            }
            arrived.append(String(decoding: rest[(rest.startIndex + start)..<(rest.startIndex + end)], as: UTF8.self))
            rest = rest[(rest.startIndex + end)...]
        }
        return arrived
    }

    /// Lets what was written reach the kernel.
    public func unstall() {
        guard isStalled else { return }
        isStalled = false
        shard.enter { _ in
            guard !self.isStalled, self.closedWith == nil else { return }
            self.received += self.stuck
            self.stuck = []
            self.session?.written(through: self.stalledMark)
        }
    }

    public func close(_ error: StreamError?) { closedWith = error?.condition.rawValue ?? "closed" }
    public func setReading(_ on: Bool) { isReading = on }

    // MARK: The client's side

    /// Sends stanzas that the server reads in one go.
    public func postTogether(_ all: [String]) throws {
        let stanzas = try all.map { xml in
            let bytes = Array(xml.utf8)
            let element = try Element.parse(bytes)
            return (try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }, bytes.count)
        }
        shard.enter { _ in for (stanza, size) in stanzas { self.session?.submit(stanza, size: size) } }
    }

    /// Sends one stanza; the cluster works it off when it runs.
    public func post(_ xml: String) throws {
        let bytes = Array(xml.utf8)
        let element = try Element.parse(bytes)
        // As the stream does with what is no stanza (XEP-0352).
        if element.namespace == NS.clientState {
            let isActive = element.local == "active"
            return shard.enter { _ in self.session?.setActive(isActive) }
        }
        let stanza = try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }
        shard.enter { _ in self.session?.submit(stanza, size: bytes.count) }
    }

    public func send(_ xml: String) async throws { try post(xml) }

    public func takeReceived() -> [String] {
        let all = received
        received = []
        return all
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

/// The first theatre: in memory, on a manual clock; players are spread over the nodes in turn.
public final class MemoryTheatre: Theatre {
    private let cluster: MemoryCluster
    private var known: Set<String> = []
    private var next = 0

    public init(_ cluster: MemoryCluster) { self.cluster = cluster }

    public var domain: String { cluster.domain }

    public func addAccount(_ name: String) async throws {
        if known.insert(name).inserted { try cluster.addAccount(name) }
    }

    public func connect(_ name: String, resource: String) async throws -> any Player {
        let alive = cluster.nodes.indices.filter { cluster.nodes[$0].isAlive }
        let node = alive[next % alive.count]
        let loop = (next / alive.count) % cluster.nodes[node].shards.count
        next += 1
        let client = try cluster.connect(name, resource: resource, node: node, loop: loop)
        if let error = client.bindError { throw PlayFailure(description: "\(name)/\(resource) cannot bind: \(error)") }
        return client
    }

    public func visit() async throws -> any Player {
        let alive = cluster.nodes.indices.filter { cluster.nodes[$0].isAlive }
        let node = alive[next % alive.count]
        next += 1
        return try MemoryVisitor(cluster, node: node)
    }

    public func connectComponent(_ name: String) async throws -> any Player {
        let alive = cluster.nodes.indices.filter { cluster.nodes[$0].isAlive }
        let node = alive[next % alive.count]
        next += 1
        return try cluster.connectComponent(name, node: node)
    }

    public func advanceClock(seconds: Int64) async throws { cluster.advance(seconds: seconds) }
    /// Every thread is a step of the cluster here.
    public let patience = Duration.zero

    public func settle(_ players: [any Player]) async throws { cluster.run() }
}
