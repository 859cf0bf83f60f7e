import Modules
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

@testable import ServerCore

/// A cluster with those whom a stranger may ask about, and two strangers: a client and a component.
private final class Strangers {
    /// Somebody online, somebody who never was, one who is connected and not available, one who may not log in, one who blocks the asker,
    /// one whose inbox is full, and one whom the asker asked for a subscription in vain.
    static let somebody = ["juliet", "rosaline", "mercutio", "paris", "tybalt", "nurse", "benvolio"]
    static let nobody = "yorick"

    enum Asker: CaseIterable { case client, component }

    let cluster: MemoryCluster
    let romeo: MemoryClient
    let plays: MemoryComponent

    init(nodes: Int, loops: Int, _ change: (inout Settings) -> Void = { _ in }) throws {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        settings.offline.messages = 1
        change(&settings)
        cluster = try MemoryCluster(nodes: nodes, loops: loops, modules: ModuleList.all, settings: settings)
        for name in Self.somebody + ["romeo", "laurence"] { try cluster.addAccount(name) }
        romeo = try cluster.connect("romeo", resource: "orchard", node: nodes - 1, loop: loops - 1)
        plays = try cluster.connectComponent("plays", node: 0)
        try romeo.post("<presence/>")
        for name in ["juliet", "mercutio", "tybalt"] {
            let client = try cluster.connect(name, resource: "here", node: 0)
            if name != "mercutio" { try client.post("<presence/>") }
            guard name == "tybalt" else { continue }
            let items = "<item jid='romeo@capulet.lit'/><item jid='plays.capulet.lit'/>"
            try client.post("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>\(items)</block></iq>")
        }
        try romeo.post("<message to='nurse@capulet.lit' type='chat'><body>fills the inbox</body></message>")
        try romeo.post("<presence to='benvolio@capulet.lit' type='subscribe'/>")
        cluster.run()
        let paris = try JID("paris@capulet.lit")
        cluster.nodes[0].shards[0].enter { $0.command(.disable(reason: ""), for: paris) { _ in } }
        cluster.run()
        _ = romeo.takeReceived()
        _ = plays.takeReceived()
    }

    /// All that the asker hears when this goes to an account, which is called "whom" in it and in the answers.
    func heard(_ xml: String, from asker: Asker, to whom: String) throws -> [String] {
        let text = xml.split(separator: "whom", omittingEmptySubsequences: false).joined(separator: whom)
        switch asker {
        case .client: try romeo.post(text)
        case .component: try plays.post(text)
        }
        cluster.run()
        return (asker == .client ? romeo.takeReceived() : plays.takeReceived()).map {
            $0.split(separator: whom, omittingEmptySubsequences: false).joined(separator: "whom")
        }
    }

    func compare(_ xml: String, from asker: Asker, with somebody: [String] = Strangers.somebody) throws {
        let expected = try heard(xml, from: asker, to: Self.nobody)
        for name in somebody {
            let answer = try heard(xml, from: asker, to: name)
            #expect(answer == expected, "\(name) answers \(xml)")
        }
    }

    /// Everything a module answers for anybody, and what none does. What has not one payload (RFC 6120 §8.2.3) is refused before it is
    /// anybody's.
    var payloads: [(type: String, xml: String)] {
        var all: [(String, String)] = cluster.nodes[0].shards[0].table.claimed.flatMap { isSet, name in
            let (type, start) = (isSet ? "set" : "get", "<\(name.local) xmlns='\(name.namespace)'")
            return [
                (type, "\(start)/>"), (type, "\(start) jid='romeo@capulet.lit' node='n'><item jid='romeo@capulet.lit'/></\(name.local)>"),
            ]
        }
        for type in ["get", "set"] {
            all += [
                (type, "<unheard xmlns='urn:example:unheard'/>"), (type, "<query xmlns='jabber:iq:roster'/>"),
                (type, "<query xmlns='jabber:iq:version'/>"), (type, "<open xmlns='http://jabber.org/protocol/ibb' sid='1'/>"),
            ]
        }
        return all
    }
}

/// Who exists and who is here cannot be told by asking (RFC 6120 §10.2, §13.11; RFC 6121 §8.5.1): to one who may not see their presence all
/// accounts answer as nobody does, byte for byte but for the address.
///
/// The requests are made of what the modules of the list claim, so that a new one is asked without a new line here.
@Suite struct StrangerTests {
    private static let resources = ["", "/here", "/gone"]

    @Test(arguments: [(1, 1), (3, 2)])
    func requests(nodes: Int, loops: Int) throws {
        let stage = try Strangers(nodes: nodes, loops: loops)
        let payloads = stage.payloads
        #expect(payloads.count > 60)
        for asker in Strangers.Asker.allCases {
            let from = asker == .component ? " from='plays.capulet.lit'" : ""
            for resource in Self.resources {
                for (type, xml) in payloads {
                    try stage.compare("<iq\(from) to='whom@capulet.lit\(resource)' type='\(type)' id='q'>\(xml)</iq>", from: asker)
                }
                for type in ["result", "error"] {
                    try stage.compare("<iq\(from) to='whom@capulet.lit\(resource)' type='\(type)' id='q'/>", from: asker)
                }
            }
        }
    }

