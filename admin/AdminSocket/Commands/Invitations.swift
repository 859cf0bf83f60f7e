import AdminLanguage
import ServerCore
import Settings
import Stanzas
import Store

/// `invite …`: links that give an account (XEP-0401), kept with the account of their host.
extension Commands {
    func createInvitation(_ invocation: Invocation, _ sink: ReplySink) {
        guard let host = invitingHost(invocation, sink) else { return }
        var inviter: JID?
        if let contact = invocation.option("contact") {
            guard let jid = jid(contact, sink) else { return }
            guard jid.local != nil, jid.isBare, jid.domain == host.domain else {
                return sink.fail(.invalid, "\(jid) is not an account of \(host); write user@\(host)")
            }
            inviter = jid
        }
        var username: String?
        if let wanted = invocation.option("user") {
            guard let prepared = try? JID.prepareUsername(wanted) else { return sink.fail(.invalid, "\"\(wanted)\" cannot be a username") }
            username = prepared
        }
        let now = core.clock.now
        let seconds = Int64(clamping: invocation.integerOption("expires") ?? core.settings.invitations.lifetimeHours * 3_600)
        guard (1...315_360_000).contains(seconds) else { return sink.fail(.invalid, "an invitation holds from 1 second to 10 years") }
        let uses = invocation.integerOption("uses") ?? 1
        guard username == nil || uses == 1 else { return sink.fail(.invalid, "a username is for one: leave out --uses, or --user") }
        var invitation = Invitation(
            inviter: inviter, username: username, givesAccount: true, befriends: inviter != nil, created: now,
            expires: now &+ seconds * 1_000_000, uses: uses)
        invitation.isForAccount = true
        let made = invitation
        guard let jid = username.map({ try? JID(local: $0, domain: host.domain, resource: nil) }) ?? host else {
            return sink.fail(.invalid, "the username cannot stand before @\(host)")
        }
        guard username != nil else { return keep(made, host, sink) }
        // A name that is taken would be found out by the invitee, who can do nothing about it.
        let core = core
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                guard try AccountRecord.find(jid.description, in: snapshot, identity: core.identity) == nil else {
                    return sink.fail(.exists, "the account \(jid) is there already")
                }
            } catch {
                return sink.fail(.unavailable, "the accounts cannot be read: \(error)")
            }
            keep(made, host, sink)
        }
    }

    private func keep(_ invitation: Invitation, _ host: JID, _ sink: ReplySink) {
        let landing = core.settings.invitations.landing
        send(.call(InvitationCall.create, invitation.bytes), to: host) { result in
            switch result {
            case .value:
                sink.end { reply in
                    reply.fact("invitation", .text(invitation.name))
                    reply.fact("uri", .text(invitation.uri(host: host.domain)))
                    if let link = invitation.link(template: landing, host: host.domain) { reply.fact("link", .text(link)) }
                    reply.fact("expires", .text(Moment.text(invitation.expires)))
                    reply.fact("uses", ReplyValue(invitation.uses))
                    reply.ok("")
                }
            case .exists: sink.fail(.exists, "another invitation keeps the username \(invitation.username ?? "")")
            case .failed(let why): sink.fail(.failed, why)
            case .done, .notFound: sink.fail(.failed, "the host's account does not answer as it should")
            }
        }
    }

    func listInvitations(_ invocation: Invocation, _ sink: ReplySink) {
        guard let host = invitingHost(invocation, sink) else { return }
        send(.call(InvitationCall.list, []), to: host) { result in
            guard case .value(let bytes) = result else { return sink.fail(.failed, "the invitations of \(host) cannot be read") }
            let all = Invitation.decodeAll(bytes)
            sink.end { reply in
                reply.table("invitations", ["name", "gives", "inviter", "username", "uses", "created", "expires"])
                for one in all {
                    let gives = [one.givesAccount ? "account" : nil, one.befriends ? "contact" : nil].compactMap { $0 }
                    reply.row(
                        .text(one.name), .text(gives.joined(separator: "+")), ReplyValue(one.inviter?.description),
                        ReplyValue(one.username),
                        ReplyValue(one.uses), .text(Moment.text(one.created)), .text(Moment.text(one.expires)))
                }
                reply.ok(all.count == 1 ? "1 invitation" : "\(all.count) invitations")
            }
        }
    }

    func revokeInvitation(_ invocation: Invocation, _ sink: ReplySink) {
        guard let host = invitingHost(invocation, sink), let name = invocation.text("NAME") else { return }
        send(.call(InvitationCall.revoke, Array(name.utf8)), to: host) { result in
            switch result {
            case .done: sink.end { $0.ok("\(name) revoked") }
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .notFound, .value: sink.fail(.notFound, "there is no invitation \(name) at \(host)")
            }
        }
    }

    /// The host that is meant; answers itself when there is none, or no invitations.
    private func invitingHost(_ invocation: Invocation, _ sink: ReplySink) -> JID? {
        guard core.settings.invitations.enabled else {
            sink.fail(.failed, "there are no invitations here; write enabled = true below [invitations]")
            return nil
        }
        let hosts = core.hosts.keys.sorted()
        if let named = invocation.option("host") {
            guard let domain = try? JID.prepareDomain(named), core.hosts[domain] != nil, let jid = try? JID(domain) else {
                sink.fail(.invalid, "\(named) is not a host of this server; the hosts are \(hosts.joined(separator: ", "))")
                return nil
            }
            return jid
        }
        guard hosts.count == 1, let only = hosts.first, let jid = try? JID(only) else {
            sink.fail(.usage, "which host? write --host with one of \(hosts.joined(separator: ", "))")
            return nil
        }
        return jid
    }
}
