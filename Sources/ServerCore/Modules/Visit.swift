public import Stanzas
public import XMLStream

/// A client whose stream has not authenticated, as modules see it: it may ask for an account and little else.
///
/// Confined to the loop of its connection.
public final class Visitor {
    /// The host that its stream header named, prepared.
    public let domain: String
    /// The address prefix that it comes from (/32, /64), as text; empty when it is not known.
    public let address: String
    /// TLS protects the stream, or it does not leave this machine and its host asks for no TLS.
    public let isProtected: Bool
    /// What modules remember of it until its stream ends, by a name of theirs.
    public var notes: [String: String] = [:]

    public init(domain: String, address: String, isProtected: Bool) {
        self.domain = domain
        self.address = address
        self.isProtected = isProtected
    }
}

/// A request of a visitor to the host. Whoever handles it answers, at once or later.
public final class Visit {
    public let visitor: Visitor
    public let isSet: Bool
    /// The one child of the IQ.
    public let payload: Element
    private let shard: Shard
    private var answer: ((IQReply) -> Void)?

    init(_ visitor: Visitor, isSet: Bool, payload: Element, shard: Shard, answer: @escaping (IQReply) -> Void) {
        self.visitor = visitor
        self.isSet = isSet
        self.payload = payload
        self.shard = shard
        self.answer = answer
    }

    /// Answers, on the loop it came on. A second call is ignored.
    public func reply(_ reply: IQReply) {
        answer?(reply)
        answer = nil
    }

    /// Every request is answered: by its handler, or by its absence.
    deinit { answer?(.error(StanzaError(.internalServerError))) }

    /// Carries out a write or a call at the home of any account. `completion` is called once on this loop.
    public func command(_ command: AccountCommand, for jid: JID, completion: @escaping (CommandResult) -> Void) {
        shard.write(command, for: jid, completion: completion)
    }

    /// What is stored of a password; `then` is called once on this loop.
    public func deriveKeys(of password: String, then: @escaping (Result<[UInt8], PasswordRefusal>) -> Void) {
        shard.deriveKeys(of: password, then: then)
    }
}

extension Shard {
    /// Hands a visitor's request to its handler.
    ///
    /// - Parameter answer: called once on this loop, possibly before this returns.
    /// - Returns: false when nobody handles it; then `answer` is never called.
    public func receive(
        _ payload: Element, isSet: Bool, from visitor: Visitor, answer: @escaping (IQReply) -> Void
    ) -> Bool {
        guard let handler = table.visit(payload.name, isSet: isSet) else { return false }
        handler(Visit(visitor, isSet: isSet, payload: payload, shard: self, answer: answer))
        return true
    }

    /// A write that a module asks for: the node is told when it changed who can log in.
    func write(_ command: AccountCommand, for jid: JID, completion: @escaping (CommandResult) -> Void) {
        self.command(command, for: jid) { result in
            switch (result, command) {
            case (.done, .create), (.done, .setCredentials), (.done, .delete), (.done, .enable), (.done, .disable):
                self.accountWritten?(command, jid.bare)
            default: break
            }
            completion(result)
        }
    }
}
