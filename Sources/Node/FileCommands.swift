import AdminLanguage
import AdminSocket
import Glibc
import LMDBStore
import ServerCore
import Stanzas
import Store
import Synchronization

/// The admin commands that are about files and not about a running cluster: `martletd --files` greets, takes one request on standard
/// input and answers on standard output, as a node does on its socket. `martletctl` is at the other end.
public struct FileCommands {
    private var framer = LineFramer(longest: Words.longestRequest)

    public init() {}

    /// Greets, answers one request, and returns.
    public mutating func run() {
        var greeting = Reply()
        greeting.greet(Greeting(node: "files"))
        Self.write(greeting.take())
        guard let line = nextLine() else { return }
        do throws(LineError) {
            let invocation = try CommandTable.parse(line)
            switch invocation.command.name {
            case _ where !invocation.isAboutFiles: Self.fail(.usage, "\(invocation.command.name) is for a node")
            case "store verify": verify(invocation)
            case "store restore": restore(invocation)
            case "store compact": compact(invocation)
            case _ where invocation.command.isOfMachine: CheckCommands(say: Self.say).run(invocation)
            default: Self.fail(.usage, "\(invocation.command.name) is not known here")
            }
        } catch {
            Self.fail(.usage, error.sentence)
        }
    }

    // MARK: store verify

    private func verify(_ invocation: Invocation) {
        guard !invocation.flag("repair") else { return Self.fail(.refused, "a backup is never changed; restore it and repair the store") }
        do throws(StoreFailure) {
            let copy = try StoreCopy(verifying: invocation.text("BACKUP") ?? "", progress: Self.shown(ProgressPace()))
            let pace = ProgressPace()
            let (findings, walk) = try copy.verify { Self.show($0, of: $1, pace) }
            Self.say { reply in
                Self.facts(of: copy, &reply)
                reply.fact("findings", ReplyValue(findings.count))
                FindingTable.show(findings, &reply)
                if findings.isEmpty {
                    reply.ok("the copy is as it was written, and all \(walk.rows) rows are as they must be")
                } else {
                    reply.error(.failed, "\(findings.count) findings in \(walk.rows) rows")
                }
            }
        } catch {
            Self.fail(.failed, Self.sentence(error))
        }
    }

    private static func facts(of copy: StoreCopy, _ reply: inout Reply) {
        let manifest = copy.manifest
        reply.fact("backup", .text(copy.path))
        reply.fact("started", .text(DateTime(microseconds: manifest.started).description))
        reply.fact("server", .text(manifest.server))
        reply.fact("volume", .text(manifest.volume))
        reply.fact("accounts", ReplyValue(manifest.accounts))
        reply.fact("rows", ReplyValue(manifest.rows))
        reply.fact("bytes", ReplyValue(manifest.bytes))
        reply.fact("epoch", ReplyValue(manifest.epoch))
        reply.fact("commit", ReplyValue(manifest.commit))
    }

    // MARK: store restore

    private mutating func restore(_ invocation: Invocation) {
        guard let directory = invocation.option("to") else {
            return Self.fail(.usage, "say where to, with --to and the directory of the cluster ([node] directory)")
        }
        if let reason = FileOwner.become(ownerOf: directory) { return Self.fail(.refused, reason) }
        if let reason = FileOwner.refusal(reading: invocation.text("BACKUP") ?? "", for: directory) { return Self.fail(.refused, reason) }
        let restore: Restore
        do throws(StoreFailure) {
            restore = try Restore(invocation.text("BACKUP") ?? "", to: directory, progress: Self.shown(ProgressPace()))
            let pace = ProgressPace()
            let findings = try restore.verify { Self.show($0, of: $1, pace) }
            guard findings.isEmpty || invocation.flag("anyway") else {
                return Self.say { reply in
                    FindingTable.show(findings, &reply)
                    reply.error(.refused, "the copy has \(findings.count) findings; nothing was done. Take another, or say --anyway")
                }
            }
            Self.say { reply in
                Self.facts(of: restore.copy, &reply)
                FindingTable.show(findings, &reply)
                Self.tellReplaced(restore, directory, &reply)
            }
        } catch {
            guard error == .notKeeper else { return Self.fail(.failed, Self.sentence(error)) }
            return Self.refuse(directory)
        }
        if restore.isOccupied, !invocation.flag("yes"), !consents() {
            return Self.fail(.refused, "nothing was done; say yes, or --yes")
        }
        carryOut(restore, newSecrets: invocation.flag("new-secrets"))
    }

