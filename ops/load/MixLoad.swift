import Stanzas
import XMLStream

/// What a session of a load has begun and seen.
struct SessionWork {
    var inFlight = 0
    /// Operations it has begun: the next kind is chosen by it.
    var begun = 0
    var chats: UInt64 = 0
    var requests: UInt64 = 0
    var presences: UInt64 = 0
    var fromPartner = ReceivedSequence()
    /// Presence of those it follows, by their index.
    var followed: [Int: ReceivedSequence] = [:]
    /// How many have yet to see its presence, by its number.
    var unseen: [UInt64: Int] = [:]
    /// Subscriptions it waits for; nil: it has not seen its roster.
    var subscriptions: Set<String>?
    var hasFence = false
}

/// Kinds of operations in proportions, over sessions that stay: with so many under way at once in each, or at a rate.
final class MixLoad: Load, @unchecked Sendable {
    // @unchecked: see `Crew`.
    enum Kind: String, CaseIterable {
        /// A message to the partner, until it is there.
        case chat
        /// A ping of the server, until it is answered.
        case iq
        /// Presence to the followers, until all have it.
        case presence
        /// A page of the archive.
        case archive
    }

    struct Plan: Sendable {
        /// Kinds, each as often as its weight, spread evenly.
        var kinds: [Kind]
        var window: Int
        /// Operations a second of all sessions; nil: as many as go with the window.
        var rate: Double?
        var warmUp: Double
        var duration: Double
        var size: Int
        var followers: Int
        var page: Int
        /// Sockets cut a second, and resumed.
        var drops: Double
    }

    private enum Phase { case joining, subscribing, running, draining, fencing, closing }

    private let crew: Crew
    private let plan: Plan
    private var phase = Phase.joining
    private var deadline: UInt64 = 0
    private var started: UInt64 = 0
    private var measured: ClosedRange<UInt64> = 0...0
    private var offered: UInt64 = 0
    private var dropped: UInt64 = 0
    private var next = 0
    private var latencies: [Kind: Histogram] = [:]
    private(set) var outcome = Outcome()
    private let filler: String

    init(_ crew: Crew, _ plan: Plan) {
        self.crew = crew
        self.plan = plan
        filler =
            String(repeating: "But, soft! what light through yonder window breaks? ", count: plan.size / 52 + 1).prefix(plan.size)
            .description
        for kind in plan.kinds { latencies[kind] = Histogram() }
    }

    func begin() {
        deadline = .max
        crew.join(crew.sessions)
    }

    private var uses: Set<Kind> { Set(plan.kinds) }
    private var patience: UInt64 { UInt64(crew.options.patience) * 1_000_000_000 }
    private func partner(_ session: Session) -> Session { crew.sessions[session.index ^ 1] }

    // MARK: Events

    func loggedIn(_ session: Session, resumed: Bool) {
        guard phase == .joining else { return }
        session.send("<presence/>")
        if crew.isComplete { joined() }
    }

    func ended(_ session: Session, expected: Bool) {
        if phase == .joining, crew.isComplete { joined() }
    }

    private func joined() {
        guard crew.sessions.allSatisfy(\.isReady) else { return finish() }
        deadline = crew.now + patience
        guard uses.contains(.presence) else { return start() }
        phase = .subscribing
        for session in crew.sessions { session.send("<iq type='get' id='roster'><query xmlns='\(NS.roster)'/></iq>") }
    }

    private func start() {
        phase = .running
        started = crew.now
        let from = started + UInt64(plan.warmUp * 1e9)
        measured = from...(from + UInt64(plan.duration * 1e9))
        guard plan.rate == nil else { return }
        for session in crew.sessions { fill(session) }
    }

    func tick() {
        let now = crew.now
        switch phase {
        case .joining: break
        case .subscribing: if now > deadline { abandon("not all subscriptions were answered") }
        case .running:
            if now > measured.upperBound {
                phase = .draining
                deadline = now + patience
                return
            }
            offer(now)
            drop(now)
        case .draining:
            guard crew.isComplete, crew.sessions.allSatisfy({ $0.work.inFlight == 0 }) else {
                if now > deadline { abandon("not all operations ended") }
                return
            }
            fence()
        case .fencing: if now > deadline { abandon("what was sent last did not arrive") }
        case .closing:
            if crew.sessions.allSatisfy({ $0.connection == nil }) || now > deadline { crew.finish() }
        }
    }

