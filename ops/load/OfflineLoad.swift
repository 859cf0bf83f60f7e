import Stanzas
import XMLStream

/// Messages to accounts that are away, and then their coming back.
final class OfflineLoad: Load, @unchecked Sendable {
    // @unchecked: see `Crew`.
    private enum Phase { case joining, storing, draining, closing }

    private let crew: Crew
    private let messages: UInt64
    private let window: UInt64
    private let senders: [Session]
    private let receivers: [Session]
    private var phase = Phase.joining
    private var deadline: UInt64 = .max
    private var began: UInt64 = 0
    private var seconds: (store: Double, drain: Double) = (0, 0)
    /// What each receiver has of each sender.
    private var sequences: [[ReceivedSequence]]
    private(set) var outcome = Outcome()

    /// - Parameters:
    ///   - senders: the first so many sessions; the others receive.
    ///   - messages: of each sender for each receiver.
    ///   - window: messages before a sender waits until they are kept.
    init(_ crew: Crew, senders: Int, messages: Int, window: Int) {
        self.crew = crew
        self.messages = UInt64(messages)
        self.window = UInt64(window)
        self.senders = Array(crew.sessions.prefix(senders))
        receivers = Array(crew.sessions.dropFirst(senders))
        sequences = receivers.map { _ in [ReceivedSequence](repeating: ReceivedSequence(), count: senders) }
    }

    func begin() { crew.join(senders) }

    private var perSender: UInt64 { messages * UInt64(receivers.count) }

    func loggedIn(_ session: Session, resumed: Bool) {
        switch phase {
        case .joining:
            guard crew.isComplete else { return }
            guard senders.allSatisfy(\.isReady) else { return finish() }
            phase = .storing
            began = crew.now
            deadline = began + patience
            for sender in senders { send(sender) }
        case .draining: session.send("<presence/>")
        case .storing, .closing: break
        }
    }

    func ended(_ session: Session, expected: Bool) {
        if phase == .joining, crew.isComplete { finish() }
    }

    private var patience: UInt64 { UInt64(crew.options.patience) * 1_000_000_000 }

    /// A window of messages, and a ping behind them: its answer says that they are kept.
    private func send(_ sender: Session) {
        let stop = min(perSender, sender.work.chats + window)
        while sender.work.chats < stop {
            let number = sender.work.chats
            sender.work.chats += 1
            let receiver = receivers[Int(number % UInt64(receivers.count))]
            let stamp = Stamp("o", sender: sender.index, number: number / UInt64(receivers.count), began: crew.now)
            sender.send(
                "<message to='\(receiver.account.jid)' type='chat' id='\(stamp.text)'><body>Farewell, farewell! one kiss</body></message>")
        }
        sender.send("<iq type='get' to='\(sender.account.jid.domain)' id='kept'><ping xmlns='urn:xmpp:ping'/></iq>")
    }

    func received(_ element: Element, by session: Session) {
        if element.local == "iq", element["id"] == "kept" {
            deadline = crew.now + patience
            if session.work.chats < perSender { return send(session) }
            session.work.hasFence = true
            if senders.allSatisfy(\.work.hasFence) { drain() }
        }
        guard element.local == "message", let stamp = element["id"].flatMap({ Stamp($0) }), stamp.kind == "o" else { return }
        if element["type"] == "error" { return crew.problem("\(session.account.jid): a message came back") }
        let receiver = session.index - senders.count
        guard sequences.indices.contains(receiver), senders.indices.contains(stamp.sender) else { return }
        _ = sequences[receiver][stamp.sender].receive(stamp.number)
        deadline = crew.now + patience
        guard phase == .draining, sequences.allSatisfy({ $0.allSatisfy { $0.expected == messages } }) else { return }
        seconds.drain = Double(crew.now - began) / 1e9
        finish()
    }

    private func drain() {
        guard phase == .storing else { return }
        seconds.store = Double(crew.now - began) / 1e9
        phase = .draining
        began = crew.now
        deadline = began + patience
        crew.join(receivers)
    }

    func tick() {
        switch phase {
        case .joining: break
        case .storing, .draining:
            if crew.now > deadline {
                crew.problem("nothing more came for \(crew.options.patience) s")
                finish()
            }
        case .closing:
            if crew.sessions.allSatisfy({ $0.connection == nil }) || crew.now > deadline { crew.finish() }
        }
    }

    private func finish() {
        guard phase != .closing else { return }
        let all = Double(perSender * UInt64(senders.count))
        outcome.line.add("operations", perSender * UInt64(senders.count))
        outcome.line.add("stored_per_second", seconds.store > 0 ? all / seconds.store : 0)
        outcome.line.add("drained_per_second", seconds.drain > 0 ? all / seconds.drain : 0)
        for row in sequences { for sequence in row { outcome.count(sequence, sent: messages) } }
        phase = .closing
        deadline = crew.now + min(patience, 5_000_000_000)
        for session in crew.sessions where session.connection != nil { session.close() }
    }
}
