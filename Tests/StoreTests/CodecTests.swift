@testable import Store
import Stanzas
import Testing

@Suite struct CodecTests {
    /// Examples of every record, drawn from a seed.
    static func samples(_ random: inout SplitMix) -> [Sample] {
        let numbers = Set(
            (0..<Int.random(in: 0...20, using: &random)).map { _ in random.next() >> UInt64.random(in: 0...63, using: &random) })
        return [
            Sample(
                AccountRecord(
                    jid: random.text(30), number: random.next(), created: Int64(bitPattern: random.next()),
                    credentials: random.bytes(Int.random(in: 0...80, using: &random)), lastCommand: random.next(),
                    disabledReason: Bool.random(using: &random) ? random.text(10) : nil,
                    disabledSince: Bool.random(using: &random) ? .random(in: .min ... .max, using: &random) : nil,
                    rosterVersion: random.next(),
                    lastUnavailable: Bool.random(using: &random) ? 12 : nil, lastStatus: Bool.random(using: &random) ? random.text(9) : nil,
                    sequenceFloor: random.next())),
            Sample(
                RosterItemRecord(
                    jid: random.text(20), name: random.text(20),
                    groups: (0..<Int.random(in: 0...5, using: &random)).map { _ in random.text(8) },
                    state: UInt8.random(in: 0...255, using: &random), version: random.next(), isRemoved: Bool.random(using: &random),
                    isListed: Bool.random(using: &random))),
            Sample(PendingInRecord(jid: random.text(20), stamp: -3, stanza: random.bytes(40))),
            Sample(
                key: Keys.message(1, 2, sequence: 77),
                MessageRecord(
                    sequence: 77, stamp: Int64(bitPattern: random.next()), flags: [.owed, .archived],
                    originSession: random.next(),
                    inSeq: UInt32.random(in: 0...UInt32.max, using: &random), originIDHash: random.next(), peer: random.next(),
                    stanza: random.bytes(Int.random(in: 0...200, using: &random)))),
            Sample(
                InboxRecord(
                    ackedThrough: random.next(),
                    owed: numbers.map { OwedMessage($0, bytes: Int($0 % 100_000), isArchived: $0 % 3 == 0) },
                    spent: Array(numbers.dropFirst()))),
            Sample(
                key: Keys.sessionRow(1, 2, session: 8),
                SessionRow(
                    account: random.text(20), session: 8, node: random.next(), resource: random.text(20),
                    directed: [random.text(10), random.text(10)])),
            Sample(key: Keys.tombstone(1, 9), TombstoneRecord(jid: random.text(20), number: 9, deleted: 4)),
            Sample(SecretRecord.random(.dialback, created: 77)),
        ]
    }

    /// A record with its type forgotten.
    struct Sample {
        let value: [UInt8]
        /// Decodes; true when the result equals the original.
        let decodes: ([UInt8]) throws(StoreFailure) -> Bool
        let key: Key

        init<R: Record & Equatable>(key: Key = Keys.inbox(1, 2), _ record: R) {
            value = record.encode()
            self.key = key
            decodes = { (bytes) throws(StoreFailure) in try R.decode(bytes, key: key) == record }
        }
    }

