import Stanzas
public import Store

/// The small named values of an account (`ItemKind`), and reads of the store behind what the account wrote.
extension Account {
    /// A host has an account too, named by the domain alone: what belongs to no user is kept there. Nobody logs in to it.
    var isHost: Bool { !jid.hasLocal && host != nil }

    /// A host's account needs no making: its record is written with the first thing that it keeps.
    func adoptHost() {
        record = AccountRecord(
            jid: jid.description, number: newAccountNumber(), created: core.clock.now, credentials: [],
            archiveKey: core.random.next())
        hostIsUnwritten = true
        phase = .live
    }

    /// Where the account's rows stand; nil when there is no such account.
    var rows: AccountRows? { record.map { AccountRows(partition: partition, number: $0.number, identity: core.identity) } }

    /// The items of a kind that stays in memory, by name.
    public func items(_ kind: ItemKind) -> [String: [UInt8]] { items[kind] ?? [:] }

    /// A keyed hash of a name, to know it again by 16 bytes: nobody outside can make two names that have the same.
    public func hash(of name: String) -> NameHash {
        let (high, low) = core.identity.hash128(name)
        return NameHash(high, low)
    }

    /// Keeps an item. What the account says from now on waits for it.
    ///
    /// - Returns: false when there is no such account.
    @discardableResult
    public func keep(_ kind: ItemKind, _ name: String, _ value: [UInt8]) -> Bool {
        guard let rows else { return false }
        if hostIsUnwritten, let record {
            hostIsUnwritten = false
            write(record)
        }
        if kind.isResident { items[kind, default: [:]][name] = value }
        put(rows.key(kind, name), ItemRecord(name: name, value: value).encode())
        return true
    }

    /// Forgets an item; one that is not there is no error.
    public func forget(_ kind: ItemKind, _ name: String) {
        guard let rows else { return }
        if kind.isResident, items[kind]?.removeValue(forKey: name) == nil { return }
        delete(rows.key(kind, name))
    }

    /// Reads the store on a reader thread, in a snapshot that shows all that the account wrote before, and goes on here.
    ///
    /// `then` is called once on this loop, or never: when a commit fails meanwhile, or this process ceases to be the home. An answer that
    /// is owed (`LaterAnswer`) is then given by its own end.
    public func read<T: Sendable>(
        _ body: @escaping @Sendable (any Snapshot, AccountRows) throws(StoreFailure) -> T,
        then: @escaping (Result<T, StoreFailure>) -> Void
    ) {
        guard let rows else { return }
        read({ (snapshot) throws(StoreFailure) in try body(snapshot, rows) }, then: then)
    }

    /// As `read(_:then:)`, also of an account that does not exist.
    func read<T: Sendable>(
        _ body: @escaping @Sendable (any Snapshot) throws(StoreFailure) -> T, then: @escaping (Result<T, StoreFailure>) -> Void
    ) {
        let reading = Reading(account: self, then)
        pass(
            .perform { [shard] in
                shard.core.readers.read { snapshot in
                    let result = Result<T, StoreFailure> { () throws(StoreFailure) in try body(snapshot) }
                    shard.enter { _ in reading.finish(result) }
                }
            })
    }
}

/// A read that is under way, passing through a reader thread that does not touch it. Meanwhile its account does not sleep.
private final class Reading<T: Sendable>: @unchecked Sendable {
    // @unchecked: made, used and emptied on the account's loop; what a reader thread may let go last is an empty shell.
    private var account: Account?
    private var body: ((Result<T, StoreFailure>) -> Void)?

    init(account: Account, _ body: @escaping (Result<T, StoreFailure>) -> Void) {
        self.account = account
        self.body = body
        account.reads += 1
    }

    /// Thrown away with the gate it waited at.
    deinit { account?.reads -= 1 }

    func finish(_ result: Result<T, StoreFailure>) {
        guard let account, let body else { return }
        account.reads -= 1
        self.account = nil
        self.body = nil
        if !account.isRetired { body(result) }
    }
}

/// A hash of a name (`Account.hash`), the same on every node of a volume and after every start.
public struct NameHash: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64
    public init(_ high: UInt64, _ low: UInt64) {
        self.high = high
        self.low = low
    }
}
