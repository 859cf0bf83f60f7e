import PortableData
import Stanzas
import Testing
import XMLStream

/// What is written is read again, and what is broken is refused: over random accounts and random damage.
@Suite struct RoundTripTests {
    private static let account = try? JID("juliet@capulet.lit")

    /// What can stand in text, with what needs care in XML.
    private static func text(_ random: inout SeededNumbers) -> String {
        let pieces = ["a", " ", "  ", "<", "&", "'", "\"", "ü", "😀", "\n", "\t", "]]>", "&amp;", "\\", "\u{200E}", "x y"]
        return (0..<Int.random(in: 1...6, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
    }

    private static func bytes(_ count: Int, _ random: inout SeededNumbers) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    private static func message(_ index: Int, outgoing: Bool, _ account: JID, _ random: inout SeededNumbers) throws -> Stanza {
        let other = try JID("romeo\(Int.random(in: 0...3, using: &random))@montague.lit/orchard")
        let body = text(&random).map { character in
            switch character {
            case "<": "&lt;"
            case "&": "&amp;"
            case "]": "&#93;"
            default: String(character)
            }
        }.joined()
        return Stanza(
            kind: .message, type: Bool.random(using: &random) ? .chat : .normal, id: "m\(index)", from: outgoing ? account : other,
            to: outgoing ? other : account, payload: try Payload(Array("<body>\(body)</body><x xmlns='u:v' a='1'><y/></x>".utf8)))
    }

    @Test(arguments: 1...40) func whatIsWrittenIsRead(_ seed: Int) throws {
        var random = SeededNumbers(UInt64(seed))
        let account = try #require(Self.account)
        let keys = [("SCRAM-SHA-1", 20), ("SCRAM-SHA-256", 32), ("SCRAM-SHA-512", 64)].filter { _ in Bool.random(using: &random) }.map {
            PortableKey(
                mechanism: $0.0, iterations: Int.random(in: 4_096...100_000, using: &random), salt: Self.bytes(16, &random),
                storedKey: Self.bytes($0.1, &random), serverKey: Self.bytes($0.1, &random))
        }
        let contacts = try (0..<Int.random(in: 0...20, using: &random)).map { index in
            PortableContact(
                jid: try JID("c\(index)@x\(index % 3).lit"), name: Bool.random(using: &random) ? Self.text(&random) : "",
                groups: (0..<Int.random(in: 0...3, using: &random)).map { "\($0) " + Self.text(&random) },
                subscription: PortableContact.Subscription.allCases.randomElement(using: &random) ?? .none,
                asks: Bool.random(using: &random), isApproved: Bool.random(using: &random))
        }
        let blocked = try (0..<Int.random(in: 0...5, using: &random)).map { try JID("b\($0)@spam.lit") }
        let offline = try (0..<5).map { try Self.message($0, outgoing: false, account, &random) }
        let archived = try (0..<20).map { try Self.message(100 + $0, outgoing: $0 % 2 == 0, account, &random) }
        let reason = Self.text(&random)
        let twice = Bool.random(using: &random)

        var writer = PortableWriter(encodesTwice: twice)
        writer.begin()
        writer.begin(host: "capulet.lit")
        writer.begin(user: "juliet")
        for key in keys { writer.key(key) }
        writer.disabled(reason: reason)
        writer.roster(contacts)
        writer.request(Stanza(kind: .presence, type: .subscribe, from: try JID("paris@verona.lit"), to: account))
        writer.privateElements([Array("<a xmlns='b:c'>x</a>".utf8), Array("<inherits/>".utf8)])
        writer.blocked(blocked.map(\.description))
        writer.beginOffline(key: 0xFEDC_BA98_7654_3210)
        for (index, stanza) in offline.enumerated() {
            writer.offline(stanza, stamp: DateTime(microseconds: 1_000_000 + Int64(index)), id: index == 2 ? "00ff" : nil, of: account)
        }
        writer.endOffline()
        writer.beginArchive()
        for (index, stanza) in archived.enumerated() {
            writer.archived(id: "id\(index)", stamp: DateTime(microseconds: 5_000_001 + Int64(index))) {
                stanza.write(into: &$0, xmlns: "jabber:client")
            }
        }
        writer.endArchive()
        writer.endUser()
        writer.endHost()
        writer.end()

        let (events, fault) = read(writer.take()) { Int.random(in: 1...500, using: &random) }
        #expect(fault == nil)
        let user = try #require(try users(events).first)
        #expect(user.user.jid == account && user.refusals == [] && user.passed == [])
        var read = (keys: [PortableKey](), contacts: [PortableContact](), offline: [Stanza](), archived: [Stanza](), private: [String]())
        for item in user.items {
            switch item {
            case .key(let key): read.keys.append(key)
            case .contact(let contact): read.contacts.append(contact)
            case .request(let stanza): #expect(stanza.from?.description == "paris@verona.lit" && stanza.to == account)
            case .privateElement(let name, _): read.private.append(name)
            case .privacy(let addresses, let others): #expect(addresses == blocked && others == 0)
            case .offline(let stanza, let id, let stamp):
                #expect(stamp?.microseconds == 1_000_000 + Int64(read.offline.count) && (id == "00ff") == (read.offline.count == 2))
                read.offline.append(stanza)
            case .archived(let stanza, let id, let stamp):
                #expect(id == "id\(read.archived.count)" && stamp.microseconds == 5_000_001 + Int64(read.archived.count))
                read.archived.append(stanza)
            case .disabled(let text): #expect(text == reason)
            case .archiveIDs(let key): #expect(key == 0xFEDC_BA98_7654_3210)
            case .archive: break
            case .vCard, .blocked, .unknown: Issue.record("\(item)")
            }
        }
        #expect(read.keys == keys && read.contacts == contacts && read.private == ["a b:c", "inherits jabber:iq:private"])
        #expect(read.offline.map(Self.shape) == offline.map(Self.shape))
        #expect(read.archived.map(Self.shape) == archived.map(Self.shape))
    }

    /// A message as it means: header, and what its body says.
    private static func shape(_ stanza: Stanza) -> String {
        let body = stanza.payload.element(wrappedIn: .message)?.children.first { $0.local == "body" }?.text ?? ""
        let kinds = stanza.payload.facts.children.map { "\($0.kind)" }.joined(separator: ",")
        return "\(stanza.type) \(stanza.id ?? "") \(stanza.from?.description ?? "") \(stanza.to?.description ?? "") \(kinds) \(body)"
    }

    /// Bytes changed, taken out, doubled: whatever comes of it, nothing traps, and no thing is larger than it may be.
    @Test func damageIsRefusedOrRead() throws {
        for (file, name) in Corpus.names.enumerated() {
            let whole = try Corpus.bytes(name)
            for seed in 0..<150 {
                var random = SeededNumbers(UInt64(file * 1_000 + seed + 1))
                var bytes = whole
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    let end = min(bytes.count, place + Int.random(in: 1...60, using: &random))
                    switch Int.random(in: 0..<5, using: &random) {
                    case 0: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
                    case 1: bytes.removeSubrange(place..<end)
                    case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
                    case 3: bytes.insert(contentsOf: Array("<a xmlns='b'>&#10;</a><![CDATA[<x>]]>".utf8), at: place)
                    default: if let byte = Array("<>&'\"/=".utf8).randomElement(using: &random) { bytes[place] = byte }
                    }
                    if bytes.isEmpty { bytes = [0x3C] }
                }
                for root in [PortableReader.Root.serverData, .host, .user, .part] {
                    let (events, _) = read(bytes, expecting: root) { Int.random(in: 1...4_000, using: &random) }
                    for case .line(let line) in events {
                        #expect(line.text.utf8.count <= Portable.longestLine && !line.text.utf8.contains(0x0A))
                        #expect(PortableLine(line.text) != nil)
                    }
                    _ = try? users(events)
                }
            }
        }
    }
}
