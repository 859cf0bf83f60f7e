internal import Modules
internal import Settings
internal import ServerCore
internal import Stanzas
internal import TestKit
internal import XMLStream

extension FuzzTarget {
    /// Stanzas to begin with: what the scripts of the tests send.
    private static func scripted() -> [[UInt8]] {
        let folder = String(Corpus.folder.dropLast("Corpus/fuzz".count)) + "Scripts"
        var inputs: [[UInt8]] = []
        for file in Corpus.files(in: folder) {
            guard let bytes = Corpus.bytes(of: file) else { continue }
            var sent: [UInt8] = []
            for line in bytes.split(separator: UInt8(ascii: "\n")) where line.first != UInt8(ascii: "#") {
                // Sent or expected: either is something a client may send.
                let isContinued = line.first == UInt8(ascii: " ")
                guard let start = isContinued ? line.firstIndex(where: { $0 != 0x20 }) : line.firstIndex(of: UInt8(ascii: "<")) else {
                    continue
                }
                if !isContinued, sent.count > 1_000 {
                    inputs.append([0, 1, 0, 0, 1, 0, 1, 0] + sent)
                    sent = []
                }
                sent += filled(line[start...])
            }
            if !sent.isEmpty { inputs.append([0, 1, 0, 0, 1, 0, 1, 0] + sent) }
        }
        return inputs
    }

    /// A script's line with its gaps filled: `{domain}`, and names of players.
    private static func filled(_ line: ArraySlice<UInt8>) -> [UInt8] {
        var filled: [UInt8] = []
        var rest = line
        while let open = rest.firstIndex(of: UInt8(ascii: "{")), let close = rest[open...].firstIndex(of: UInt8(ascii: "}")) {
            filled += rest[..<open]
            filled += rest[(open + 1)..<close].elementsEqual("domain".utf8) ? Array("capulet.lit".utf8) : Array("juliet@capulet.lit".utf8)
            rest = rest[(close + 1)...]
        }
        return filled + rest
    }

    /// `8 choices | stanzas`.
    static let server = FuzzTarget(
        "server", "Whatever clients send, each request to the server is answered once, and what anybody gets can be read", longest: 3_000,
        words: XMLInputs.words + StreamInputs.words + [
            " to='juliet@capulet.lit'", " to='capulet.lit'", " to='romeo@capulet.lit'", " to='juliet@capulet.lit/balcony'", " type='get'",
            " type='set'",
            " type='result'", " type='error'", " type='subscribe'", " type='probe'", " type='unavailable'", " id='1'", " node='x'",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>", "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            "<query xmlns='urn:xmpp:mam:2'>", "<x xmlns='jabber:x:data' type='submit'>",
            "<field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>",
            "<set xmlns='http://jabber.org/protocol/rsm'>", "<max>0</max>", "<before/>", "<after>x</after>", "<index>-1</index>",
            "<vCard xmlns='vcard-temp'/>", "<query xmlns='jabber:iq:private'/>", "<block xmlns='urn:xmpp:blocking'>", "<item jid='a@b'/>",
            "<command xmlns='http://jabber.org/protocol/commands' node='x' action='execute'/>",
            "<addresses xmlns='http://jabber.org/protocol/address'>",
            "<enable xmlns='urn:xmpp:push:0' jid='push.capulet.lit' node='x'/>", "<ping xmlns='urn:xmpp:ping'/>",
            "<prefs xmlns='urn:xmpp:mam:2' default='roster'/>", "<priority>-128</priority>",
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>",
        ],
        seeds: { scripted() + StreamInputs.words.filter { $0.hasPrefix("<") }.map { [UInt8](repeating: 0, count: 8) + Array($0.utf8) } }
    ) { (input) throws(Breach) in
        var choices = Choices(Array(input.prefix(8)))
        let stage: ServerStage
        do { stage = try ServerStage() } catch { throw Breach("there is no server: \(error)") }
        var framer = StanzaFramer(limits: XMLLimits(), expectsHeader: false)
        var rest = Array(input.dropFirst(8))
        while true {
            let found = rest.withUnsafeBytes { raw in try? framer.next(raw) }
            guard case .stanza(let start, let end)? = found else { break }
            let choice = choices.byte()
            try stage.send(Array(rest[start..<end]), from: Int(choice) % stage.people.count)
            if choice & 0x80 != 0 { stage.cluster.advance(seconds: Int64(choice)) }
            rest.removeFirst(end)
        }
        try stage.end()
    }
}