    @Test func everyRecordComesBack() throws {
        var random = SplitMix(seed: 1)
        for _ in 0..<50 {
            for sample in Self.samples(&random) { #expect(try sample.decodes(sample.value)) }
        }
    }

    @Test func everyChangedByteIsNamed() throws {
        var random = SplitMix(seed: 2)
        for sample in Self.samples(&random) {
            for index in sample.value.indices {
                var changed = sample.value
                changed[index] ^= UInt8.random(in: 1...255, using: &random)
                let failure = #expect(throws: StoreFailure.self) { try sample.decodes(changed) }
                guard case .damaged(let key, _) = failure else {
                    Issue.record("byte \(index): \(String(describing: failure))")
                    continue
                }
                #expect(key == sample.key.hex)
            }
        }
    }

    @Test func everyShorterOrLongerValueIsNamed() throws {
        var random = SplitMix(seed: 3)
        for sample in Self.samples(&random) {
            for count in 0..<sample.value.count {
                #expect(throws: StoreFailure.self) { try sample.decodes(Array(sample.value[..<count])) }
            }
            #expect(throws: StoreFailure.self) { try sample.decodes(sample.value + [0]) }
        }
    }

    /// Fields that end early or go on, under a checksum that is right, are damage as well.
    @Test func wrongFieldsUnderARightChecksumAreDamage() throws {
        var random = SplitMix(seed: 4)
        for sample in Self.samples(&random) {
            for fields in [Array(sample.value[5...].dropLast()), sample.value[5...] + [0], []] {
                let value = Self.seal(version: 1, fields)
                let failure = #expect(throws: StoreFailure.self) { try sample.decodes(value) }
                #expect(failure == .damaged(key: sample.key.hex, reason: failure.map(Self.reason) ?? ""))
            }
        }
    }

    @Test func randomFieldsNeverTrap() {
        var random = SplitMix(seed: 5)
        let samples = Self.samples(&random)
        for _ in 0..<300 {
            let value = Self.seal(version: 1, random.bytes(Int.random(in: 0...60, using: &random)))
            for sample in samples { _ = try? sample.decodes(value) }
        }
    }

    @Test func aNewerVersionIsSaidToBeNewer() {
        let value = Self.seal(version: 2, Array(InboxRecord(ackedThrough: 1).encode()[5...]))
        let failure = #expect(throws: StoreFailure.self) { try InboxRecord.decode(value, key: Keys.inbox(1, 2)) }
        guard case .format(let reason) = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(reason.contains("version 2"))
    }

    @Test func aRecordInAnotherRowIsDamage() {
        let message = MessageRecord(sequence: 5, stamp: 1, flags: [], originSession: 0, inSeq: 0, originIDHash: 0, stanza: [])
        let session = SessionRow(account: "a@b", session: 5, node: 1, resource: "r", directed: [])
        let tombstone = TombstoneRecord(jid: "a@b", number: 5, deleted: 1)
        #expect(throws: StoreFailure.self) { try MessageRecord.decode(message.encode(), key: Keys.message(1, 5, sequence: 6)) }
        #expect(throws: StoreFailure.self) { try SessionRow.decode(session.encode(), key: Keys.sessionRow(1, 5, session: 6)) }
        #expect(throws: StoreFailure.self) { try TombstoneRecord.decode(tombstone.encode(), key: Keys.tombstone(1, 6)) }
    }

    /// With the stanza elsewhere, byte for byte.
    @Test func aMessageIsWrittenAsItsRecordIs() {
        var random = SplitMix(seed: 9)
        for size in [0, 1, 127, 128, 300, 20_000] {
            let message = MessageRecord(
                sequence: random.next(), stamp: Int64(bitPattern: random.next()), flags: .archived, originSession: random.next(),
                inSeq: UInt32(truncatingIfNeeded: random.next()), originIDHash: random.next(), peer: random.next(),
                stanza: random.bytes(size))
            #expect(message.stanza.withUnsafeBytes { MessageRecord.encode(message.header, stanza: $0) } == message.encode())
        }
    }

    @Test func inboxNumbersAreOrdered() throws {
        let record = InboxRecord(ackedThrough: 9, owed: [5, 3, 5].map { OwedMessage($0) }, spent: [1])
        #expect(record.owed.map(\.sequence) == [3, 5])
        #expect(try InboxRecord.decode(record.encode(), key: Keys.inbox(1, 2)) == record)
    }

    /// Found by fuzzing: no writer writes such a size, and two of them added up are no number.
    @Test func anOwedMessageOfAnImpossibleSizeIsDamage() throws {
        let record = InboxRecord(ackedThrough: 9, owed: [OwedMessage(3, bytes: 1 << 40)])
        #expect(try InboxRecord.decode(record.encode(), key: Keys.inbox(1, 2)) == record)
        // Mark, one number, its size as a varint of 2^62, nothing spent.
        let fields = [UInt8](repeating: 0, count: 7) + [9, 1, 3] + [UInt8](repeating: 0x80, count: 8) + [0x40, 0]
        #expect(throws: StoreFailure.self) { try InboxRecord.decode(Self.seal(version: 1, fields), key: Keys.inbox(1, 2)) }
    }

    /// Found by fuzzing: attempts were read, and forgotten, of a token that says that none were counted.
    @Test func aDeviceIsReadAsItIsWrittenAlone() {
        var device = DeviceRecord(software: "s", device: nil, firstSeen: 1, lastSeen: 2, mechanism: "PLAIN")
        device.current = .init(secret: "t", mechanism: "HT-SHA-256-NONE", issued: 1, expires: 2, count: 3)
        device.fresh = .init(secret: "u", mechanism: "HT-SHA-256-NONE", issued: 1, expires: 2)
        let bytes = device.encode()
        #expect(DeviceRecord(bytes) == device)
        #expect(DeviceRecord(bytes.dropLast() + [1]) == nil && DeviceRecord(bytes + [0]) == nil && DeviceRecord(bytes.dropLast()) == nil)
    }

    @Test func secretsDoNotPrint() {
        let secret = SecretRecord(kind: .fast, created: 1, bytes: Array("topsecret".utf8))
        let account = AccountRecord(jid: "a@b", number: 1, created: 1, credentials: Array("topsecret".utf8))
        for text in ["\(secret)", String(reflecting: secret), "\(account)", String(reflecting: account)] {
            #expect(!text.contains("116, 111"))
        }
        var dumped = ""
        dump(secret, to: &dumped)
        dump(account, to: &dumped)
        #expect(!dumped.contains("116"))
    }

    static func seal(version: UInt8, _ fields: [UInt8]) -> [UInt8] {
        let sum = ([version] + fields).withUnsafeBytes { CRC32C.checksum($0) }
        return [version] + withUnsafeBytes(of: sum.bigEndian) { [UInt8]($0) } + fields
    }

    private static func reason(_ failure: StoreFailure) -> String {
        if case .damaged(_, let reason) = failure { reason } else { "" }
    }
}

@Suite struct HashTests {
    /// The published vectors of SipHash-2-4: key 00 … 0f, message 00, 01, ….
    static let key = SipKey(0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)

