import Stanzas
import Testing

@testable import Store

/// Every defect that is planted is found, and nothing else.
@Suite struct VerificationTests {
    static let identity = VolumeIdentity(
        volumeID: [UInt8](repeating: 9, count: 16), partitions: 64, hashKey: SipKey(1, 2), featureLevel: 1, created: 5, unicodeVersion: "15"
    )
    static let jid = "juliet@capulet.lit"
    static let number: UInt64 = 77

    static var partition: UInt16 { identity.partition(of: jid) }

    static func account(_ jid: String = jid, number: UInt64 = number, rosterVersion: UInt64 = 3) -> (Key, [UInt8]) {
        let record = AccountRecord(jid: jid, number: number, created: 1, credentials: [], rosterVersion: rosterVersion)
        return (Keys.account(identity.partition(of: jid), identity.hash128(jid)), record.encode())
    }

    static func contact(_ jid: String, version: UInt64 = 2, account: UInt64 = number) -> (Key, [UInt8]) {
        let record = RosterItemRecord(jid: jid, name: "", groups: [], state: 0, version: version, isRemoved: false, isListed: true)
        return (Keys.rosterItem(partition, account, identity.hash128(jid)), record.encode())
    }

    static func message(_ sequence: UInt64, account: UInt64 = number, peer: String? = "romeo@montague.lit") throws -> (Key, [UInt8]) {
        var bytes: [UInt8] = []
        let stanza = Stanza(
            kind: .message, type: .chat, id: "m\(sequence)", from: try JID("romeo@montague.lit/orchard"), to: try JID(jid))
        stanza.encode(into: &bytes)
        let record = MessageRecord(
            sequence: sequence, stamp: 1, flags: .owed, originSession: 0, inSeq: 0, originIDHash: 0,
            peer: peer.map { max(1, identity.hash128($0).0) } ?? 0, stanza: bytes)
        return (Keys.message(partition, account, sequence: sequence), record.encode())
    }

    static func item(_ name: String, under other: String? = nil) -> (Key, [UInt8]) {
        (Keys.item(partition, number, .vcard, identity.hash128(other ?? name)), ItemRecord(name: name, value: [1]).encode())
    }

    /// A store in which everything is as it must be.
    static func sound() async throws -> MemoryVolume {
        let volume = MemoryVolume(identity: identity)
        try await volume.put([
            account(), account("romeo@capulet.lit", number: 78), contact("romeo@montague.lit"), try message(1), try message(2, peer: nil),
            item("card"),
            (Keys.inbox(partition, number), InboxRecord(ackedThrough: 1, owed: [OwedMessage(1)]).encode()),
            (
                Keys.sessionRow(partition, number, session: 4),
                SessionRow(account: jid, session: 4, node: 1, resource: "balcony", directed: []).encode()
            ),
        ])
        return volume
    }

    static func findings(_ volume: MemoryVolume, page: Int = 3, live: Set<UInt64>? = [1]) throws -> [Finding] {
        var walk = Verification(identity: identity, liveNodes: live)
        var findings: [Finding] = []
        while !walk.isDone { findings += try volume.read { try walk.step(limit: page, in: $0) } }
        #expect(walk.rows == UInt64(try volume.rows().count + 2 + SecretRecord.Kind.allCases.count))
        return findings
    }