    /// Subscriptions, and presence that is directed, also twice and taken back.
    @Test(arguments: [(1, 1), (3, 2)])
    func presence(nodes: Int, loops: Int) throws {
        let stage = try Strangers(nodes: nodes, loops: loops)
        let others = Strangers.somebody.filter { $0 != "benvolio" }
        for asker in Strangers.Asker.allCases {
            let from = asker == .component ? " from='plays.capulet.lit'" : ""
            for type in ["subscribe", "subscribe", "unsubscribe", "subscribed", "unsubscribed", "unavailable", "error", "probe", ""] {
                // Who blocks does not respond to presence (XEP-0191 §3.3), and only a component can send a probe itself.
                let names = type == "probe" ? others.filter { $0 != "tybalt" } : others
                for resource in type.hasSuffix("bed") || type.hasSuffix("be") ? [""] : Self.resources {
                    let kind = type.isEmpty ? "" : " type='\(type)'"
                    let rosterVersions = try ([Strangers.nobody] + names).map { name in
                        try stage.heard("<presence\(from) to='whom@capulet.lit\(resource)'\(kind) id='p'/>", from: asker, to: name)
                            .map { Self.withoutVersion($0) }
                    }
                    for (name, answer) in zip(names, rosterVersions.dropFirst()) {
                        #expect(answer == rosterVersions.first, "\(name) answers \(type) to …\(resource)")
                    }
                }
            }
        }
    }

    /// A push of the asker's own roster has a version and an id of its own.
    private static func withoutVersion(_ xml: String) -> String {
        guard xml.contains("jabber:iq:roster") else { return xml }
        return xml.split(separator: "<item").dropFirst().joined(separator: "<item")
    }

    private static let contents = [
        "<body>b</body>", "<subject>s</subject>", "", "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<body>b</body><no-store xmlns='urn:xmpp:hints'/>", "<body>b</body><store xmlns='urn:xmpp:hints'/>",
        "<body>b</body><private xmlns='urn:xmpp:carbons:2'/><request xmlns='urn:xmpp:receipts'/>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
    ]

    /// Without `offline.answers_strangers` a message tells nothing; with it only that nobody has it.
    @Test(arguments: [(1, 1, false), (3, 2, false), (1, 1, true)])
    func messages(nodes: Int, loops: Int, answersStrangers: Bool) throws {
        let stage = try Strangers(nodes: nodes, loops: loops) { $0.offline.answersStrangers = answersStrangers }
        for asker in Strangers.Asker.allCases {
            let from = asker == .component ? " from='plays.capulet.lit'" : ""
            for type in ["normal", "chat", "groupchat", "headline", "error"] {
                for (resource, content) in Self.resources.flatMap({ resource in Self.contents.map { (resource, $0) } }) {
                    let xml = "<message\(from) to='whom@capulet.lit\(resource)' type='\(type)' id='m'>\(content)</message>"
                    guard answersStrangers else {
                        try stage.compare(xml, from: asker)
                        #expect(try stage.heard(xml, from: asker, to: Strangers.nobody).isEmpty)
                        continue
                    }
                    let nobody = try stage.heard(xml, from: asker, to: Strangers.nobody)
                    for name in Strangers.somebody {
                        let answer = try stage.heard(xml, from: asker, to: name)
                        let isSilent = answer.isEmpty || answer[0].contains("inbox is full")
                        #expect(answer == nobody || isSilent, "\(name) answers \(xml) with \(answer)")
                    }
                }
            }
        }
    }

    /// Where a contact may know more he does (RFC 6120 §10.2): the conditions that the standards name for somebody.
    @Test func contactsHearMore() throws {
        let stage = try Strangers(nodes: 2, loops: 1)
        let laurence = try stage.cluster.connect("laurence", resource: "cell", node: 0)
        for (client, to) in [(laurence, "romeo"), (stage.romeo, "laurence")] {
            for type in ["subscribe", "subscribed"] { try client.post("<presence to='\(to)@capulet.lit' type='\(type)'/>") }
            stage.cluster.run()
        }
        _ = stage.romeo.takeReceived()
        for (type, payload, answer) in [
            ("get", "<ping xmlns='urn:xmpp:ping'/>", "type='result'"), ("get", "<query xmlns='jabber:iq:last'/>", "seconds="),
            ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "registered"),
            ("get", "<query xmlns='jabber:iq:private'/>", "<forbidden"), ("set", "<vCard xmlns='vcard-temp'/>", "<forbidden"),
            ("set", "<enable xmlns='urn:xmpp:carbons:2'/>", "<not-allowed"), ("set", "<query xmlns='urn:xmpp:mam:2'/>", "<forbidden"),
            ("get", "<query xmlns='jabber:iq:roster'/>", "<service-unavailable"),
        ] {
            let heard = try stage.heard("<iq to='whom@capulet.lit' type='\(type)' id='q'>\(payload)</iq>", from: .client, to: "laurence")
            #expect(heard.count == 1 && heard[0].contains(answer), "\(payload): \(heard)")
        }
    }

    /// A card is for everybody (XEP-0054 §5): who publishes one is seen.
    @Test func aCardIsForEverybody() throws {
        let stage = try Strangers(nodes: 1, loops: 1)
        let laurence = try stage.cluster.connect("laurence", resource: "cell", node: 0)
        try laurence.post("<iq type='set' id='c'><vCard xmlns='vcard-temp'><FN>Friar Laurence</FN></vCard></iq>")
        stage.cluster.run()
        let heard = try stage.heard(
            "<iq to='whom@capulet.lit' type='get' id='q'><vCard xmlns='vcard-temp'/></iq>", from: .client, to: "laurence")
        #expect(heard.count == 1 && heard[0].contains("Friar Laurence"))
    }
}