    private func abandon(_ text: String) {
        crew.problem(text)
        finish()
    }

    // MARK: Operations

    /// At a rate: what is due by now, whether the server is behind or not. Latency counts from when it was due.
    private func offer(_ now: UInt64) {
        guard let rate = plan.rate else { return }
        let due = UInt64(Double(now - started) / 1e9 * rate)
        while offered < due {
            let session = crew.sessions[next % crew.sessions.count]
            next += 1
            begin(session, started + UInt64(Double(offered) / rate * 1e9))
            offered += 1
        }
    }

    private func drop(_ now: UInt64) {
        guard plan.drops > 0 else { return }
        let due = UInt64(Double(now - started) / 1e9 * plan.drops)
        while dropped < due {
            dropped += 1
            // Every session in turn, but not neighbours one after the other.
            let session = crew.sessions[Int(truncatingIfNeeded: dropped &* 7_919) % crew.sessions.count]
            guard session.isReady else { continue }
            session.cut()
            crew.join([session])
        }
    }

    private func fill(_ session: Session) {
        while phase == .running, session.work.inFlight < plan.window { begin(session, crew.now) }
    }

    private func begin(_ session: Session, _ time: UInt64) {
        let kind = plan.kinds[(session.work.begun + session.index) % plan.kinds.count]
        session.work.begun += 1
        session.work.inFlight += 1
        switch kind {
        case .chat:
            let stamp = Stamp("c", sender: session.index, number: session.work.chats, began: time)
            session.work.chats += 1
            session.send("<message to='\(partner(session).account.jid)' type='chat' id='\(stamp.text)'><body>\(filler)</body></message>")
        case .iq:
            let stamp = Stamp("i", sender: session.index, number: session.work.requests, began: time)
            session.work.requests += 1
            session.send("<iq type='get' to='\(session.account.jid.domain)' id='\(stamp.text)'><ping xmlns='urn:xmpp:ping'/></iq>")
        case .archive:
            let stamp = Stamp("a", sender: session.index, number: session.work.requests, began: time)
            session.work.requests += 1
            session.send(
                "<iq type='set' id='\(stamp.text)'><query xmlns='urn:xmpp:mam:2'><set xmlns='\(NS.resultSet)'><max>\(plan.page)</max><before/></set></query></iq>"
            )
        case .presence:
            let stamp = Stamp("p", sender: session.index, number: session.work.presences, began: time)
            session.work.unseen[session.work.presences] = plan.followers
            session.work.presences += 1
            session.send("<presence><status>\(stamp.text)</status></presence>")
        }
    }

    private func end(_ kind: Kind, _ stamp: Stamp) {
        guard crew.sessions.indices.contains(stamp.sender) else { return }
        let session = crew.sessions[stamp.sender]
        session.work.inFlight -= 1
        if measured.contains(stamp.began) { latencies[kind]?.add(crew.now - min(crew.now, stamp.began)) }
        if plan.rate == nil { fill(session) }
    }

    // MARK: What comes

    func received(_ element: Element, by session: Session) {
        switch element.local {
        case "message": message(element, session)
        case "iq": answer(element, session)
        case "presence": presence(element, session)
        default: break
        }
    }

    private func message(_ element: Element, _ session: Session) {
        guard let stamp = element["id"].flatMap({ Stamp($0) }), crew.sessions.indices.contains(stamp.sender) else { return }
        if element["type"] == "error" {
            crew.problem("\(session.account.jid): a message came back: \(condition(element))")
            return end(.chat, stamp)
        }
        guard stamp.sender == session.index ^ 1 else { return }
        if stamp.kind == "f" {
            session.work.hasFence = true
            if phase == .fencing, crew.sessions.allSatisfy(\.work.hasFence) { finish() }
        } else if stamp.kind == "c", session.work.fromPartner.receive(stamp.number) {
            end(.chat, stamp)
        }
    }