    @Test func everyTableHasARule() {
        #expect(TableRule.all.map(\.table) == TableRule.all.map(\.table).reduce(into: []) { if !$0.contains($1) { $0.append($1) } })
        #expect(Set(TableRule.all.map(\.table)) == Set(Keys.Table.allCases))
        for table in Keys.Table.ofAccounts { #expect(TableRule.of(table)?.owner == .account) }
    }

    @Test(arguments: [1, 2, 3, 1_000]) func aSoundStoreHasNoFindings(page: Int) async throws {
        #expect(try Self.findings(await Self.sound(), page: page).isEmpty)
    }

    /// A defect: what is written over a sound store, and what is found.
    struct Defect: Sendable, CustomTestStringConvertible {
        var name: String
        var kind: Finding.Kind
        var plant: @Sendable (MemoryVolume) throws -> Void
        var testDescription: String { name }
        init(_ name: String, _ kind: Finding.Kind, _ plant: @escaping @Sendable (MemoryVolume) throws -> Void) {
            self.name = name
            self.kind = kind
            self.plant = plant
        }
    }

    static func put(_ volume: MemoryVolume, _ row: (Key, [UInt8])) { volume.tamper(row.0, row.1) }

    static let defects: [Defect] = [
        Defect("flipped byte in a message", .damaged) { volume in
            var (key, value) = try message(2)
            value[20] ^= 1
            volume.tamper(key, value)
        },
        Defect("shorter than a head", .damaged) { volume in volume.tamper(Keys.inbox(partition, number), [1]) },
        Defect("message that is no stanza", .damaged) { volume in
            put(
                volume,
                (
                    Keys.message(partition, number, sequence: 3),
                    MessageRecord(
                        sequence: 3, stamp: 1, flags: .owed, originSession: 0, inSeq: 0, originIDHash: 0, stanza: [1, 2, 3]
                    ).encode()
                ))
        },
        Defect("message under another number", .damaged) { volume in
            volume.tamper(Keys.message(partition, number, sequence: 9), try message(1).1)
        },
        Defect("message filed under a stranger", .misplaced) { volume in put(volume, try message(3, peer: "tybalt@capulet.lit")) },
        Defect("unknown table", .unknown) { volume in
            if let key = Key([0, 1, 200, 0, 0]) { volume.tamper(key, [1, 0, 0, 0, 0]) }
        },
        Defect("key of a wrong length", .unknown) { volume in
            if let key = Key(Keys.inbox(partition, number).bytes + [1]) { volume.tamper(key, InboxRecord(ackedThrough: 0).encode()) }
        },
        Defect("partition that does not exist", .misplaced) { volume in
            volume.tamper(Keys.inbox(64, number), InboxRecord(ackedThrough: 0).encode())
        },
        Defect("account in another's partition", .misplaced) { volume in
            volume.tamper(
                Keys.account((identity.partition(of: "a@b.c") + 1) % 64, identity.hash128("a@b.c")), account("a@b.c", number: 99).1)
        },
        Defect("account under another's key", .misplaced) { volume in
            volume.tamper(Keys.account(identity.partition(of: "a@b.c"), (1, 2)), account("a@b.c", number: 99).1)
        },
        Defect("JID that is not prepared", .conflict) { volume in put(volume, account("Nurse@capulet.lit", number: 99)) },
        Defect("two accounts of one number", .duplicate) { volume in
            let twin = (0..<10_000).lazy.map { "twin\($0)@capulet.lit" }.first { identity.partition(of: $0) == partition }
            put(volume, account(twin ?? "", number: number, rosterVersion: 3))
            // Whose it is now is anybody's guess.
            volume.tamper(Keys.sessionRow(partition, number, session: 4), nil)
        },
        Defect("account that is deleted too", .conflict) { volume in
            volume.tamper(Keys.tombstone(partition, number), TombstoneRecord(jid: jid, number: number, deleted: 1).encode())
        },
        Defect("contact under another's key", .misplaced) { volume in
            let key = Keys.rosterItem(partition, number, identity.hash128("other@montague.lit"))
            volume.tamper(key, contact("paris@montague.lit").1)
        },
        Defect("contact newer than its roster", .conflict) { volume in put(volume, contact("paris@montague.lit", version: 4)) },
        Defect("inbox that owes what is not there", .missing) { volume in
            volume.tamper(Keys.inbox(partition, number), InboxRecord(ackedThrough: 9, owed: [OwedMessage(8)]).encode())
        },
        Defect("inbox that owes beyond its mark", .conflict) { volume in
            volume.tamper(Keys.inbox(partition, number), InboxRecord(ackedThrough: 1, owed: [OwedMessage(2)]).encode())
        },
        Defect("session of a node that is gone", .stale) { volume in
            let row = SessionRow(account: jid, session: 5, node: 2, resource: "tomb", directed: [])
            volume.tamper(Keys.sessionRow(partition, number, session: 5), row.encode())
        },
        Defect("session of another account", .conflict) { volume in
            let row = SessionRow(account: "romeo@capulet.lit", session: 5, node: 1, resource: "tomb", directed: [])
            volume.tamper(Keys.sessionRow(partition, number, session: 5), row.encode())
        },
        Defect("item under another's key", .misplaced) { volume in put(volume, item("one", under: "another")) },
        Defect("item of no known kind", .unknown) { volume in
            let hash = identity.hash128("x")
            var bytes = Keys.item(partition, number, .vcard, hash).bytes
            bytes[11] = 250
            if let key = Key(bytes) { volume.tamper(key, ItemRecord(name: "x", value: []).encode()) }
        },
        Defect("orphans", .orphan) { volume in
            for sequence in 1...3 as ClosedRange<UInt64> { put(volume, try message(sequence, account: 500)) }
        },
        Defect("tombstone of another number", .damaged) { volume in
            volume.tamper(Keys.tombstone(partition, 600), TombstoneRecord(jid: "", number: 601, deleted: 1).encode())
        },
        Defect("secret under another's key", .misplaced) { volume in
            volume.tamper(Keys.secret(.dialback), SecretRecord.random(.fast, created: 1).encode())
        },
        Defect("secret that is too short", .damaged) { volume in
            volume.tamper(Keys.secret(.dialback), SecretRecord(kind: .dialback, created: 1, bytes: [1]).encode())
        },
        Defect("field of the volume that is not known", .unknown) { volume in
            if let key = Key(Keys.meta(.epoch).bytes.dropLast() + [99]) { volume.tamper(key, EpochRecord(1).encode()) }
        },
    ]

    @Test(arguments: defects) func whatIsPlantedIsFound(_ defect: Defect) async throws {
        for page in [1, 1_000] {
            let volume = try await Self.sound()
            try defect.plant(volume)
            var walk = Verification(identity: Self.identity, liveNodes: [1])
            var findings: [Finding] = []
            while !walk.isDone { findings += try volume.read { try walk.step(limit: page, in: $0) } }
            #expect(findings.map(\.kind) == [defect.kind], "\(findings)")
        }
    }

    @Test(arguments: SecretRecord.Kind.allCases) func aSecretThatIsNotThereIsFound(kind: SecretRecord.Kind) async throws {
        let volume = try await Self.sound()
        volume.tamper(Keys.secret(kind), nil)
        volume.tamper(Keys.meta(.epoch), nil)
        var walk = Verification(identity: Self.identity)
        let findings = try volume.read { try walk.step(limit: 1_000, in: $0) }
        #expect(findings.map(\.kind) == [.missing, .missing])
    }

    @Test func rowsOfADeletedAccountAreOnTheirWayOut() async throws {
        let volume = try await Self.sound()
        Self.put(volume, try Self.message(1, account: 500))
        volume.tamper(Keys.tombstone(Self.partition, 500), TombstoneRecord(jid: "a@b.c", number: 500, deleted: 1).encode())
        #expect(try Self.findings(volume).isEmpty)
    }

    @Test func anAccountThatComesMeanwhileIsNoOrphan() async throws {
        let volume = try await Self.sound()
        var walk = Verification(identity: Self.identity)
        var findings: [Finding] = []
        // Into the partition, behind its accounts.
        while walk.tables[.roster] == nil { findings += try volume.read { try walk.step(limit: 1, in: $0) } }
        let late = (0..<10_000).lazy.map { "late\($0)@capulet.lit" }.first { Self.identity.partition(of: $0) == Self.partition }
        Self.put(volume, Self.account(late ?? "", number: 500))
        Self.put(volume, try Self.message(1, account: 500))
        while !walk.isDone { findings += try volume.read { try walk.step(limit: 1, in: $0) } }
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test func orphansAreGivenToThePurge() async throws {
        let volume = try await Self.sound()
        for sequence in 1...3 as ClosedRange<UInt64> { Self.put(volume, try Self.message(sequence, account: 500)) }
        let finding = try #require(try Self.findings(volume).first)
        #expect(finding.rows == 3)
        let repair = try #require(finding.repair)
        #expect(repair == OrphanRepair(partition: Self.partition, account: 500))
        #expect(try volume.read { try repair.isDone(in: $0) } == false)
        let effects = try volume.read { try repair.effects(now: 7, in: $0) }
        #expect(effects.operations.count == 1)
        try volume.result(effects).get()
        #expect(try volume.read { try repair.isDone(in: $0) })
        #expect(try volume.read { try repair.effects(now: 8, in: $0) }.isEmpty)
        #expect(try Self.findings(volume).isEmpty)
        let step = try volume.read { try Purge.step(partition: Self.partition, limit: 100, in: $0) }
        #expect(step.operations.count == 4)
    }

    @Test func nothingIsGivenToThePurgeThatIsNotCertain() async throws {
        let volume = try await Self.sound()
        let alive = OrphanRepair(partition: Self.partition, account: Self.number)
        #expect(try volume.read { try alive.effects(now: 7, in: $0) }.isEmpty)
        // An account whose record cannot be read may be the one these rows belong to.
        Self.put(volume, try Self.message(1, account: 500))
        volume.tamper(Self.account().0, [1, 2, 3])
        let findings = try Self.findings(volume)
        #expect(findings.map(\.kind) == [.damaged])
        let orphan = OrphanRepair(partition: Self.partition, account: 500)
        #expect(try volume.read { try orphan.effects(now: 7, in: $0) }.isEmpty)
    }

    @Test func anEraNeverSaysANumberTwice() async throws {
        let volume = try await Self.sound()
        let record = try #require(
            try volume.read { try AccountRecord.find(Self.jid, in: $0, identity: Self.identity) })
        let next = record.inNewEra()
        #expect(next.rosterVersion == 1 << 32 && next.sequenceFloor == record.sequenceFloor)
        #expect(!AccountRecord.isSameEra(record.rosterVersion, next.rosterVersion))
        let again = next.inNewEra()
        #expect(again.rosterVersion == 2 << 32)
        #expect(AccountRecord.isSameEra(again.rosterVersion, again.rosterVersion + 9))
    }

    /// What damaged pages show: rows that are left out, twice, or under no key at all.
    private struct Damaged: Snapshot {
        let whole: any Snapshot
        let rows: UInt64?
        var hidden = 0
        var turnsBack = false
        var showsLongKey = false

        func get(_ key: Key) throws(StoreFailure) -> [UInt8]? { try whole.get(key) }
        func scan(
            prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
            _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
        ) throws(StoreFailure) {
            var left = hidden
            var first: Key?
            try whole.scan(prefix: prefix, from: from, through: through, reverse: reverse) { (key, value) throws(StoreFailure) in
                if prefix.isEmpty, left > 0, key.count > 3 {
                    left -= 1
                    return true
                }
                if prefix.isEmpty, let first, turnsBack {
                    return try show(first.bytes, body)
                }
                first = first ?? Key(key)
                return try body(key, value)
            }
            if showsLongKey, prefix.isEmpty { _ = try show([UInt8](repeating: 7, count: 4_864), body) }
        }

        private func show(
            _ key: [UInt8], _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
        ) throws(StoreFailure) -> Bool {
            let result: Result<Bool, StoreFailure> = key.withUnsafeBytes { raw in
                do throws(StoreFailure) { return .success(try body(raw, raw)) } catch { return .failure(error) }
            }
            return try result.get()
        }
    }

    @Test func whatDamagedPagesHideIsMissed() async throws {
        let volume = try await Self.sound()
        let count = UInt64(
            try volume.read { snapshot in
                var rows = 0
                try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { _, _ in
                    rows += 1
                    return true
                }
                return rows
            })
        func findings(_ change: (inout Damaged) -> Void) throws -> [Finding] {
            var walk = Verification(identity: Self.identity, liveNodes: [1])
            return try volume.read { whole in
                var damaged = Damaged(whole: whole, rows: count)
                change(&damaged)
                return try walk.step(limit: 1_000, in: damaged)
            }
        }
        #expect(try findings { _ in }.isEmpty)
        let hidden = try findings { $0.hidden = 1 }
        #expect(
            hidden.contains { $0.kind == .missing && $0.sentence == "the store counts \(count) rows, and \(count - 1) can be reached" },
            "\(hidden)")
        let long = try findings { $0.showsLongKey = true }
        #expect(long.contains { $0.kind == .unknown && $0.sentence.contains("4864 bytes") }, "\(long)")
        // It ends, where it would go round.
        #expect(throws: StoreFailure.self) { try findings { $0.turnsBack = true } }
    }
}
