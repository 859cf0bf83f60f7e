import AdminLanguage
import ServerCore
import Stanzas
import Store

/// `roster …` and `block list`.
extension Commands {
    func showRoster(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        readSettled(jid, sink) { (snapshot, _, _) throws(StoreFailure) in
            guard let account = try AccountSnapshot.load(jid: jid.description, from: snapshot, identity: core.identity) else {
                return sink.fail(.notFound, "there is no account \(jid)")
            }
            let items = account.roster.filter { $0.isListed && !$0.isRemoved }.sorted { $0.jid < $1.jid }
            sink.end { reply in
                reply.fact("jid", .text(jid.description))
                reply.fact("roster_version", ReplyValue(account.account.rosterVersion))
                reply.table("contacts", ["contact", "name", "subscription", "ask", "approved", "groups"])
                for item in items {
                    let state = SubscriptionState(code: item.state)
                    reply.row(
                        .text(item.jid), item.name.isEmpty ? .none : .text(item.name), .text(state.subscription.rawValue),
                        ReplyValue(state.pendingOut), ReplyValue(state.preApproved),
                        item.groups.isEmpty ? .none : .text(item.groups.joined(separator: ",")))
                }
                if !account.pendingIn.isEmpty {
                    reply.table("requests", ["contact", "since"])
                    for request in account.pendingIn.sorted(by: { $0.jid < $1.jid }) {
                        reply.row(.text(request.jid), .text(Moment.text(request.stamp)))
                    }
                }
                reply.ok("\(items.count) contacts")
            }
        }
    }

    // MARK: Changes

