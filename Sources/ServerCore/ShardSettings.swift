import Settings
import Stanzas

/// Settings change while the server runs.
extension Shard {
    /// The modules, made of the settings in force.
    static func makeTable(_ core: Core, _ modules: [any Module.Type]) throws(ClaimConflict) -> (DispatchTable, Catalogue) {
        let catalogue = Catalogue()
        let context = ModuleContext(
            settings: core.settings, clock: core.clock, software: core.software, started: core.started, catalogue: catalogue,
            metrics: core.metrics)
        let table = try DispatchTable(
            modules.map { $0.init(context) }, core: CoreRequests.register, catalogue: catalogue, hosts: core.hosts)
        return (table, catalogue)
    }

    /// The core has other settings: the modules are made anew, what they remember of themselves is forgotten, and the sessions of hosts
    /// that are served no more end with `host-gone`.
    ///
    /// - Throws: `ClaimConflict`; then the modules stay as they were.
    public func settingsChanged() throws(ClaimConflict) {
        (table, catalogue) = try Self.makeTable(core, modules)
        for account in accounts.values { account.host = core.hosts[account.jid.domain].map(HostTerms.init) }
        for session in Array(sessions.values) where core.hosts[session.account.domain] == nil { session.end(.hostGone) }
    }
}
