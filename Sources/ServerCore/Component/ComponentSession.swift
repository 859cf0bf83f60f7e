internal import DequeModule
import Settings
public import Stanzas
import Telemetry

/// The object on the loop of a component's socket (XEP-0114): it submits what the component sends to the homes of those it writes to,
/// and writes what the home of its domain hands over.
///
/// It speaks for every address of its domain, so it has no account: its stanzas are admitted by those who get them, as from another
/// server. Each is handled when the home of its recipient said so.
public final class ComponentSession {
    public let id: UInt64
    /// The domain it speaks for, as an address.
    public let domain: JID
    public let connection: any ClientConnection
    private let shard: Shard
    /// When the domain was granted, wall clock µs.
    public private(set) var since: Int64
    public private(set) var stanzasIn: UInt64 = 0
    public private(set) var stanzasOut: UInt64 = 0
    public private(set) var ended: EndReason?
    private var inbound = InboundLedger()
    private var queue = OutQueue()
    private var out: [UInt8] = []
    private var taken: [UInt64] = []
    private var isDirty = false
    private var reading = true
    private var bindID: BindID?
    private var bindPosted = false
    private var departurePosted = false
    private var completion: ((Result<ComponentSession, StanzaError>) -> Void)?
    /// When the socket last took something, or had nothing to take.
    private var progress: MonotonicTime

    init(
        id: UInt64, domain: JID, connection: any ClientConnection, shard: Shard,
        completion: @escaping (Result<ComponentSession, StanzaError>) -> Void
    ) {
        self.id = id
        self.domain = domain
        self.connection = connection
        self.shard = shard
        self.completion = completion
        since = shard.core.clock.now
        progress = shard.loop.now
    }

    var ref: SessionRef { SessionRef(shard: shard.address, id: id) }
    /// Whether the home granted the domain and the stream stands.
    var isBound: Bool { bindID != nil && ended == nil }
    /// Bytes that the socket has not taken yet.
    public var bytesWaiting: Int { queue.bytes + out.count }
    /// Submissions that are not handled yet.
    public var unhandled: Int { inbound.count }

    // MARK: The domain

    func requestBind() {
        guard bindID == nil, ended == nil, !bindPosted, let home = shard.placement.home(of: domain) else { return }
        bindPosted = true
        shard.post(.bind(BindRequest(account: domain, resource: nil, session: ref)), to: home)
    }

    func bound(_ answer: BindAnswer) {
        guard bindID == nil else { return }
        switch answer {
        case .granted(_, let bind, let epoch, _):
            // From a home that died: the next one is asked anew, and knows nothing of this.
            guard epoch == shard.placement.epoch else { return }
            bindID = bind
            since = shard.core.clock.now
            // It left while the home was granting.
            guard ended == nil else { return depart() }
            shard.core.metrics.components.add(1)
            let completion = completion
            self.completion = nil
            completion?(.success(self))
        case .refused(let error): refuse(error)
        }
    }

    func refuse(_ error: StanzaError) {
        let completion = completion
        self.completion = nil
        shard.remove(self)
        if ended == nil { completion?(.failure(error)) }
    }

    // MARK: From the component

    /// Takes a stanza from the component's stream, with both addresses, `from` within the domain.
    ///
    /// - Parameter size: Bytes it took on the wire, for back-pressure.
    public func submit(_ stanza: Stanza, size: Int) {
        guard isBound, stanza.to != nil else { return }
        stanzasIn &+= 1
        shard.core.metrics.componentStanzasIn.increment()
        var stanza = stanza
        if let tracer = shard.tracer { tracer.received(&stanza, key: ref.key, seq: inbound.nextSeq, size: size) }
        let entry = inbound.add(stanza, size: size)
        shard.unhandledBytes += size
        // There is no account of its own that has a part in it.
        _ = inbound.complete(entry.seq, .own)
        post(entry)
        checkReading()
    }

    private func post(_ entry: InboundLedger.Entry) {
        guard let to = entry.stanza.to, entry.sentEpoch == 0 || entry.sentEpoch != shard.placement.epoch else { return }
        guard shard.core.serves(to.domain) else {
            // RFC 6120 §10.4: no stream to the remote domain can be had.
            return completed(entry.seq, .theirs, refusal: StanzaError(.remoteServerNotFound))
        }
        guard let home = shard.placement.home(of: to.bare) else { return }
        inbound.markSent(entry.seq, epoch: shard.placement.epoch)
        let ticket = Ticket(session: ref, inSeq: entry.seq, isRepeat: entry.sentEpoch != 0, settled: inbound.handledThrough)
        shard.post(.route(to: to, stanza: entry.stanza, ticket: ticket), to: home)
    }

    /// A new home serves: everything unhandled goes out again, in order.
    func submitAgain() {
        if bindID == nil {
            bindPosted = false
            if ended == nil { requestBind() } else { shard.remove(self) }
            return
        }
        for entry in inbound.unhandled where !entry.isHandled { post(entry) }
        postTaken()
        if ended != nil {
            departurePosted = false
            depart()
        }
    }