    private func answer(_ element: Element, _ session: Session) {
        guard let id = element["id"], element["type"] == "result" || element["type"] == "error" else { return }
        if id == "roster" { return roster(element, session) }
        guard let stamp = Stamp(id), stamp.sender == session.index else { return }
        if element["type"] == "error" { crew.problem("\(session.account.jid): a request is refused: \(condition(element))") }
        end(stamp.kind == "a" ? .archive : .iq, stamp)
    }

    private func condition(_ element: Element) -> String {
        element.first(local: "error", namespace: NS.client)?.children.first { _ in true }?.local ?? "without a reason"
    }

    // MARK: Presence

    /// Whom a session follows: its neighbours on one side.
    private func followed(by session: Session) -> [Session] {
        (1...max(1, plan.followers)).map { crew.sessions[(session.index + $0) % crew.sessions.count] }
    }

    private func roster(_ element: Element, _ session: Session) {
        let items = element.first(local: "query", namespace: NS.roster)?.children.map { ($0["jid"] ?? "", $0["subscription"] ?? "") } ?? []
        let known = Set(items.filter { $0.1 == "to" || $0.1 == "both" }.map(\.0))
        let wanted = Set(followed(by: session).map(\.account.jid.description)).subtracting(known)
        session.work.subscriptions = wanted
        for jid in wanted.sorted() { session.send("<presence to='\(jid)' type='subscribe'/>") }
        startIfSubscribed()
    }

    private func startIfSubscribed() {
        if phase == .subscribing, crew.sessions.allSatisfy({ $0.work.subscriptions?.isEmpty == true }) { start() }
    }

    private func presence(_ element: Element, _ session: Session) {
        switch element["type"] {
        case nil:
            guard let text = element.first(local: "status", namespace: NS.client)?.text, let stamp = Stamp(text), stamp.kind == "p",
                stamp.sender != session.index, crew.sessions.indices.contains(stamp.sender)
            else { return }
            guard session.work.followed[stamp.sender, default: ReceivedSequence()].receive(stamp.number) else { return }
            let sender = crew.sessions[stamp.sender]
            guard let left = sender.work.unseen[stamp.number] else { return }
            sender.work.unseen[stamp.number] = left > 1 ? left - 1 : nil
            if left == 1 { end(.presence, stamp) }
        case "subscribe":
            if let from = element["from"] { session.send("<presence to='\(from)' type='subscribed'/>") }
        case "subscribed":
            if let from = element["from"].flatMap({ try? JID($0) }) { session.work.subscriptions?.remove(from.bare.description) }
            startIfSubscribed()
        default: break
        }
    }

    // MARK: The end

    /// A last message from everybody: what comes twice comes before it.
    private func fence() {
        guard uses.contains(.chat) else { return finish() }
        phase = .fencing
        deadline = crew.now + patience
        for session in crew.sessions {
            let stamp = Stamp("f", sender: session.index, number: 0, began: crew.now)
            session.send("<message to='\(partner(session).account.jid)' type='chat' id='\(stamp.text)'><body>The end</body></message>")
        }
    }

    private func finish() {
        guard phase != .closing else { return }
        report()
        phase = .closing
        deadline = crew.now + min(patience, 5_000_000_000)
        for session in crew.sessions where session.connection != nil { session.close() }
    }

    private func report() {
        var operations: UInt64 = 0
        for kind in Kind.allCases {
            guard let histogram = latencies[kind] else { continue }
            operations += histogram.count
            outcome.line.add("\(kind.rawValue)_us", histogram)
        }
        outcome.line.add("operations", operations)
        outcome.line.add("per_second", Double(operations) / max(plan.duration, 0.001))
        if plan.drops > 0 { outcome.line.add("drops", dropped) }
        for session in crew.sessions {
            if uses.contains(.chat) { outcome.count(session.work.fromPartner, sent: partner(session).work.chats) }
            if uses.contains(.presence) {
                for other in followed(by: session) {
                    outcome.count(session.work.followed[other.index] ?? ReceivedSequence(), sent: other.work.presences)
                }
            }
            // Requests and queries without an answer.
            if !uses.contains(.chat), !uses.contains(.presence) { outcome.lost += UInt64(max(0, session.work.inFlight)) }
        }
    }
}
