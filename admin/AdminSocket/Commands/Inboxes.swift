import AdminLanguage
import ServerCore
import Stanzas
import Store

/// `inbox …`: what is owed to an account.
extension Commands {
    func showInbox(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        let limit = invocation.integerOption("limit") ?? CommandTable.defaultMessages
        let hasBodies = invocation.flag("bodies")
        tellOfBodies(invocation, jid)
        readSettled(jid, sink) { (snapshot, record, rows) throws(StoreFailure) in
            guard let account = try AccountSnapshot.load(jid: jid.description, from: snapshot, identity: core.identity) else {
                return sink.fail(.notFound, "there is no account \(jid)")
            }
            let ids = ArchiveIDs(key: record.archiveKey)
            var found: [MessageTable.Row] = []
            var damaged = 0
            for message in account.owed.prefix(limit) {
                let key = Keys.message(rows.partition, rows.number, sequence: message.sequence)
                guard let value = try snapshot.get(key) else { continue }
                guard let kept = try? MessageRecord.decode(value, key: key), var row = MessageTable.Row(kept, hasBody: hasBodies) else {
                    damaged += 1
                    continue
                }
                if kept.flags.contains(.archived) { row.id = ids.id(message.sequence) }
                found.append(row)
            }
            let (rows, lost) = (found, damaged)
            sink.end { reply in
                reply.fact("owed", ReplyValue(account.owed.count))
                reply.fact("owed_bytes", ReplyValue(account.owed.reduce(0) { $0 + $1.bytes }))
                MessageTable.show(rows, hasBodies: hasBodies, &reply)
                if lost > 0 { reply.warning("\(lost) messages are damaged and left out; store verify names them") }
                reply.ok(
                    account.owed.count > limit
                        ? "\(limit) of \(account.owed.count) messages; ask for more with --limit" : "\(account.owed.count) messages")
            }
        }
    }

    func purgeInbox(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        var from: JID?
        if let text = invocation.option("with") {
            guard let peer = contact(text, sink) else { return }
            from = peer
        }
        guard let before = moment("before", invocation, sink) else { return }
        guard before != nil || from != nil || invocation.flag("all") else {
            return sink.fail(.usage, "say what goes: --before DATE, --with CONTACT, or --all")
        }
        guard !invocation.flag("all") || before == nil && from == nil else {
            return sink.fail(.usage, "--all leaves nothing to choose: leave it out, or --before and --with")
        }
        let purge = InboxPurge(through: UInt64(max(0, before.map { $0 &- 1 } ?? .max)), from: from)
        send(.call(InboxPurge.call, purge.encode()), to: jid) { result in
            switch result {
            case .done(let count):
                sink.end {
                    $0.fact("removed", ReplyValue(count))
                    $0.ok("\(count) messages wait for \(jid) no more")
                }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .value: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }
}
