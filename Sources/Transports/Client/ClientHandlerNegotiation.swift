internal import Authentication
internal import Logging
internal import NIOCore
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// From the first header to the bound resource: what the stream machine answers, carried out.
extension ClientHandler {
    func open(_ header: StreamHeader) {
        switch stream.header(header, draining: clients.service.draining) {
        case .ignore: break
        case .refuse(let closing) where closing.error?.condition == .systemShutdown: letGo()
        case .refuse(let closing): finish(closing)
        case .open(let response, let offer):
            var channelBindings: [String] = []
            if offer.authentication { channelBindings = chooseMechanisms() }
            let more = moreFeatures(offer)
            let id = clients.streamIDs.next()
            let mechanisms = stream.mechanisms
            put { writer in
                StreamWriting.header(response, id: id, into: &writer)
                guard response.hasVersion else { return }
                StreamWriting.features(offer, mechanisms: mechanisms, channelBindings: channelBindings, more: more, into: &writer)
            }
        }
    }

    /// Decides what is offered on this stream; answers the channel binding types (XEP-0440).
    private func chooseMechanisms() -> [String] {
        let authentication = clients.service.settings.authentication
        bindings = ChannelBindings(tlsExporter: tls?.exporter, tlsServerEndPoint: tls?.serverEndPoint)
        if stream.isSecure, authentication.tokenDays > 0 {
            stream.tokenMechanisms = TokenMechanism.offered(bindings.types, unbound: authentication.unboundTokens).map(\.rawValue)
        }
        stream.mechanisms = clients.service.sasl.mechanisms(
            encrypted: stream.isSecure, bindings: authentication.channelBinding ? bindings.types : [],
            policy: MechanismPolicy(
                mechanisms: authentication.mechanisms,
                hashes: clients.service.census.host(stream.domain ?? "").hashes,
                scramWithoutTLS: authentication.scramWithoutTLS && origin.isLoopback))
        return offeredBindings
    }

    /// The types announced to the client (XEP-0440).
    private var offeredBindings: [String] {
        stream.mechanisms.contains { $0.hasSuffix("-PLUS") } ? bindings.types.map(\.rawValue) : []
    }

    func act(on received: ClientStream.Received) {
        switch received {
        case .stanza, .visit, .ignore: break
        case .startTLS: startTLS()
        case .refuseTLS: refuseTLS()
        case .authenticate(let mechanism, let initial): authenticate(mechanism, initial)
        case .authenticateExtensible:
            if let request = stream.request { authenticate(request.mechanism, request.initial) }
        case .beginTask(let task): beginTask(task)
        case .finishTask(let answer): finishTask(answer)
        case .respond(let data): if let exchange { advance(exchange.respond(data)) }
        case .rejectAuthentication(let condition, let closing):
            record(condition)
            dropExchange()
            refuseLogin(condition, closing)
        case .clientState(let active): session?.setActive(active)
        case .bind(let resource): bind(resource)
        case .nonSASLFields(let id): put { StreamWriting.nonSASLFields(id: id, into: &$0) }
        case .compress: compress()
        case .refuseCompression(let failure, let closing): refuseCompression(failure, closing)
        case .management(let asked): manage(asked)
        case .refuse(let id, let error, let closing): refuse(id, error, closing)
        case .fail(let closing): finish(closing)
        }
    }

    private func refuse(_ id: String, _ error: StanzaError, _ closing: Closing?) {
        put { StreamWriting.refusal(error, id: id, into: &$0) }
        if let closing { finish(closing) }
    }

    // MARK: TLS

    private func startTLS() {
        guard let context, let table = view.table else { return refuseTLS() }
        let handler: TLSHandler
        do throws(TLSFailure) {
            handler = try TLSHandler(table: table, host: stream.domain, direct: false, memory: clients.memory)
        } catch {
            clients.service.log.error("TLS cannot start", metadata: ["reason": "\(error)"])
            return refuseTLS()
        }
        put { StreamWriting.proceed(into: &$0) }
        flush()
        dropInput()
        restartFraming()
        tls = handler
        do {
            try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
        } catch {
            abandon()
        }
    }

    private func refuseTLS() {
        _ = stream.close(nil)
        put { StreamWriting.tlsFailure(into: &$0) }
        endOutput()
    }

    // MARK: SASL

    private func authenticate(_ mechanism: String, _ initial: [UInt8]?) {
        dropExchange()
        guard let domain = stream.domain else { return }
        let service = clients.service
        if let prefix = origin.prefix, !service.allows(.address(prefix)) {
            return rejected(.temporaryAuthFailure, mechanism: mechanism)
        }
        let exchange = SASLExchange(
            service: service.sasl, host: domain, mechanism: mechanism,
            offered: stream.profile == .extensible ? stream.mechanisms + stream.tokenMechanisms : stream.mechanisms,
            encrypted: stream.isSecure,
            bindings: bindings, fake: service.census.host(domain).fake,
            advertised: service.settings.authentication.downgradeProtection
                ? AdvertisedMechanisms(mechanisms: stream.mechanisms, channelBindings: offeredBindings) : nil)
        self.exchange = exchange
        advance(exchange.begin(initial: initial))
    }

    private func advance(_ step: SASLExchange.Step) {
        switch step {
        case .needCredentials(let user): lookUp(user)
        case .verifyPassword(let check): verify(check)
        case .challenge(let data):
            guard stream.stepped(.challenge) == .challenge else { return dropExchange() }
            let profile = stream.profile
            put { StreamWriting.challenge(data, profile, into: &$0) }
        case .success(let user, let data): succeed(user, data)
        case .failure(let failure): fail(failure)
        }
    }

