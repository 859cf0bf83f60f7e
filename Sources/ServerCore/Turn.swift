import Settings
public import Stanzas
public import Store

/// What a handler may see and ask for while it works on one stanza. It never acts: what it asks for happens through the
/// account, in order, behind the account's gate.
public final class Turn {
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

    /// Sends a stanza from the account.
    public func send(_ stanza: Stanza) { account.route(stanza, nil) }

    /// Keeps a value in the account's part of the store. What the account says from now on waits for it.
    public func put(_ key: Key, _ value: [UInt8]) { account.put(key, value) }

    /// The rest of the turn happens later: the returned value answers the request, from the same loop, once.
    public func later(_ request: Request) -> LaterAnswer { LaterAnswer(account: account, request: request.stanza, ticket: ticket) }
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
