/// What a console needs of the server to be one.
extension CommandTable {
    static let console: [AdminCommand] = [
        AdminCommand(
            path: ["complete"],
            arguments: [
                .init(name: "WHAT", kind: .choice(CompletionSource.served.map(\.rawValue)), summary: "What the word is to be."),
                .init(name: "PREFIX", kind: .text, summary: "What there is of it already.", isOptional: true),
            ],
            options: [.value("limit", "N", .integer(1...1000), "At most N words; \(defaultCompletions) when not given.")],
            effect: .reads,
            summary: "List what a word may become: names of nodes, hosts, components, JIDs, backups.",
            details: [
                "The completion of the console and of the shells asks this. Only so many accounts are looked at that the answer comes at once: in a large store not every one is among the words."
            ],
            examples: ["complete node", "complete account jul", "complete session juliet@example.org/"])
    ]

    /// How many words `complete` gives when `--limit` does not say.
    public static let defaultCompletions = 200
}

/// Who knows what a word may become.
public enum CompletionSource: String, Sendable, CaseIterable {
    /// The nodes that answer.
    case node
    /// The virtual hosts.
    case host
    /// The configured components.
    case component
    /// Bare JIDs of accounts.
    case account
    /// Full JIDs of sessions.
    case session
    /// Bare JIDs, and behind a slash full ones.
    case jid
    /// The folders of backups.
    case backup
    /// Files and folders on this machine: the server is not asked.
    case file

    /// What the server is asked for.
    static let served = allCases.filter { $0 != .file }

    init?(_ kind: AdminCommand.Kind) {
        switch kind {
        case .bareJID: self = .account
        case .fullJID: self = .session
        case .anyJID, .address: self = .jid
        case .host: self = .host
        case .node: self = .node
        case .component: self = .component
        case .backup: self = .backup
        case .path: self = .file
        case .text, .integer, .duration, .commandWord, .choice, .choices: return nil
        }
    }
}
