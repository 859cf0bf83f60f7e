import AdminLanguage
import ServerCore
import Stanzas
import Synchronization

/// `report …`: what users told of spam and abuse (XEP-0377). Each host keeps its own in an account of the host.
extension Commands {
    func listReports(_ invocation: Invocation, _ sink: ReplySink) {
        guard let hosts = reportHosts(invocation, sink) else { return }
        let about = invocation.option("about")
        let limit = invocation.integerOption("limit") ?? CommandTable.defaultLimit
        collectReports(hosts, after: ReportCalls.Cursor(), found: [], limit: limit, about: about, sink)
    }

    /// The hosts that a request is about: the one it names, or all; answers itself when there is no such host.
    private func reportHosts(_ invocation: Invocation, _ sink: ReplySink) -> [JID]? {
        let all = core.hosts.keys.sorted()
        if let named = invocation.option("host") {
            guard all.contains(named), let host = try? JID(named) else {
                sink.fail(.invalid, "\(named) is not a host of this server; the hosts are \(all.joined(separator: ", "))")
                return nil
            }
            return [host]
        }
        return all.compactMap { try? JID($0) }
    }

    /// Asks one host after the other, a page at a time: the newest `limit` of all are shown, oldest first.
    private func collectReports(
        _ hosts: [JID], after cursor: ReportCalls.Cursor, found: [ReportCalls.Entry], limit: Int, about: String?, _ sink: ReplySink
    ) {
        guard let host = hosts.first else { return show(found, limit: limit, sink) }
        send(.call(ReportCalls.list, ReportCalls.encode(cursor)), to: host) { result in
            switch result {
            case .value(let bytes):
                guard let page = try? ReportCalls.page(bytes) else { return sink.fail(.failed, "the reports of \(host) cannot be read") }
                let wanted = page.entries.filter { entry in about.map { Pattern.matches(entry.report.reported, $0) } ?? true }
                let more = page.hasMore ? page.entries.last : nil
                collectReports(
                    more == nil ? Array(hosts.dropFirst()) : hosts,
                    after: more.map { ReportCalls.Cursor(stamp: $0.report.stamp, id: $0.id) } ?? ReportCalls.Cursor(),
                    found: found + wanted, limit: limit, about: about, sink)
            case .failed(let why): sink.fail(.unavailable, why)
            case .done, .exists, .notFound: sink.fail(.failed, "the host \(host) has no reports to show")
            }
        }
    }

    private func show(_ found: [ReportCalls.Entry], limit: Int, _ sink: ReplySink) {
        let sorted = found.sorted { ($0.report.stamp, $0.id) < ($1.report.stamp, $1.id) }
        sink.end { reply in
            reply.table("reports", ["id", "when", "reported", "reason", "reporter"])
            for entry in sorted.suffix(limit) {
                reply.row(
                    .text(entry.id), .text(Moment.text(entry.report.stamp)), .text(entry.report.reported),
                    .text(Self.reason(entry.report)), .text(entry.report.reporter))
            }
            reply.ok(
                sorted.count > limit ? "the last \(limit) of \(sorted.count) reports; ask for more with --limit" : "\(sorted.count) reports"
            )
        }
    }

    /// The reasons of XEP-0377 §4 by their last word.
    private static func reason(_ report: AbuseReport) -> String {
        let registered = NS.reportReasons
        return report.reason.hasPrefix(registered) ? String(report.reason.dropFirst(registered.count)) : report.reason
    }

    func showReport(_ invocation: Invocation, _ sink: ReplySink) {
        guard let hosts = reportHosts(invocation, sink), let id = invocation.text("ID") else { return }
        showReport(id, of: hosts, sink)
    }

    private func showReport(_ id: String, of hosts: [JID], _ sink: ReplySink) {
        guard let host = hosts.first else { return sink.fail(.notFound, "there is no report \(id)") }
        send(.call(ReportCalls.show, Array(id.utf8)), to: host) { result in
            switch result {
            case .value(let bytes):
                guard let report = try? AbuseReport(bytes) else { return sink.fail(.failed, "the report \(id) cannot be read") }
                sink.end { reply in
                    reply.fact("id", .text(id))
                    reply.fact("host", .text(host.description))
                    reply.fact("when", .text(Moment.text(report.stamp)))
                    reply.fact("reporter", .text(report.reporter))
                    reply.fact("reported", .text(report.reported))
                    reply.fact("reason", .text(report.reason))
                    for text in report.texts {
                        reply.fact("text", .text(text.language.isEmpty ? text.text : "[\(text.language)] \(text.text)"))
                    }
                    for message in report.messages { reply.fact("message", .text("\(message.id) of \(message.by)")) }
                    reply.fact("may_tell_origin", ReplyValue(report.mayTellOrigin))
                    reply.fact("may_tell_others", ReplyValue(report.mayTellOthers))
                    reply.ok("")
                }
            case .notFound, .done, .exists: showReport(id, of: Array(hosts.dropFirst()), sink)
            case .failed(let why): sink.fail(.unavailable, why)
            }
        }
    }

    func deleteReports(_ invocation: Invocation, _ sink: ReplySink) {
        guard let hosts = reportHosts(invocation, sink) else { return }
        deleteReports(invocation.texts("ID"), of: hosts, deleted: 0, sink)
    }

    private func deleteReports(_ ids: [String], of hosts: [JID], deleted: Int, _ sink: ReplySink) {
        guard let host = hosts.first else {
            guard deleted > 0 else {
                return sink.fail(.notFound, ids.count == 1 ? "there is no report \(ids[0])" : "there is none of them")
            }
            let missing = Set(ids).count - deleted
            let done = deleted == 1 ? "1 report deleted" : "\(deleted) reports deleted"
            return sink.end { reply in reply.ok(missing > 0 ? "\(done); \(missing) were not there" : done) }
        }
        send(.call(ReportCalls.delete, ReportCalls.encode(ids: ids)), to: host) { result in
            switch result {
            case .done(let count): deleteReports(ids, of: Array(hosts.dropFirst()), deleted: deleted + count, sink)
            case .notFound, .exists, .value: deleteReports(ids, of: Array(hosts.dropFirst()), deleted: deleted, sink)
            case .failed(let why): sink.fail(.unavailable, why)
            }
        }
    }
}
