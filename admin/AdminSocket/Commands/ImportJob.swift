import Authentication
import PortableData
import ServerCore
import Stanzas
import Store
import Synchronization

/// The way of one account into the server: made shut, filled, given its password. What was broken off on the way is marked, and the next
/// import begins it again; what is whole is opened with all others, when all have come.
final class ImportJob: Sendable {
    /// What a shut account says of itself until all of it is there.
    static let mark = "its import is not finished; import it again"
    /// What it says when all of it is there, and others are still to come: a login before that would ask contacts that are not there yet,
    /// and lose its subscriptions to them (RFC 6121 §4.3.2).
    static let shut = "it waits for the end of its import; import again when that was broken off"
    /// Bytes of lines that are worked on at once.
    private static let batch = 262_144

    /// One thing of the account as it came.
    struct Line: Sendable {
        var number: Int
        var place: Portable.Place
        var xml: String
    }

    private struct State {
        var lines: [Line] = []
        var bytes = 0
        /// `end` or `abandon` was called.
        var isWhole = false
        var isAbandoned = false
        /// A step is under way.
        var isBusy = true
        /// It failed: what still comes is for nobody.
        var isOver = false
        var work: ImportWork
    }

    let user: PortableUser
    let owner: PortableImport
    private let line: Int
    private let file: String
    private let state: Mutex<State>
    private var commands: Commands { owner.commands }

    init(_ user: PortableUser, line: Int, file: String, of owner: PortableImport) {
        self.user = user
        self.line = line
        self.file = file
        self.owner = owner
        state = Mutex(State(work: ImportWork(user.jid, owner.commands.core, owner.terms)))
    }

    // MARK: Lines

    func add(_ line: Line) {
        let (isDue, isOver) = state.withLock { state in
            guard !state.isOver else { return (false, true) }
            state.lines.append(line)
            state.bytes += line.xml.utf8.count
            return (Self.takeTurn(&state), false)
        }
        if isOver { owner.release(line.xml.utf8.count) }
        if isDue { work() }
    }

    /// All of the account has come.
    func end() { close(abandoned: false) }

    /// The rest of the account does not come.
    func abandon() { close(abandoned: true) }

    private func close(abandoned: Bool) {
        let isDue = state.withLock { state in
            state.isWhole = true
            state.isAbandoned = abandoned
            return Self.takeTurn(&state)
        }
        if isDue { work() }
    }

    private static func takeTurn(_ state: inout State) -> Bool {
        guard !state.isBusy, state.isWhole || state.bytes >= batch else { return false }
        state.isBusy = true
        return true
    }

    // MARK: Steps

