import AdminLanguage
import LMDBStore
import ServerCore
import Stanzas
import Store
import Synchronization

/// `complete`: what a word may become.
extension Commands {
    /// Rows of accounts that one request looks at: some ten milliseconds of a reader thread.
    private static let mostRows = 20_000

    func complete(_ invocation: Invocation, _ sink: ReplySink) {
        let prefix = invocation.text("PREFIX") ?? ""
        let words = Candidates(prefix: prefix, limit: invocation.integerOption("limit") ?? CommandTable.defaultCompletions)
        switch invocation.text("WHAT").flatMap(CompletionSource.init) {
        case .node:
            askNodes(.facts, sink) { nodes, silent in
                words.add(nodes.map { Self.name(of: $0) })
                end(words, silent, sink)
            }
        case .host: end(words, core.hosts.keys, sink)
        case .component: end(words, core.components.keys, sink)
        case .jid where !prefix.contains("/"), .account: completeAccounts(words, sink)
        case .session, .jid: completeSessions(words, sink)
        case .backup:
            let directory = context.backups
            // On a thread that may wait for the disk. A folder that is not there holds no backups.
            core.readers.read { _ in
                end(words, (try? Backups.list(in: directory))?.whole.map(\.path) ?? [], sink)
            }
        case .file, nil: sink.fail(.usage, "files are not for a node to complete")
        }
    }

    private func completeAccounts(_ words: Candidates, _ sink: ReplySink) {
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                let page = try AccountRecord.page(
                    ofHost: nil, after: nil, limit: Self.mostRows, rows: Self.mostRows, in: snapshot, identity: core.identity)
                end(words, page.accounts.lazy.map(\.jid), sink)
            } catch {
                sink.fail(.unavailable, "the accounts cannot be read: \(error)")
            }
        }
    }

    private func completeSessions(_ words: Candidates, _ sink: ReplySink) {
        guard let shard = core.shards.first else { return sink.fail(.unavailable, "the node is not ready yet; try again") }
        // Behind a slash it is about one account, and only its sessions travel.
        let bare = words.prefix.contains("/") ? words.prefix.split(separator: "/", maxSplits: 1).first.map(String.init) : nil
        let filter = SessionFilter(jid: bare.flatMap { try? JID($0) })
        shard.enter { shard in
            shard.ask(
                filter.question, part: { part in words.add(((try? SessionPart(part))?.sessions ?? []).lazy.map(\.jid)) },
                done: { silent in end(words, silent, sink) })
        }
    }

    private func end(_ words: Candidates, _ all: some Sequence<String>, _ sink: ReplySink) {
        words.add(all)
        end(words, Set<UInt64>(), sink)
    }

    private func end(_ words: Candidates, _ silent: Set<UInt64>, _ sink: ReplySink) {
        let (found, isCut) = words.sorted
        sink.write { reply in
            reply.table("words", ["word"])
            for word in found { reply.row(.text(word)) }
        }
        endScatter(
            silent, sink, ok: isCut ? "the first \(found.count); there are more" : found.count == 1 ? "1 word" : "\(found.count) words")
    }
}

/// The words that begin with a prefix, in their order; more than the limit are never shown, and about twice as many held.
private final class Candidates: Sendable {
    let prefix: String
    private let limit: Int
    private let found = Mutex<(words: Set<String>, isCut: Bool)>(([], false))

    init(prefix: String, limit: Int) {
        self.prefix = prefix
        self.limit = limit
    }

    func add(_ words: some Sequence<String>) {
        found.withLock { found in
            for word in words where word.utf8.starts(with: prefix.utf8) {
                found.words.insert(word)
                guard found.words.count > 2 * limit else { continue }
                found.words = Set(found.words.sorted().prefix(limit))
                found.isCut = true
            }
        }
    }

    var sorted: (words: [String], isCut: Bool) {
        found.withLock { ($0.words.sorted().prefix(limit).map(\.self), $0.isCut || $0.words.count > limit) }
    }
}
