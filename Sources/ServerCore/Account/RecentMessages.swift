import Store

/// What came into an account lately: a stanza that is submitted again after a takeover, or sent again by a client that heard
/// no acknowledgement, is recognised and not written twice.
///
/// Repeats of a session are looked for only when the ticket says that it is one, so the common path pays for one hash alone.
struct RecentMessages {
    /// How long an acknowledged message that nothing archives stays in the store: a repeat may still come from a session whose
    /// home died before the completion left.
    static let graceMicroseconds: Int64 = 120_000_000
    private static let bound = 256

    private var origins: [UInt64] = []
    private var next = 0
    private var known: Set<UInt64> = []
    private var submissions: Set<Submission> = []

    private struct Submission: Hashable {
        var session: UInt64
        var inSeq: UInt32
    }

    init() {}

    init(_ tail: [AccountSnapshot.Recent]) {
        for entry in tail {
            if entry.originHash != 0 { note(origin: entry.originHash) }
            submissions.insert(Submission(session: entry.session, inSeq: entry.inSeq))
        }
    }

    /// Whether this submission already wrote its record.
    func isRepeated(_ ticket: Ticket?) -> Bool {
        guard let ticket, ticket.isRepeat else { return false }
        return submissions.contains(Submission(session: Self.key(ticket), inSeq: ticket.inSeq))
    }

    func contains(origin: UInt64) -> Bool { origin != 0 && known.contains(origin) }

    mutating func note(origin: UInt64) {
        guard origin != 0, known.insert(origin).inserted else { return }
        if origins.count < Self.bound {
            origins.append(origin)
        } else {
            known.remove(origins[next])
            origins[next] = origin
            next = (next + 1) % Self.bound
        }
    }

    /// A number for the session that is the same in the record and in the ticket.
    static func key(_ ticket: Ticket?) -> UInt64 {
        guard let ticket else { return 0 }
        return ticket.session.key
    }
}