    private static func tellReplaced(_ restore: Restore, _ directory: String, _ reply: inout Reply) {
        guard restore.isOccupied else { return }
        if let replaced = restore.replaced {
            let difference = restore.copy.manifest.volume == replaced.volume ? "the same volume" : "another volume, \(replaced.volume)"
            reply.warning(
                "it replaces the store in \(directory), which is \(difference): \(replaced.accounts == 1 ? "1 account" : "\(replaced.accounts) accounts"), \(replaced.rows) rows, \(replaced.bytes) bytes, written last \(DateTime(microseconds: replaced.modified - replaced.modified % 1_000_000))"
            )
        } else if let unreadable = restore.unreadable {
            reply.warning("it replaces the store in \(directory), which cannot be read: \(unreadable)")
        } else {
            reply.warning("it replaces \(directory)/store, in which there is no data file")
        }
        reply.warning("the old store is kept aside, and nothing is removed")
    }

    private mutating func consents() -> Bool {
        Self.say { $0.prompt(.consent) }
        return nextLine() == "yes"
    }

    private func carryOut(_ restore: Restore, newSecrets: Bool) {
        do throws(StoreFailure) {
            let pace = ProgressPace()
            let outcome = try restore.carryOut(newSecrets: newSecrets, now: WallClock().now) { Self.show($0, of: $1, pace) }
            Self.say { reply in
                reply.fact("store", .text(outcome.path))
                reply.fact("aside", ReplyValue(outcome.aside))
                reply.ok("restored \(outcome.accounts == 1 ? "1 account" : "\(outcome.accounts) accounts"); start the nodes")
            }
        } catch {
            Self.fail(.failed, Self.sentence(error))
        }
    }

    /// A node runs.
    private static func refuse(_ directory: String) {
        let holder = KeeperLock.holder(directory: directory + "/store")
        fail(
            .refused,
            "node \(holder?.node ?? "?") (process \(holder.map { String($0.pid) } ?? "?")) keeps the store in \(directory): stop all nodes first"
        )
    }

    // MARK: store compact

    private func compact(_ invocation: Invocation) {
        let directory = invocation.text("DIR") ?? ""
        if let reason = FileOwner.become(ownerOf: directory) { return Self.fail(.refused, reason) }
        do throws(StoreFailure) {
            let pace = ProgressPace()
            let outcome = try Compaction(in: directory).carryOut(
                removesOld: invocation.flag("remove-old"), now: WallClock().now
            ) { Self.show($0, of: $1, pace) }
            Self.say { reply in
                reply.fact("bytes_before", ReplyValue(outcome.bytesBefore))
                reply.fact("bytes_after", ReplyValue(outcome.bytesAfter))
                reply.fact("rows", ReplyValue(outcome.rows))
                reply.fact("aside", ReplyValue(outcome.aside))
                reply.ok("the store is compact; start the nodes")
            }
        } catch {
            if error == .notKeeper { return Self.refuse(directory) }
            Self.fail(.failed, Self.sentence(error))
        }
    }

    // MARK: Lines

    private static func sentence(_ failure: StoreFailure) -> String {
        switch failure {
        case .format(let sentence), .abandoned(let sentence), .io(let sentence): sentence
        case .noSpace: "there is not enough space there"
        default: "\(failure)"
        }
    }

    /// Remembers when progress was last shown.
    private final class ProgressPace: Sendable {
        private let last = Mutex(MonotonicTime(nanoseconds: 0))

        /// Whether it is time to show something again.
        func isDue(_ now: MonotonicTime) -> Bool {
            last.withLock { last in
                guard now.milliseconds(since: last) >= 100 else { return false }
                last = now
                return true
            }
        }
    }

    private static func show(_ done: UInt64, of total: UInt64, _ pace: ProgressPace) {
        guard pace.isDue(MonotonicTime.now) || done == total else { return }
        say { $0.progress(done, of: total) }
    }

    private static func shown(_ pace: ProgressPace) -> (UInt64, UInt64) -> Bool {
        { done, total in
            show(done, of: total, pace)
            return true
        }
    }

    private static func fail(_ code: ReplyCode, _ sentence: String) { say { $0.error(code, sentence) } }

    private static func say(_ body: (inout Reply) -> Void) {
        var reply = Reply()
        body(&reply)
        write(reply.take())
    }

    private static func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    private mutating func nextLine() -> String? {
        while true {
            switch framer.next() {
            case .text(let line)?: return line
            case .tooLong?, .notUTF8?: return nil
            case nil: break
            }
            var chunk = [UInt8](repeating: 0, count: 4096)
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            framer.append(chunk[..<count])
        }
    }
}
