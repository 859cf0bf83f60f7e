public import Stanzas
public import Store

/// The accounts of a host as an administrator counts them.
public struct AccountSurvey: Sendable {
    public var registered = 0
    public var disabled = 0
    /// Bare JIDs, sorted: the first of those that were asked for.
    public var names: [String] = []
    /// Whether there are more of them.
    public var isCut = false
    /// Records that cannot be read: not counted.
    public var damaged = 0

    mutating func add(_ page: AccountRecord.Page, disabledOnly: Bool, limit: Int) {
        damaged += page.damaged.count
        registered += page.accounts.count
        for record in page.accounts {
            if !record.isEnabled { disabled += 1 }
            if limit > 0, !disabledOnly || !record.isEnabled { names.append(record.jid) }
        }
        if names.count > 2 * limit { cut(limit) }
    }

    mutating func cut(_ limit: Int) {
        names.sort()
        guard names.count > limit else { return }
        names.removeLast(names.count - limit)
        isCut = isCut || limit > 0
    }
}

/// Something of a loop's that passes through other threads untouched.
private final class Carried<T>: @unchecked Sendable {
    // @unchecked: made, used and emptied on one loop; what another thread may let go last is an empty shell.
    private var value: T?
    init(_ value: T) { self.value = value }
    func take() -> T? {
        defer { value = nil }
        return value
    }
}

extension Turn {
    /// Counts the accounts of a host, and names some, on reader threads. It sees what is on disk.
    ///
    /// - Parameters:
    ///   - limit: names at most.
    ///   - then: called once on this loop, unless this process ceases to be the home meanwhile.
    public func survey(
        _ host: String, disabledOnly: Bool = false, limit: Int = 0, then: @escaping (Result<AccountSurvey, StoreFailure>) -> Void
    ) {
        let account = account
        account.reads += 1
        let carried = Carried { (result: Result<AccountSurvey, StoreFailure>) in
            account.reads -= 1
            if !account.isRetired { then(result) }
        }
        Self.page(
            host, AccountSurvey(), after: nil, disabledOnly: disabledOnly, limit: limit, core: account.core,
            done: { [shard = account.shard] result in shard.enter { _ in carried.take()?(result) } })
    }

    /// Each page on a snapshot of its own: a long read must not hold pages back from being used again.
    private static func page(
        _ host: String, _ survey: AccountSurvey, after key: Key?, disabledOnly: Bool, limit: Int, core: Core,
        done: @escaping @Sendable (Result<AccountSurvey, StoreFailure>) -> Void
    ) {
        core.readers.read { snapshot in
            var survey = survey
            do throws(StoreFailure) {
                let page = try AccountRecord.page(ofHost: host, after: key, limit: 5_000, in: snapshot, identity: core.identity)
                survey.add(page, disabledOnly: disabledOnly, limit: limit)
                if let next = page.next {
                    return Self.page(host, survey, after: next, disabledOnly: disabledOnly, limit: limit, core: core, done: done)
                }
            } catch {
                return done(.failure(error))
            }
            survey.cut(limit)
            done(.success(survey))
        }
    }

    /// The sessions of the whole cluster that a filter lets through, and how many nodes did not answer in time. `then` is called once on
    /// this loop.
    public func sessions(_ filter: SessionFilter, then: @escaping (_ sessions: [SessionInfo], _ silentNodes: Int) -> Void) {
        var found: [SessionInfo] = []
        account.shard.ask(filter.question, part: { found += (try? SessionPart($0))?.sessions ?? [] }, done: { then(found, $0.count) })
    }

    /// Sends one stanza to many local accounts: one letter for each loop that is home to some of them.
    public func send(_ stanza: Stanza, toEach jids: [JID]) { account.fanOut(stanza, to: jids) }
}
