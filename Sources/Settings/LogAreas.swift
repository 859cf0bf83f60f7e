/// The parts of the server that log, each with a level of its own. The names stand in log lines, in `[log] levels` and in `log level`.
public enum LogArea: String, Sendable, CaseIterable {
    case node, store, bus, c2s, components, backup, admin, watch

    /// What is logged there.
    public var says: String {
        switch self {
        case .node: "the process: start, stop, who keeps the store, what was read again"
        case .store: "whether the store takes writes, and accounts that cannot be counted"
        case .bus: "other nodes that come and go, the links to them, silent nodes that are killed"
        case .c2s: "clients: listeners, certificates, logins that failed; at debug lost connections and TLS that failed"
        case .components: "components that connect, and those that give a wrong secret"
        case .backup: "backups, by whom they were asked for, and what became of them"
        case .admin: "commands of administrators that change something"
        case .watch: "loops that do not turn, and where monitoring is served"
        }
    }
}

extension Settings.Log {
    /// The levels there are, from the most talkative.
    public static let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    /// The level of an area as the settings have it.
    public func level(of area: LogArea) -> String { areaLevels[area.rawValue] ?? level }
}
