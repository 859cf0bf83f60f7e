import XMLStream

/// Whole logins, one after the other in each session: connection, TLS, proof of the password, resource, and the end of the stream.
final class LoginLoad: Load, @unchecked Sendable {
    // @unchecked: see `Crew`.
    private let crew: Crew
    private let duration: Double
    private var began: UInt64 = 0
    private var ends: UInt64 = .max
    private var count: UInt64 = 0
    private var open = 0
    private var isOver = false
    private(set) var outcome = Outcome()

    init(_ crew: Crew, duration: Double) {
        self.crew = crew
        self.duration = duration
    }

    func begin() {
        began = crew.now
        ends = began + UInt64(duration * 1e9)
        open = crew.sessions.count
        crew.join(crew.sessions)
    }

    func loggedIn(_ session: Session, resumed: Bool) {
        count += 1
        session.close()
    }

    func ended(_ session: Session, expected: Bool) {
        guard expected, crew.now < ends else {
            open -= 1
            return
        }
        crew.join([session])
    }

    func received(_ element: Element, by session: Session) {}

    func tick() {
        guard !isOver, crew.now >= ends, open <= 0 || crew.now > ends + UInt64(crew.options.patience) * 1_000_000_000 else { return }
        isOver = true
        if open > 0 { crew.problem("\(open) streams did not end") }
        outcome.line.add("operations", count)
        outcome.line.add("per_second", Double(count) / max(Double(crew.now - began) / 1e9, 0.001))
        crew.finish()
    }
}
