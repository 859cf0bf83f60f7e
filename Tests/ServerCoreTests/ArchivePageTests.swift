import Stanzas
import Store
import TestKit
import Testing

@testable import ServerCore

/// Pages of an archive against a direct look at all of it.
@Suite struct ArchivePageTests {
    private struct Message {
        var sequence: UInt64
        var from: String
        var to: String
    }

    private static let juliet = "juliet@capulet.lit"

    /// An archive with three others in it, and rows between that are none of it.
    private struct Archive {
        let volume = MemoryVolume(
            identity: VolumeIdentity(
                volumeID: [UInt8](repeating: 7, count: 16), partitions: 64, hashKey: SipKey(1, 2),
                featureLevel: VolumeIdentity.currentFeatureLevel, created: 0, unicodeVersion: ""))
        let ids = ArchiveIDs(key: 99)
        var messages: [Message] = []
        let rows: AccountRows

        init(_ chance: inout Chance, count: Int) throws {
            rows = AccountRows(partition: 5, number: 42, identity: volume.identity)
            let others = ["romeo@montague.lit/orchard", "romeo@montague.lit/phone", "nurse@capulet.lit/house", juliet + "/balcony"]
            var effects = Effects()
            var sequence: UInt64 = 1_000
            for _ in 0..<count {
                sequence += 1 + UInt64(chance.below(5))
                let other = others[chance.below(others.count)]
                let isSent = chance.below(2) == 0
                let message = Message(
                    sequence: sequence, from: isSent ? juliet + "/chamber" : other, to: isSent ? other : juliet)
                let isArchived = chance.below(5) > 0
                var stanza: [UInt8] = []
                Stanza(kind: .message, type: .chat, id: "\(sequence)", from: try JID(message.from), to: try JID(message.to)).encode(
                    into: &stanza)
                let record = MessageRecord(
                    sequence: sequence, stamp: Int64(sequence), flags: isArchived ? .archived : .owed, originSession: 0, inSeq: 0,
                    originIDHash: 0, peer: rows.peer(try JID(other).bare.description), stanza: stanza)
                effects.put(Keys.message(5, 42, sequence: sequence), record.encode())
                if isArchived { messages.append(message) }
            }
            volume.commit(effects) { _ in }
        }

        func ask(_ query: ArchiveQuery, limit: Int, slice: Int) throws -> (ids: [String], end: ArchiveEnd, refusal: StanzaError?) {
            var page = ArchivePage(query, account: try JID(juliet), ids: ids, limit: limit, slice: slice)
            while !page.isDone {
                var next = page
                try volume.read { try next.advance(in: $0, rows) }
                page = next
            }
            let sent = page.payloads.map { payload in
                let text = String(decoding: payload, as: UTF8.self)
                return String(text.split(separator: "id='", maxSplits: 1)[1].prefix(16))
            }
            return (sent, page.end, page.refusal)
        }
    }

    private static func matches(_ message: Message, _ query: ArchiveQuery) -> Bool {
        if let start = query.start, Int64(message.sequence) < start { return false }
        if let end = query.end, Int64(message.sequence) > end { return false }
        guard let with = query.with?.description else { return true }
        func bare(_ jid: String) -> String { String(jid.prefix { $0 != "/" }) }
        if with.contains("/") { return message.from == with || message.to == with }
        if with == juliet { return bare(message.from) == with && bare(message.to) == with }
        return bare(message.from) == with || bare(message.to) == with
    }

