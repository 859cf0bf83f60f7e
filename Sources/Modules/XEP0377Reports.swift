public import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// XEP-0377: Blocking Command Reports. A report comes in a block command alone (§6) and is kept with the reporter's host until the
/// administrator deletes it. It is sent on to nobody, whatever its reporter allowed (§5).
public final class Reports: Module {
    public static let name = "reports"
    public static let implements = [XEP(377, "0.4.1", "Blocking Command Reports")]
    private static let item = Name("item", NS.blocking)
    private static let report = Name("report", NS.reporting)
    private static let text = Name("text", NS.reporting)
    private static let reportOrigin = Name("report-origin", NS.reporting)
    private static let thirdParty = Name("third-party", NS.reporting)
    private static let stanzaID = Name("stanza-id", NS.stanzaID)
    /// What of one report is kept.
    private static let texts = 4
    private static let textBytes = 2_048
    private static let messages = 20
    /// Reports of one command.
    private static let reportsOfCommand = 20
    private static let reasonBytes = 256
    private static let idBytes = 256
    /// About the bytes of one page of a list: it must fit a frame of the bus.
    private static let pageBytes = 65_536

    private let bound: Int
    private let boundOfAccount: Int

    public init(_ context: ModuleContext) {
        bound = context.settings.limits.reports
        boundOfAccount = context.settings.limits.reportsPerAccount
    }

    public func register(in registration: inout Registration) {
        if bound > 0 { registration.feature(NS.reporting, of: .server) }
        let (bound, boundOfAccount) = (bound, boundOfAccount)
        registration.call(ReportCalls.add) { argument, turn, result in
            guard let entries = try? ReportCalls.entries(argument) else { return result.reply(.failed("the reports cannot be read")) }
            result.reply(.done(Self.keep(entries, turn, bound: bound, boundOfAccount: boundOfAccount)))
        }
        registration.call(ReportCalls.list) { argument, turn, result in
            guard let cursor = try? ReportCalls.cursor(argument) else { return result.reply(.failed("the question cannot be read")) }
            result.reply(.value(ReportCalls.encode(Self.page(after: cursor, turn))))
        }
        registration.call(ReportCalls.show) { argument, turn, result in
            guard let report = turn.account.items(.report)[String(decoding: argument, as: UTF8.self)] else {
                return result.reply(.notFound)
            }
            result.reply(.value(report))
        }
        registration.call(ReportCalls.delete) { argument, turn, result in
            guard let ids = try? ReportCalls.ids(argument) else { return result.reply(.failed("the ids cannot be read")) }
            let there = Set(ids).intersection(turn.account.items(.report).keys)
            for id in there { turn.account.forget(.report, id) }
            result.reply(.done(there.count))
        }
    }

    // MARK: At the reporter's home

    /// The reports in a block command. One without a reason is none (§4); that changes nothing about the block (§6).
    static func reports(in request: Request, _ turn: Turn) -> [ReportCalls.Entry] {
        var entries: [ReportCalls.Entry] = []
        for item in request.payload.all(item) where entries.count < reportsOfCommand {
            guard let element = item.first(report), let reported = item["jid"].flatMap({ try? JID($0) }), let reason = element["reason"],
                !reason.isEmpty, reason.utf8.count <= reasonBytes
            else { continue }
            var report = AbuseReport(
                stamp: turn.now, reporter: turn.account.jid.description, reported: reported.description, reason: reason,
                mayTellOrigin: element.first(reportOrigin) != nil, mayTellOthers: element.first(thirdParty) != nil)
            for text in element.all(text).prefix(texts) {
                let said = text.text.trimmed(to: textBytes)
                if !said.isEmpty { report.texts.append(.init(language: (text.lang ?? "").trimmed(to: 64), text: said)) }
            }
            for id in element.all(stanzaID).prefix(messages) {
                guard let by = id["by"].flatMap({ try? JID($0) }), let id = id["id"], !id.isEmpty, id.utf8.count <= idBytes else {
                    continue
                }
                report.messages.append(.init(by: by.description, id: id))
            }
            // The same when the command comes again after a takeover.
            let submission = turn.submission ?? "\(turn.now)"
            let number = turn.account.hash(of: "\(turn.account.jid) \(submission) \(entries.count)")
            entries.append(.init(id: idPrefix(of: turn.account.jid.description, turn) + word(number), report: report))
        }
        return entries
    }

    /// How the ids of an account's reports begin, so that they are found without reading the others.
    private static func idPrefix(of reporter: String, _ turn: Turn) -> String { word(turn.account.hash(of: reporter)) + "-" }

    private static func word(_ hash: NameHash) -> String { String(String(hash.high, radix: 36).suffix(7)) }

    /// Sends reports to the reporter's host; `done` is called once they are kept, or cannot be.
    static func send(_ entries: [ReportCalls.Entry], _ turn: Turn, done: @escaping () -> Void) {
        let account = turn.account
        turn.command(.call(ReportCalls.add, ReportCalls.encode(entries)), for: account.jid.domainJID) { result in
            let kept: Int
            if case .done(let count) = result { kept = count } else { kept = 0 }
            account.noteReports(kept: kept, lost: entries.count - kept)
            done()
        }
    }

    // MARK: At the host

    /// Keeps what there is room for. Returns how many are kept, those that already were included.
    private static func keep(_ entries: [ReportCalls.Entry], _ turn: Turn, bound: Int, boundOfAccount: Int) -> Int {
        var kept = 0
        for entry in entries {
            let all = turn.account.items(.report)
            if all[entry.id] == nil {
                let prefix = idPrefix(of: entry.report.reporter, turn)
                let own = all.filter { $0.key.hasPrefix(prefix) }
                if own.count >= boundOfAccount, let oldest = sorted(own).first {
                    turn.account.forget(.report, oldest.id)
                } else if all.count >= bound {
                    continue
                }
                turn.account.keep(.report, entry.id, entry.report.encode())
            }
            kept += 1
        }
        return kept
    }

    /// Oldest first.
    private static func sorted(_ items: [String: [UInt8]]) -> [ReportCalls.Entry] {
        items.compactMap { id, value in (try? AbuseReport(value)).map { ReportCalls.Entry(id: id, report: $0) } }
            .sorted { ($0.report.stamp, $0.id) < ($1.report.stamp, $1.id) }
    }

    private static func page(after cursor: ReportCalls.Cursor, _ turn: Turn) -> ReportCalls.Page {
        var page = ReportCalls.Page()
        var bytes = 0
        for var entry in sorted(turn.account.items(.report)) where (entry.report.stamp, entry.id) > (cursor.stamp, cursor.id) {
            guard bytes < pageBytes else {
                page.hasMore = true
                break
            }
            entry.report.texts = []
            entry.report.messages = []
            bytes += entry.report.reporter.utf8.count + entry.report.reported.utf8.count + entry.report.reason.utf8.count + 64
            page.entries.append(entry)
        }
        return page
    }
}

extension String {
    /// Without white space at both ends, and cut at a character where it is too long.
    fileprivate func trimmed(to bytes: Int) -> String {
        let space: (Character) -> Bool = { $0.isWhitespace }
        var text = self[...].drop(while: space)
        while let last = text.last, space(last) { text = text.dropLast() }
        guard text.utf8.count > bytes else { return String(text) }
        var cut = ""
        for character in text {
            guard cut.utf8.count + character.utf8.count <= bytes else { break }
            cut.append(character)
        }
        return cut
    }
}
