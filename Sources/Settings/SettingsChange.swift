/// A key of the configuration whose value differs between two settings.
public struct SettingsChange: Sendable, Equatable {
    /// How it takes effect.
    public enum Effect: String, Sendable {
        /// A running node takes it.
        case live
        /// It counts when a node begins anew.
        case restart
    }

    /// As in the file: `limits.depth`, `host example.org archive`, `host example.org`, `component irc.example.org`.
    public var key: String
    /// The values as they are written in TOML; empty: the block is not there.
    public var old: String
    public var new: String
    public var effect: Effect

    public init(key: String, old: String, new: String, effect: Effect) {
        self.key = key
        self.old = old
        self.new = new
        self.effect = effect
    }
}

/// Where a value in force comes from.
public struct SettingsEntry: Sendable, Equatable {
    public var key: String
    /// As it is written in TOML.
    public var value: String
    /// Whether a running node can take another.
    public var isLive: Bool
    public var isDefault: Bool
}

extension Settings {
    /// The keys whose values differ, in the order of the sample file.
    public func differences(to new: Settings) -> [SettingsChange] {
        var changes: [SettingsChange] = []
        func note(_ key: String, _ old: String, _ new: String, _ isLive: Bool) {
            if old != new { changes.append(SettingsChange(key: key, old: old, new: new, effect: isLive ? .live : .restart)) }
        }
        for setting in SettingsTable.all { note(setting.key, setting.text(of: self), setting.text(of: new), setting.isLive) }
        for node in Set(listen.c2sOfNode.keys).union(new.listen.c2sOfNode.keys).sorted() {
            note("node.\(node).c2s", Self.text(listen.c2sOfNode[node]), Self.text(new.listen.c2sOfNode[node]), false)
        }
        for node in Set(listen.httpOfNode.keys).union(new.listen.httpOfNode.keys).sorted() {
            note("node.\(node).http", Self.text(listen.httpOfNode[node]), Self.text(new.listen.httpOfNode[node]), false)
        }
        for node in Set(sessions.locationOfNode.keys).union(new.sessions.locationOfNode.keys).sorted() {
            let (before, after) = (sessions.locationOfNode[node], new.sessions.locationOfNode[node])
            note("node.\(node).location", before.map(TOMLText.quote) ?? "", after.map(TOMLText.quote) ?? "", true)
        }
        for domain in Self.domains(hosts.map(\.domain), new.hosts.map(\.domain)) {
            let (before, after) = (hosts.first { $0.domain == domain }, new.hosts.first { $0.domain == domain })
            guard let before, let after else {
                note("host \(domain)", before == nil ? "" : TOMLText.quote(domain), after == nil ? "" : TOMLText.quote(domain), true)
                continue
            }
            for setting in SettingsTable.host {
                note("host \(domain) \(setting.key)", setting.text(of: before), setting.text(of: after), setting.isLive)
            }
        }
        for domain in Self.domains(components.map(\.domain), new.components.map(\.domain)) {
            let (before, after) = (components.first { $0.domain == domain }, new.components.first { $0.domain == domain })
            guard let before, let after else {
                note("component \(domain)", before == nil ? "" : TOMLText.quote(domain), after == nil ? "" : TOMLText.quote(domain), false)
                continue
            }
            for setting in SettingsTable.component {
                note("component \(domain) \(setting.key)", setting.text(of: before), setting.text(of: after), setting.isLive)
            }
        }
        return changes
    }

    /// These settings with every value of others that a running node can take.
    public func taking(liveOf new: Settings) -> Settings {
        var taken = self
        for setting in SettingsTable.all where setting.isLive { setting.set(&taken, setting.get(new)) }
        taken.sessions.locationOfNode = new.sessions.locationOfNode
        // All keys of a host are live but its name, and a host under another name is another host.
        taken.hosts = new.hosts
        return taken
    }

    /// Every key with its value, in the order of the sample file.
    public func entries() -> [SettingsEntry] {
        let defaults = Settings()
        var all = SettingsTable.all.map { setting in
            SettingsEntry(
                key: setting.key, value: setting.text(of: self), isLive: setting.isLive,
                isDefault: setting.get(self) == setting.get(defaults))
        }
        for (node, addresses) in listen.c2sOfNode.sorted(by: { $0.key < $1.key }) {
            all.append(SettingsEntry(key: "node.\(node).c2s", value: Self.text(addresses), isLive: false, isDefault: false))
        }
        for (node, addresses) in listen.httpOfNode.sorted(by: { $0.key < $1.key }) {
            all.append(SettingsEntry(key: "node.\(node).http", value: Self.text(addresses), isLive: false, isDefault: false))
        }
        for (node, location) in sessions.locationOfNode.sorted(by: { $0.key < $1.key }) {
            all.append(SettingsEntry(key: "node.\(node).location", value: TOMLText.quote(location), isLive: true, isDefault: false))
        }
        for host in hosts {
            let plain = Host(domain: host.domain)
            all += SettingsTable.host.map { setting in
                SettingsEntry(
                    key: "host \(host.domain) \(setting.key)", value: setting.text(of: host), isLive: setting.isLive,
                    isDefault: setting.key != "domain" && setting.get(host) == setting.get(plain))
            }
        }
        for component in components {
            let plain = Component(domain: component.domain)
            all += SettingsTable.component.map { setting in
                SettingsEntry(
                    key: "component \(component.domain) \(setting.key)", value: setting.text(of: component), isLive: setting.isLive,
                    isDefault: setting.key != "domain" && setting.get(component) == setting.get(plain))
            }
        }
        return all
    }

    private static func text(_ addresses: [String]?) -> String {
        addresses.map { "[\($0.map(TOMLText.quote).joined(separator: ", "))]" } ?? ""
    }

    /// Those of the first list in its order, then the further ones of the second.
    private static func domains(_ first: [String], _ second: [String]) -> [String] { first + second.filter { !first.contains($0) } }
}
