import ServerCore
import Settings
import Stanzas
import Store

/// The invitations of a host, at the home of its account: the one place where they are counted.
struct InvitationBook {
    /// Invitations of one host at once.
    static let hostBound = 10_000
    /// How long a registration that is under way is waited for, in µs: longer than a stream may take to authenticate.
    private static let claimTime: Int64 = 120_000_000
    /// What a stream was told that it may use stays valid for it, though the time is over (XEP-0445 §4): so long, in µs.
    private static let grace: Int64 = 7_200_000_000

    let account: Account
    let now: Int64
    let metrics: CoreMetrics

    private var all: [Invitation] { account.items(.invitation).values.compactMap { Invitation($0) } }

    /// The invitation of a token, whatever its time.
    private func find(_ token: String) -> Invitation? {
        guard let name = Invitation.name(ofToken: token), let found = account.items(.invitation)[name].flatMap({ Invitation($0) }),
            Self.isEqual(found.token, token)
        else { return nil }
        return found
    }

    /// In a time that says nothing of where they differ.
    private static func isEqual(_ a: String, _ b: String) -> Bool {
        let (a, b) = (Array(a.utf8), Array(b.utf8))
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(0 as UInt8) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func keep(_ invitation: Invitation) { account.keep(.invitation, invitation.name, invitation.bytes) }
    private func forget(_ invitation: Invitation) { account.forget(.invitation, invitation.name) }

    /// Those whose time is over go.
    func purge() {
        for invitation in all where invitation.expires &+ Self.grace <= now {
            forget(invitation)
            metrics.invitation(.expired)
        }
    }

    // MARK: Making and taking back

    /// - Parameter perInviter: invitations of one inviter at once; 0: no bound.
    func create(_ invitation: Invitation, perInviter: Int) -> CommandResult {
        // Asked again after a takeover: the first time already made it.
        if let known = find(invitation.token) { return .value(known.bytes) }
        purge()
        let living = all.filter { $0.expires > now }
        guard living.count < Self.hostBound else { return .failed("there are \(Self.hostBound) invitations already; revoke some") }
        if let inviter = invitation.inviter, perInviter > 0, living.count(where: { $0.inviter == inviter }) >= perInviter {
            return .failed("you have \(perInviter) invitations open already; revoke one, or wait until one is used")
        }
        if let username = invitation.username, living.contains(where: { $0.username == username }) { return .exists }
        guard account.items(.invitation)[invitation.name] == nil else { return .failed("the token is taken; try again") }
        keep(invitation)
        metrics.invitation(.made)
        return .value(invitation.bytes)
    }

    /// - Parameter inviter: nil: of all.
    func list(of inviter: String?) -> [Invitation] {
        all.filter { $0.expires > now && (inviter == nil || $0.inviter?.description == inviter) }.sorted { $0.created < $1.created }
    }

    func revoke(_ name: String, of inviter: String?) -> Bool {
        guard let found = account.items(.invitation)[name].flatMap({ Invitation($0) }),
            inviter == nil || found.inviter?.description == inviter
        else { return false }
        forget(found)
        metrics.invitation(.revoked)
        return true
    }

    /// The account of an inviter is gone: so is what it promised.
    func forgetAll(of inviter: String) {
        for invitation in all where invitation.inviter?.description == inviter { forget(invitation) }
    }

    // MARK: Using

    /// The invitation of a token that can be used now.
    func valid(_ token: String) -> Invitation? {
        guard let found = find(token), found.expires > now, found.freeUses(now: now) > 0 else { return nil }
        return found
    }

    /// Whether a name is kept for whoever has another invitation.
    func isReserved(_ username: String, except token: String?) -> Bool {
        all.contains { $0.username == username && $0.expires > now && $0.token != token }
    }

    /// Holds one use for a registration, until it is done or given back. Its time was looked at when the stream showed the token.
    func claim(_ token: String, id: UInt64) -> Invitation? {
        guard var found = find(token), found.givesAccount else { return nil }
        found.claims = found.claims.filter { $0.value > now }
        guard found.claims[id] != nil || found.freeUses(now: now) > 0 else { return nil }
        found.claims[id] = now &+ Self.claimTime
        keep(found)
        return found
    }

    /// The registration that held a use is done, or failed.
    func settle(_ token: String, id: UInt64, isUsed: Bool) {
        guard var found = find(token), found.claims.removeValue(forKey: id) != nil else { return }
        if isUsed {
            found.uses -= 1
            metrics.invitation(.used)
        }
        if found.uses > 0 { keep(found) } else { forget(found) }
    }

    /// Uses one up for somebody who asks the inviter to become a contact (XEP-0379 §3.5).
    func redeem(_ token: String, inviter: String) -> Bool {
        guard var found = valid(token), found.befriends, found.inviter?.description == inviter else { return false }
        found.uses -= 1
        if found.uses > 0 { keep(found) } else { forget(found) }
        metrics.invitation(.used)
        return true
    }
}
