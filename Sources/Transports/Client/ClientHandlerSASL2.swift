internal import Authentication
internal import NIOCore
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// SASL2 (XEP-0388): what is offered inline, and what was asked for inline, done in its order: resumption, or else a resource.
extension ClientHandler {
    // MARK: Features

    /// The features of this stage beside those of RFC 6120.
    func moreFeatures(_ offer: Offer) -> [UInt8] {
        var writer = XMLWriter()
        if offer.authentication, stream.isSecure {
            StreamWriting.authentication(stream.mechanisms, inlineOffer, into: &writer)
        }
        if offer.authentication { writer.raw(visitorFeatures()) }
        let settings = clients.service.settings
        if stream.account == nil {
            StreamWriting.limits(
                bytes: settings.limits.stanzaBytesBeforeAuth, idleSeconds: settings.limits.unauthenticatedSeconds, into: &writer)
        } else {
            let idle = settings.sessions.keepaliveSeconds
            StreamWriting.limits(bytes: settings.limits.stanzaBytes, idleSeconds: idle > 0 ? idle : nil, into: &writer)
            writer.raw(clients.shard.table.streamFeatures(of: stream.domain ?? ""))
        }
        return writer.bytes
    }

    private var inlineOffer: StreamWriting.Inline {
        StreamWriting.Inline(bindFeatures: [NS.carbons], tokenMechanisms: stream.tokenMechanisms)
    }

    // MARK: From proof to success

    /// The client proved who it is: the home hears of its device, then it is let in.
    func proceed(_ login: ExtensibleLogin) {
        self.login = login
        guard let request = stream.request, let id = request.agent?.id, let context, let domain = stream.domain,
            let account = try? JID(local: login.user, domain: domain, resource: nil)
        else { return login.token == nil ? accept(login) : fail(.notAuthorized) }
        // A token is given for what was offered, and for nothing else (XEP-0484 §3.2).
        let wanted = request.wantsTokenFor.flatMap { stream.tokenMechanisms.contains($0) ? $0 : nil }
        let device = DeviceLogin(
            id: id, software: request.agent?.software, device: request.agent?.device, mechanism: login.mechanism, token: login.token,
            count: request.token?.count, invalidate: request.token?.invalidate ?? false, wantsTokenFor: wanted)
        let waiting = NIOLoopBound((self, login), eventLoop: context.eventLoop)
        clients.shard.command(.call(DeviceLogin.call, device.encode()), for: account) { result in
            let (handler, login) = waiting.value
            guard handler.login === login else { return }
            handler.deviceAnswered(result, login)
            handler.clients.later(handler)
        }
    }

    private func deviceAnswered(_ result: CommandResult, _ login: ExtensibleLogin) {
        guard case .value(let bytes) = result, let answer = DeviceLogin.Answer(bytes) else { return rejected(.temporaryAuthFailure) }
        switch answer {
        // Revoked since it was looked up, or its count was seen before.
        case .refused: fail(.notAuthorized)
        case .accepted(let token, let expires):
            if let token { StreamWriting.token(token, expiry: expires, into: &login.inline) }
            accept(login)
        }
    }

    /// What the client asked for inline follows, then the answer to all of it.
    private func accept(_ login: ExtensibleLogin) {
        let agent = stream.request?.agent
        switch stream.stepped(.success(user: login.user)) {
        case .accepted(let account):
            loggedIn(account, login.mechanism)
            raiseLimits()
            device = agent?.id
            bindInline(account)
        case .reject(let condition, let closing):
            self.login = nil
            refuseLogin(condition, closing)
        case .authenticated, .challenge, .proceed, .task, .fail, .ignore: self.login = nil
        }
    }

    private func bindInline(_ account: JID) {
        guard let wish = stream.request?.bind else { return complete(.unbound) }
        let terms = BindTerms(device: device, replacesDevice: true, carbons: wish.carbons)
        let resource = clients.shard.resource(account: account, tag: wish.tag, device: device)
        session = clients.shard.bind(account: account, resource: resource, terms: terms, connection: self) { [self] result in
            switch result {
            case .success(let session):
                login?.inline.empty("bound", xmlns: NS.bind2)
                complete(.session(session.fullJID))
            case .failure:
                // The client is authenticated all the same: why there is no resource it hears when it asks for one.
                session = nil
                complete(.unbound)
            }
        }
    }

    private func complete(_ completion: ClientStream.Completion) {
        guard let login, let account = stream.account, let offer = stream.completed(completion) else { return }
        self.login = nil
        let identity = stream.fullJID ?? account
        let more = moreFeatures(offer)
        put { writer in
            StreamWriting.success(identity, data: login.data, inline: login.inline.bytes, into: &writer)
            StreamWriting.features(offer, more: more, into: &writer)
        }
        if stream.isReady { clients.settle(self) }
        // The success stands before anything the session writes.
        flush()
        clients.later(self)
    }
}

/// A login by SASL2 between its proof and its success.
final class ExtensibleLogin {
    /// The prepared localpart.
    let user: String
    let mechanism: String
    /// What the mechanism says last.
    let data: [UInt8]?
    /// The token that was the proof.
    let token: String?
    /// Answers to what was asked for inline.
    var inline = XMLWriter()

    init(user: String, mechanism: String, data: [UInt8]?, token: String?) {
        self.user = user
        self.mechanism = mechanism
        self.data = data
        self.token = token
    }
}
