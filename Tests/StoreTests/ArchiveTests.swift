import LMDBStore
import Stanzas
import Store
import Testing

/// Scans of archives and their retention, over all volumes.
@Suite struct ArchiveTests {
    static let rows = AccountRows(partition: 3, number: 42, identity: KeptVolume.identity)

    static func message(
        _ sequence: UInt64, _ flags: MessageRecord.Flags = .archived, peer: String = "romeo@x", number: UInt64 = 42, body: Int = 10
    ) -> (Key, [UInt8]) {
        var stanza: [UInt8] = []
        Stanza(
            kind: .message, type: .chat, id: "\(sequence)", from: try? JID(peer),
            payload: Payload(written: [UInt8](repeating: 65, count: body))
        ).encode(into: &stanza)
        let record = MessageRecord(
            sequence: sequence, stamp: Int64(sequence), flags: flags, originSession: 1, inSeq: 2, originIDHash: sequence,
            peer: rows.peer(peer),
            stanza: stanza)
        return (Keys.message(3, number, sequence: sequence), record.encode())
    }

    private static func scan(
        _ volume: any Volume, _ range: ClosedRange<UInt64>, peer: String? = nil, reverse: Bool = false, slice: Int = .max
    ) throws -> [UInt64] {
        var found: [UInt64] = []
        var wrong = 0
        var range = range
        while true {
            let scan = try volume.read { snapshot in
                try rows.scanArchive(range, peer: peer.map { rows.peer($0) }, reverse: reverse, rows: slice, in: snapshot) { message in
                    found.append(message.sequence)
                    let isRight = message.stanza.id?.elementsEqual("\(message.sequence)".utf8) == true
                    if !isRight || message.originIDHash != message.sequence || message.stamp != Int64(message.sequence) { wrong += 1 }
                    return true
                }
            }
            #expect(scan.damaged.isEmpty && wrong == 0)
            guard let next = scan.next else { return found }
            range = reverse ? range.lowerBound...next : next...range.upperBound
        }
    }

