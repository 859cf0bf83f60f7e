import Settings
import Stanzas
import Telemetry

/// Client state indication (XEP-0352): what an inactive client need not hear now waits for it to look again.
extension Session {
    /// Whether the user looks at the client, as far as it said. A stream begins active (§4.2); so does one that was resumed (§5.2).
    public var isActive: Bool { !isInactive }

    /// Stanzas that wait until the client is active.
    public var stanzasHeld: Int { clientState.count }

    /// The client said what state it is in. When it becomes active, what waited is written before anything else (§5.1).
    public func setActive(_ active: Bool) {
        guard ended == nil, active == isInactive else { return }
        isInactive = !active
        shard.core.metrics.inactiveSessions.add(active ? -1 : 1)
        // Its home calls those whom nobody looks at (XEP-0357); one that takes over is told with everything else.
        if bind != nil, let home = shard.placement.home(of: account) {
            shard.post(.activity(account: account, session: ref, isActive: active), to: home)
        }
        if active { writeHeld() }
    }

    /// Whether a stanza waits. One that does not finds what waited of its sender written before it.
    func waits(_ stanza: Stanza, message: UInt64) -> Bool {
        guard isInactive else { return false }
        let settings = shard.core.settings.sessions
        // What is owed is acknowledged by its session, so it does not wait, whatever is in it.
        guard message == 0, settings.inactiveHoldStanzas > 0, let from = stanza.from,
            case .waits(let key) = ClientStateHold.verdict(stanza, client: fullJID)
        else {
            for earlier in clientState.take(before: stanza) { pass(earlier, message: 0) }
            return false
        }
        shard.core.metrics.heldStanzas.increment()
        if clientState.add(stanza, of: from.bare, replacing: key) { shard.core.metrics.supersededStanzas.increment() }
        if clientState.count > settings.inactiveHoldStanzas || clientState.bytes > settings.inactiveHoldBytes {
            writeHeld()
        } else if clientStateTimer == nil, settings.inactiveHoldSeconds > 0 {
            let id = id
            clientStateTimer = shard.loop.schedule(after: .seconds(settings.inactiveHoldSeconds)) { [shard] in
                shard.enter { $0.sessions[id]?.writeHeld() }
            }
        }
        return true
    }

    /// Writes everything that waits, in order.
    func writeHeld() {
        clientStateTimer?.cancel()
        clientStateTimer = nil
        for stanza in clientState.takeAll() { pass(stanza, message: 0) }
    }

    /// The session is over: nobody misses what waited.
    func dropHeld() {
        clientStateTimer?.cancel()
        clientStateTimer = nil
        _ = clientState.takeAll()
        if isInactive {
            isInactive = false
            shard.core.metrics.inactiveSessions.add(-1)
        }
    }
}
