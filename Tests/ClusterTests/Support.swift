import Glibc
import Synchronization
import TestKit
import XMLStream

/// How many rounds the tests that kill take: few in every run, many when MARTLET_ROUNDS says so.
enum Rounds {
    static func count(_ usual: Int) -> Int {
        getenv("MARTLET_ROUNDS").flatMap { Int(String(cString: $0)) } ?? usual
    }

    /// What MARTLET_SEED says, or any.
    static var seed: UInt64 {
        getenv("MARTLET_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...UInt64(UInt32.max))
    }
}

/// A message as the oracles see it.
struct Letter: Sendable, Equatable {
    /// `WRITER-NUMBER`.
    var id: String
    /// With a delay stamp (XEP-0203): it was kept before it was delivered.
    var isDelayed: Bool
    /// The id that the recipient's account gave it (XEP-0359).
    var stanzaID: String?

    init?(_ xml: String) {
        guard xml.hasPrefix("<message"), let element = try? Element.parse(Array(xml.utf8)), let id = element["id"] else { return nil }
        self.id = id
        isDelayed = element.first(local: "delay", namespace: "urn:xmpp:delay") != nil
        stanzaID = element.first(local: "stanza-id", namespace: "urn:xmpp:sid:0")?["id"]
    }

    var writer: Substring { id.split(separator: "-", maxSplits: 1).first ?? "" }
    var number: Int { id.split(separator: "-").last.flatMap { Int($0) } ?? -1 }
}

enum Chat {
    /// Everything in an account's archive (XEP-0313), page by page: the id of each message and the one it is archived under.
    ///
    /// - Parameter known: what is archived behind it, by the id it is archived under; nil: all.
    static func archive(_ user: String, after known: String? = nil, on node: Int, of cluster: ProcessCluster) throws
        -> [(id: String, archived: String)]
    {
        let client = try cluster.connect(user, resource: "archivist", node: node)
        let deadline = Deadline(in: .patient)
        var all: [(id: String, archived: String)] = []
        while true {
            let after = (all.last?.archived ?? known).map { "<after>\($0)</after>" } ?? ""
            let query = "archive-\(all.count)"
            try client.send(
                "<iq type='set' id='\(query)'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>250</max>\(after)</set></query></iq>"
            )
            while true {
                guard let stanza = client.receive(by: deadline) else { throw ProcessFailure("the archive of \(user) does not end") }
                let element = try Element.parse(Array(stanza.utf8))
                if element.local == "iq", element["id"] == query {
                    guard let end = element.first(local: "fin", namespace: "urn:xmpp:mam:2") else { throw ProcessFailure(stanza) }
                    guard end["complete"] != "true" else {
                        try client.close()
                        return all
                    }
                    break
                }
                guard let result = element.first(local: "result", namespace: "urn:xmpp:mam:2"), let archived = result["id"],
                    let message = result.first(local: "forwarded", namespace: "urn:xmpp:forward:0")?.children.first(where: {
                        $0.local == "message"
                    })
                else { continue }
                all.append((message["id"] ?? "", archived))
            }
        }
    }

    /// A chat message with its id as origin-id.
    static func message(to: String, id: String, filler: Int = 0) -> String {
        let body = "message \(id)" + String(repeating: ".", count: filler)
        return "<message to='\(to)' type='chat' id='\(id)'><body>\(body)</body><origin-id xmlns='urn:xmpp:sid:0' id='\(id)'/></message>"
    }

    /// Logs in and reads everything that is owed, up to a message of another account that is sent last.
    static func drain(
        _ user: String, password: String = XMPPClient.password, on node: Int, of cluster: ProcessCluster,
        within patience: Duration = .patient
    ) throws -> [Letter] {
        let last = "last-\(UInt32.random(in: 0...UInt32.max))"
        let marker = try cluster.connect("marker", resource: nil, node: node)
        try marker.send(message(to: "\(user)@\(cluster.domain)", id: last))
        try marker.ping("marked")
        try marker.close()
        let reader = try XMPPClient(
            port: cluster.ports[node], domain: cluster.domain, user: user, resource: "drain", password: password)
        try reader.send("<presence/>")
        var letters: [Letter] = []
        let deadline = Deadline(in: patience)
        while true {
            guard let stanza = reader.receive(by: deadline) else {
                throw ProcessFailure(
                    "\(user) got \(letters.count) messages and then nothing (\(reader.end ?? "the stream stands"))\n\(cluster.logTails)")
            }
            guard let letter = Letter(stanza) else { continue }
            if letter.id == last { break }
            // The mark of a drain before may come again after a death, as every message that was read just then.
            if letter.writer != "last" { letters.append(letter) }
        }
        // Behind the last one comes nothing.
        var late: [Letter] = []
        try reader.ping("behind") { if let letter = Letter($0) { late.append(letter) } }
        try reader.close()
        return letters + late + reader.receiveAll().compactMap { Letter($0) }
    }
}

/// Whether the letters of each writer stand in the order in which they were written, none of them twice.
func firstDisorder(_ letters: [Letter]) -> String? {
    var last: [Substring: Int] = [:]
    for (index, letter) in letters.enumerated() {
        if let before = last[letter.writer], letter.number <= before {
            let around = letters[max(0, index - 30)..<min(letters.count, index + 10)].map { $0.id + ($0.isDelayed ? " delayed" : "") }
            return "\(letter.id) behind \(letter.writer)-\(before) in \(around)"
        }
        last[letter.writer] = letter.number
    }
    return nil
}