    /// All pages forward = all pages backward reversed = what a direct look finds; whatever the sizes of pages and slices.
    @Test func everyWayThroughShowsTheSame() throws {
        let withs = [
            nil, nil, "romeo@montague.lit", "romeo@montague.lit/phone", Self.juliet, Self.juliet + "/chamber", "nurse@capulet.lit",
            "paris@x",
        ]
        for seed in 1...80 as ClosedRange<UInt64> {
            var chance = Chance(seed: seed)
            let archive = try Archive(&chance, count: chance.below(120))
            var query = ArchiveQuery()
            query.with = try withs[chance.below(withs.count)].map { try JID($0) }
            if chance.below(3) == 0 { query.start = Int64(1_000 + chance.below(300)) }
            if chance.below(3) == 0 { query.end = Int64(1_000 + chance.below(300)) }
            if let end = query.end, let start = query.start, end < start { query.end = start }
            let expected = archive.messages.filter { Self.matches($0, query) }.map { archive.ids.id($0.sequence) }
            for isBackward in [false, true] {
                var found: [String] = []
                var position: String?
                var isComplete = false
                while !isComplete {
                    var next = query
                    let size = 1 + chance.below(20)
                    next.isFlipped = chance.below(2) == 0
                    // The bound of the server counts as well as the client's.
                    next.page.max = chance.below(2) == 0 ? size : nil
                    if isBackward { next.page.before = position ?? "" } else { next.page.after = position }
                    let (ids, end, refusal) = try archive.ask(next, limit: size, slice: 1 + chance.below(30))
                    #expect(refusal == nil)
                    let page = next.isFlipped ? ids.reversed() : ids
                    #expect(page.count <= size && (page.count == size || end.isComplete))
                    #expect(end.page.first == page.first && end.page.last == page.last)
                    found = isBackward ? page + found : found + page
                    position = isBackward ? page.first : page.last
                    isComplete = end.isComplete
                    if let count = end.page.count { #expect(count == expected.count) }
                    if let index = end.page.firstIndex { #expect(page.first == expected.dropFirst(index).first) }
                    try #require(isComplete || !page.isEmpty)
                }
                #expect(found == expected, "seed \(seed), backward \(isBackward)")
            }
            var counting = query
            counting.page.max = 0
            let counted = try archive.ask(counting, limit: 10, slice: 7)
            #expect(counted.ids.isEmpty && counted.end.page.count == expected.count && counted.end.isComplete == expected.isEmpty)
        }
    }

    @Test func idsBoundAndChoose() throws {
        for seed in 1...40 as ClosedRange<UInt64> {
            var chance = Chance(seed: seed)
            let archive = try Archive(&chance, count: 60)
            let all = archive.messages.map { archive.ids.id($0.sequence) }
            let (low, high) = (chance.below(all.count), chance.below(all.count))
            var between = ArchiveQuery()
            between.afterID = all[low]
            between.beforeID = all[high]
            #expect(try archive.ask(between, limit: 100, slice: 9).ids == (low + 1 < high ? Array(all[(low + 1)..<high]) : []))
            var chosen = ArchiveQuery()
            let wanted = all.filter { _ in chance.below(3) == 0 }
            chosen.ids = wanted.shuffled(using: &chance) + wanted.prefix(1)
            #expect(try archive.ask(chosen, limit: 100, slice: 9).ids == wanted)
            chosen.page.max = 2
            #expect(try archive.ask(chosen, limit: 100, slice: 9).ids == Array(wanted.prefix(2)))
            chosen.page.before = ""
            #expect(try archive.ask(chosen, limit: 100, slice: 9).ids == Array(wanted.suffix(2)))
            // A row of the account that is not archived is no message of the archive, nor is a number between rows.
            for stranger in [archive.ids.id(5), "", "zzzzzzzzzzzzzzzz", "0123456789ABCDEF"] {
                for field in 0..<5 {
                    var query = ArchiveQuery()
                    switch field {
                    case 0: query.afterID = stranger
                    case 1: query.beforeID = stranger
                    case 2: query.ids = [stranger]
                    case 3: query.page.after = stranger
                    default: query.page.before = stranger.isEmpty ? "x" : stranger
                    }
                    #expect(try archive.ask(query, limit: 10, slice: 9).refusal?.condition == .itemNotFound)
                }
            }
        }
    }

    @Test func aPageEndsAtItsBytes() throws {
        let volume = MemoryVolume()
        let rows = AccountRows(partition: 5, number: 42, identity: volume.identity)
        var effects = Effects()
        for sequence in 1...10 as ClosedRange<UInt64> {
            var stanza: [UInt8] = []
            Stanza(
                kind: .message, type: .chat, from: try JID("romeo@x"), to: try JID(Self.juliet),
                payload: Payload(written: [UInt8](repeating: 65, count: 200_000))
            ).encode(into: &stanza)
            let record = MessageRecord(
                sequence: sequence, stamp: 1, flags: .archived, originSession: 0, inSeq: 0, originIDHash: 0, peer: 1, stanza: stanza)
            effects.put(Keys.message(5, 42, sequence: sequence), record.encode())
        }
        volume.commit(effects) { _ in }
        var page = ArchivePage(ArchiveQuery(), account: try JID(Self.juliet), ids: ArchiveIDs(key: 1), limit: 100)
        try volume.read { try page.advance(in: $0, rows) }
        #expect(page.isDone && page.payloads.count == 3 && !page.end.isComplete)
    }

    // MARK: Ids and preferences

    @Test func idsComeBackAndTellNothing() {
        var chance = Chance(seed: 3)
        let (one, other) = (ArchiveIDs(key: 1), ArchiveIDs(key: 2))
        var seen: Set<String> = []
        for sequence in [0, 1, 2, UInt64.max, 1_700_000_000_000_000] + (0..<500).map({ _ in chance.next() }) {
            let id = one.id(sequence)
            #expect(one.sequence(id) == sequence)
            #expect(other.id(sequence) != id)
            #expect(seen.insert(id).inserted)
        }
        // Neighbours have nothing in common: of 64 bits about half differ.
        var differing = 0
        for sequence in 0..<1_000 as Range<UInt64> {
            let pair = [sequence, sequence + 1].compactMap { UInt64(one.id($0), radix: 16) }
            differing += (pair[0] ^ pair[1]).nonzeroBitCount
        }
        #expect((30_000...34_000).contains(differing))
        for nonsense in ["", "1", "0123456789abcdeg", "0123456789abcdef0", "0123456789ABCDEF", "０１２３"] {
            #expect(one.sequence(nonsense) == nil)
        }
    }

    @Test func preferencesComeBackAndDecide() throws {
        var preferences = ArchivePreferences()
        preferences.standard = .roster
        preferences.always = [try JID("a@x"), try JID("b@x/phone"), try JID("both@x")]
        preferences.never = [try JID("b@x"), try JID("a@x/web"), try JID("both@x")]
        #expect(ArchivePreferences(preferences.encode()) == preferences)
        for length in 0..<preferences.encode().count { #expect(ArchivePreferences(Array(preferences.encode().prefix(length))) == nil) }
        for (peer, keeps) in [
            ("a@x", true), ("a@x/phone", true), ("a@x/web", false), ("b@x", false), ("b@x/phone", true), ("b@x/web", false),
            ("both@x", false), ("friend@x/any", true), ("stranger@x", false),
        ] {
            let jid = try JID(peer)
            #expect(preferences.keeps(jid) { $0.description == "friend@x" } == keeps, "\(peer)")
        }
        preferences.standard = .never
        let friend = try JID("friend@x")
        #expect(!preferences.keeps(friend) { _ in true })
        preferences.standard = .always
        #expect(preferences.keeps(friend) { _ in false })
    }
}
