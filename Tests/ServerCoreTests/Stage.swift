@testable import ServerCore
import Settings
import Stanzas
import TestKit
import XMLStream

/// A cluster with people on it, for conversations that no script can tell.
final class Stage {
    let cluster: MemoryCluster

    init(
        nodes: Int = 1, loops: Int = 1, people: [String] = ["romeo", "juliet"], modules: [any Module.Type] = [],
        seed: UInt64 = 1, _ change: (inout Settings) -> Void = { _ in }
    ) throws {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        change(&settings)
        cluster = try MemoryCluster(nodes: nodes, loops: loops, modules: modules, settings: settings, seed: seed)
        for person in people { try cluster.addAccount(person) }
    }

    /// Connects and becomes available.
    func online(_ name: String, _ resource: String, node: Int = 0, priority: Int = 0) throws -> MemoryClient {
        let client = try cluster.connect(name, resource: resource, node: node)
        try client.post("<presence><priority>\(priority)</priority></presence>")
        cluster.run()
        _ = client.takeReceived()
        return client
    }

    func befriend(_ a: MemoryClient, _ b: MemoryClient) throws {
        for type in ["subscribe", "subscribed"] {
            for (x, y) in [(a, b), (b, a)] {
                guard let bare = y.session?.account else { continue }
                try x.post("<presence to='\(bare)' type='\(type)'/>")
            }
            cluster.run()
        }
        _ = a.takeReceived()
        _ = b.takeReceived()
    }

    func command(_ command: AccountCommand, _ name: String) throws {
        let jid = try JID(local: name, domain: cluster.domain, resource: nil)
        cluster.nodes[cluster.keeper].shards[0].enter { $0.command(command, for: jid) { _ in } }
        cluster.run()
    }

    func account(_ name: String) throws -> Account? {
        let jid = try JID(local: name, domain: cluster.domain, resource: nil)
        return cluster.nodes[cluster.keeper].shards.lazy.compactMap { $0.accounts[jid] }.first
    }

    static func say(_ text: String, to: String, type: String = "chat") -> String {
        "<message to='\(to)' type='\(type)' id='\(text)'><body>\(text)</body></message>"
    }
}

extension MemoryClient {
    /// What arrived, as elements.
    func elements() throws -> [Element] { try takeReceived().map { try Element.parse(Array($0.utf8)) } }

    /// Bodies of the messages that arrived.
    func bodies() throws -> [String] {
        try elements().filter { $0.local == "message" && $0["type"] != "error" }.compactMap {
            $0.first(local: "body", namespace: "jabber:client")?.text
        }
    }
}
