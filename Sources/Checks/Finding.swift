/// What a check found about one thing, good or not.
public struct CheckFinding: Sendable, Equatable {
    public enum State: String, Sendable {
        case good = "ok"
        /// It works, and somebody should know.
        case note
        /// Somebody has to do something.
        case mend
    }

    /// `dns`, `certificates`, `ports` or `clocks`.
    public var check: String
    /// What it is about: a domain, a file, an address, a node.
    public var subject: String
    public var state: State
    /// What is so, in one sentence.
    public var says: String
    /// What to do; empty when nothing is to be done.
    public var mend: String

    init(_ check: String, _ subject: String, _ state: State, _ says: String, mend: String = "") {
        self.check = check
        self.subject = subject
        self.state = state
        self.says = says
        self.mend = mend
    }
}
