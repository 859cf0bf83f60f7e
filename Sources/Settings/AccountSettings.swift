// How people come to accounts: by themselves, or invited.

extension Settings {
    /// `[registration]`: accounts that people make, change and give up themselves (XEP-0077).
    public struct Registration: Sendable, Equatable {
        public enum Usernames: String, Sendable, Equatable, CaseIterable { case ascii, any }
        /// Whether anybody may make an account.
        public var open = false
        /// Where people are sent who ask for an account while registration is closed; empty: nowhere.
        public var redirect = ""
        /// Attempts of one address prefix (/32, /64) in an hour, in the whole cluster; 0: no bound.
        public var perAddressPerHour = 10
        /// Usernames that nobody gets without an invitation to them.
        public var reserved = [
            "abuse", "admin", "administrator", "hostmaster", "info", "noc", "postmaster", "root", "security", "server", "support",
            "webmaster", "xmpp",
        ]
        /// What usernames may be made of.
        public var usernames = Usernames.ascii
        /// Bytes of a username at most.
        public var usernameBytes = 64
        /// Characters of a password at least, here and when it is changed.
        public var passwordLength = 8
        /// Whether a changed password ends the account's other sessions.
        public var passwordChangeEndsSessions = false
        public init() {}
    }

    /// `[invitations]`: links that give an account or a contact (XEP-0401).
    public struct Invitations: Sendable, Equatable {
        public enum ByUsers: String, Sendable, Equatable, CaseIterable { case none, contacts, accounts }
        /// Whether there are invitations.
        public var enabled = false
        /// What users may invite to; administrators may all.
        public var byUsers = ByUsers.contacts
        /// Hours that an invitation holds where nothing else is said.
        public var lifetimeHours = 168
        /// Invitations of one user that wait to be used.
        public var perUser = 10
        /// The page that explains an invitation, with `{token}`, `{host}` and `{uri}` to be filled in; empty: none.
        public var landing = ""
        public init() {}
    }
}

extension SettingsTable {
    static let registration: [Setting<Settings>] = [
        .flag(
            "registration.open", \.registration.open, live: true,
            "Whether anybody may make an account, over TLS or on loopback. Open servers attract spammers: mind per_address_per_hour, and rather invite."
        ),
        .text(
            "registration.redirect", \.registration.redirect, .text(.link), live: true,
            "A page where accounts are made while open is false, told to clients that ask; empty: none."),
        .integer(
            "registration.per_address_per_hour", \.registration.perAddressPerHour, 0...1_000_000, "attempts", live: true,
            "Attempts from one address (IPv6: one /64) within an hour, counted in the whole cluster; 0: no bound."),
        .texts(
            "registration.reserved", \.registration.reserved, .texts(.line), live: true,
            "Usernames that nobody can take. The admins of a host are always among them."),
        .choice(
            "registration.usernames", \.registration.usernames, live: true,
            "\"ascii\": a-z, 0-9 and the signs - _ . alone, so that no name looks like another one. \"any\": all that addresses may have."),
        .integer(
            "registration.username_bytes", \.registration.usernameBytes, 1...1023, "bytes", live: true, "Length of a username at most."),
        .integer(
            "registration.password_length", \.registration.passwordLength, 1...256, "characters", live: true,
            "Length of a password at least, for a new account and for a new password."),
        .flag(
            "registration.password_change_ends_sessions", \.registration.passwordChangeEndsSessions, live: true,
            "Whether somebody who changes the password ends the other sessions of the account. Devices that log in without the password have to give it again either way."
        ),
    ]

    static let invitations: [Setting<Settings>] = [
        .flag("invitations.enabled", \.invitations.enabled, live: true, "Whether invitations are made and taken."),
        .choice(
            "invitations.by_users", \.invitations.byUsers, live: true,
            "What every user may invite to: \"none\", \"contacts\" (whoever has an account somewhere becomes the user's contact), \"accounts\" (who has none gets one here as well)."
        ),
        .integer(
            "invitations.lifetime_hours", \.invitations.lifetimeHours, 1...8_760, "hours", live: true,
            "How long an invitation holds when nothing else is said."),
        .integer(
            "invitations.per_user", \.invitations.perUser, 1...10_000, "invitations", live: true,
            "Invitations of one user that wait to be used."),
        .text(
            "invitations.landing", \.invitations.landing, .text(.link), live: true,
            "A page that explains an invitation to whoever has no client yet; {token}, {host} and {uri} are filled in, as in https://example.org/invite/#{token}. Empty: none."
        ),
    ]
}
