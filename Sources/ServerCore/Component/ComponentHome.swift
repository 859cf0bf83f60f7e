import Settings
import Stanzas
import Telemetry

/// The home of a component's domain (XEP-0114): it knows which session speaks for the domain, wherever its socket is, and hands on what
/// is sent to any address of it.
///
/// Nothing is kept for a component that is not there: messages and requests are refused, presence is dropped. What was handed to its
/// session counts as handled when its socket took it; what it did not take is handed to the next session, or refused.
final class ComponentHome {
    private struct Binding {
        var session: SessionRef
        var bind: BindID
    }

    /// Handed to a session and not yet with its socket.
    private struct Flight {
        var session: SessionRef
        var stanza: Stanza
        /// The submission that waits for it; nil when it was completed before.
        var ticket: Ticket?
    }

    /// The domain, as an address.
    let domain: JID
    private let settings: Settings.Component
    private let shard: Shard
    private var binding: Binding?
    private var flights: [UInt64: Flight] = [:]
    private var lastNumber: UInt64 = 0

    init(_ domain: JID, _ settings: Settings.Component, shard: Shard) {
        self.domain = domain
        self.settings = settings
        self.shard = shard
    }

    // MARK: What is sent to the domain

    func incoming(_ stanza: Stanza, _ ticket: Ticket?) {
        guard let binding else { return refuse(stanza, ticket, Self.absent) }
        if stanza.trace != 0 { shard.tracer?.note(.chosen, stanza, "the component \(domain)") }
        hand(stanza, ticket, to: binding.session)
    }

    private func hand(_ stanza: Stanza, _ ticket: Ticket?, to session: SessionRef) {
        guard stanza.kind == .message || stanza.kind == .iq && stanza.mayBeAnswered else {
            deliver(stanza, 0, to: session)
            return complete(ticket)
        }
        guard flights.count < shard.core.settings.limits.sessionQueueStanzas else {
            return refuse(stanza, ticket, StanzaError(.resourceConstraint, type: .wait, text: "Too much waits for the component"))
        }
        // Numbers of different epochs differ: what a session took of the home before says nothing to this one.
        lastNumber = max(lastNumber &+ 1, shard.placement.epoch << 40)
        // Requests are handled when they are on their way: an answer of another kind will come.
        let isMessage = stanza.kind == .message
        flights[lastNumber] = Flight(session: session, stanza: stanza, ticket: isMessage ? ticket : nil)
        deliver(stanza, lastNumber, to: session)
        if !isMessage { complete(ticket) }
    }

    private func deliver(_ stanza: Stanza, _ number: UInt64, to session: SessionRef) {
        shard.post(.deliver(session: session.id, epoch: shard.placement.epoch, message: number, stanza: stanza), to: session.shard)
    }

    private func complete(_ ticket: Ticket?, _ refusal: StanzaError? = nil) {
        guard let ticket else { return }
        shard.post(.completed(session: ticket.session.id, inSeq: ticket.inSeq, half: .theirs, refusal: refusal), to: ticket.session.shard)
    }

    private static let absent = StanzaError(.serviceUnavailable, type: .wait, text: "The component is not connected")

    /// The sender hears that it was not handed on: through its submission, or by an error of its own.
    private func refuse(_ stanza: Stanza, _ ticket: Ticket?, _ error: StanzaError) {
        if stanza.trace != 0 { shard.tracer?.note(.bounced, stanza, "by \(domain): \(error)") }
        let isHeard = stanza.mayBeAnswered && (stanza.kind != .presence || stanza.type == .subscribe)
        guard isHeard, stanza.kind != .message || stanza.mayBeKept else { return complete(ticket) }
        shard.core.metrics.componentBounces.increment()
        if ticket != nil { return complete(ticket, error) }
        guard let reply = error.reply(to: stanza) else { return }
        shard.route(reply)
    }

    // MARK: The session that speaks for it

    func bind(_ request: BindRequest) {
        let session = request.session
        if let binding {
            // Asked again after a takeover that already knew the session.
            if binding.session == session { return grant(binding) }
            guard settings.conflict == .replace else {
                return shard.post(.bound(session: session.id, .refused(StanzaError(.conflict))), to: session.shard)
            }
            end(.replaced)
        }
        shard.nextBind += 1
        let bind = BindID(epoch: shard.placement.epoch, counter: shard.nextBind << 8 | UInt64(shard.address.loop & 0xFF))
        let granted = Binding(session: session, bind: bind)
        binding = granted
        grant(granted)
    }

    private func grant(_ binding: Binding) {
        shard.post(
            .bound(session: binding.session.id, .granted(resource: "", bind: binding.bind, epoch: shard.placement.epoch)),
            to: binding.session.shard)
    }

    /// Ends the session from here. What it did not take comes back with its departure.
    private func end(_ reason: EndReason) {
        guard let ended = binding else { return }
        binding = nil
        shard.post(.end(session: ended.session.id, reason), to: ended.session.shard)
    }

    /// A session is gone: what its socket did not take goes to the one that speaks now, in order, or back.
    func left(_ session: SessionRef) {
        if binding?.session == session { binding = nil }
        for number in flights.filter({ $0.value.session == session }).keys.sorted() {
            guard let flight = flights.removeValue(forKey: number) else { continue }
            incoming(flight.stanza, flight.ticket)
        }
    }

    func acknowledged(_ numbers: [UInt64]) {
        for number in numbers { complete(flights.removeValue(forKey: number)?.ticket) }
    }

    func nodeLost(_ node: UInt64) {
        let lost = Set(flights.values.map(\.session) + [binding?.session].compactMap { $0 }).filter { $0.shard.node == node }
        for session in lost { left(session) }
    }

    /// What the living sessions told a new home: of two the higher binding stays.
    func claim(_ reports: [SessionReport]) {
        for report in reports where report.session != binding?.session {
            if let holder = binding, holder.bind > report.bind {
                shard.post(.end(session: report.session.id, .replaced), to: report.session.shard)
                continue
            }
            end(.replaced)
            binding = Binding(session: report.session, bind: report.bind)
        }
    }

    // MARK: Administration

    func obey(_ letter: CommandLetter) {
        let result: CommandResult
        switch letter.command {
        case .kick(_, let text):
            result = binding == nil ? .notFound : .done(1)
            end(.kicked(text: text))
        default: result = .failed("\(domain) is a component; it has no accounts here")
        }
        shard.post(.commandResult(id: letter.id, result), to: letter.replyTo)
    }
}
