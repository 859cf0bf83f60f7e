internal import CSASL

/// One login on one stream: the server's side of SCRAM-SHA-1, -256 and -512, with and without -PLUS (RFC 5802, RFC 7677), of
/// PLAIN (RFC 4616), and of tokens (`TokenMechanism`), as RFC 6120 §6 and XEP-0388 carry them. Data is what stands between the tags, decoded from base 64.
///
/// Overview: `begin` → `.needCredentials` → `credentials` → SCRAM: `.challenge` → `respond` → `.success`;
/// PLAIN: `.verifyPassword` → `passwordVerified` → `.success`; a token: `.success` at once. Any step may answer `.failure`, which ends the exchange.
/// An account that does not exist, a wrong password and a wrong channel binding give the same steps and the same condition.
/// Confined to one loop.
public final class SASLExchange {
    /// What is to be done next.
    public enum Step: Sendable {
        /// Look up the account with this localpart and call `credentials`.
        case needCredentials(user: String)
        /// Run the check off the loop (`PasswordPool.verify`) and call `passwordVerified`.
        case verifyPassword(PasswordCheck)
        /// Send it and wait for `respond`.
        case challenge([UInt8])
        /// The client is this account. `data` goes with `<success/>`.
        case success(user: String, data: [UInt8]?)
        case failure(SASLFailure)
    }

    /// The most bytes one message of a client may have: PLAIN fits with the longest JIDs and password that are legal, and SCRAM is
    /// bounded further by `maximumSCRAMMessageLength`.
    public static let maximumMessageLength = 8192
    /// What libsasl2 takes: enough for a name of 1,023 bytes, both binding data and a long nonce.
    public static let maximumSCRAMMessageLength = 2048

    /// The mechanism as the client named it.
    public let mechanism: String
    /// The prepared localpart, from the first message on: whom to count a failure for.
    public private(set) var user: String?
    /// The secret of the token that was proved.
    public private(set) var token: String?
    /// What the store knows of the account, once it was asked.
    public private(set) var known: Credentials?

    private enum State {
        case idle
        /// The client sent no initial response; it was asked for one.
        case prompted
        case waitingForCredentials(First)
        case verifying
        case challenged(Engine, SCRAMHash)
        case ended
    }
    /// Who carries a SCRAM login on.
    private enum Engine {
        /// Tells what was advertised: libsasl2 writes and signs its challenge itself, and nothing can be added to it.
        case own(SCRAMServer)
        case library(SASLConnection)
    }
    private enum First {
        case plain(SecretBytes)
        case scram(SCRAMHash, SCRAMClientFirst, message: [UInt8], binding: (type: ChannelBindingType, data: [UInt8])?)
        case token(TokenMechanism, TokenMessage, binding: [UInt8])
    }
    private enum Mechanism {
        case plain
        case scram(SCRAMHash, plus: Bool)
        case token(TokenMechanism)
    }

    private let host: String
    private let offered: [String]
    private let encrypted: Bool
    private let bindings: ChannelBindings?
    private let fake: FakeCredentials
    private let advertised: AdvertisedMechanisms?
    private var isDisabled = false
    private var state = State.idle

    /// - Parameters:
    ///   - service: shows that libsasl2 is set up.
    ///   - host: prepared domain of the stream.
    ///   - mechanism: as the client named it.
    ///   - offered: what the stream features listed (`SASLService.mechanisms`).
    ///   - encrypted: whether the stream runs under TLS.
    ///   - bindings: channel binding data of the TLS connection.
    ///   - fake: what stands in for accounts that do not exist.
    ///   - advertised: what the stream features listed, to be told in SCRAM's challenge (XEP-0474); nil: it is not, and libsasl2 is used.
    public init(
        service: SASLService, host: String, mechanism: String, offered: [String], encrypted: Bool, bindings: ChannelBindings?,
        fake: FakeCredentials, advertised: AdvertisedMechanisms? = nil
    ) {
        self.host = host
        self.mechanism = mechanism
        self.offered = offered
        self.encrypted = encrypted
        self.bindings = bindings
        self.fake = fake
        self.advertised = advertised
    }

    // MARK: Steps