/// Two people who know each other, on one node with everything it can do.
private final class ServerStage {
    let cluster: MemoryCluster
    let people = [("romeo", "orchard"), ("juliet", "balcony")]
    private var clients: [MemoryClient] = []
    /// Requests that the server has to answer, by who asked and their id, and how often they were answered.
    private var asked: [[String: (asked: Int, answered: Int)]] = [[:], [:]]

    private static let settings: Settings = {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        settings.hosts[0].admins = ["romeo@capulet.lit"]
        settings.search.enabled = true
        settings.invitations.enabled = true
        return settings
    }()

    init() throws {
        cluster = try MemoryCluster(nodes: 1, modules: ModuleList.all, settings: Self.settings)
        for (index, person) in people.enumerated() {
            try cluster.addAccount(person.0)
            clients.append(try connect(index))
        }
    }

    deinit { cluster.dismantle() }

    /// Who gave the account up before makes another.
    private func come(_ name: String, _ resource: String) throws -> MemoryClient {
        let client = try cluster.connect(name, resource: resource, node: 0)
        guard client.bindError != nil else { return client }
        try cluster.addAccount(name)
        return try cluster.connect(name, resource: resource, node: 0)
    }

    private func connect(_ index: Int) throws -> MemoryClient {
        let client = try come(people[index].0, people[index].1)
        try client.post("<presence/>")
        cluster.run()
        return client
    }

    func send(_ bytes: [UInt8], from index: Int) throws(Breach) {
        if clients[index].closedWith != nil {
            asked[index] = [:]
            guard let again = try? connect(index) else { throw Breach("\(people[index].0) cannot come back") }
            clients[index] = again
        }
        let client = clients[index]
        guard let element = try? Element.parse(bytes) else { return }
        let stanza = bytes.withUnsafeBytes { try? Stanza(element, source: $0, streamLang: nil) }
        if let from = stanza?.from, from.description != client.jid, from.description != client.session?.account.description { return }
        if let stanza, stanza.kind == .iq, stanza.type == .get || stanza.type == .set, let id = stanza.id {
            let own = stanza.to.map { $0 == client.session?.account || $0.isDomain && $0.domain == cluster.domain } ?? true
            if own { asked[index][id, default: (0, 0)].asked += 1 }
        }
        try? client.post(String(decoding: bytes, as: UTF8.self))
        cluster.run()
        try look()
    }

    /// Reads what everybody got.
    private func look() throws(Breach) {
        for (index, client) in clients.enumerated() {
            for text in client.takeReceived() {
                guard let element = try? Element.parse(Array(text.utf8)) else {
                    throw Breach("\(client.jid) gets what cannot be read: \(text)")
                }
                if let from = element["from"] { try hold((try? JID(from)) != nil, "\(client.jid) gets something from \(from)") }
                if let to = element["to"], let jid = try? JID(to) {
                    try hold(
                        jid.description == client.jid || jid == client.session?.account || element.local == "presence",
                        "\(client.jid) gets what is for \(to): \(text)")
                }
                guard element.local == "iq", let id = element["id"], ["result", "error"].contains(element["type"]), asked[index][id] != nil
                else { continue }
                // Answers of other entities may have the same id.
                let from = element["from"].flatMap { try? JID($0) }
                guard from == nil || from == client.session?.account || from?.isDomain == true else { continue }
                asked[index][id]?.answered += 1
            }
        }
    }

    func end() throws(Breach) {
        cluster.run()
        try look()
        for (index, client) in clients.enumerated() where client.closedWith == nil {
            for (id, count) in asked[index].sorted(by: { $0.key < $1.key }) {
                try hold(
                    count.asked == count.answered,
                    "\(client.jid) asked \(count.asked) times with id \(id) and has \(count.answered) answers")
            }
        }
        // Whoever comes now is served.
        do {
            let probe = try come("juliet", "probe")
            try probe.post("<iq type='get' id='probe' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>")
            cluster.run()
            let answers = probe.takeReceived().filter { $0.contains("'probe'") || $0.contains("\"probe\"") }
            if answers.isEmpty { throw Breach("the server answers no ping any more") }
        } catch let breach as Breach {
            throw breach
        } catch {
            throw Breach("nobody can come any more: \(error)")
        }
    }
}
