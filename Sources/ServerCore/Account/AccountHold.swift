public import Stanzas
import Telemetry

/// Who attends to what came in: the last station of a message (`Stage.hold`), where those are called who sleep.
///
/// A session sleeps while it has no socket and may be resumed (XEP-0198), and while its client says that nobody looks at it (XEP-0352).
public struct Attention: Sendable, Equatable {
    /// No session that somebody attends to got the message.
    public var isUnattended: Bool
    /// Resources of the sleeping sessions that got it, or a copy of it.
    public var asleep: Set<String>
}

/// What became of a notification to those who sleep.
public enum PushOutcome: Sendable {
    case sent, refused, unanswered
    /// Its service is not told any more.
    case disabled
}

extension Turn {
    /// Counts what became of a notification.
    public func count(_ outcome: PushOutcome) {
        let metrics = account.core.metrics
        switch outcome {
        case .sent: metrics.pushes.increment()
        case .refused: metrics.pushesRefused.increment()
        case .unanswered: metrics.pushesUnanswered.increment()
        case .disabled: metrics.pushesDisabled.increment()
        }
    }
}

extension Account {
    /// Who attends to a message that the account has just taken.
    public func attention(to stanza: Stanza) -> Attention {
        let choice = DeliveryRules.choose(
            type: stanza.type, resource: stanza.to?.resource, hasPayload: stanza.mayBeKept,
            sessions: resources.lazy.map(DeliveryRules.Candidate.init))
        guard case .sessions(let indexes) = choice else {
            return Attention(isUnattended: true, asleep: asleep { $0.flags.contains(.carbons) })
        }
        let chosen = indexes.map { resources[$0] }
        return Attention(
            isUnattended: chosen.allSatisfy(\.isAsleep),
            asleep: asleep { resource in resource.flags.contains(.carbons) || chosen.contains { $0 === resource } })
    }

    private func asleep(_ got: (Resource) -> Bool) -> Set<String> {
        Set(resources.filter { $0.isAsleep && got($0) }.map(\.name))
    }

    /// Messages that the account owes: acknowledged by no session yet.
    public var owedMessages: Int { inbox.owed }

    /// Requests for a subscription that nobody answered yet.
    public var pendingSubscriptions: Int { roster.pendingRequests.count }

    /// A message has been placed: whoever calls sleepers looks at it.
    func hold(_ stanza: inout Stanza, _ turn: Turn) { _ = shard.table.pass(.hold, .incoming, &stanza, turn) }

    /// A session says whether its client is active.
    func noteActivity(_ session: SessionRef, isActive: Bool) {
        guard let resource = resource(of: session) else { return }
        if isActive { resource.flags.remove(.inactive) } else { resource.flags.insert(.inactive) }
    }

    /// A session cannot hand over what it holds: unless somebody attends to another, the sleepers are called.
    func leftUnread(_ resource: Resource) {
        guard !resource.inFlight.isEmpty, case .live = phase else { return }
        let others = resources.filter { $0 !== resource && $0.isAvailable && $0.priority >= 0 && !$0.isAsleep }
        guard others.isEmpty else { return }
        for handler in shard.table.unread { handler(Turn(account: self, ticket: nil)) }
    }

    /// What a module remembers of this account as long as the account is in memory here.
    public func memory<T: AnyObject>(_ make: () -> T) -> T {
        let key = ObjectIdentifier(T.self)
        if let found = memories[key] as? T { return found }
        let made = make()
        memories[key] = made
        return made
    }

    /// Does something after a while, if this process is still the home. Meanwhile the account does not sleep.
    public func after(_ delay: Duration, _ body: @escaping (Turn) -> Void) {
        let (jid, shard) = (jid, shard)
        shard.nextBind += 1
        let number = shard.nextBind
        delayed[number] = body
        _ = shard.loop.schedule(after: delay) {
            shard.enter { shard in
                guard let account = shard.accounts[jid], let body = account.delayed.removeValue(forKey: number) else { return }
                if account.phase.isLive { body(Turn(account: account, ticket: nil)) }
            }
        }
    }
}
