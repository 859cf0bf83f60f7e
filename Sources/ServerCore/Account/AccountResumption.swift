internal import DequeModule
import Settings
import Stanzas
import Store
import Telemetry

/// A session changes its loop (XEP-0198 §5): what is said to it meanwhile waits here, so that nothing is lost or changes places.
///
/// `RESUME` comes from the new loop; `DETACH` goes down the way of everything that was said to the old one, whose answer brings the
/// whole session. The old loop keeps it until the new one has it: a home that dies in between finds it at one of them, or at both.
final class Move {
    /// What the session will be.
    let to: SessionRef
    /// What was said since.
    var held: [(stanza: Stanza, message: UInt64)] = []
    /// A still newer stream that wants it: it gets it next.
    var next: ResumeRequest?
    var timer: (any LoopTimer)?

    init(to: SessionRef) { self.to = to }

    /// Whether a client of this node wants it.
    func isFor(_ node: UInt64) -> Bool { to.shard.node == node || next?.session.shard.node == node }
}

/// SM-IDs of sessions that are over, with what was handled in them: a client that comes too late learns that much.
struct EndedSessions {
    private static let bound = 16
    private var entries: Deque<(id: String, h: UInt32, until: MonotonicTime)> = []

    mutating func note(_ management: ManagementNote, until: MonotonicTime) {
        entries.append((management.id, management.handled, until))
        if entries.count > Self.bound { entries.removeFirst() }
    }

    /// A session that was ended from here says how far it came.
    mutating func correct(_ note: ManagementNote) {
        guard let index = entries.firstIndex(where: { $0.id == note.id }) else { return }
        entries[index].h = note.handled
    }

    func h(_ id: String, at now: MonotonicTime) -> UInt32? { entries.first { $0.id == id && $0.until > now }?.h }
}

extension Account {
    /// How long the old loop has to answer (DESIGN §4b). A node that is silent for so long is fenced by its judge.
    private static let movePatience = Duration.seconds(3)

    /// A session says how its stream management stands.
    func noteManagement(_ session: SessionRef, _ note: ManagementNote) {
        guard let resource = resource(of: session) else { return endedSessions.correct(note) }
        let (wasDetached, wasWaiting) = (resource.isDetached, resource.isWaiting)
        resource.management = note
        if note.isDetached, !wasDetached { resource.detachedSince = shard.loop.now }
        guard note.isWaiting, !wasWaiting else { return }
        let bound = core.settings.sessions.detachedPerAccount
        while resources.count(where: \.isWaiting) > bound, let oldest = oldestDetached, oldest.isWaiting {
            endSession(oldest, .expired)
        }
        // What its client did not acknowledge waits, and nobody was told.
        leftUnread(resource)
    }

    /// The session that waits longest for its client; one whose client is expected only where there is no other.
    var oldestDetached: Resource? {
        resources.filter { $0.isDetached && $0.move == nil }.min {
            ($0.isWaiting ? 0 : 1, $0.detachedSince) < ($1.isWaiting ? 0 : 1, $1.detachedSince)
        }
    }

    func resume(_ request: ResumeRequest) {
        guard phase.isLive, record?.isEnabled == true,
            let resource = resources.first(where: { $0.management.map { !$0.id.isEmpty && $0.id == request.previd } ?? false })
        else { return refuse(request.session, endedSessions.h(request.previd, at: shard.loop.now)) }
        // It is not where it should be taken from, or on its way already: a client's wish comes first.
        if let sheltered = request.sheltered, resource.session != sheltered || resource.move != nil { return refuse(request.session, nil) }
        guard let move = resource.move else { return begin(request, of: resource) }
        // Asked again after a takeover.
        guard move.to != request.session else { return }
        if let waiting = move.next { refuse(waiting.session, resource.management?.handled) }
        move.next = request
    }

    private func refuse(_ session: SessionRef, _ h: UInt32?, _ condition: StanzaError.Condition = .itemNotFound) {
        shard.post(.resumeRefused(session: session.id, ResumeRefusal(condition, h: h)), to: session.shard)
    }

    private func begin(_ request: ResumeRequest, of resource: Resource) {
        let move = Move(to: request.session)
        resource.move = move
        // Through the gate: behind everything that was said to it.
        emit(
            .detach(session: resource.session.id, account: jid, to: request.session, epoch: shard.placement.epoch),
            to: resource.session.shard)
        let jid = jid
        let shard = shard
        move.timer = shard.loop.schedule(after: Self.movePatience) {
            shard.enter { $0.accounts[jid]?.moveTimedOut(to: request.session) }
        }
    }

    private func moveTimedOut(to session: SessionRef) {
        guard let resource = resources.first(where: { $0.move?.to == session }) else { return }
        endSession(resource, .replaced)
    }

    /// The old loop hands the session over; nil when it does not know it any more.
    func moved(from old: SessionRef, to new: SessionRef, _ state: SessionState?) {
        guard let resource = resource(of: old), let move = resource.move, move.to == new else { return }
        guard let state else { return leave(resource) }
        let ref = SessionRef(shard: new.shard, id: new.id, key: old.key)
        resource.session = ref
        resource.movedFrom = old
        resource.moves = state.moves &+ 1
        if page?.session == old { page?.session = ref }
        writeRow(resource)
        shard.post(.adopt(session: new.id, from: old, epoch: shard.placement.epoch, state: state), to: new.shard)
        release(move, of: resource)
    }

    /// The loop that wanted the session is gone: it stays where it is.
    func cancelMove(of resource: Resource) {
        guard let move = resource.move else { return }
        emit(.stay(session: resource.session.id, epoch: shard.placement.epoch), to: resource.session.shard)
        release(move, of: resource)
    }

    private func release(_ move: Move, of resource: Resource) {
        move.timer?.cancel()
        resource.move = nil
        for (stanza, message) in move.held { deliver(stanza, to: resource, message: message) }
        if let next = move.next { begin(next, of: resource) }
    }

    /// The session leaves while it was to change its loop: nobody gets it. Returns what was said to it meanwhile and is owed by nobody.
    func abandonMove(of resource: Resource) -> [Stanza] {
        guard let move = resource.move else { return [] }
        resource.move = nil
        move.timer?.cancel()
        refuse(move.to, resource.management?.handled)
        if let next = move.next { refuse(next.session, resource.management?.handled) }
        return move.held.filter { $0.message == 0 && $0.stanza.isMissedWhenLost }.map(\.stanza)
    }

    /// What the session came to is remembered for a client that comes too late.
    func rememberEnd(of resource: Resource) {
        guard let note = resource.management, !note.id.isEmpty else { return }
        endedSessions.note(note, until: shard.loop.now + .seconds(core.settings.sessions.resumeSeconds))
    }

    /// Two loops have one session: the one to which it moved last keeps it.
    func settle(_ resource: Resource, _ report: SessionReport) {
        let loser: SessionRef
        if report.moves > resource.moves {
            loser = resource.session
            resource.session = report.session
            resource.moves = report.moves
            resource.management = report.management
            writeRow(resource)
        } else {
            loser = report.session
        }
        shard.post(.forget(session: loser.id), to: loser.shard)
    }

    /// A commit failed: what was said and is not true any more is not said. What is owed is read from the store again.
    func dropHeldAfterFailedCommit() {
        for resource in resources {
            guard let move = resource.move else { continue }
            for (_, message) in move.held where message != 0 { resource.inFlight.remove(message) }
            move.held.removeAll { $0.message != 0 || !saysOthers($0.stanza) }
        }
    }
}
