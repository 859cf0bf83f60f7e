public import Stanzas

/// How a request of the account itself was answered.
public enum RequestAnswer: Sendable {
    case result(Stanza)
    /// By who was asked, or by a server on the way.
    case error(StanzaError)
    /// Nobody answered in time.
    case timedOut
}

/// Requests that an account sends in its own name, from its bare JID, and the answers it waits for. They live in memory: what a home
/// had asked dies with it, and an answer that nobody waits for is dropped (RFC 6120 §8.2.3).
struct PendingRequests {
    struct Pending {
        var to: JID
        var timer: any LoopTimer
        var then: (RequestAnswer) -> Void
    }

    /// Requests of one account that may be open at once.
    static let bound = 256

    private var pending: [String: Pending] = [:]

    var isEmpty: Bool { pending.isEmpty }
    var isFull: Bool { pending.count >= Self.bound }

    mutating func add(_ id: String, _ request: Pending) { pending[id] = request }

    /// Takes out the request that a stanza answers: the id alone could be guessed.
    mutating func take(_ id: String, from: JID?) -> Pending? {
        guard let found = pending[id], found.to == from else { return nil }
        return pending.removeValue(forKey: id)
    }

    mutating func takeAll() -> [Pending] {
        defer { pending.removeAll() }
        return Array(pending.values)
    }
}

extension Account {
    /// Sends a request from the account's bare JID, behind everything the account wrote, and hands over its answer.
    ///
    /// - Parameters:
    ///   - type: get or set.
    ///   - payload: its one child.
    ///   - patience: for the answer.
    ///   - then: called once on this loop, or never when this process ceases to be the home.
    public func request(
        _ type: StanzaType, to: JID, _ payload: Payload, patience: Duration = .seconds(60), then: @escaping (RequestAnswer) -> Void
    ) {
        guard case .live = phase else { return then(.error(StanzaError(.serviceUnavailable))) }
        guard core.serves(to.domain) else { return then(.error(StanzaError(.remoteServerNotFound))) }
        guard !requests.isFull else { return then(.error(StanzaError(.resourceConstraint, type: .wait))) }
        shard.nextBind += 1
        let id = "a\(shard.nextBind)-\(String(core.random.next(), radix: 36))"
        let (jid, shard) = (jid, shard)
        let timer = shard.loop.schedule(after: patience) {
            shard.enter { shard in shard.accounts[jid]?.requestTimedOut(id, to: to) }
        }
        requests.add(id, .init(to: to, timer: timer, then: then))
        let stanza = Stanza(kind: .iq, type: type, id: id, from: jid, to: to, payload: payload)
        pass(
            .perform {
                if to.bare == jid { self.deliver(stanza, to: self.resource(jid: to)) } else { self.route(stanza, nil) }
            })
    }

    private func requestTimedOut(_ id: String, to: JID) { requests.take(id, from: to)?.then(.timedOut) }

    /// A result or an error came for the account itself.
    func answered(_ stanza: Stanza) {
        guard let id = stanza.id, let request = requests.take(id, from: stanza.from) else { return }
        request.timer.cancel()
        guard stanza.type == .error else { return request.then(.result(stanza)) }
        let error = stanza.payload.element(wrappedIn: .iq).map { StanzaError($0) } ?? StanzaError(.undefinedCondition)
        request.then(.error(error))
    }

    /// Nobody waits for answers any more.
    func dropRequests() {
        for request in requests.takeAll() { request.timer.cancel() }
    }
}
