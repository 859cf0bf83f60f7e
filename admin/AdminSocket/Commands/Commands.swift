import AdminLanguage
import Logging
import ServerCore
import Stanzas

/// Carries requests out. One file a family of commands.
struct Commands: Sendable {
    let context: AdminContext
    var core: Core { context.core }

    func run(_ invocation: Invocation, secret: String, _ sink: ReplySink) {
        if invocation.changes {
            context.log.notice(
                "admin command", metadata: ["command": "\(invocation.command.name)", "jid": "\(invocation.text("JID") ?? "")"])
        }
        guard !invocation.isAboutFiles else {
            return sink.fail(.refused, "\(invocation.command.name) is not for a node: martletctl does it by itself")
        }
        guard !invocation.command.isOfClient else {
            return sink.fail(.refused, "\(invocation.command.name) is done by martletctl: it asks one node after the other")
        }
        switch invocation.command.name {
        case "user add": addUser(invocation, password: secret, sink)
        case "user passwd": setPassword(invocation, password: secret, sink)
        case "user delete": deleteUser(invocation, sink)
        case "user devices": devices(invocation, sink)
        case "user enable": write(.enable, invocation, sink) { "\($0) enabled" }
        case "user disable": write(.disable(reason: invocation.option("reason") ?? ""), invocation, sink) { "\($0) disabled" }
        case "user list": listUsers(invocation, sink)
        case "user show": showUser(invocation, sink)
        case "user restore": restoreUser(invocation, sink)
        case "roster show": showRoster(invocation, sink)
        case "roster add": addToRoster(invocation, sink)
        case "roster remove": removeFromRoster(invocation, sink)
        case "roster push": pushRoster(invocation, sink)
        case "block list": listBlocked(invocation, sink)
        case "archive show": showArchive(invocation, sink)
        case "archive purge": purgeArchive(invocation, sink)
        case "inbox show": showInbox(invocation, sink)
        case "inbox purge": purgeInbox(invocation, sink)
        case "vcard show": showVCard(invocation, sink)
        case "vcard remove": removeVCard(invocation, sink)
        case "private list": listPrivate(invocation, sink)
        case "message send": sendMessage(invocation, invocation.text("TEXT") ?? "", sink)
        case "message broadcast": broadcast(invocation, invocation.text("TEXT") ?? "", sink)
        case "invite create": createInvitation(invocation, sink)
        case "invite list": listInvitations(invocation, sink)
        case "invite revoke": revokeInvitation(invocation, sink)
        case "session list": listSessions(invocation, sink)
        case "session show": showSession(invocation, sink)
        case "session kick": kick(invocation, sink)
        case "top": top(invocation, sink)
        case "trace": trace(invocation, sink)
        case "component list": listComponents(sink)
        case "component kick": kickComponent(invocation, sink)
        case "push list": listPushServices(invocation, sink)
        case "push disable": disablePush(invocation, sink)
        case "report list": listReports(invocation, sink)
        case "report show": showReport(invocation, sink)
        case "report delete": deleteReports(invocation, sink)
        case "node list": listNodes(sink)
        case "node show": showNode(invocation, sink)
        case "node drain": drainNode(invocation, sink)
        case "node undrain": undrainNode(invocation, sink)
        case "node stop": stopNode(invocation, sink)
        case "node start": startNode(invocation, sink)
        case "node restart": restartNode(invocation, sink)
        case "config check": checkConfiguration(invocation, sink)
        case "config diff": compareConfiguration(invocation, sink)
        case "config reload": reloadConfiguration(invocation, sink)
        case "config show": showConfiguration(invocation, sink)
        case "store backup": backUp(invocation, sink)
        case "store backups": listBackups(invocation, sink)
        case "store stats": showStoreStats(invocation, sink)
        case "store verify": verifyStore(invocation, sink)
        case "log level": logLevel(invocation, sink)
        case "export xep0227": exportPortable(invocation, sink)
        case "status": status(sink)
        case "module list": listModules(sink)
        case "version": version(sink)
        case "help": help(invocation, sink)
        case "complete": complete(invocation, sink)
        case "clock": advanceClock(invocation, sink)
        default: sink.fail(.usage, "this node does not know the command \(invocation.command.name)")
        }
    }

    /// The JID of a request, prepared; answers itself when it is not one.
    func jid(_ text: String?, _ sink: ReplySink) -> JID? {
        guard let text else {
            sink.fail(.usage, "a JID is missing; write user@host")
            return nil
        }
        do throws(JIDError) {
            return try JID(text)
        } catch {
            sink.fail(.invalid, "\(text) is not a JID: \(error)")
            return nil
        }
    }

    /// A local account's JID.
    func account(_ invocation: Invocation, _ sink: ReplySink) -> JID? { account(invocation.text("JID"), sink) }

    /// The same for a text.
    func account(_ text: String?, _ sink: ReplySink) -> JID? {
        guard let jid = jid(text, sink) else { return nil }
        guard jid.local != nil, jid.isBare else {
            sink.fail(.invalid, "\(jid) is not an account; write user@host")
            return nil
        }
        guard core.hosts[jid.domain] != nil else {
            sink.fail(
                .invalid, "\(jid.domain) is not a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
            return nil
        }
        return jid
    }

    /// Sends a write to the home of its account and answers with what became of it.
    func write(_ command: AccountCommand, _ invocation: Invocation, _ sink: ReplySink, done: @escaping @Sendable (JID) -> String) {
        guard let jid = account(invocation, sink) else { return }
        write(command, to: jid, sink, done: done)
    }

    func write(_ command: AccountCommand, to jid: JID, _ sink: ReplySink, done: @escaping @Sendable (JID) -> String) {
        send(command, to: jid) { result in
            switch result {
            case .done, .value: sink.end { $0.ok(done(jid)) }
            case .exists: sink.fail(.exists, "the account \(jid) is there already; set its password with user passwd")
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            }
        }
    }

    func send(_ command: AccountCommand, to jid: JID, completion: @escaping @Sendable (CommandResult) -> Void) {
        guard let shard = core.shards.first else { return completion(.failed("the node is not ready yet; try again")) }
        let changed = context.changed
        shard.enter { shard in
            shard.command(command, for: jid) { result in
                if case .done = result { changed(command, jid) }
                completion(result)
            }
        }
    }

    /// Names the nodes that did not answer, for the last line of a scattered read.
    func endScatter(_ silent: Set<UInt64>, _ sink: ReplySink, ok: String) {
        sink.end { reply in
            if silent.isEmpty {
                reply.ok(ok)
            } else {
                reply.error(
                    .partial,
                    "\(silent.count) of the nodes did not answer in time: \(silent.map { String($0, radix: 16) }.sorted().joined(separator: ", "))"
                )
            }
        }
    }
}