    func addToRoster(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink), let contact = contact(invocation.text("CONTACT"), sink) else { return }
        if invocation.flag("no-name"), invocation.option("name") != nil {
            return sink.fail(.usage, "--name and --no-name exclude each other")
        }
        if invocation.flag("no-groups"), invocation.option("groups") != nil {
            return sink.fail(.usage, "--groups and --no-groups exclude each other")
        }
        var edit = RosterEdit(
            .set, contact: contact, name: invocation.flag("no-name") ? "" : invocation.option("name"),
            groups: invocation.flag("no-groups") ? [] : invocation.option("groups").map(Self.groups),
            subscription: invocation.option("subscription").flatMap { SubscriptionState.Subscription(rawValue: $0) })
        edit.part = invocation.flag("mutual") ? .second : .alone
        if edit.part != .alone, edit.subscription == nil {
            return sink.fail(.usage, "--mutual is about a subscription: write --subscription none, to, from or both, too")
        }
        if let refusal = edit.refusal { return sink.fail(.invalid, refusal) }
        let ready = edit
        consent(ready, of: jid, sink) { both(ready, of: jid, sink, done: "is in the roster of") }
    }

    private static func groups(_ list: String) -> [String] {
        list.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
    }

    /// What can stand goes on; a subscription that would end at the next login, because the contact knows nothing of it, does not.
    private func consent(_ edit: RosterEdit, of jid: JID, _ sink: ReplySink, then: @escaping @Sendable () -> Void) {
        let contact = edit.contact
        guard contact != jid else { return sink.fail(.invalid, "\(jid) cannot be a contact of itself") }
        let isLocal = contact.local != nil && core.hosts[contact.domain] != nil
        guard isLocal else {
            if edit.part != .alone {
                return sink.fail(.invalid, "\(contact) is no account of this server: leave out --mutual, and let its server be asked")
            }
            if edit.subscription == .to || edit.subscription == .both {
                sink.write { $0.warning("whether \(contact) shows its presence is for its own server to say") }
            }
            return then()
        }
        let wantsPresence = edit.subscription == .to || edit.subscription == .both
        guard edit.part != .alone || wantsPresence else { return then() }
        let identity = core.identity
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                guard let other = try AccountRecord.find(contact.description, in: snapshot, identity: identity) else {
                    return sink.fail(.notFound, "there is no account \(contact)")
                }
                guard edit.part == .alone else { return then() }
                let key = Keys.rosterItem(identity.partition(of: other.jid), other.number, identity.hash128(jid.description))
                let item = try snapshot.get(key).map { (value) throws(StoreFailure) in try RosterItemRecord.decode(value, key: key) }
                guard let item, SubscriptionState(code: item.state).hasFrom else {
                    return sink.fail(
                        .refused,
                        "\(contact) does not show its presence to \(jid), so the subscription would end at the next login: give both sides theirs with --mutual"
                    )
                }
                then()
            } catch {
                sink.fail(.unavailable, "the account \(contact) cannot be read: \(error)")
            }
        }
    }

    func removeFromRoster(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink), let contact = contact(invocation.text("CONTACT"), sink) else { return }
        if invocation.flag("mutual"), contact.local == nil || core.hosts[contact.domain] == nil {
            return sink.fail(.invalid, "\(contact) is no account of this server: leave out --mutual; its server hears of it by itself")
        }
        both(
            RosterEdit(.remove, contact: contact, part: invocation.flag("mutual") ? .second : .alone), of: jid, sink,
            done: "is off the roster of")
    }

    /// The account's side, and where it is asked for the contact's: that first, so that the account sees presence it may see.
    private func both(_ edit: RosterEdit, of jid: JID, _ sink: ReplySink, done: String) {
        guard edit.part != .alone else { return change(edit, of: jid, alsoChanged: 0, sink, done: done) }
        let mirrored: SubscriptionState.Subscription? =
            switch edit.subscription {
            case .to: .from
            case .from: .to
            case let same: same
            }
        let other = RosterEdit(edit.deed, contact: jid, subscription: mirrored, part: .first)
        send(.call(RosterEdit.call, other.encode()), to: edit.contact) { result in
            switch result {
            case .done(let count): change(edit, of: jid, alsoChanged: count, sink, done: done)
            case .notFound where edit.deed == .remove: change(edit, of: jid, alsoChanged: 0, sink, done: done)
            case .notFound: sink.fail(.notFound, "there is no account \(edit.contact)")
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .value: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    private func change(_ edit: RosterEdit, of jid: JID, alsoChanged: Int, _ sink: ReplySink, done: String) {
        let contact = edit.contact
        send(.call(RosterEdit.call, edit.encode()), to: jid) { result in
            switch result {
            case .done(let count) where count + alsoChanged > 0:
                sink.end { $0.ok("\(contact) \(done) \(jid)\(edit.part != .alone ? ", and the other way round" : "")") }
            case .done where edit.deed == .set: sink.end { $0.ok("\(contact) \(done) \(jid) just like that already") }
            case .done: sink.fail(.notFound, "\(contact) is not in the roster of \(jid)")
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .value: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    // MARK: Push

    func pushRoster(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        push(jid, after: 0, pushed: 0, sink)
    }

    /// One part after the other: a large roster is thousands of stanzas.
    private func push(_ jid: JID, after version: UInt64, pushed: Int, _ sink: ReplySink) {
        send(.call(RosterPush.call, RosterPush.argument(after: version)), to: jid) { result in
            switch result {
            case .value(let bytes):
                guard let part = RosterPush(bytes) else { return sink.fail(.failed, "the answer cannot be read") }
                let pushed = pushed + part.items
                if part.sessions > 0, let next = part.next { return push(jid, after: next, pushed: pushed, sink) }
                sink.end {
                    $0.fact("sessions", ReplyValue(part.sessions))
                    $0.ok(
                        part.sessions == 0
                            ? "no session of \(jid) has asked for the roster, so nobody gets it"
                            : "\(pushed) contacts pushed to \(part.sessions) \(part.sessions == 1 ? "session" : "sessions")")
                }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .done, .exists: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    // MARK: Blocked addresses

    func listBlocked(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        readSettled(jid, sink) { (snapshot, _, rows) throws(StoreFailure) in
            let blocked = try rows.items(.blocked, in: snapshot).map(\.name).sorted()
            sink.end { reply in
                reply.table("blocked", ["address"])
                for address in blocked { reply.row(.text(address)) }
                reply.ok("\(blocked.count) addresses")
            }
        }
    }
}

extension Substring {
    /// Without spaces at its ends.
    fileprivate var trimmed: String {
        var rest = self[...]
        while rest.first == " " { rest = rest.dropFirst() }
        while rest.last == " " { rest = rest.dropLast() }
        return String(rest)
    }
}
