public import Authentication
public import ServerCore
public import Stanzas

/// What is known of an account that wants to log in.
public enum CredentialLookup: Sendable {
    case unknown
    case account(Credentials, isEnabled: Bool)
    /// The store could not be asked: `temporary-auth-failure`.
    case failed
}

/// Where stored credentials come from.
public protocol CredentialSource: Sendable {
    /// Looks up a bare JID without blocking the caller.
    ///
    /// - Parameter completion: called once on `loop`.
    func credentials(of user: JID, on loop: any Loop, completion: @escaping @Sendable (CredentialLookup) -> Void)
}