    @Test(arguments: ContractTests.Kind.allCases) func aScanShowsWhatIsAskedFor(_ kind: ContractTests.Kind) async throws {
        let subject = try ContractTests.make(kind)
        let volume = subject.volume
        var random = SplitMix(seed: 3)
        let peers = ["romeo@x", "nurse@x", "tybalt@y"]
        var model: [(sequence: UInt64, peer: String, isArchived: Bool)] = []
        var puts: [(Key, [UInt8])] = []
        for sequence in (1...300 as ClosedRange<UInt64>).filter({ _ in Bool.random(using: &random) }) {
            let peer = peers[Int.random(in: 0..<3, using: &random)]
            let flags: MessageRecord.Flags = [.archived, .owed, [.archived, .owed]][Int.random(in: 0..<3, using: &random)]
            model.append((sequence, peer, flags.contains(.archived)))
            puts.append(Self.message(sequence, flags, peer: peer, body: Int.random(in: 1...3_000, using: &random)))
        }
        for other in [41, 43] as [UInt64] { puts += [Self.message(1, number: other), Self.message(300, number: other)] }
        try await volume.put(puts)
        for _ in 0..<60 {
            let bounds = (UInt64.random(in: 0...310, using: &random), UInt64.random(in: 0...310, using: &random))
            let range = min(bounds.0, bounds.1)...max(bounds.0, bounds.1)
            let peer = Bool.random(using: &random) ? peers.randomElement(using: &random) : nil
            let expected = model.filter { $0.isArchived && range.contains($0.sequence) && (peer == nil || $0.peer == peer) }.map(\.sequence)
            let slice = Int.random(in: 1...50, using: &random)
            #expect(try Self.scan(volume, range, peer: peer, slice: slice) == expected)
            #expect(try Self.scan(volume, range, peer: peer, reverse: true, slice: slice) == expected.reversed())
        }
        let archived = model.filter(\.isArchived).map(\.sequence)
        let rows = Self.rows
        #expect(try volume.read { try rows.archiveEnd(last: false, in: $0)?.sequence } == archived.first)
        #expect(try volume.read { try rows.archiveEnd(last: true, in: $0)?.sequence } == archived.last)
        #expect(try volume.read { try rows.archiveSize(rows: .max, in: $0).messages } == archived.count)
        #expect(try volume.read { try rows.archiveSize(rows: 5, in: $0).isAll } == false)
        for entry in model { #expect(try volume.read { try rows.isArchived(entry.sequence, in: $0) } == entry.isArchived) }
        #expect(try volume.read { try rows.isArchived(5_000, in: $0) } == false)
    }

    @Test func damageIsNamedAndNeverShown() async throws {
        let volume = MemoryVolume(identity: KeptVolume.identity)
        try await volume.put((1...4).map { Self.message($0) })
        for (sequence, change) in [(2, 60), (3, 30)] as [(UInt64, Int)] {
            var (key, value) = Self.message(sequence)
            value[change] ^= 1
            volume.tamper(key, value)
        }
        var shown: [UInt64] = []
        let scan = try volume.read { snapshot in
            try Self.rows.scanArchive(0...UInt64.max, peer: nil, reverse: false, rows: .max, in: snapshot) { message in
                shown.append(message.sequence)
                return true
            }
        }
        #expect(shown == [1, 4])
        #expect(scan.damaged.count == 2)
    }

    // MARK: Retention

    private static let day: Int64 = 86_400_000_000

    private static func account(_ number: UInt64, _ jid: String) -> (Key, [UInt8]) {
        let identity = KeptVolume.identity
        return (
            Keys.account(3, identity.hash128(jid)), AccountRecord(jid: jid, number: number, created: 1, credentials: []).encode()
        )
    }

    /// Runs a pass to its end, in steps of random sizes.
    private static func run(_ volume: any Volume, _ limits: ArchiveLimits, now: Int64, _ random: inout SplitMix) async throws -> Int {
        var pass = RetentionPass(partitions: [2, 3, 4], limits: ["x": limits], now: now)
        var deletes = 0
        while !pass.isDone {
            let size = (Int.random(in: 1...40, using: &random), Int.random(in: 1...10, using: &random))
            var copy = pass
            let effects = try volume.read { try copy.step(rows: size.0, limit: size.1, in: $0) }
            pass = copy
            #expect(effects.operations.count <= size.1)
            deletes += effects.operations.count
            if !effects.isEmpty { try await volume.commitNow(effects).get() }
        }
        return deletes
    }

    private static func left(_ volume: any Volume, _ number: UInt64) throws -> [UInt64] {
        try volume.rows().filter { $0.0.bytes.count == 19 && $0.0.bytes[2] == 4 }.compactMap { row in
            let fields = row.0.bytes.map { UInt64($0) }
            guard fields[3..<11].reduce(0, { $0 << 8 | $1 }) == number else { return nil }
            return fields[11..<19].reduce(0) { $0 << 8 | $1 }
        }
    }

    @Test(arguments: ContractTests.Kind.allCases) func theOldestGoAndNothingElse(_ kind: ContractTests.Kind) async throws {
        var random = SplitMix(seed: 9)
        for _ in 0..<12 {
            let subject = try ContractTests.make(kind)
            let now = 1_000 * Self.day
            var puts: [(Key, [UInt8])] = []
            var model: [UInt64: [(sequence: UInt64, isArchived: Bool, size: Int)]] = [:]
            for (index, jid) in ["a@x", "b@x", "c@y"].enumerated() {
                let number = UInt64(index + 1)
                puts.append(Self.account(number, jid))
                var sequence: UInt64 = UInt64(900 * Self.day)
                for _ in 0..<Int.random(in: 0...80, using: &random) {
                    sequence += UInt64.random(in: 1...UInt64(2 * Self.day), using: &random)
                    let isArchived = Int.random(in: 0..<6, using: &random) > 0
                    let row = Self.message(
                        sequence, isArchived ? .archived : [], number: number, body: Int.random(in: 1...400, using: &random))
                    puts.append(row)
                    model[number, default: []].append((sequence, isArchived, row.1.count))
                }
            }
            try await subject.volume.put(puts)
            let limits = ArchiveLimits(
                age: Bool.random(using: &random) ? Int64.random(in: 0...120, using: &random) * Self.day : nil,
                messages: Bool.random(using: &random) ? Int.random(in: 1...60, using: &random) : nil,
                bytes: Bool.random(using: &random) ? Int.random(in: 1...8_000, using: &random) : nil)
            _ = try await Self.run(subject.volume, limits, now: now, &random)
            for number in [1, 2, 3] as [UInt64] {
                let rows = model[number] ?? []
                var kept: Set<UInt64> = []
                var bytes = 0
                for row in rows.reversed() where row.isArchived {
                    bytes += row.size
                    let isYoung = row.sequence > UInt64(now - 3_600_000_000)
                    let fits =
                        limits.age.map { row.sequence > UInt64(now - $0) } ?? true && kept.count < limits.messages ?? .max
                        && bytes <= limits.bytes ?? .max
                    if number == 3 || isYoung || fits { kept.insert(row.sequence) }
                }
                let expected = rows.filter { !$0.isArchived || kept.contains($0.sequence) }.map(\.sequence)
                #expect(try Self.left(subject.volume, number) == expected, "account \(number), \(limits)")
            }
        }
    }

    @Test func whatIsOwedStaysAndSoDoesWhatIsYounger() async throws {
        var random = SplitMix(seed: 1)
        let now = 1_000 * Self.day
        let limits = ArchiveLimits(age: Self.day)
        for (inbox, flags, left) in [
            (
                InboxRecord(ackedThrough: 90, owed: [OwedMessage(30, isArchived: true)]), MessageRecord.Flags.archived,
                [30, 40, 50] as [UInt64]
            ),
            // Above the mark the flag decides.
            (InboxRecord(ackedThrough: 35), [.archived, .owed], [40, 50]),
            (InboxRecord(ackedThrough: 90), [.archived, .owed], []),
        ] {
            let volume = MemoryVolume(identity: KeptVolume.identity)
            try await volume.put([Self.account(1, "a@x"), (Keys.inbox(3, 1), inbox.encode())])
            try await volume.put([10, 20, 30, 40, 50].map { Self.message($0, flags, number: 1) })
            let deletes = try await Self.run(volume, limits, now: now, &random)
            #expect(try Self.left(volume, 1) == left)
            #expect(deletes == 5 - left.count)
        }
        // Who cannot tell what is owed removes nothing.
        let volume = MemoryVolume(identity: KeptVolume.identity)
        try await volume.put([Self.account(1, "a@x"), Self.message(10, number: 1)])
        volume.tamper(Keys.inbox(3, 1), [1, 2, 3])
        #expect(try await Self.run(volume, limits, now: now, &random) == 0)
    }
}
