public import Settings
public import Stanzas

/// What a handler may see and ask for while it works on one stanza. It never acts: what it asks for happens through the
/// account, in order, behind the account's gate.
public struct Turn {
    /// The account whose turn it is: for a request to the server, the asker's own.
    public let account: Account
    private let ticket: Ticket?

    init(account: Account, ticket: Ticket?) {
        self.account = account
        self.ticket = ticket
    }

    /// Whether the stanza may have been worked on before by a home that died: what it asks for may be true already.
    public var isRepeat: Bool { ticket?.isRepeat ?? false }

    /// Wall clock µs.
    public var now: Int64 { account.shard.core.clock.now }

    /// The features and identities of this server.
    public var catalogue: Catalogue { account.shard.catalogue }

    /// The domains served here.
    public var domains: [String] { account.shard.core.settings.hosts.map(\.domain) }

    /// The components that are listed among the items of the server, with their names.
    public var components: [(domain: String, name: String)] {
        account.shard.core.settings.components.filter { !$0.name.isEmpty }.map { ($0.domain, $0.name) }
    }

    /// Whether stanzas for a domain can be sent: it is a host or a component's.
    public func isReached(_ domain: String) -> Bool { account.shard.core.serves(domain) }

    /// Settings of a host served here; of the account's own when no domain is given.
    public func host(_ domain: String? = nil) -> Settings.Host? { account.shard.core.hosts[domain ?? account.jid.domain] }

    /// Sends a stanza from the account, unless it is for somebody whom the account blocked.
    public func send(_ stanza: Stanza) {
        if let to = stanza.to, account.isBlocked(to) { return }
        account.route(stanza, nil)
    }

    /// Answers a request with a result that carries this inner XML, so that more may leave behind it; its handler then returns `.sent`.
    public func answer(_ request: Request, _ xml: [UInt8] = []) { account.answer(request.stanza, xml) }

    /// A name for the request that stays the same when it comes again after a takeover; nil for what no session sent.
    public var submission: String? { ticket.map { "\(String($0.session.key, radix: 16))-\($0.inSeq)" } }

    /// Sends a stanza to one of the account's own sessions, behind everything said to it before.
    public func deliver(_ stanza: Stanza, to session: JID) { account.deliver(stanza, to: account.resource(jid: session)) }

    /// Carries out a write or a call at the home of any account. `completion` is called once on this loop.
    public func command(_ command: AccountCommand, for jid: JID, completion: @escaping (CommandResult) -> Void) {
        account.shard.write(command, for: jid, completion: completion)
    }

    /// The rest of the turn happens later: the returned value answers the request, from the same loop, once.
    public func later(_ request: Request) -> LaterAnswer { LaterAnswer(account: account, request: request.stanza, ticket: ticket) }
}

/// The result that a call owes (`Registration.call`), from the account's loop, once; `.failed` when it is forgotten.
public final class LaterResult {
    private let account: Account
    private let letter: CommandLetter
    private var isOpen = true

    init(account: Account, letter: CommandLetter) {
        self.account = account
        self.letter = letter
    }

    /// Answers when what the account wrote so far is durable. A second call is ignored.
    public func reply(_ result: CommandResult) {
        guard isOpen else { return }
        isOpen = false
        account.emit(.commandResult(id: letter.id, result), to: letter.replyTo)
    }

    deinit { reply(.failed("the account could not be read; try again")) }
}

/// The answer that a handler owes after `IQReply.later`.
public final class LaterAnswer {
    private let account: Account
    private let request: Stanza
    private let ticket: Ticket?
    private var isOpen = true

    init(account: Account, request: Stanza, ticket: Ticket?) {
        self.account = account
        self.request = request
        self.ticket = ticket
    }

    /// Answers. A second call is ignored.
    public func reply(_ reply: IQReply) {
        guard isOpen else { return }
        isOpen = false
        let half: CompletionHalf = request.to.map { $0.bare == account.jid && request.from?.bare != account.jid } == true ? .theirs : .whole
        switch reply {
        case .result(let xml):
            account.answer(request, xml)
            account.complete(ticket, half)
        case .error(let error): account.complete(ticket, half, refusal: error)
        case .sent, .later: account.complete(ticket, half)
        }
    }

    /// Every request is answered: by its handler, or by its absence.
    deinit { reply(.error(StanzaError(.internalServerError))) }
}
