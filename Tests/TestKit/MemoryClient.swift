public import ServerCore
public import Stanzas
import StreamLogic
import XMLStream

/// A client without a socket: what the server writes is cut into stanzas, what it sends is read like from the wire.
public final class MemoryClient: ClientConnection, Player, @unchecked Sendable {
    // @unchecked: the whole cluster runs in one thread.
    private let shard: Shard
    private let cluster: MemoryCluster
    public private(set) var session: Session?
    public private(set) var bindError: StanzaError?
    public private(set) var management: ClientManagement?
    /// The session it asked for, and what was counted in it: what it knows as long as it has no answer.
    public private(set) var previd = ""
    public private(set) var continued: ClientManagement?
    /// Why the session could not be resumed.
    public private(set) var resumeError: ResumeRefusal?
    private var resumption: Resumption?
    private var received: [String] = []
    public private(set) var closedWith: String?
    public private(set) var isReading = true
    /// What the client heard of its archive with the resource.
    public private(set) var archiveAtBind: ArchiveMetadata?
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

    func bind(_ account: JID, _ resource: String?, _ terms: BindTerms = BindTerms()) {
        shard.enter { shard in
            self.session = shard.bind(account: account, resource: resource, terms: terms, connection: self) { result in
                switch result {
                case .success(let session): self.archiveAtBind = session.archiveAtBind
                case .failure(let error): self.bindError = error
                }
            }
        }
    }

    /// Asks for the session of another client, whose stream may still stand.
    ///
    /// - Parameter h: Stanzas it says to have; nil: what it counted.
    func resume(_ account: JID, _ previd: String, continuing earlier: ClientManagement?, h: UInt32?) {
        let said = h ?? earlier?.received ?? 0
        self.previd = previd
        continued = earlier
        shard.enter { shard in
            guard self.closedWith == nil else { return }
            self.resumption = shard.resume(account: account, previd: previd, h: said, connection: self) { result in
                self.resumption = nil
                switch result {
                case .failure(let refusal):
                    self.resumeError = refusal
                    if let error = refusal.streamError { self.close(error) }
                case .success(let resumed):
                    self.session = resumed.session
                    self.management = earlier
                    self.management?.rewind(to: said)
                    resumed.session.resend()
                    // Its own part: what the server has not handled goes out again.
                    guard let answer = try? Element.parse(Array("<resumed h='\(resumed.h)'/>".utf8)) else { return }
                    for stanza in self.management?.resumed(answer) ?? [] { try? self.submit(stanza) }
                }
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
        arrive(arrived)
        // As a socket with room does: the kernel has it before the call returns.
        session?.written(through: mark)
    }

    private func arrive(_ elements: [String]) {
        for text in elements {
            guard management != nil, let element = try? Element.parse(Array(text.utf8)) else {
                received.append(text)
                continue
            }
            if management?.take(element) == true { continue }
            if element.namespace == NS.streamManagement {
                if element.local == "enabled" { management?.enabled(element) }
            } else {
                management?.noteReceived()
            }
            received.append(text)
        }
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
            self.arrive(self.stuck)
            self.stuck = []
            self.session?.written(through: self.stalledMark)
        }
    }

    /// The client is elsewhere by now: what comes here it does not read, and the server does not know.
    public func abandon() { if closedWith == nil { closedWith = "abandoned" } }

    /// The stream that was abandoned is closed after all.
    public func endAbandoned() {
        guard closedWith == "abandoned" else { return }
        shard.enter { _ in if self.session?.connection === self { self.session?.streamClosed(.closedByPeer) } }
    }

    public func close(_ error: StreamError?) { closedWith = error?.condition.rawValue ?? "closed" }
    public func cut() { closedWith = "cut" }
    public func setReading(_ on: Bool) { isReading = on }

    // MARK: The client's side

    /// Sends stanzas that the server reads in one go.
    public func postTogether(_ all: [String]) throws {
        let stanzas = try all.map { xml in
            let bytes = Array(xml.utf8)
            let element = try Element.parse(bytes)
            return (try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }, bytes.count)
        }
        for xml in all { management?.noteSent(xml) }
        shard.enter { _ in
            guard self.closedWith == nil else { return }
            for (stanza, size) in stanzas { self.session?.submit(stanza, size: size) }
        }
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
        if element.namespace == NS.streamManagement { return manage(element) }
        let stanza = try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }
        management?.noteSent(xml)
        shard.enter { _ in if self.closedWith == nil { self.session?.submit(stanza, size: bytes.count) } }
    }

    /// Sends again, without counting it anew.
    private func submit(_ xml: String) throws {
        let bytes = Array(xml.utf8)
        let element = try Element.parse(bytes)
        let stanza = try bytes.withUnsafeBytes { source in try Stanza(element, source: source, streamLang: nil) }
        session?.submit(stanza, size: bytes.count)
    }

    /// What the stream would do with an element of stream management.
    private func manage(_ element: Element) {
        let isFirst = element.local == "enable" && management == nil && ClientStream.managementWish(element) != nil
        if isFirst { management = ClientManagement() }
        let (local, wish, h) = (element.local, ClientStream.managementWish(element), element["h"].flatMap { UInt32($0) })
        shard.enter { _ in
            guard self.closedWith == nil, let session = self.session else { return }
            switch local {
            case "r": session.acknowledgementAsked()
            case "a": if let h { session.acknowledged(through: h) }
            default:
                var answer = XMLWriter()
                if isFirst, let wish {
                    let grant = session.enableManagement(resumable: wish.resume, maxSeconds: wish.max)
                    StreamWriting.enabled(id: grant.id, max: grant.max, location: grant.location, into: &answer)
                } else {
                    StreamWriting.managementFailed(wish == nil ? .badRequest : .unexpectedRequest, into: &answer)
                }
                let text = String(decoding: answer.bytes, as: UTF8.self)
                if self.isStalled || !self.stuck.isEmpty { self.stuck.append(text) } else { self.arrive([text]) }
            }
        }
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
        shard.enter { _ in
            self.resumption?.streamClosed()
            self.session?.streamClosed(reason)
        }
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

    public func resume(_ name: String, from player: any Player, h: Int?) async throws -> (player: (any Player)?, refusal: String?) {
        let alive = cluster.nodes.indices.filter { cluster.nodes[$0].isAlive }
        let node = alive[next % alive.count]
        next += 1
        guard let before = player as? MemoryClient else { return (nil, nil) }
        let client = try cluster.resume(name, from: before, node: node, h: h.flatMap { before.management?.count(visible: $0) })
        guard let refusal = client.resumeError else { return (client, nil) }
        if let error = refusal.streamError { return (nil, "<error><\(error.condition.rawValue)/></error>") }
        var writer = XMLWriter()
        StreamWriting.managementFailed(refusal.condition, h: refusal.h, into: &writer)
        return (nil, String(decoding: writer.bytes, as: UTF8.self))
    }

    public func advanceClock(seconds: Int64) async throws { cluster.advance(seconds: seconds) }
    /// Every thread is a step of the cluster here.
    public let patience = Duration.zero

    public func settle(_ players: [any Player]) async throws { cluster.run() }
}
