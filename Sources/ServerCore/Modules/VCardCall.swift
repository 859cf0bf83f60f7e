/// What is done to the vCard of an account, or of a host, at its home (XEP-0054).
public enum VCardCall {
    /// Answered with the card, or `.notFound`.
    public static let get = "vcard.get"
    /// The argument is the card, as its root element; nothing takes it away.
    public static let set = "vcard.set"
}
