import Settings
import Telemetry
import Stanzas

/// What goes out to the client, written once a tick.
extension Session {
    // MARK: To the client

    /// Writes a stanza towards the client at the end of the tick.
    ///
    /// - Parameter message: The record's number when the account is owed it, 0 otherwise.
    func deliver(_ stanza: Stanza, message: UInt64) {
        guard ended == nil, bind != nil else {
            // Owed messages come back with the departure; the rest is handed back from here.
            if message == 0, stanza.isMissedWhenLost { handBack([stanza]) }
            return
        }
        // With stream management the acknowledgement says what is handled, and answers need not.
        if management == nil || !held.isEmpty, held.keeps(stanza, message: message, inbound) {
            trace(.held, stanza, "until what its client sent before is handled")
            if held.count > shard.core.settings.limits.sessionQueueStanzas { end(.overrun) }
            return
        }
        if waits(stanza, message: message) {
            trace(.held, stanza, "until the client of \(fullJID) is active")
        } else {
            pass(stanza, message: message)
        }
    }

    func pass(_ stanza: Stanza, message: UInt64) {
        if isFull {
            guard message == 0, deferred(stanza) else {
                trace(.dropped, stanza, "the queue of \(fullJID) is full: its session ends")
                end(.overrun)
                return deliver(stanza, message: message)
            }
            trace(stanza.kind == .presence ? .held : .dropped, stanza, "the queue of \(fullJID) is full")
            return
        }
        // What waits of this sender is out of date now.
        if stanza.kind == .presence, !latePresence.isEmpty, stanza.type == .none || stanza.type == .unavailable, let from = stanza.from {
            latePresence[from] = nil
        }
        write(stanza, message: message)
    }

    /// Whether more waits for the client than one session may hold.
    private var isFull: Bool {
        let settings = shard.core.settings
        if let ledger = management?.ledger {
            return ledger.count >= settings.sessions.unackedStanzas || ledger.bytes >= settings.sessions.unackedBytes
        }
        return bytesWaiting > settings.limits.sessionQueueBytes || stanzasWaiting > settings.limits.sessionQueueStanzas
    }

    /// Whether less than half of that waits.
    private var hasRoom: Bool {
        let settings = shard.core.settings
        if let ledger = management?.ledger {
            return ledger.count <= settings.sessions.unackedStanzas / 2 && ledger.bytes <= settings.sessions.unackedBytes / 2
        }
        return bytesWaiting <= settings.limits.sessionQueueBytes / 2 && stanzasWaiting <= settings.limits.sessionQueueStanzas / 2
    }

    func write(_ stanza: Stanza, message: UInt64) {
        if message != 0 { deliveredThrough = max(deliveredThrough, message) }
        guard management != nil else {
            note(message != 0 ? .owed(message) : stanza.isMissedWhenLost ? .unkept(stanza) : nil, stanza.kind)
            if stanza.trace != 0 { traceWritten(stanza, message) }
            gather()
            stanza.write(into: &out)
            return touch()
        }
        management?.ledger.add(stanza, message: message, stamp: shard.core.clock.now, isWritten: canWrite)
        guard canWrite else { return trace(.held, stanza, "until the client of \(fullJID) is back") }
        management?.unasked += 1
        note(nil, stanza.kind)
        if stanza.trace != 0 { traceWritten(stanza, message) }
        gather()
        stanza.write(into: &out)
        touch()
    }

    /// Takes one of the loop's buffers for what is written in this tick: an idle session has none, and among thousands of sessions the
    /// next one writes where the last one wrote, which the processor has at hand.
    func gather() {
        if out.capacity == 0, let buffer = shard.spareBuffers.popLast() { out = buffer }
    }

    /// Counts a stanza that goes out.
    func note(_ fate: OutQueue.Fate?, _ kind: StanzaKind) {
        queue.add(fate)
        stanzasOut &+= 1
        shard.metrics.stanzasOut[kind].increment()
    }

