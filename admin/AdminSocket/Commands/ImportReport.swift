import AdminLanguage

/// What an import did, counted, for the end of its reply.
struct ImportReport {
    /// Kinds of things that are named one by one; what comes beyond is counted together, since a file may invent any number of them.
    static let kinds = 200

    /// Things of accounts, in the order in which they are shown.
    enum Part: String, CaseIterable {
        case contacts
        case requests
        case vCards = "vcards"
        case privateElements = "private_elements"
        case blocked
        case offline
        case archived
    }

    var made = 0
    var added = 0
    var skipped = 0
    /// Accounts of hosts that nobody asked for.
    var elsewhere = 0
    var parts: [Part: Int] = [:]
    /// Lines that were refused.
    var refused = 0
    var passed: [String: Int] = [:]
    var withoutPassword = 0
    /// Accounts without a key of this mechanism.
    var lacking: [String: Int] = [:]
    /// Archived messages that stood behind later ones.
    var reordered = 0

    var accounts: Int { made + added + skipped }

    mutating func pass(_ kind: String, _ count: Int = 1) {
        let known = passed[kind] != nil || passed.count < Self.kinds
        passed[known ? kind : "things of other kinds", default: 0] += count
    }

    mutating func count(_ part: Part, _ number: Int) {
        if number > 0 { parts[part, default: 0] += number }
    }

    /// The last lines of the reply.
    func write(into reply: inout Reply, isDryRun: Bool, isMerging: Bool) {
        for (kind, count) in passed.sorted(by: { $0.key < $1.key }) { reply.warning("not carried: \(count) times \(kind)") }
        for (mechanism, count) in lacking.sorted(by: { $0.key < $1.key }) {
            reply.warning(
                "\(count) of the accounts have no key of \(mechanism): their hosts do not offer it to anybody before each of them has one, by a new password or an upgrade at a login"
            )
        }
        if withoutPassword > 0 {
            reply.warning("\(withoutPassword) of the accounts came without a password: nobody logs in to them before user passwd")
        }
        if reordered > 0 {
            reply.warning(
                "\(reordered) archived messages stood behind later ones: they keep their order, and have the time of the one before")
        }
        if skipped > 0, !isMerging {
            reply.warning("\(skipped) accounts are there already and stay as they are; --merge adds what they lack")
        }
        if elsewhere > 0 { reply.warning("\(elsewhere) users of other hosts were passed over") }
        reply.fact(isDryRun ? "accounts_new" : "accounts_made", ReplyValue(made))
        reply.fact(isDryRun ? "accounts_there" : "accounts_added_to", ReplyValue(added))
        reply.fact("accounts_skipped", ReplyValue(skipped))
        for part in Part.allCases { reply.fact(part.rawValue, ReplyValue(parts[part] ?? 0)) }
        let did = isDryRun ? "nothing was changed; the import would make" : "the import made"
        if refused == 0 {
            reply.ok("\(did) \(made) accounts")
        } else {
            reply.error(.partial, "\(did) \(made) accounts; refused: \(refused)")
        }
    }
}
