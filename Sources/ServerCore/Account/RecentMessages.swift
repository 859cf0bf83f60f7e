internal import DequeModule
import Store

/// What came into an account lately: a stanza that is submitted again after a takeover, or sent again by a client that heard
/// no acknowledgement, is recognised and not written twice.
///
/// Repeats of a session are looked for only when the ticket says that it is one, so the common path pays for one hash alone.
struct RecentMessages {
    /// How long an acknowledged message that nothing archives stays in the store: a repeat may still come from a session whose
    /// home died before the completion left.
    static let graceMicroseconds: Int64 = 120_000_000
    /// Origins that are remembered however old they are.
    private static let few = 256
    /// Origins that are remembered however young they are: what is read of an account that is loaded.
    private static let many = AccountSnapshot.repeatedMessages

    /// In the order in which they came, with their stamps.
    private var origins: Deque<(hash: UInt64, stamp: Int64)> = []
    private var known: Set<UInt64> = []
    /// What the store had when the account was loaded.
    private var submissions: Set<Submission> = []
    /// Written since then, the oldest first: a session that changes its loop before it hears of them submits them again.
    private var lately: Deque<(submission: Submission, stamp: Int64)> = []
    /// More than the sessions of all contacts have under way, but for a flood.
    private static let lateBound = 1_024

    private struct Submission: Hashable {
        var session: UInt64
        var inSeq: UInt32
    }

    init() {}

    init(_ tail: [AccountSnapshot.Recent]) {
        for entry in tail {
            note(origin: entry.originHash, at: entry.stamp)
            submissions.insert(Submission(session: entry.session, inSeq: entry.inSeq))
        }
    }

    /// Whether this submission already wrote its record.
    func isRepeated(_ ticket: Ticket?) -> Bool {
        guard let ticket, ticket.isRepeat else { return false }
        let submission = Submission(session: Self.key(ticket), inSeq: ticket.inSeq)
        return submissions.contains(submission) || lately.contains { $0.submission == submission }
    }

    /// Remembers what wrote a record, until its session knows that it is handled, or two minutes have passed.
    mutating func note(_ ticket: Ticket?, at stamp: Int64) {
        guard let ticket else { return }
        let session = Self.key(ticket)
        while let first = lately.first,
            lately.count >= Self.lateBound || first.stamp < stamp &- Self.graceMicroseconds
                || first.submission.session == session && Int32(bitPattern: ticket.settled &- first.submission.inSeq) >= 0
        {
            lately.removeFirst()
        }
        lately.append((Submission(session: session, inSeq: ticket.inSeq), stamp))
    }

    func contains(origin: UInt64) -> Bool { origin != 0 && known.contains(origin) }

    /// Remembers where a message came from; 0: it did not say. The last few are remembered always, and all of the last two minutes: a
    /// client that heard no acknowledgement sends everything again that it sent meanwhile, and were the first of it forgotten, each that is
    /// written anew would push out the next.
    mutating func note(origin: UInt64, at stamp: Int64) {
        guard origin != 0, known.insert(origin).inserted else { return }
        origins.append((origin, stamp))
        while origins.count > Self.few, let first = origins.first,
            origins.count > Self.many || first.stamp < stamp &- Self.graceMicroseconds
        {
            known.remove(first.hash)
            origins.removeFirst()
        }
    }

    /// A number for the session that is the same in the record and in the ticket.
    static func key(_ ticket: Ticket?) -> UInt64 {
        guard let ticket else { return 0 }
        return ticket.session.key
    }
}
