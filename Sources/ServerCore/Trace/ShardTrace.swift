public import Stanzas
import Store

/// How a trace begins and ends in the cluster.
extension Shard {
    /// Follows stanzas in the whole cluster. Every loop reports ten times a second, those that join later too.
    ///
    /// - Parameters:
    ///   - report: called on this loop with each `TraceReport`, as bytes.
    ///   - done: called once on this loop when every loop ended it; with the nodes that went silent.
    public func trace(
        _ order: TraceOrder, report: @escaping ([UInt8]) -> Void, done: @escaping (_ silentNodes: Set<UInt64>) -> Void
    ) {
        // It ends where the stanzas are, a little later than asked for.
        ask(order.question, deadline: .seconds(Int64(order.seconds) + 10), isStanding: true, part: report, done: done)
    }

    /// Ends a trace everywhere; nothing more is reported of it.
    public func endTrace(_ order: TraceOrder) {
        dropQuestion(order.question)
        ask(TraceOrder.ending(order.id), part: { _ in }, done: { _ in })
    }

    /// Answers a question that the node itself does not: at once, or over many turns.
    func answer(_ question: [UInt8], id: UInt64, to asker: ShardAddress) {
        if let order = TraceOrder(question) { return beginTrace(order, question: id, asker) }
        if let over = TraceOrder.ended(by: question) {
            tracer?.end { trace, _ in trace == over }
            return post(.answer(id: id, part: [], last: true), to: asker)
        }
        if let filter = SessionFilter(question) { return scanSessions(filter, question: id, asker: asker) }
        post(.answer(id: id, part: componentAnswer(to: question) ?? answerer?(question) ?? [], last: true), to: asker)
    }

    private func beginTrace(_ order: TraceOrder, question: UInt64, _ asker: ShardAddress) {
        let tracer = tracer ?? Tracer(self)
        let isBegun = tracer.begin(order, question: question, asker: asker)
        if isBegun { self.tracer = tracer }
        let report = TraceReport(
            state: isBegun ? .running : .taken, node: core.node, nodeName: core.nodeName, loop: address.loop, through: core.clock.now)
        post(.answer(id: question, part: report.bytes, last: !isBegun), to: asker)
    }
}

// MARK: - Stations

extension Turn {
    /// Notes a station of a stanza that somebody traces.
    public func trace(_ station: TraceStation, _ stanza: Stanza, _ detail: @autoclosure () -> String = "") {
        account.trace(station, stanza, detail())
    }
}

extension Account {
    /// Notes a station of a stanza that somebody traces. Without a mark it costs the look at it.
    @inline(__always)
    func trace(_ station: TraceStation, _ stanza: Stanza, _ detail: @autoclosure () -> String = "") {
        if stanza.trace != 0 { shard.tracer?.note(station, stanza, detail()) }
    }

    func traceChosen(_ stanza: Stanza, _ chosen: [Resource]) {
        guard !chosen.isEmpty else { return trace(.dropped, stanza, "by \(jid): nobody is there") }
        guard let tracer = shard.tracer else { return }
        let sessions = chosen.map { resource in
            "\(resource.name) on \(tracer.name(ofNode: resource.session.shard.node))"
                + (resource.isDetached ? " (waits for its client)" : "")
        }
        tracer.note(.chosen, stanza, sessions.joined(separator: ", "))
    }
}

extension Session {
    /// Notes a station of a stanza that somebody traces. Without a mark it costs the look at it.
    @inline(__always)
    func trace(_ station: TraceStation, _ stanza: Stanza, _ detail: @autoclosure () -> String = "") {
        if stanza.trace != 0 { shard.tracer?.note(station, stanza, detail()) }
    }

    /// A marked stanza goes into the buffer of this tick.
    func traceWritten(_ stanza: Stanza, _ message: UInt64) {
        guard let tracer = shard.tracer else { return }
        let owed = message == 0 ? "" : ", owed as \(message)"
        tracer.note(.written, stanza, "towards \(fullJID)" + (management.map { ", number \($0.ledger.sent)" } ?? "") + owed)
        tracer.wrote(stanza, session: id, mark: queue.mark + 1)
    }
}

extension Tracer {
    /// A session got it from its client.
    func received(_ stanza: inout Stanza, by session: Session, size: Int) {
        received(&stanza, key: session.key, seq: session.inbound.nextSeq, size: size)
    }

    func received(_ stanza: inout Stanza, key: UInt64, seq: UInt32, size: Int) {
        mark(&stanza, key: key, seq: seq, node: node)
        if stanza.trace != 0 { note(.received, stanza, "stanza \(seq) of the session, \(size) bytes", showsContent: true) }
    }

    /// Looks at a stanza that got its address here.
    func found(_ stanza: inout Stanza) {
        if markOwn(&stanza) { note(.found, stanza, showsContent: true) }
    }

    /// A stanza that is made here, or on its way to a node that is looked at, with its mark; nil: it has it, or nobody wants it.
    func found(_ stanza: Stanza, node: UInt64? = nil) -> Stanza? {
        var marked = stanza
        let isNew = markOwn(&marked, node: node)
        guard marked.trace != stanza.trace else { return nil }
        if isNew { note(.found, marked, showsContent: true) }
        return marked
    }

    /// An owed message was read from the store: it is the one that was submitted.
    func owed(_ stanza: inout Stanza, _ record: MessageRecord, node: UInt64) {
        mark(&stanza, key: record.header.originSession, seq: record.header.inSeq, node: node)
        if stanza.trace != 0 { note(.found, stanza, "in the inbox, owed as \(record.sequence)", showsContent: true) }
    }

    /// Something leaves a home.
    func released(_ letter: Letter, to address: ShardAddress) {
        guard case .deliver(_, _, let message, let stanza) = letter, stanza.trace != 0 else { return }
        note(.released, stanza, "to loop \(address.loop) of \(name(ofNode: address.node))" + (message == 0 ? "" : ", owed as \(message)"))
    }

    /// The session of the sender heard that a side is done.
    func completed(_ stanza: Stanza, _ half: CompletionHalf, _ refusal: StanzaError?) {
        let side =
            switch half {
            case .whole: "handled"
            case .own: "kept by its sender's home"
            case .theirs: "kept or handed over by its addressee's home"
            }
        note(.completed, stanza, refusal.map { "refused: \($0)" } ?? side)
    }

    /// The client says that it has the first `h` stanzas.
    func acknowledges(_ session: Session, _ h: UInt32) {
        guard let ledger = session.management?.ledger else { return }
        let ahead = Int(h &- ledger.acknowledgedThrough)
        guard ahead <= ledger.count else { return }
        for (number, entry) in ledger.entries.prefix(ahead).enumerated() where entry.stanza.trace != 0 {
            note(.acknowledged, entry.stanza, "by \(session.fullJID), number \(ledger.acknowledgedThrough &+ UInt32(number + 1)) of h=\(h)")
        }
    }
}

extension IQReply {
    /// What it is, for a trace.
    var word: String {
        switch self {
        case .result: "result"
        case .error(let error): "\(error)"
        case .later: "later"
        case .sent: "sent"
        }
    }
}