    /// The client's `<auth/>`. `initial` is nil without an initial response, and empty for "=" (RFC 6120 §6.4.2).
    public func begin(initial: [UInt8]?) -> Step {
        guard case .idle = state else { return fail(.malformedRequest) }
        guard chosen != nil, offered.contains(mechanism) else { return fail(refusal) }
        guard let initial else {
            // All our mechanisms begin with the client: an empty challenge asks it to.
            state = .prompted
            return .challenge([])
        }
        return first(initial)
    }

    /// What the store knows of the account.
    /// - Parameters:
    ///   - credentials: nil when there is no such account. One that lacks the mechanism's hash is treated in the same way.
    ///   - disabled: the account may not be used; told only to who knows its password.
    ///   - tokens: of the device that logs in.
    ///   - now: wall clock µs, for the end of tokens.
    public func credentials(_ credentials: Credentials?, disabled: Bool, tokens: [LoginToken] = [], now: Int64 = 0) -> Step {
        guard case .waitingForCredentials(let first) = state, let user else { return fail(.malformedRequest) }
        isDisabled = disabled
        known = credentials
        // The fake keys are made for real accounts too: the time is the same.
        switch first {
        case .plain(let password):
            guard let fake = try? fake.strongest(for: user, host: host) else { return fail(.temporaryAuthFailure) }
            state = .verifying
            return .verifyPassword(PasswordCheck(password: password, key: credentials?.strongest ?? fake))
        case .scram(let hash, let first, let message, let binding):
            guard let fake = try? fake.record(for: user, host: host, hash: hash) else { return fail(.temporaryAuthFailure) }
            let key = credentials?.keys[hash] ?? fake
            guard let advertised else {
                guard let connection = SASLConnection(host: host, key: key, binding: binding) else { return fail(.temporaryAuthFailure) }
                return advance(connection, hash, connection.start(mechanism: mechanism, message))
            }
            guard let nonce = try? SCRAMServer.randomNonce() else { return fail(.temporaryAuthFailure) }
            let server = SCRAMServer(key: key, first: first, binding: binding?.data, nonce: nonce, offer: advertised)
            state = .challenged(.own(server), hash)
            return .challenge(server.challenge)
        case .token(let mechanism, let message, let binding):
            let proved = message.proved(among: tokens, mechanism: mechanism, binding: binding)
            guard let proved, credentials != nil else { return fail(.notAuthorized) }
            // Told only to who has the token (XEP-0484 §4.2).
            guard proved.expires > now else { return fail(.credentialsExpired) }
            token = proved.secret
            return succeed(data: TokenMessage.answer(proved, binding: binding))
        }
    }

    /// What the check of the password in PLAIN came to.
    public func passwordVerified(_ isRight: Bool) -> Step {
        guard case .verifying = state else { return fail(.malformedRequest) }
        return isRight ? succeed(data: nil) : fail(.notAuthorized)
    }

    /// The client's `<response/>`.
    public func respond(_ data: [UInt8]) -> Step {
        switch state {
        case .prompted: return first(data)
        case .challenged(let engine, let hash):
            guard data.count <= Self.maximumSCRAMMessageLength else { return fail(.malformedRequest) }
            let last: SCRAMClientFinal
            do {
                last = try SCRAMClientFinal(data, hash: hash)
            } catch {
                return fail(error)
            }
            switch engine {
            case .library(let connection): return advance(connection, hash, connection.step(data))
            case .own(let server):
                guard let answer = server.verdict(last) else { return fail(.notAuthorized) }
                return succeed(data: answer)
            }
        default: return fail(.malformedRequest)
        }
    }

    /// Ends the exchange: the client's `<abort/>` or the end of the stream. Every further call fails.
    public func abort() { state = .ended }

    // MARK: The first message

    private var chosen: Mechanism? {
        if mechanism == "PLAIN" { return .plain }
        if let token = TokenMechanism(rawValue: mechanism) { return .token(token) }
        guard let hash = SCRAMHash(mechanism: mechanism) else { return nil }
        return .scram(hash, plus: mechanism.hasSuffix("-PLUS"))
    }

    /// Why the mechanism is not to be had (RFC 6120 §6.5.4, §6.5.7).
    private var refusal: SASLFailure {
        if case .plain? = chosen, !encrypted { return .encryptionRequired }
        return .invalidMechanism
    }

