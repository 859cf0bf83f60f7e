import AdminLanguage
import Authentication
import Logging
import PortableData
import ServerCore
import Stanzas
import Store
import Synchronization

/// `import xep0227`: what `martletctl` read out of the files, line by line.
extension Commands {
    func portableImport(_ invocation: Invocation, _ sink: ReplySink, room: @escaping @Sendable () -> Void) -> any LineConsumer {
        context.log.notice("admin command", metadata: ["command": "\(invocation.command.name)"])
        let terms = ImportTerms(
            isDryRun: invocation.flag("dry-run"), adds: invocation.flag("merge") || invocation.flag("replace"),
            wins: invocation.flag("replace"), host: invocation.option("host"))
        return PortableImport(commands: self, terms: terms, sink: sink, room: room)
    }
}

/// What was asked of an import.
struct ImportTerms: Sendable {
    var isDryRun: Bool
    /// Also to accounts that are there.
    var adds: Bool
    /// Where such an account has something else, the file wins.
    var wins: Bool
    /// The only host whose users are taken.
    var host: String?
}

/// The lines of an import, given to one job an account. A bounded number of accounts, and of bytes, is in work at a time.
final class PortableImport: LineConsumer {
    private struct State {
        var file = ""
        var host = Host.none
        var job: ImportJob?
        var line = 0
        var jobs = 0
        var bytes = 0
        var report = ImportReport()
        var isFinishing = false
        var isOver = false
        var wasFull = false
        /// Hosts whose accounts came.
        var hosts: Set<String> = []
        var announcements: Set<Announcement> = []
    }

    /// That accounts of a host come which have keys of these hashes alone.
    private struct Announcement: Hashable {
        var host: String
        var hashes: Set<SCRAMHash>
    }

    private enum Host {
        case none
        /// Not served, or no domain: its users are refused with it.
        case refused
        case passedOver
        case served(String)
    }

    /// Accounts in work.
    private static let window = 128
    /// Accounts that are opened together.
    private static let page = 500
    /// Bytes of lines that wait for their job.
    private static let waiting = 8 << 20

    let commands: Commands
    let terms: ImportTerms
    private let sink: ReplySink
    private let room: @Sendable () -> Void
    private let state = Mutex(State())

    init(commands: Commands, terms: ImportTerms, sink: ReplySink, room: @escaping @Sendable () -> Void) {
        self.commands = commands
        self.terms = terms
        self.sink = sink
        self.room = room
    }

    var longestLine: Int { Portable.longestLine }

    var isFull: Bool {
        state.withLock { state in
            state.wasFull = state.jobs >= Self.window || state.bytes >= Self.waiting
            return state.wasFull
        }
    }

    func take(_ line: String) {
        state.withLock { $0.line += 1 }
        guard let read = PortableLine(line) else { return takeUnreadable() }
        switch read {
        case .file(let path): state.withLock { $0.file = path }
        case .host(let line, let jid): begin(host: jid, line)
        case .user(let line, let xml): begin(user: xml, line)
        case .part(let line, let place, let xml):
            let job = state.withLock { state in
                if state.job != nil { state.bytes += xml.utf8.count }
                return state.job
            }
            job?.add(ImportJob.Line(number: line, place: place, xml: xml))
        case .passed(_, let kind): state.withLock { $0.report.pass(kind) }
        case .end: takeJob()?.end()
        case .broken(let line, let reason):
            refuse(line, nil, reason)
            takeJob()?.abandon()
        }
    }

    func takeUnreadable() {
        let number = state.withLock { $0.line }
        refuse(0, nil, "line \(number) of what was sent is longer than \(longestLine) bytes, not UTF-8, or none of an import")
    }

    func finish() {
        takeJob()?.abandon()
        let isOver = state.withLock { state in
            state.isFinishing = true
            return state.jobs == 0
        }
        if isOver { open() }
    }

    func abandon() {
        let job = state.withLock { state in
            state.isOver = true
            return state.job
        }
        job?.abandon()
    }

    private func takeJob() -> ImportJob? {
        state.withLock { state in
            defer { state.job = nil }
            return state.job
        }
    }

    // MARK: Hosts and users

    private func begin(host text: String, _ line: Int) {
        takeJob()?.abandon()
        let host: Host
        if let jid = try? JID(text), jid.isDomain {
            if let wanted = terms.host.flatMap({ try? JID($0) }), wanted != jid {
                host = .passedOver
            } else if commands.core.hosts[jid.domain] != nil {
                host = .served(jid.domain)
                state.withLock { _ = $0.hosts.insert(jid.domain) }
            } else {
                host = .refused
                refuse(line, nil, "\(jid.domain) is not a host of this server, so its users are left out; add it to the configuration")
            }
        } else {
            host = .refused
            refuse(line, nil, "“\(text.prefix(100))” is not a domain, so its users are left out")
        }
        state.withLock { $0.host = host }
    }

