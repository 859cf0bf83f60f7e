public import Authentication
public import ServerCore
public import Stanzas

/// What is known of an account that wants to log in.
public enum CredentialLookup: Sendable {
    case unknown
    /// - Parameter tokens: of the device that was asked for.
    case account(Credentials, isEnabled: Bool, tokens: [LoginToken] = [])
    /// The store could not be asked: `temporary-auth-failure`.
    case failed
}

/// Where stored credentials come from.
public protocol CredentialSource: Sendable {
    /// Looks up a bare JID without blocking the caller.
    ///
    /// - Parameters:
    ///   - device: the UUID of an installation whose tokens are wanted too; nil: none are.
    ///   - completion: called once on `loop`.
    func credentials(of user: JID, device: String?, on loop: any Loop, completion: @escaping @Sendable (CredentialLookup) -> Void)
}