    /// Looks whether the account is there, and makes it shut when it is not.
    func begin() {
        commands.core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let there = try AccountRecord.find(user.jid.description, in: snapshot, identity: commands.core.identity)
                let mode = state.withLock { state in
                    state.work.meet(there, mark: Self.mark)
                    return state.work.mode
                }
                guard mode == .new, !owner.terms.isDryRun, there == nil else { return step() }
                make()
            } catch {
                fail("the store cannot be read: \(error)")
            }
        }
    }

    private func make() {
        guard let locked = Self.nobodysKeys() else { return fail("there is no randomness for its keys") }
        commands.send(.create(credentials: locked.encode()), to: user.jid) { [self] result in
            switch result {
            case .done, .value: send([.disable(reason: Self.mark)]) { _ in self.step() }
            case .exists: fail("it was made by somebody else just now; import it again with --merge")
            case .notFound: fail("its home does not know it")
            case .failed(let why): fail(why)
            }
        }
    }

    /// The next lines, or the end; nothing when they are still to come.
    private func step() {
        let isDue = state.withLock { state in
            state.isBusy = false
            return Self.takeTurn(&state)
        }
        if isDue { work() }
    }

    private func work() {
        let (lines, bytes, isLast, isAbandoned) = state.withLock { state in
            defer {
                state.lines = []
                state.bytes = 0
            }
            return (state.lines, state.bytes, state.isWhole, state.isAbandoned)
        }
        let isSkipped = state.withLock { $0.work.mode == .skipped }
        commands.core.readers.read { [self] snapshot in
            var letters: [ImportLetter] = []
            if !isSkipped {
                letters = state.withLock { state in
                    for line in lines {
                        do throws(PortableRefusal) {
                            try state.work.take(line, in: snapshot) { kind in self.owner.note { $0.pass(kind) } }
                        } catch {
                            owner.refuse(line.number, user.jid, error.sentence, file: file)
                        }
                    }
                    return state.work.letters(all: isLast && !isAbandoned, in: snapshot)
                }
            }
            owner.release(bytes)
            if owner.terms.isDryRun {
                count(letters)
                return isLast ? finish(isAbandoned: isAbandoned) : step()
            }
            post(letters[...]) { [self] in isLast ? finish(isAbandoned: isAbandoned) : step() }
        }
    }

    private func count(_ letters: [ImportLetter]) {
        owner.note { report in
            for letter in letters {
                report.count(letter.part, letter.count)
                report.count(.offline, letter.owed)
            }
        }
    }

    /// Sends them all, and goes on when all are durable.
    private func post(_ letters: ArraySlice<ImportLetter>, then: @escaping @Sendable () -> Void) {
        guard !letters.isEmpty else { return then() }
        send(letters.map(\.command)) { [self] results in
            owner.note { report in
                for (letter, result) in zip(letters, results) {
                    switch result {
                    case .done(let count): report.count(letter.part, letter.isCountedByHome ? count : letter.count)
                    default: report.count(letter.part, letter.count)
                    }
                    report.count(.offline, letter.owed)
                }
            }
            then()
        }
    }

    /// Sends commands to the account's home, in order, and collects what became of them. A failure ends the job.
    private func send(_ all: [AccountCommand], then: @escaping @Sendable ([CommandResult]) -> Void) {
        let collected = Results(all.count)
        for (index, command) in all.enumerated() {
            commands.send(command, to: user.jid) { [self] result in
                guard let whole = collected.put(result, at: index) else { return }
                for result in whole {
                    switch result {
                    case .failed(let why): return fail("it came in part only: \(why)")
                    case .notFound: return fail("it was deleted meanwhile")
                    case .done, .value, .exists: break
                    }
                }
                then(whole)
            }
        }
    }

    // MARK: The end

    private func finish(isAbandoned: Bool) {
        let work = state.withLock { $0.work }
        switch work.mode {
        case .skipped:
            owner.note { $0.skipped += 1 }
            return owner.leave()
        case .new, .added: break
        }
        guard !isAbandoned else {
            if !owner.terms.isDryRun, work.mode == .new {
                owner.refuse(line, user.jid, "the file breaks off in it; it stays shut until it is imported again", file: file)
            }
            return owner.leave()
        }
        // An account that is there keeps its password, unless the file wins.
        guard work.mode == .new || owner.terms.wins else { return done(nil) }
        credentials(of: work) { [self] credentials in
            if owner.terms.isDryRun || credentials == nil && work.mode == .added { return done(credentials) }
            var last: [AccountCommand] = []
            if let credentials, credentials.encode() != work.credentials { last.append(.setCredentials(credentials.encode())) }
            if work.mode == .new { last.append(.disable(reason: work.disabledReason ?? Self.shut)) }
            guard !last.isEmpty else { return done(credentials) }
            send(last) { [self] _ in done(credentials) }
        }
    }

    private func done(_ credentials: Credentials?) {
        let work = state.withLock { $0.work }
        if let credentials { owner.remember(Set(credentials.keys.keys), of: user.jid.domain) }
        owner.note { report in
            if work.mode == .new { report.made += 1 } else { report.added += 1 }
            report.reordered += work.reordered
            if work.mode == .new, credentials == nil { report.withoutPassword += 1 }
            guard let credentials else { return }
            for hash in SCRAMHash.allCases where credentials.keys[hash] == nil { report.lacking[hash.mechanism, default: 0] += 1 }
        }
        owner.leave()
    }

    /// What the account logs in with: the file's password, or else its keys; nil when it has neither.
    private func credentials(of work: ImportWork, then: @escaping @Sendable (Credentials?) -> Void) {
        var keys = work.keys
        switch user.password {
        case .plain(let password)?:
            return derive(password) { [self] result in
                switch result {
                case .success(let credentials): then(credentials)
                case .failure(let error):
                    owner.refuse(line, user.jid, "its password cannot be used: \(error)", file: file)
                    then(nil)
                }
            }
        case .key(let key)?: if !keys.contains(where: { $0.mechanism == key.mechanism }) { keys.append(key) }
        case nil: break
        }
        var usable: [SCRAMKey] = []
        for key in keys {
            guard let hash = SCRAMHash.allCases.first(where: { $0.mechanism == key.mechanism }) else {
                owner.note { $0.pass("keys of \(key.mechanism)") }
                continue
            }
            do throws(CredentialsError) {
                usable.append(
                    try SCRAMKey(
                        hash: hash, salt: key.salt, iterations: key.iterations, storedKey: key.storedKey, serverKey: key.serverKey))
            } catch {
                owner.refuse(line, user.jid, "\(error)", file: file)
            }
        }
        then(try? Credentials(usable))
    }

    /// Derives keys in the bounded pool, and waits while that is full.
    private func derive(_ password: String, then: @escaping @Sendable (Result<Credentials, CredentialsError>) -> Void) {
        // A dry run only looks whether it can be used.
        let iterations = owner.terms.isDryRun ? SCRAMKey.acceptedIterations.lowerBound : commands.context.iterations
        if commands.context.passwords.derive(password: password, iterations: iterations, completion: then) { return }
        guard let loop = commands.core.shards.first?.loop else { return fail("the node is stopping") }
        _ = loop.schedule(after: .milliseconds(20)) { [self] in derive(password, then: then) }
    }

    private func fail(_ sentence: String) {
        owner.refuse(line, user.jid, sentence, file: file)
        let bytes = state.withLock { state in
            state.isBusy = true
            state.isOver = true
            defer {
                state.lines = []
                state.bytes = 0
            }
            return state.bytes
        }
        owner.release(bytes)
        owner.leave()
    }

    /// Keys that belong to no password.
    static func nobodysKeys(_ hashes: some Collection<SCRAMHash> = SCRAMHash.allCases) -> Credentials? {
        func random(_ count: Int) -> [UInt8] {
            var generator = SystemRandomNumberGenerator()
            return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
        let keys = hashes.compactMap { hash in
            try? SCRAMKey(
                hash: hash, salt: random(SCRAMKey.saltLength), iterations: SCRAMKey.acceptedIterations.lowerBound,
                storedKey: random(hash.length), serverKey: random(hash.length))
        }
        return try? Credentials(keys)
    }
}

/// The results of several commands.
private final class Results: Sendable {
    private let state: Mutex<(left: Int, results: [CommandResult])>

    init(_ count: Int) { state = Mutex((count, Array(repeating: .done(0), count: count))) }

    /// All of them, with the last.
    func put(_ result: CommandResult, at index: Int) -> [CommandResult]? {
        state.withLock { state in
            state.results[index] = result
            state.left -= 1
            return state.left == 0 ? state.results : nil
        }
    }
}
