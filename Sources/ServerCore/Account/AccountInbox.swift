import Settings
import Telemetry
internal import DequeModule
import Stanzas
import Store
import XMLStream

/// A page of owed messages on its way from the store to a session.
struct InboxPage {
    /// Tells it from every other page of the account.
    var number: Int
    var messages: [UInt64]
    var session: SessionRef
}

/// The pump: owed messages to a session, in pages, in order (XEP-0160).
extension Account {
    /// Hands the next page of waiting messages to the session that should have it, when there is one.
    func pump() {
        guard case .live = phase, !isPumping, !isHeldByDeparting, archive.retractions.isEmpty else { return }
        guard !inbox.waiting.isEmpty else { return releaseHeldBack() }
        guard let resource = bestForInbox(), resource.inFlight.count <= Resource.flightBound / 2, let number = record?.number else {
            return
        }
        if resource.archivedThrough > 0 {
            // Given back by a session that is gone.
            settleArchived(through: resource.archivedThrough)
            guard !inbox.waiting.isEmpty else { return releaseHeldBack() }
        }
        pagesAsked += 1
        let asked = InboxPage(number: pagesAsked, messages: inbox.take(Resource.pageBound), session: resource.session)
        page = asked
        for message in asked.messages { resource.inFlight.insert(message) }
        // Behind the gate: only when the last of them is durable does a snapshot show them all.
        pass(.perform { self.read(asked, number: number) })
    }

    /// What waits and is archived up to this message a client reads in the archive: it is not sent (XEP-0386 §3.2).
    func settleArchived(through last: UInt64) {
        let known = inbox.waiting.prefix { $0 <= last }.filter { inbox.isArchived($0) }
        for message in known { _ = settle(message) }
        core.metrics.inboxCleared.increment(by: UInt64(known.count))
    }

    /// Whether a session that was told to end still holds messages. They may wait again in a moment, and nothing newer goes before them.
    var isHeldByDeparting: Bool { departing.values.contains { !$0.isEmpty } }

    /// RFC 6121 §8.5.2.1.1: the session with the highest priority that is not negative; one that is there before one that waits for
    /// its client.
    func bestForInbox() -> Resource? {
        var best: Resource?
        for resource in resources where resource.isAvailable && resource.priority >= 0 {
            if let best, !best.isAfter(resource) { continue }
            best = resource
        }
        return best
    }

    /// Forgets the page that is being read; what is in it waits again.
    func abandonPage() {
        guard let abandoned = page else { return }
        page = nil
        giveBack(abandoned.messages, of: abandoned.session)
    }

    private func giveBack(_ messages: some Sequence<UInt64>, of session: SessionRef) {
        let resource = resource(of: session)
        for message in messages {
            // A session that left gave them back itself.
            if resource?.inFlight.remove(message) != nil { _ = inbox.giveBack(message) }
        }
    }

    private func read(_ asked: InboxPage, number: UInt64) {
        guard page?.number == asked.number else { return }
        let core = core
        let partition = partition
        let jid = jid
        let shard = shard
        core.readers.read { snapshot in
            var read = PageRead()
            for message in asked.messages {
                do throws(StoreFailure) {
                    let key = Keys.message(partition, number, sequence: message)
                    if let value = try snapshot.get(key) {
                        read.records.append(try MessageRecord.decode(value, key: key))
                    } else {
                        read.damaged.append(message)
                    }
                } catch {
                    guard case .damaged = error else {
                        read.failure = error
                        break
                    }
                    read.damaged.append(message)
                }
            }
            let all = read
            shard.enter { shard in shard.accounts[jid]?.pageRead(all, of: asked.number) }
        }
    }

    private struct PageRead: Sendable {
        var records: [MessageRecord] = []
        var damaged: [UInt64] = []
        /// Why the rest of the page could not be read now.
        var failure: StoreFailure?
    }

    private func pageRead(_ read: PageRead, of number: Int) {
        guard let asked = page, asked.number == number else { return }
        page = nil
        // Without its session `leave` gave the messages back.
        guard let resource = resource(of: asked.session) else { return pump() }
        for message in read.damaged {
            core.metrics.damagedRecords.increment()
            resource.inFlight.remove(message)
            _ = inbox.acknowledge(message)
        }
        for record in read.records where resource.inFlight.contains(record.sequence) {
            guard var stanza = try? Stanza(encoded: record.stanza) else {
                core.metrics.damagedRecords.increment()
                resource.inFlight.remove(record.sequence)
                _ = inbox.acknowledge(record.sequence)
                continue
            }
            if let from = stanza.from, isBlocked(from) {
                // Blocked since it came: it is owed no more.
                resource.inFlight.remove(record.sequence)
                _ = settle(record.sequence)
                continue
            }
            inbox.note(record.sequence, origin: Origin(session: record.header.originSession, inSeq: record.header.inSeq))
            if record.flags.contains(.archived), !carriesOwnStanzaID(stanza) { identify(&stanza, record.sequence) }
            shard.tracer?.owed(&stanza, record, node: resource.session.shard.node)
            // XEP-0160 §3, XEP-0203: stamped by the account's own domain.
            var delay = XMLWriter()
            Delay(stamp: DateTime(microseconds: record.stamp), from: jid.domainJID).write(into: &delay)
            stanza.payload = stanza.payload.appending(delay.bytes, as: .delay)
            deliver(stanza, to: resource, message: record.sequence)
        }
        guard read.failure == nil else {
            let known = Set(read.records.map(\.sequence)).union(read.damaged)
            giveBack(asked.messages.filter { !known.contains($0) }, of: asked.session)
            return pumpLater()
        }
        pump()
    }

    /// The store could not be read: it is tried again in a second, or with the next message.
    private func pumpLater() {
        let jid = jid
        let shard = shard
        _ = shard.loop.schedule(after: .seconds(1)) { shard.enter { $0.accounts[jid]?.pump() } }
    }

    /// What is never stored and waited behind what is: to whoever should have it now.
    func releaseHeldBack() {
        guard !heldBack.isEmpty else { return }
        let held = heldBack
        heldBack.removeAll()
        for stanza in held { incomingAgain(stanza) }
    }
}
