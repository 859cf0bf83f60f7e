internal import ServerCore
internal import Stanzas
internal import StreamLogic

/// Authentication without SASL (XEP-0078), behind the check of the password.
extension ClientHandler {
    /// The name under which such logins are counted and shown.
    static let nonSASLMechanism = NS.nonSASL

    /// The client is who it says: it gets its resource, and the answer to its one request says so.
    func enter(_ account: JID, resource: String) {
        session = clients.shard.bind(account: account, resource: resource, terms: BindTerms(device: nil), connection: self) {
            [self] result in
            switch result {
            case .success(let session):
                guard let id = stream.bound(session.fullJID) else { return }
                loggedIn(account, Self.nonSASLMechanism)
                raiseLimits()
                clients.settle(self)
                put { StreamWriting.result([], id: id, into: &$0) }
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