    @Test(arguments: [(0, 0x726f_db47_dd0e_0e31), (1, 0x74f8_39c5_93dc_67fd), (15, 0xa129_ca61_49be_45e5)] as [(Int, UInt64)])
    func siphash64(_ count: Int, _ expected: UInt64) {
        let message = (0..<count).map { UInt8($0) }
        #expect(message.withUnsafeBytes { SipHash.hash64($0, key: Self.key) } == expected)
    }

    @Test func partsAreHashedAsTheirLine() {
        let identity = VolumeIdentity(
            volumeID: [], partitions: 64, hashKey: Self.key, featureLevel: VolumeIdentity.currentFeatureLevel, created: 0,
            unicodeVersion: "")
        for parts in [["romeo@montague.lit", ""], ["", "7"], ["a", String(repeating: "b", count: 5_000), "juliet@capulet.lit"]] {
            let joined = parts[0].withBytes { a in
                parts[1].withBytes { b in
                    parts.count < 3 ? identity.hash128(joining: a, b) : parts[2].withBytes { identity.hash128(joining: a, b, $0) }
                }
            }
            #expect(joined == identity.hash128(parts.joined(separator: "\n")))
        }
    }

    @Test func siphash128() {
        let (a, b) = SipHash.hash128("", key: Self.key)
        let bytes = [a, b].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
        #expect(bytes == [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93])
    }

    @Test func crc32c() {
        #expect(Array("123456789".utf8).withUnsafeBytes { CRC32C.checksum($0) } == 0xE306_9283)
        #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { CRC32C.checksum($0) } == 0x8A91_36AA)
        let bytes = (0..<100).map { UInt8($0) }
        // Both ways to make it, at every length around their steps.
        for count in 0...min(40, bytes.count) {
            Array(bytes.prefix(count)).withUnsafeBytes {
                #expect(CRC32C.checksum($0, continuing: 77) == CRC32C.byTables($0, continuing: 77))
            }
        }
        let whole = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        for cut in 0...100 {
            let first = bytes[..<cut].withUnsafeBytes { CRC32C.checksum($0) }
            #expect(bytes[cut...].withUnsafeBytes { CRC32C.checksum($0, continuing: first) } == whole)
        }
    }

    @Test func partitionsAreSpreadAndKeyed() {
        let identity = KeptVolume.identity
        var counts = [Int](repeating: 0, count: 64)
        for user in 0..<6_400 { counts[Int(identity.partition(of: "user\(user)@example.org"))] += 1 }
        #expect(counts.allSatisfy { (50...160).contains($0) })
        let other = VolumeIdentity.random(created: 0, unicodeVersion: "")
        #expect((0..<100).contains { other.partition(of: "user\($0)@example.org") != identity.partition(of: "user\($0)@example.org") })
    }

    @Test func keysSortAsTheirFields() {
        #expect(Keys.message(1, 2, sequence: 255) < Keys.message(1, 2, sequence: 256))
        #expect(Keys.message(1, 2, sequence: .max) < Keys.message(1, 3, sequence: 0))
        #expect(Keys.message(1, .max, sequence: .max) < Keys.inbox(1, 0))
        #expect(Keys.inbox(255, 0) < Keys.account(256, (0, 0)))
        #expect(Keys.message(0x0102, 0x03, sequence: 0x04).hex == "0102" + "04" + "0000000000000003" + "0000000000000004")
        #expect(Key([UInt8]()) == nil && Key([UInt8](repeating: 0, count: 512)) == nil && Key([UInt8](repeating: 0, count: 511)) != nil)
    }
}

extension String {
    fileprivate func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var copy = self
        return copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }
}
