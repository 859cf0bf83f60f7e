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
        writer.bytes.reserveCapacity(512)
        if offer.authentication, stream.isSecure {
            StreamWriting.authentication(stream.mechanisms, inlineOffer, into: &writer)
        }
        if offer.authentication, stream.offersNonSASL { StreamWriting.nonSASLFeature(into: &writer) }
        if offer.authentication { writer.raw(visitorFeatures()) }
        let settings = clients.service.settings
        if stream.account == nil {
            StreamWriting.limits(
                bytes: settings.limits.stanzaBytesBeforeAuth, idleSeconds: settings.limits.unauthenticatedSeconds, into: &writer)
        } else {
            let idle = settings.sessions.keepaliveSeconds
            StreamWriting.limits(bytes: settings.limits.stanzaBytes, idleSeconds: idle > 0 ? idle : nil, into: &writer)
            StreamWriting.managementFeature(into: &writer)
            writer.raw(clients.shard.table.streamFeatures(of: stream.domain ?? ""))
        }
        return writer.bytes
    }

    private var inlineOffer: StreamWriting.Inline {
        let features = clients.shard.catalogue.serverFeatures
        let switches = [NS.carbons].filter(features.contains) + [NS.clientState, NS.streamManagement]
        return StreamWriting.Inline(
            resumption: true, bindFeatures: switches, tokenMechanisms: stream.tokenMechanisms, upgrades: lackedHashes.map(HashUpgrade.task))
    }

    /// What some account of the host lacks, the strongest first; the same whoever asks (XEP-0388 §3).
    private var lackedHashes: [SCRAMHash] {
        clients.service.census.host(stream.domain ?? "").lacked.sorted(by: >)
    }

    // MARK: From proof to success

    /// The client proved who it is.
    func begin(_ login: ExtensibleLogin) {
        self.login = login
        // Who has a token need not know the password: a hash from there could be of another one.
        if login.token == nil, let known = login.known {
            let asked = stream.request?.upgrades.compactMap { HashUpgrade.hash(ofTask: $0) } ?? []
            let iterations = clients.service.settings.authentication.iterations
            for hash in asked where lackedHashes.contains(hash) && known.keys[hash] == nil {
                if let upgrade = try? HashUpgrade(hash, iterations: iterations) { login.upgrades.append(upgrade) }
            }
        }
        goOn(login)
    }

    /// One task after the other, then success.
    private func goOn(_ login: ExtensibleLogin) {
        guard let upgrade = login.upgrades.first else { return noteDevice(login) }
        switch stream.stepped(.proceed(user: login.user)) {
        case .proceed:
            let data = login.data
            login.data = nil
            put { StreamWriting.proceed(with: upgrade.task, data: data, into: &$0) }
        case .reject(let condition, let closing):
            self.login = nil
            refuseLogin(condition, closing)
        case .authenticated, .accepted, .enter, .challenge, .task, .refuse, .fail, .ignore: self.login = nil
        }
    }

    /// The client begins a task: it can only be the one it was told of.
    func beginTask(_ task: String) {
        guard let upgrade = login?.upgrades.first, upgrade.task == task, stream.stepped(.task) == .task else {
            return rejected(.malformedRequest)
        }
        put { StreamWriting.upgradeTask(salt: upgrade.salt, iterations: upgrade.iterations, into: &$0) }
    }

    /// The client hashed its password: the home keeps the key, or says that the password was changed meanwhile.
    func finishTask(_ answer: [UInt8]) {
        guard let login, let context, let upgrade = login.upgrades.first, let known = login.known, let domain = stream.domain,
            let account = try? JID(local: login.user, domain: domain, resource: nil)
        else { return rejected(.temporaryAuthFailure) }
        let credentials: Credentials
        do throws(CredentialsError) { credentials = try upgrade.adding(saltedPassword: answer, to: known) } catch {
            return rejected(.malformedRequest)
        }
        let exchange = CredentialsExchange(old: known.encode(), new: credentials.encode())
        let waiting = NIOLoopBound((self, login), eventLoop: context.eventLoop)
        clients.shard.command(.call(CredentialsExchange.call, exchange.encode()), for: account) { result in
            let (handler, login) = waiting.value
            guard handler.login === login else { return }
            if case .done = result {
                login.known = credentials
                login.upgrades.removeFirst()
                handler.goOn(login)
            } else {
                handler.rejected(.temporaryAuthFailure)
            }
            handler.clients.later(handler)
        }
    }

    /// The home hears of the device, and the client is let in.
    private func noteDevice(_ login: ExtensibleLogin) {
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
            resumeInline(account)
        case .reject(let condition, let closing):
            self.login = nil
            refuseLogin(condition, closing)
        case .authenticated, .enter, .challenge, .proceed, .task, .refuse, .fail, .ignore: self.login = nil
        }
    }

    /// First of all: whoever resumes needs no resource (XEP-0198 §9.2).
    private func resumeInline(_ account: JID) {
        guard let wish = stream.request?.resume else { return bindInline(account) }
        guard let handled = wish.handled else {
            if let login { StreamWriting.managementFailed(.badRequest, into: &login.inline) }
            return bindInline(account)
        }
        resumption = clients.shard.resume(account: account, previd: wish.previousID, h: handled, connection: self) { [self] result in
            resumption = nil
            switch result {
            case .success(let resumed):
                session = resumed.session
                stream.managementEnabled()
                if let login { StreamWriting.resumed(previd: resumed.previd, h: resumed.h, into: &login.inline) }
                complete(.session(resumed.fullJID), isResumed: true)
                resumed.session.resend()
            case .failure(let refusal):
                if let error = refusal.streamError { return close(error) }
                if let login { StreamWriting.managementFailed(refusal.condition, h: refusal.h, into: &login.inline) }
                bindInline(account)
            }
        }
    }

    private func bindInline(_ account: JID) {
        guard let wish = stream.request?.bind else { return complete(.unbound) }
        let terms = BindTerms(
            device: device, replacesDevice: true, carbons: wish.carbons, readsArchive: true, client: stream.request?.agent?.name)
        let resource = clients.shard.resource(account: account, tag: wish.tag, device: device)
        session = clients.shard.bind(account: account, resource: resource, terms: terms, connection: self) { [self] result in
            switch result {
            case .success(let session):
                writeBound(session, wish)
                complete(.session(session.fullJID))
            case .failure:
                // The client is authenticated all the same: why there is no resource it hears when it asks for one.
                session = nil
                complete(.unbound)
            }
        }
    }

    /// `<bound/>`, with what was switched on for the session.
    private func writeBound(_ session: Session, _ wish: AuthenticationRequest.Binding) {
        if wish.inactive { session.setActive(false) }
        let grant = wish.management.map { session.enableManagement(resumable: $0.resumable, maxSeconds: $0.seconds) }
        if grant != nil { stream.managementEnabled() }
        login?.inline.element("bound", xmlns: NS.bind2) { writer in
            session.archiveAtBind?.write(into: &writer)
            if let grant { StreamWriting.enabled(id: grant.id, max: grant.max, location: grant.location, into: &writer) }
        }
    }

    /// - Parameter isResumed: the stream goes on behind `<success/>`, without features (XEP-0198 §9.2).
    private func complete(_ completion: ClientStream.Completion, isResumed: Bool = false) {
        guard let login, let account = stream.account, let offer = stream.completed(completion) else { return }
        self.login = nil
        let identity = stream.fullJID ?? account
        let more = moreFeatures(offer)
        put { writer in
            StreamWriting.success(identity, data: login.data, inline: login.inline.bytes, into: &writer)
            if !isResumed { StreamWriting.features(offer, more: more, into: &writer) }
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
    /// What the mechanism says last, until it was said.
    var data: [UInt8]?
    /// The token that was the proof.
    let token: String?
    /// What the store knows of the account.
    var known: Credentials?
    /// Tasks that are left.
    var upgrades: [HashUpgrade] = []
    /// Answers to what was asked for inline.
    var inline = XMLWriter()

    init(user: String, mechanism: String, data: [UInt8]?, token: String?, known: Credentials?) {
        self.user = user
        self.mechanism = mechanism
        self.data = data
        self.token = token
        self.known = known
    }
}