    /// A full queue: of presence the last of each sender is enough, requests are refused, what is worth nothing later is
    /// dropped. Returns false for what cannot be deferred.
    func deferred(_ stanza: Stanza) -> Bool {
        switch stanza.kind {
        case .presence:
            guard stanza.type == .none || stanza.type == .unavailable, let from = stanza.from else { return false }
            if latePresence.updateValue(stanza, forKey: from) == nil {
                guard latePresenceOrder.count < shard.core.settings.limits.sessionQueueStanzas else { return false }
                latePresenceOrder.append(from)
            }
            return true
        case .iq:
            guard stanza.mayBeAnswered, let from = stanza.from, from.bare != account, let home = shard.placement.home(of: from.bare),
                let reply = StanzaError(.resourceConstraint, type: .wait).reply(to: stanza)
            else { return false }
            shard.post(.route(to: from, stanza: reply, ticket: nil), to: home)
            return true
        case .message: return !stanza.mayBeKept && stanza.type != .error
        }
    }

    func writeLatePresence() {
        guard !latePresenceOrder.isEmpty, ended == nil, hasRoom else { return }
        var left: [JID] = []
        for from in latePresenceOrder {
            guard !isFull else {
                left.append(from)
                continue
            }
            if let stanza = latePresence.removeValue(forKey: from) { write(stanza, message: 0) }
        }
        latePresenceOrder = left
    }

    func handBack(_ stanzas: [Stanza]) {
        for stanza in stanzas { trace(.returned, stanza, "\(fullJID) could not hand it over") }
        guard let home = shard.placement.home(of: account) else { return }
        shard.post(.returned(account: account, session: ref, stanzas: stanzas), to: home)
    }

    func touch() {
        if !isDirty {
            isDirty = true
            shard.dirty.append(self)
        }
    }

    /// Hands what was written in this tick to the socket, once.
    func flush() {
        isDirty = false
        if ended == nil, canWrite { writeManagement() }
        if !out.isEmpty, ended == nil, let connection {
            let mark = queue.flushed(out.count)
            out.withUnsafeBytes { connection.write($0, mark: mark) }
        }
        dropOutput()
    }

    /// What is gathered is written, or nobody will have it.
    func dropOutput() {
        guard out.capacity > 0 else { return }
        if out.capacity <= Self.spareBytes, shard.spareBuffers.count < Self.spareBound {
            out.removeAll(keepingCapacity: true)
            shard.spareBuffers.append(out)
        }
        out = []
    }

    /// The largest buffer that a loop keeps, and how many.
    private static let spareBytes = 16_384
    private static let spareBound = 128

    /// The socket handed everything up to `mark` to the kernel. Without stream management that is the acknowledgement.
    public func written(through mark: UInt64) {
        queue.written(through: mark, &ackedNow)
        shard.tracer?.socketTook(
            session: id, through: mark, management == nil ? "by the socket, which counts as acknowledged" : "by the socket")
        // A full socket that takes something is slow, not dead. One with room takes it whether anybody is there or not.
        if queue.bytes > 0, management?.requestedAt != nil { management?.requestedAt = shard.loop.now }
        writeLatePresence()
        postAcknowledgements()
    }

    /// How long an acknowledgement is told again to a new home: well above the time that a home takes to write it down.
    private static let acknowledgementMemory = Duration.seconds(5)
    private static let acknowledgementBound = 4_096

    func postAcknowledgements() {
        guard !ackedNow.isEmpty, let home = shard.placement.home(of: account) else { return }
        let now = shard.loop.now
        while let first = ackedLately.first, first.at + Self.acknowledgementMemory < now || ackedLately.count > Self.acknowledgementBound {
            ackedLately.removeFirst()
        }
        for message in ackedNow { ackedLately.append((message, now)) }
        shard.post(.acked(account: account, session: ref, messages: ackedNow), to: home)
        ackedNow.removeAll(keepingCapacity: true)
    }
}