    private func lookUp(_ user: String) {
        guard let exchange, let context, let domain = stream.domain, let jid = try? JID(local: user, domain: domain, resource: nil) else {
            return fail(.notAuthorized)
        }
        guard clients.service.allows(.account(jid.description)) else { return rejected(.temporaryAuthFailure) }
        let waiting = NIOLoopBound((self, exchange), eventLoop: context.eventLoop)
        let device = stream.request?.token == nil ? nil : stream.request?.agent?.id
        clients.service.source.credentials(of: jid, device: device, on: clients.loop) { found in
            let (handler, exchange) = waiting.value
            guard handler.exchange === exchange else { return }
            switch found {
            case .unknown: handler.advance(exchange.credentials(nil, disabled: false))
            case .account(let credentials, let isEnabled, let tokens):
                let now = handler.clients.service.clock.now
                handler.advance(exchange.credentials(credentials, disabled: !isEnabled, tokens: tokens, now: now))
            case .failed: handler.rejected(.temporaryAuthFailure)
            }
            handler.clients.later(handler)
        }
    }

    private func verify(_ check: PasswordCheck) {
        guard let exchange, let context else { return }
        let waiting = NIOLoopBound((self, exchange), eventLoop: context.eventLoop)
        let loop = clients.loop
        let isTaken = clients.service.passwords.verify(check) { isRight in
            loop.execute {
                let (handler, exchange) = waiting.value
                guard handler.exchange === exchange else { return }
                handler.advance(exchange.passwordVerified(isRight))
                handler.clients.later(handler)
            }
        }
        if !isTaken { rejected(.temporaryAuthFailure) }
    }

    private func succeed(_ user: String, _ data: [UInt8]?) {
        guard let exchange else { return }
        let mechanism = exchange.mechanism
        if stream.profile == .extensible {
            let proved = ExtensibleLogin(user: user, mechanism: mechanism, data: data, token: exchange.token, known: exchange.known)
            dropExchange()
            return begin(proved)
        }
        dropExchange()
        switch stream.stepped(.success(user: user)) {
        case .authenticated(let account):
            loggedIn(account, mechanism)
            put { StreamWriting.success(data, into: &$0) }
            restartFraming()
        case .enter(let account, let resource): enter(account, resource: resource)
        case .reject(let condition, let closing): refuseLogin(condition, closing)
        case .refuse(let id, let error, let closing): refuse(id, error, closing)
        case .fail(let closing): finish(closing)
        case .challenge, .accepted, .proceed, .task, .ignore: break
        }
    }

    func loggedIn(_ account: JID, _ mechanism: String) {
        facts.mechanism = mechanism
        bindings = ChannelBindings()
        clients.service.metrics.loggedIn(mechanism)
        clients.service.loginSucceeded(account: account.description)
    }

    /// The client's attempt failed: it is counted where it may have been a guess.
    func fail(_ failure: SASLFailure) {
        let condition = SASLCondition(rawValue: failure.rawValue) ?? .notAuthorized
        if failure == .notAuthorized || failure == .accountDisabled {
            clients.service.loginFailed(origin.prefix, account: claimedAccount)
        }
        rejected(condition)
    }

    /// Answers the attempt with a failure.
    func rejected(_ condition: SASLCondition, mechanism: String? = nil) {
        record(condition, mechanism: mechanism)
        dropExchange()
        switch stream.stepped(.failure(condition)) {
        case .reject(let condition, let closing): refuseLogin(condition, closing)
        case .refuse(let id, let error, let closing): refuse(id, error, closing)
        case .authenticated, .accepted, .enter, .challenge, .proceed, .task, .fail, .ignore: break
        }
    }

    func refuseLogin(_ condition: SASLCondition, _ closing: Closing?) {
        let profile = stream.profile
        put { StreamWriting.failure(condition, profile, into: &$0) }
        if let closing { finish(closing) }
    }

    /// The account the client says it is, once it has said so.
    private var claimedAccount: String? { (exchange?.user ?? login?.user).map { "\($0)@\(stream.domain ?? "")" } }

    /// Counts a failed login and tells the operator: who from where, how, and what the client was told; never what it sent.
    private func record(_ condition: SASLCondition, mechanism: String? = nil) {
        clients.service.metrics.loginFailed(condition)
        clients.service.log.info(
            "login failed",
            metadata: [
                "account": "\(claimedAccount ?? "")", "address": "\(origin.prefix.map { "\($0)" } ?? "")",
                "mechanism": "\(Self.legible(mechanism ?? exchange?.mechanism ?? login?.mechanism))", "condition": "\(condition.rawValue)",
            ])
    }

    /// A mechanism's name as far as it is one (RFC 4422 §3.1): clients may write anything there.
    private static func legible(_ mechanism: String?) -> String {
        guard let mechanism, (1...20).contains(mechanism.utf8.count) else { return "" }
        let isName = mechanism.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
        }
        return isName ? mechanism : ""
    }

    func dropExchange() {
        exchange?.abort()
        exchange = nil
        login = nil
    }

    // MARK: Binding

    private func bind(_ resource: String?) {
        guard let account = stream.account else { return }
        session = clients.shard.bind(account: account, resource: resource, terms: BindTerms(device: device), connection: self) {
            [self] result in
            switch result {
            case .success(let session):
                guard let id = stream.bound(session.fullJID) else { return }
                clients.settle(self)
                put { StreamWriting.bound(session.fullJID, id: id, into: &$0) }
                // The result stands before anything the session writes.
                flush()
            case .failure(let error):
                session = nil
                act(on: stream.bindRefused(error))
            }
            clients.later(self)
        }
    }
}