    private func first(_ data: [UInt8]) -> Step {
        guard data.count <= Self.maximumMessageLength else { return fail(.malformedRequest) }
        do {
            switch chosen {
            case .plain: return try plain(data)
            case .scram(let hash, let plus): return try scram(hash, plus: plus, data)
            case .token(let mechanism): return try token(mechanism, data)
            case nil: return fail(.invalidMechanism)
            }
        } catch {
            return fail(error)
        }
    }

    private func plain(_ data: [UInt8]) throws(SASLFailure) -> Step {
        let message = try PlainMessage(data)
        let identity = try SASLIdentity(authcid: message.authcid, authzid: message.authzid, host: host)
        user = identity.user
        guard let password = try? SecretBytes(preparing: message.password) else { throw .notAuthorized }
        state = .waitingForCredentials(.plain(password))
        return .needCredentials(user: identity.user)
    }

    private func scram(_ hash: SCRAMHash, plus: Bool, _ data: [UInt8]) throws(SASLFailure) -> Step {
        guard data.count <= Self.maximumSCRAMMessageLength else { throw .malformedRequest }
        let message = try SCRAMClientFirst(data)
        let binding = try binding(of: message, plus: plus)
        let identity = try SASLIdentity(authcid: message.authcid, authzid: message.authzid, host: host)
        user = identity.user
        state = .waitingForCredentials(.scram(hash, message, message: data, binding: binding))
        return .needCredentials(user: identity.user)
    }

    private func token(_ mechanism: TokenMechanism, _ data: [UInt8]) throws(SASLFailure) -> Step {
        let message = try TokenMessage(data)
        var binding: [UInt8] = []
        if let type = mechanism.binding {
            guard let data = bindings?[type] else { throw .notAuthorized }
            binding = data
        }
        let identity = try SASLIdentity(authcid: message.authcid, authzid: nil, host: host)
        user = identity.user
        state = .waitingForCredentials(.token(mechanism, message, binding: binding))
        return .needCredentials(user: identity.user)
    }

    /// The channel binding a first message asks for. libsasl2 takes "n" with a -PLUS mechanism, and knows neither which types nor
    /// which mechanisms were offered: RFC 5802 §6 is kept here.
    private func binding(
        of message: SCRAMClientFirst, plus: Bool
    ) throws(SASLFailure) -> (type: ChannelBindingType, data: [UInt8])? {
        switch message.binding {
        case .required(let name):
            guard plus else { throw .malformedRequest }
            guard let type = ChannelBindingType(rawValue: name), let data = bindings?[type] else { throw .notAuthorized }
            return (type, data)
        case .unsupported:
            guard !plus else { throw .malformedRequest }
            return nil
        case .unused:
            guard !plus else { throw .malformedRequest }
            // The client was made to believe that we cannot bind: somebody took -PLUS out of the list.
            guard !offered.contains(where: { $0.hasSuffix("-PLUS") }) else { throw .notAuthorized }
            return nil
        }
    }

    // MARK: Outcomes

    private func advance(_ connection: SASLConnection, _ hash: SCRAMHash, _ outcome: SASLConnection.Outcome) -> Step {
        switch outcome {
        case .challenge(let data):
            guard case .waitingForCredentials = state else { return fail(.malformedRequest) }
            state = .challenged(.library(connection), hash)
            return .challenge(data)
        case .done(let data):
            guard case .challenged = state else { return fail(.temporaryAuthFailure) }
            return succeed(data: data)
        case .refused(let code):
            switch code {
            case SASL_NOMEM, SASL_FAIL: return fail(.temporaryAuthFailure)
            case SASL_BUFOVER: return fail(.malformedRequest)
            // Wrong proof, nonce or binding. Which one it was is not told.
            default: return fail(.notAuthorized)
            }
        }
    }

    private func succeed(data: [UInt8]?) -> Step {
        guard let user else { return fail(.temporaryAuthFailure) }
        guard !isDisabled else { return fail(.accountDisabled) }
        state = .ended
        return .success(user: user, data: data)
    }

    private func fail(_ failure: SASLFailure) -> Step {
        state = .ended
        return .failure(failure)
    }
}
