import Authentication
import ServerCore
import Stanzas
import Store
import Transports

/// Looks credentials up in the volume of this host, on a reader thread: every node of the host may read.
final class StoreCredentials: CredentialSource {
    private let core: Core

    init(core: Core) { self.core = core }

    func credentials(of user: JID, device: String?, on loop: any Loop, completion: @escaping @Sendable (CredentialLookup) -> Void) {
        let core = core
        core.readers.read { snapshot in
            let found: CredentialLookup
            do {
                if let record = try AccountRecord.find(user.description, in: snapshot, identity: core.identity) {
                    var tokens: [LoginToken] = []
                    if let device {
                        let rows = AccountRows(
                            partition: core.identity.partition(of: record.jid), number: record.number, identity: core.identity)
                        let known = try rows.device(device, in: snapshot)?.tokens ?? []
                        tokens = known.map { LoginToken(secret: $0.secret, mechanism: $0.mechanism, expires: $0.expires) }
                    }
                    found = .account(try Credentials.decode(record.credentials), isEnabled: record.isEnabled, tokens: tokens)
                } else {
                    found = .unknown
                }
            } catch {
                found = .failed
            }
            loop.execute { completion(found) }
        }
    }
}
