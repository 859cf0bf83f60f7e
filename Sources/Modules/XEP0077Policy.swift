import Settings
import Stanzas
import XMLStream

/// What somebody filled in (XEP-0077 §3.1, §4).
struct RegistrationWish {
    var username: String
    var password: String

    /// Reads the form or, where there is none, the plain fields; never both (§4). What is missing or empty is `not-acceptable` (§3.1).
    ///
    /// - Parameter form: the FORM_TYPE that is meant.
    static func read(_ query: Element, form: String) -> Result<RegistrationWish, StanzaError> {
        let plain = query.children.filter { $0.namespace == NS.register }
        let username: String?
        let password: String?
        if let submission = DataForm(in: query) {
            guard submission.kind == .submit, plain.isEmpty, submission.formType ?? form == form else {
                return .failure(StanzaError(.badRequest))
            }
            username = submission["username"]?.value
            password = submission["password"]?.value
        } else {
            username = plain.first { $0.local == "username" }?.text
            password = plain.first { $0.local == "password" }?.text
        }
        guard let username, let password, !username.isEmpty, !password.isEmpty else {
            return .failure(StanzaError(.notAcceptable, text: "Username and password are both needed"))
        }
        return .success(RegistrationWish(username: username, password: password))
    }
}

/// What the operator allows, and what is told of it.
struct RegistrationPolicy {
    let settings: Settings.Registration
    /// Whether an invitation opens what is closed.
    let takesInvitations: Bool
    /// By domain, the localparts that are spoken for.
    private let reserved: [String: Set<String>]

    init(_ all: Settings) {
        settings = all.registration
        takesInvitations = all.invitations.enabled
        let common = Set(all.registration.reserved.compactMap { try? JID.prepareUsername($0) })
        var reserved: [String: Set<String>] = [:]
        for host in all.hosts { reserved[host.domain] = common }
        // Whoever got the name of an administrator would be one.
        for admin in all.hosts.flatMap(\.admins) {
            if let jid = try? JID(admin), let local = jid.local { reserved[jid.domain]?.insert(local) }
        }
        self.reserved = reserved
    }

    /// Whether visitors are told anything but that registration is closed.
    var answersVisitors: Bool { settings.open || takesInvitations || !settings.redirect.isEmpty }

    /// The account that is wished for, or why it cannot be.
    ///
    /// - Parameter isReserved: the name was promised to whoever asks, so that nobody else gets it.
    func account(_ wish: RegistrationWish, at domain: String, isReserved: Bool = false) -> Result<JID, StanzaError> {
        guard let username = try? JID.prepareUsername(wish.username), let jid = try? JID(local: username, domain: domain, resource: nil)
        else { return .failure(StanzaError(.notAcceptable, text: "The username has characters that a username cannot have")) }
        if !isReserved, let fault = fault(inUsername: username, at: domain) {
            return .failure(StanzaError(fault, text: fault == .conflict ? "The name is reserved" : usernameRule))
        }
        if let fault = fault(inPassword: wish.password) { return .failure(StanzaError(.notAcceptable, text: fault)) }
        return .success(jid)
    }

    /// What usernames have to be.
    var usernameRule: String {
        "The username may have \(settings.usernameBytes) bytes" + (settings.usernames == .ascii ? ", of a-z, 0-9 and - _ . alone" : "")
    }

    /// Why strangers do not get a prepared username: it is not what it must be, or spoken for; nil when they do.
    func fault(inUsername username: String, at domain: String) -> StanzaError.Condition? {
        guard username.utf8.count <= settings.usernameBytes, settings.usernames == .any || username.utf8.allSatisfy(Self.isPlain) else {
            return .notAcceptable
        }
        return reserved[domain]?.contains(username) == true ? .conflict : nil
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
    }

    /// Why a password is not taken; nil when it is.
    func fault(inPassword password: String) -> String? {
        guard let prepared = try? JID.preparePassword(password) else { return "The password has characters that a password cannot have" }
        guard prepared.unicodeScalars.count >= settings.passwordLength else {
            return "The password is shorter than \(settings.passwordLength) characters"
        }
        return nil
    }

    // MARK: What visitors are told

    private static let instructions = "Choose a username and a password."

    /// Plain fields, and a form that says the same (§6).
    ///
    /// - Parameter username: the name that is promised to whoever asks.
    func writeFields(username: String? = nil, into xml: inout XMLWriter) {
        let form = DataForm(
            .form, formType: NS.register, title: "A new account", instructions: [Self.instructions],
            fields: [
                DataForm.Field(
                    "username", .textSingle, label: "Username", isRequired: true, values: username.map { [$0] } ?? []),
                DataForm.Field("password", .textPrivate, label: "Password", isRequired: true),
            ])
        xml.element("query", xmlns: NS.register) { xml in
            xml.element("instructions", text: Self.instructions)
            if let username { xml.element("username", text: username) } else { xml.empty("username") }
            xml.empty("password")
            form.write(into: &xml)
        }
    }

    /// §5
    func writeRedirect(into xml: inout XMLWriter) {
        xml.element("query", xmlns: NS.register) { xml in
            xml.element("instructions", text: "To register, visit \(settings.redirect)")
            xml.element("x", xmlns: NS.outOfBand) { $0.element("url", text: settings.redirect) }
        }
    }
}
