public import Stanzas
import Telemetry
public import XMLStream

/// What came of a request that an account made.
public enum RequestAnswer {
    /// The result with its payload; nil when it has none.
    case result(Element?)
    case error(StanzaError)
    /// Nobody answered in time.
    case silence
}

/// Requests that the account itself makes, in its bare JID: of its own sessions, or of others.
extension Account {
    struct PendingRequest {
        var to: JID
        var timer: any LoopTimer
        var completion: (RequestAnswer) -> Void
    }

    /// Sends a request. `completion` is called once on this loop, with silence when this process ceases to be the account's home.
    ///
    /// - Parameters:
    ///   - type: get or set.
    ///   - payload: the one element in it, which declares its own namespace.
    public func request(
        _ type: StanzaType, to: JID, _ payload: [UInt8], deadline: Duration = .seconds(30), completion: @escaping (RequestAnswer) -> Void
    ) {
        // Not to be guessed, so that nobody answers in another's name, nor an answer to an earlier home is taken for one to this.
        let id = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let (shard, jid) = (shard, jid)
        let timer = shard.loop.schedule(after: deadline) {
            shard.enter { $0.accounts[jid]?.requestEnded(id, .silence) }
        }
        requests[id] = PendingRequest(to: to, timer: timer, completion: completion)
        core.metrics.accountRequests.increment()
        let stanza = Stanza(kind: .iq, type: type, id: id, from: jid, to: to, payload: Payload(written: payload))
        if to.bare == jid, to.resource != nil {
            guard let resource = resource(jid: to) else { return requestEnded(id, .error(StanzaError(.serviceUnavailable))) }
            deliver(stanza, to: resource)
        } else {
            route(stanza, nil)
        }
    }

    /// A result or an error for the bare JID. Nobody but who was asked can answer.
    func answered(_ stanza: Stanza) {
        guard let id = stanza.id, let request = requests[id], stanza.from == request.to else { return }
        let iq = stanza.payload.element(wrappedIn: .iq)
        if stanza.type == .error {
            requestEnded(id, .error(iq.map { StanzaError($0) } ?? StanzaError(.undefinedCondition)))
        } else {
            requestEnded(id, .result(iq?.children.first { _ in true }))
        }
    }

    private func requestEnded(_ id: String, _ answer: RequestAnswer) {
        guard let request = requests.removeValue(forKey: id) else { return }
        request.timer.cancel()
        if case .silence = answer { core.metrics.accountRequestsUnanswered.increment() }
        request.completion(answer)
        shard.noteIdle(self)
    }

    /// This process is no longer the home: what is answered now, nobody here hears.
    func forgetRequests() {
        let all = requests
        requests.removeAll()
        for request in all.values {
            request.timer.cancel()
            request.completion(.silence)
        }
    }
}
