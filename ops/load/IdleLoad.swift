import Stanzas
import XMLStream

/// Many sessions that do nothing but ping now and then; and a storm, in which many of them come back at once.
final class IdleLoad: Load, @unchecked Sendable {
    // @unchecked: see `Crew`.
    struct Plan: Sendable {
        /// Seconds between two pings of a session.
        var pingEvery: Double
        var duration: Double
        /// Sessions whose sockets are cut in the middle of the time, all at once, and which log in again, all at once.
        var storm: Int
    }

    private enum Phase { case joining, calm, storm, after, closing }

    private let crew: Crew
    private let plan: Plan
    private var phase = Phase.joining
    private var deadline: UInt64 = .max
    private var began: UInt64 = 0
    private var pinged: UInt64 = 0
    private var answered: UInt64 = 0
    private var isComingBack: Set<Int> = []
    private var stormed: UInt64 = 0
    private var calm = Histogram()
    private var during = Histogram()
    private(set) var outcome = Outcome()

    init(_ crew: Crew, _ plan: Plan) {
        self.crew = crew
        self.plan = plan
    }

    func begin() { crew.join(crew.sessions) }

    func loggedIn(_ session: Session, resumed: Bool) {
        if !resumed { session.send("<presence/>") }
        if phase == .joining, crew.isComplete { calmDown() }
        if isComingBack.remove(session.index) != nil, isComingBack.isEmpty { stormIsOver() }
    }

    func ended(_ session: Session, expected: Bool) {
        if phase == .joining, crew.isComplete { calmDown() }
        // Whoever cannot come back is an error already.
        if !expected, isComingBack.remove(session.index) != nil, isComingBack.isEmpty { stormIsOver() }
    }

    private func calmDown() {
        phase = .calm
        began = crew.now
    }

    private func stormIsOver() {
        guard phase == .storm else { return }
        phase = .after
        outcome.line.add("storm_seconds", Double(crew.now - stormed) / 1e9)
    }

    func received(_ element: Element, by session: Session) {
        guard element.local == "iq", let stamp = element["id"].flatMap({ Stamp($0) }), stamp.kind == "i" else { return }
        answered += 1
        session.work.inFlight -= 1
        let took = crew.now - min(crew.now, stamp.began)
        if stormed > 0, stamp.began >= stormed, phase == .storm { during.add(took) } else { calm.add(took) }
    }

    func tick() {
        let now = crew.now
        switch phase {
        case .joining: return
        case .closing:
            if crew.sessions.allSatisfy({ $0.connection == nil }) || now > deadline { crew.finish() }
            return
        case .calm, .storm, .after: break
        }
        let elapsed = Double(now - began) / 1e9
        if elapsed < plan.duration || phase == .storm {
            ping(elapsed)
            if phase == .calm, plan.storm > 0, elapsed >= plan.duration / 2 { storm(now) }
            return
        }
        if deadline == .max { deadline = now + UInt64(crew.options.patience) * 1_000_000_000 }
        let waiting = crew.sessions.count { $0.isReady && $0.work.inFlight > 0 }
        if waiting == 0 || now > deadline { finish(waiting) }
    }

    /// Pings are spread evenly over time and sessions.
    private func ping(_ elapsed: Double) {
        let due = UInt64(elapsed * Double(crew.sessions.count) / plan.pingEvery)
        while pinged < due {
            let session = crew.sessions[Int(pinged % UInt64(crew.sessions.count))]
            pinged += 1
            // Its answer would wait for the socket, not for the server.
            guard session.isReady else { continue }
            let stamp = Stamp("i", sender: session.index, number: pinged, began: crew.now)
            session.work.inFlight += 1
            session.send("<iq type='get' to='\(session.account.jid.domain)' id='\(stamp.text)'><ping xmlns='urn:xmpp:ping'/></iq>")
        }
    }

    private func storm(_ now: UInt64) {
        phase = .storm
        stormed = now
        let leaving = crew.sessions.filter(\.isReady).prefix(plan.storm)
        isComingBack = Set(leaving.map(\.index))
        guard !isComingBack.isEmpty else { return stormIsOver() }
        for session in leaving {
            session.cut()
            // Without resumption what was under way is lost with the session.
            if session.resumable == nil { session.work.inFlight = 0 }
        }
        crew.join(Array(leaving), atOnce: true)
    }

    private func finish(_ waiting: Int) {
        if waiting > 0 { crew.problem("\(waiting) sessions wait for the answer to a ping") }
        outcome.line.add("operations", answered)
        outcome.line.add("ping_us", calm)
        if plan.storm > 0 {
            outcome.line.add("storm", plan.storm)
            outcome.line.add("ping_in_storm_us", during)
        }
        phase = .closing
        deadline = crew.now + min(UInt64(crew.options.patience), 10) * 1_000_000_000
        for session in crew.sessions where session.connection != nil { session.close() }
    }
}
