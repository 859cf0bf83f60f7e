/// Why a login failed, by the name of its element (RFC 6120 §6.5).
public enum SASLFailure: String, Error, Sendable, CaseIterable {
    /// The client gave up (§6.5.1).
    case aborted = "aborted"
    /// The password was right, and the account may not be used (§6.5.2).
    case accountDisabled = "account-disabled"
    /// §6.5.3.
    case credentialsExpired = "credentials-expired"
    /// The mechanism may only be used under TLS (§6.5.4).
    case encryptionRequired = "encryption-required"
    /// The data was not base 64 (§6.5.5).
    case incorrectEncoding = "incorrect-encoding"
    /// The client asked to act as somebody else, or as no account at all (§6.5.6).
    case invalidAuthzid = "invalid-authzid"
    /// The mechanism was not offered (§6.5.7).
    case invalidMechanism = "invalid-mechanism"
    /// The data was not what the mechanism asks for (§6.5.8).
    case malformedRequest = "malformed-request"
    /// §6.5.9.
    case mechanismTooWeak = "mechanism-too-weak"
    /// Wrong password, unknown account or wrong channel binding: which of them is not told (§6.5.10).
    case notAuthorized = "not-authorized"
    /// The server cannot decide now: too many attempts, no memory, no store (§6.5.11).
    case temporaryAuthFailure = "temporary-auth-failure"
}
