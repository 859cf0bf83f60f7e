import XMLStream

/// The second and third theatre: real processes, one or several. Players come to the nodes in turn, each to its own port.
///
/// "Everything has had its consequences" is found out with fences, never by waiting: every player sends a headline to the session of
/// every other, and a ping to every account; when all have come, whatever went the same ways before has come too. What that set off
/// is caught by the next round. A subscription goes four ways (a request, its answer, presence, a push), hence `rounds`.
/// The nodes need one loop each: what players of a node do then enters the cluster in the order in which they did it.
public final class ProcessTheatre: Theatre {
    private static let rounds = 4

    private let cluster: ProcessCluster
    /// Makes names of accounts and fences differ between plays.
    private let suffix: String
    private var known: [String] = []
    private var anchors: [ProcessPlayer] = []
    private var next = 0
    private var fence = 0
    /// Accounts between which no fence comes through.
    private var parted: [Set<String>] = []

    /// - Parameter suffix: The one the play was made with.
    public init(_ cluster: ProcessCluster, suffix: String) throws {
        self.cluster = cluster
        self.suffix = suffix
        // A player on every node that never leaves: its fences follow what others did before they left.
        let names = cluster.names.map { "anchor-\($0)\(suffix)" }
        try cluster.addAccounts(names)
        for (index, name) in names.enumerated() {
            anchors.append(ProcessPlayer(try cluster.connect(name, resource: "anchor", node: index)))
        }
    }

    public var domain: String { cluster.domain }

    public func addAccount(_ name: String) async throws {
        guard !known.contains(name) else { return }
        try cluster.addAccounts([name])
        known.append(name)
    }

    public func connect(_ name: String, resource: String) async throws -> any Player {
        let node = next % cluster.names.count
        next += 1
        return ProcessPlayer(try cluster.connect(name, resource: resource, node: node))
    }

    public func resume(_ name: String, from player: any Player, h: Int?) async throws -> (player: (any Player)?, refusal: String?) {
        guard let before = player as? ProcessPlayer, let management = before.client.management else { return (nil, nil) }
        let node = next % cluster.names.count
        next += 1
        let client = try XMPPClient(
            port: cluster.ports[node], domain: domain, user: name, resuming: management, jid: before.jid,
            h: h.map { management.count(visible: $0) })
        guard let refusal = client.refusal else { return (ProcessPlayer(client), nil) }
        client.drop()
        return (nil, refusal)
    }

    public func visit() async throws -> any Player {
        let node = next % cluster.names.count
        next += 1
        return ProcessVisitor(try XMPPClient(visiting: cluster.ports[node], domain: cluster.domain))
    }

    public func connectComponent(_ name: String) async throws -> any Player {
        ProcessPlayer(try cluster.connectComponent(name))
    }

    public func advanceClock(seconds: Int64) async throws {
        try cluster.admin(0).demand("clock", "+\(seconds)s")
    }

    public let patience = Duration.seconds(30)

    public func part(_ name: String, _ other: String) { parted.append([name, other]) }

    /// Whether one player's fence reaches another. Where it does not, the answers of their accounts still tell when all is done.
    private func reaches(_ player: ProcessPlayer, _ other: ProcessPlayer) -> Bool {
        func account(_ player: ProcessPlayer) -> String { String(player.jid.prefix { $0 != "@" }) }
        return !parted.contains([account(player), account(other)])
    }

    public func settle(_ players: [any Player]) async throws {
        let visitors = players.compactMap { $0 as? ProcessVisitor }
        let players = players.compactMap { $0 as? ProcessPlayer }
        for visitor in visitors { try visitor.waitForAnswers() }
        for _ in 0..<Self.rounds { try settleOnce(players) }
    }

    private func settleOnce(_ players: [ProcessPlayer]) throws {
        fence += 1
        let all = (anchors + players).filter { $0.look() == nil }
        for (number, player) in all.enumerated() {
            var xml = ""
            for other in all {
                xml +=
                    "<message type='headline' from='\(player.jid)' to='\(other.jid)' id='\(ProcessPlayer.mark)\(fence)-\(number)'><fence xmlns='urn:example:fence'/></message>"
            }
            for (index, name) in known.enumerated() {
                xml +=
                    "<iq type='get' from='\(player.jid)' to='\(name)@\(domain)' id='\(ProcessPlayer.mark)\(fence)-account\(index)'><ping xmlns='urn:xmpp:ping'/></iq>"
            }
            player.post(xml)
        }
        let deadline = Deadline(in: .patient)
        for player in all {
            while player.look() == nil {
                // One whose stream ended has left its fences behind.
                let wanted =
                    all.indices.filter { all[$0].end == nil && reaches(all[$0], player) }.map { "\(fence)-\($0)" }
                    + known.indices.map { "\(fence)-account\($0)" }
                if wanted.allSatisfy(player.fences.contains) { break }
                guard !deadline.isOver else {
                    let missing = wanted.filter { !player.fences.contains($0) }
                    throw ProcessFailure("\(player.jid) misses the fences \(missing)\n\(cluster.logTails)")
                }
                player.wait(by: Deadline(in: .milliseconds(50)))
                for other in all { _ = other.look() }
            }
            player.fences.removeAll()
        }
    }

    /// Ends the players of the theatre itself.
    public func close() throws {
        for anchor in anchors { try anchor.client.close() }
    }
}

/// A player on a socket. Fences stay out of what the script sees.
public final class ProcessPlayer: Player {
    static let mark = "fence:"
    let client: XMPPClient
    var fences: Set<String> = []
    private var received: [String] = []

    init(_ client: XMPPClient) { self.client = client }

    public var jid: String { client.jid }
    var end: String? { client.end }

    public func send(_ xml: String) async throws { try client.send(xml) }

    public func takeReceived() async throws -> [String] {
        _ = look()
        defer { received.removeAll() }
        return received
    }

    public func leave() async throws { try client.close() }
    public func drop() async throws { client.drop() }
    public func endCondition() async throws -> String? { look() }
    public var management: ClientManagement? { client.management }

    /// Sends if the stream still stands.
    func post(_ xml: String) {
        do { try client.send(xml) } catch { _ = look() }
    }

    /// Sorts what has arrived. Returns how the stream ended, if it did.
    func look() -> String? {
        for stanza in client.receiveAll() { sort(stanza) }
        return client.end
    }

    func wait(by deadline: Deadline) {
        if let stanza = client.receive(by: deadline) { sort(stanza) }
    }

    private func sort(_ stanza: String) {
        if let id = (try? Element.parse(Array(stanza.utf8)))?["id"], id.hasPrefix(Self.mark) {
            fences.insert(String(id.dropFirst(Self.mark.count)))
        } else {
            received.append(stanza)
        }
    }
}

/// A client that does not authenticate: each of its requests has one answer, which stands for a fence.
public final class ProcessVisitor: Player {
    private let client: XMPPClient
    private var awaited = 0
    private var received: [String] = []

    init(_ client: XMPPClient) { self.client = client }

    public let jid = ""

    public func send(_ xml: String) async throws {
        try client.send(xml)
        awaited += 1
    }

    func waitForAnswers() throws {
        let deadline = Deadline(in: .patient)
        while awaited > 0, client.end == nil {
            guard let stanza = client.receive(by: deadline) else { throw ProcessFailure("a visitor misses \(awaited) answers") }
            received.append(stanza)
            awaited -= 1
        }
    }

    public func takeReceived() async throws -> [String] {
        defer { received.removeAll() }
        return received
    }

    public func leave() async throws { try client.close() }
    public func drop() async throws { client.drop() }
    public func endCondition() async throws -> String? { client.end }
}
