import AdminLanguage
import ServerCore
import Stanzas
import Store
import Synchronization

/// What the commands about one account's data have in common.
extension Commands {
    /// Reads an account on a reader thread; answers by itself when there is none, or it cannot be read.
    func read(
        _ jid: JID, _ sink: ReplySink,
        _ body: @escaping @Sendable (any Snapshot, AccountRecord, AccountRows) throws(StoreFailure) -> Void
    ) {
        let identity = core.identity
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                guard let record = try AccountRecord.find(jid.description, in: snapshot, identity: identity) else {
                    return sink.fail(.notFound, "there is no account \(jid)")
                }
                let rows = AccountRows(partition: identity.partition(of: record.jid), number: record.number, identity: identity)
                try body(snapshot, record, rows)
            } catch {
                sink.fail(.unavailable, "the account \(jid) cannot be read: \(error)")
            }
        }
    }

    /// As `read`, when what the account did so far is on disk, also what nobody waited for.
    func readSettled(
        _ jid: JID, _ sink: ReplySink,
        _ body: @escaping @Sendable (any Snapshot, AccountRecord, AccountRows) throws(StoreFailure) -> Void
    ) {
        send(.call(InboxPurge.settleCall, []), to: jid) { result in
            switch result {
            case .done, .value, .exists: break
            case .notFound: return sink.fail(.notFound, "there is no account \(jid)")
            // It is in the store all the same.
            case .failed(let why): sink.write { $0.warning("what happened in the last second may be missing: \(why)") }
            }
            read(jid, sink, body)
        }
    }

    /// An address at the other end: a bare JID, of a user or of a domain.
    func contact(_ text: String?, _ sink: ReplySink) -> JID? {
        guard let jid = jid(text, sink) else { return nil }
        guard jid.isBare else {
            sink.fail(.invalid, "\(jid) is one session of a contact; write \(jid.bare)")
            return nil
        }
        return jid
    }

    /// Answers that an option's value is no moment.
    func refuseMoment(_ option: String, _ text: String, _ sink: ReplySink) {
        sink.fail(.usage, "\"\(text)\" is no --\(option): write 2026-11-21, 2026-11-21T17:00:00Z, or 90d for 90 days ago")
    }
}

extension Moment {
    /// Reads a moment as people write it: a day, a point of time (XEP-0082), or how long ago it was (`30s`, `5m`, `2h`, `90d`).
    ///
    /// - Parameter now: µs since 1970, UTC.
    static func parse(_ text: String, now: Int64) -> Int64? {
        if let moment = DateTime(text) ?? DateTime(text + "T00:00:00Z") { return moment.microseconds }
        let seconds: Int64
        switch text.utf8.last {
        case UInt8(ascii: "s"): seconds = 1
        case UInt8(ascii: "m"): seconds = 60
        case UInt8(ascii: "h"): seconds = 3_600
        case UInt8(ascii: "d"): seconds = 86_400
        default: return nil
        }
        guard let count = Int64(text.dropLast()), (0...1_000_000_000).contains(count) else { return nil }
        let (ago, overflow) = (count * seconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? nil : now.subtractingReportingOverflow(ago).partialValue
    }
}

/// The lines of standard input as one text, up to a bound; the rest is not kept.
final class TextInput: LineConsumer {
    private let bound: Int
    private let sink: ReplySink
    private let done: @Sendable (String) -> Void
    private let text = Mutex<(lines: [String], bytes: Int, refusal: String?)>(([], 0, nil))

    /// - Parameter bound: bytes at most.
    init(bound: Int, _ sink: ReplySink, done: @escaping @Sendable (String) -> Void) {
        self.bound = bound
        self.sink = sink
        self.done = done
    }

    /// What may stand around a text that is bounded: a declaration, spaces.
    static let slack = 1_024

    /// A text may be one line.
    var longestLine: Int { bound }

    var isFull: Bool { false }

    func take(_ line: String) {
        text.withLock { text in
            text.bytes += line.utf8.count + 1
            if text.bytes > bound + 1 {
                text.lines = []
                text.refusal = text.refusal ?? "standard input is longer than \(bound) bytes"
            } else {
                text.lines.append(line)
            }
        }
    }

    func takeUnreadable() {
        text.withLock { $0.refusal = $0.refusal ?? "standard input is longer than \(bound) bytes, or not UTF-8" }
    }

    func finish() {
        let read = text.withLock { $0 }
        if let refusal = read.refusal { return sink.fail(.invalid, refusal) }
        done(read.lines.joined(separator: "\n"))
    }

    func abandon() {}
}