    private func begin(user xml: String, _ line: Int) {
        takeJob()?.abandon()
        switch state.withLock({ $0.host }) {
        case .none: refuse(line, nil, "a user stands in no host")
        case .refused: break
        case .passedOver: state.withLock { $0.report.elsewhere += 1 }
        case .served(let domain):
            do throws(PortableRefusal) {
                let user = try PortableUser(xml, host: domain)
                let file = state.withLock { $0.file }
                let job = ImportJob(user, line: line, file: file, of: self)
                state.withLock { state in
                    state.job = job
                    state.jobs += 1
                }
                job.begin()
            } catch {
                refuse(line, nil, error.sentence)
            }
        }
    }

    // MARK: From the jobs

    /// Names something that is not taken.
    func refuse(_ line: Int, _ account: JID?, _ sentence: String, file: String? = nil) {
        let (here, isOver) = state.withLock { state in
            state.report.refused += 1
            return (file ?? state.file, state.isOver)
        }
        guard !isOver else { return }
        let place = [here, line > 0 ? "line \(line)" : ""].filter { !$0.isEmpty }.joined(separator: " ")
        let whose = account.map { "\($0): " } ?? ""
        sink.write { $0.warning((place.isEmpty ? "" : place + ": ") + whose + sentence) }
    }

    func note(_ body: (inout ImportReport) -> Void) { state.withLock { body(&$0.report) } }

    /// Accounts of this host come that log in with these hashes.
    func remember(_ hashes: Set<SCRAMHash>, of host: String) {
        guard !hashes.isSuperset(of: SCRAMHash.allCases) else { return }
        state.withLock { _ = $0.announcements.insert(Announcement(host: host, hashes: hashes)) }
    }

    /// Lines of this many bytes are done with.
    func release(_ bytes: Int) {
        let hasRoom = state.withLock { state in
            state.bytes -= bytes
            return Self.takeRoom(&state)
        }
        if hasRoom { room() }
    }

    /// A job is over.
    func leave() {
        let (progress, hasRoom, isOver) = state.withLock { state in
            state.jobs -= 1
            let done = state.report.accounts
            return (done > 0 && done % 50 == 0 ? done : nil, Self.takeRoom(&state), state.isFinishing && state.jobs == 0 && !state.isOver)
        }
        if let progress { sink.write { $0.progress(progress, of: Int?.none) } }
        if hasRoom { room() }
        if isOver { open() }
    }

    private static func takeRoom(_ state: inout State) -> Bool {
        guard state.wasFull, state.jobs <= window / 2, state.bytes <= waiting / 2 else { return false }
        state.wasFull = false
        return true
    }

    // MARK: Opening

    /// All accounts are there: they are opened, those too that an import before this one left shut.
    private func open() {
        let (hosts, announcements) = state.withLock { ($0.hosts.sorted(), Array($0.announcements)) }
        guard !terms.isDryRun else { return tell() }
        announce(announcements[...]) { [self] in open(hosts[...], after: nil) }
    }

    /// Says to all nodes which hashes the accounts lack, before somebody logs in to one: each node decides by itself what is offered, and
    /// counts the accounts only now and then. One that is silent counts by itself when it is well again.
    private func announce(_ rest: ArraySlice<Announcement>, then: @escaping @Sendable () -> Void) {
        guard let first = rest.first else { return then() }
        guard let shard = commands.core.shards.first, let keys = ImportJob.nobodysKeys(first.hashes) else { return then() }
        let question = NodeQuestion.accountComes(host: first.host, keys: keys.encode())
        shard.enter { shard in
            shard.ask(question.bytes, part: { _ in }, done: { _ in self.announce(rest.dropFirst(), then: then) })
        }
    }

    private func open(_ hosts: ArraySlice<String>, after: Key?) {
        guard let host = hosts.first else { return tell() }
        commands.core.readers.read { [self] snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(
                    ofHost: host, after: after, limit: Self.page, in: snapshot, identity: commands.core.identity)
                let shut = page.accounts.filter { $0.disabledReason == ImportJob.shut }.compactMap { try? JID($0.jid) }
                let waiting = Countdown(shut.count)
                let next: @Sendable () -> Void = { [self] in
                    if let key = page.next { open(hosts, after: key) } else { open(hosts.dropFirst(), after: nil) }
                }
                guard !shut.isEmpty else { return next() }
                for jid in shut {
                    commands.send(.enable, to: jid) { [self] result in
                        if case .failed(let why) = result { refuse(0, jid, "it is whole and still shut: \(why)") }
                        if waiting.isOver() { next() }
                    }
                }
            } catch {
                refuse(0, nil, "the accounts of \(host) are whole and still shut: \(error)")
                open(hosts.dropFirst(), after: nil)
            }
        }
    }

    private func tell() {
        let (report, wasOver) = state.withLock { state in
            defer { state.isOver = true }
            return (state.report, state.isOver)
        }
        guard !wasOver else { return }
        sink.end { report.write(into: &$0, isDryRun: terms.isDryRun, isMerging: terms.adds) }
    }
}

/// Counts to the last of several answers.
private final class Countdown: Sendable {
    private let left: Mutex<Int>

    init(_ count: Int) { left = Mutex(count) }

    func isOver() -> Bool {
        left.withLock { left in
            left -= 1
            return left == 0
        }
    }
}