    func completed(_ inSeq: UInt32, _ half: CompletionHalf, refusal: StanzaError?) {
        guard let entry = inbound.entry(inSeq) else { return }
        if entry.stanza.trace != 0 { shard.tracer?.completed(entry.stanza, half, refusal) }
        if let refusal, !entry.refused {
            inbound.markRefused(inSeq)
            if ended == nil, let reply = refusal.reply(to: entry.stanza) { deliver(reply, number: 0) }
        }
        let (done, bytes) = inbound.complete(inSeq, half)
        guard done > 0 else { return }
        shard.unhandledBytes -= bytes
        checkReading()
        if isDone { shard.remove(self) }
    }

    private func checkReading() {
        let limits = shard.core.settings.limits
        if reading {
            guard
                inbound.count >= limits.unhandledStanzas || inbound.bytes >= limits.unhandledBytes
                    || shard.unhandledBytes >= limits.nodeUnhandledBytes / max(1, Int(shard.core.loopCount))
            else { return }
            reading = false
            shard.core.metrics.pauses.increment()
            if ended == nil { connection.setReading(false) }
        } else if inbound.count <= limits.unhandledStanzas / 2, inbound.bytes <= limits.unhandledBytes / 2 {
            reading = true
            if ended == nil { connection.setReading(true) }
        }
    }

    // MARK: To the component

    /// Writes a stanza at the end of the tick.
    ///
    /// - Parameter number: what the home knows it by, until the socket took it; 0: nobody waits for that.
    func deliver(_ stanza: Stanza, number: UInt64) {
        guard isBound else { return }
        let limits = shard.core.settings.limits
        guard bytesWaiting <= limits.sessionQueueBytes, queue.count <= limits.sessionQueueStanzas else { return end(.overrun) }
        stanza.write(into: &out)
        stanzasOut &+= 1
        shard.core.metrics.componentStanzasOut.increment()
        queue.add(number == 0 ? nil : .owed(number))
        if stanza.trace != 0, let tracer = shard.tracer {
            tracer.note(.written, stanza, "towards the component \(domain)")
            tracer.wrote(stanza, session: id, mark: queue.mark + 1)
        }
        if !isDirty {
            isDirty = true
            shard.dirtyComponents.append(self)
        }
    }

    /// Hands what was written in this tick to the socket, once.
    func flush() {
        isDirty = false
        if !out.isEmpty, ended == nil {
            if queue.bytes == 0 { progress = shard.loop.now }
            let mark = queue.flushed(out.count)
            out.withUnsafeBytes { connection.write($0, mark: mark) }
        }
        if out.capacity > 65_536 { out = [] } else { out.removeAll(keepingCapacity: true) }
    }

    /// The socket handed everything up to `mark` to the kernel.
    public func written(through mark: UInt64) {
        progress = shard.loop.now
        queue.written(through: mark, &taken)
        shard.tracer?.socketTook(session: id, through: mark, "by the socket of \(domain)")
        postTaken()
    }

    private func postTaken() {
        guard !taken.isEmpty, let home = shard.placement.home(of: domain) else { return }
        shard.post(.acked(account: domain, session: ref, messages: taken), to: home)
        taken.removeAll(keepingCapacity: true)
    }

    /// How long a component may leave its socket full: everybody who wrote to it waits.
    private static let patience = Duration.seconds(15)

    /// Ends a component that reads nothing.
    func checkProgress() {
        if isBound, queue.bytes > 0, progress + Self.patience < shard.loop.now { end(.overrun) }
    }

    // MARK: The end

    /// The component's stream is over. Called once by the connection.
    public func streamClosed(_ reason: StreamEnd) {
        switch reason {
        case .closedByPeer: finish(.closed)
        case .lost: finish(.lost)
        case .failed(let error): finish(.protocolError(error))
        }
    }

    /// Ends the session from this side.
    public func end(_ reason: EndReason) {
        guard ended == nil else { return }
        if !out.isEmpty, reason != .overrun { flush() }
        // The connection first: it says what the kernel has taken, and only the rest is handed back.
        connection.close(reason.streamError)
        finish(reason)
    }

    private func finish(_ reason: EndReason) {
        guard ended == nil else { return }
        ended = reason
        completion = nil
        if bindID != nil {
            shard.core.metrics.components.add(-1)
            depart()
        } else if !bindPosted {
            shard.remove(self)
        }
        // Otherwise the home is granting: `bound` departs.
    }

    private func depart() {
        guard let bindID, !departurePosted, let home = shard.placement.home(of: domain) else { return }
        departurePosted = true
        postTaken()
        shard.post(.unbind(account: domain, session: ref, bind: bindID, reason: .ended, unacked: queue.owed), to: home)
        if isDone { shard.remove(self) }
    }

    private var isDone: Bool { ended != nil && departurePosted && inbound.count == 0 }

    // MARK: Takeover

    /// What a new home must know; nil while the domain is not granted, or when the session is over.
    func report(epoch: UInt64) -> SessionReport? {
        guard let bindID, ended == nil else { return nil }
        return SessionReport(
            epoch: epoch, account: domain, resource: "", session: ref, bind: bindID, presence: nil, presenceConfirmed: true,
            presenceIsFresh: false, flags: 0, directed: [], deliveredThrough: 0, unacked: queue.owed, acked: [])
    }
}
