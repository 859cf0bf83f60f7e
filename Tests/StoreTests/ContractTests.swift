import LMDBStore
import Store
import Testing

/// What every volume does, over all of them.
@Suite struct ContractTests {
    enum Kind: CaseIterable { case memory, lmdb }

    /// A volume and what keeps it alive.
    struct Subject {
        let volume: any Volume
        let kept: KeptVolume?
    }

    static func make(_ kind: Kind) throws -> Subject {
        switch kind {
        case .memory: return Subject(volume: MemoryVolume(identity: KeptVolume.identity), kept: nil)
        case .lmdb:
            let kept = try KeptVolume()
            return Subject(volume: kept.volume, kept: kept)
        }
    }

    /// A key among few, of uneven lengths, so that prefixes nest and rows are overwritten.
    static func key(_ random: inout SplitMix) -> Key {
        let bytes =
            [0, 1] + (0..<Int.random(in: 1...4, using: &random)).map { _ in UInt8([0, 1, 7, 254, 255].randomElement(using: &random) ?? 0) }
        return Key(bytes) ?? Keys.inbox(0, 0)
    }

    static func effects(_ random: inout SplitMix, _ model: inout [Key: [UInt8]]) -> Effects {
        var effects = Effects()
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let key = key(&random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                effects.delete(key)
                model[key] = nil
            } else {
                let value = random.bytes(Int.random(in: 1...300, using: &random))
                effects.put(key, value)
                model[key] = value
            }
        }
        return effects
    }

    @Test(arguments: Kind.allCases) func randomOperationsMatchAModel(_ kind: Kind) async throws {
        var random = SplitMix(seed: 11)
        let subject = try Self.make(kind)
        var model: [Key: [UInt8]] = [:]
        for _ in 0..<200 { try await subject.volume.commitNow(Self.effects(&random, &model)).get() }
        try Self.compare(subject.volume, model)
        if let kept = subject.kept {
            kept.volume.close()
            let again = try KeptVolume(reopening: kept.scratch)
            #expect(again.epoch == kept.epoch + 1)
            #expect(again.volume.identity == KeptVolume.identity)
            try Self.compare(again.volume, model)
        }
    }

    static func compare(_ volume: any Volume, _ model: [Key: [UInt8]]) throws {
        let expected = model.sorted { $0.key < $1.key }
        let rows = try volume.rows()
        #expect(rows.map(\.0) == expected.map(\.key))
        #expect(rows.map(\.1) == expected.map(\.value))
        try volume.read { snapshot in
            for (key, value) in expected {
                let found = try snapshot.get(key)
                #expect(found == value)
            }
            let absent = try snapshot.get(Keys.inbox(63, 63))
            #expect(absent == nil)
        }
    }

    @Test(arguments: Kind.allCases) func scansSeeExactlyTheirRange(_ kind: Kind) async throws {
        var random = SplitMix(seed: 12)
        let subject = try Self.make(kind)
        var model: [Key: [UInt8]] = [:]
        for _ in 0..<30 { try await subject.volume.commitNow(Self.effects(&random, &model)).get() }
        let keys = model.keys.sorted()
        try subject.volume.read { snapshot in
            for _ in 0..<1_000 {
                let prefix = Array(Self.key(&random).bytes.prefix(Int.random(in: 1...6, using: &random)))
                let from = Bool.random(using: &random) ? Self.key(&random) : nil
                let through = Bool.random(using: &random) ? Self.key(&random) : nil
                let reverse = Bool.random(using: &random)
                let limit = Bool.random(using: &random) ? Int.max : Int.random(in: 1...3, using: &random)
                var expected = keys.filter { key in
                    key.bytes.starts(with: prefix) && from.map { key >= $0 } ?? true && through.map { key <= $0 } ?? true
                }
                if reverse { expected.reverse() }
                var seen: [Key] = []
                try snapshot.scan(prefix: prefix, from: from, through: through, reverse: reverse) { (key, value) throws(StoreFailure) in
                    if let key = Key(key) {
                        #expect(model[key] == [UInt8](value))
                        seen.append(key)
                    }
                    return seen.count < limit
                }
                #expect(
                    seen == Array(expected.prefix(limit)),
                    "prefix \(prefix) from \(from?.hex ?? "-") through \(through?.hex ?? "-") \(reverse)")
            }
        }
    }

    @Test(arguments: Kind.allCases) func aReverseScanOfEverythingEndsAtTheFirstRow(_ kind: Kind) throws {
        let subject = try Self.make(kind)
        try subject.volume.read { snapshot in
            var forward: [Key?] = []
            var backward: [Key?] = []
            try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { (key, _) throws(StoreFailure) in
                forward.append(Key(key))
                return true
            }
            try snapshot.scan(prefix: [0xFF], from: nil, through: nil, reverse: true) { (key, _) throws(StoreFailure) in
                backward.append(Key(key))
                return true
            }
            #expect(forward.count == 2 + SecretRecord.Kind.allCases.count)
            #expect(backward == forward.reversed())
        }
    }

    @Test(arguments: Kind.allCases) func anErrorOfTheBodyEndsAScan(_ kind: Kind) throws {
        let subject = try Self.make(kind)
        #expect(throws: StoreFailure.abandoned("enough")) {
            try subject.volume.read { snapshot in
                try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { (_, _) throws(StoreFailure) in
                    throw .abandoned("enough")
                }
            }
        }
    }

    @Test(arguments: Kind.allCases) func aSnapshotStands(_ kind: Kind) async throws {
        let subject = try Self.make(kind)
        let key = Keys.inbox(0, 1)
        try await subject.volume.put([(key, [1])])
        let volume = subject.volume
        // The commit is made while the snapshot is open: it must not be seen there.
        try volume.read { snapshot in
            let before = try snapshot.get(key)
            #expect(before == [1])
            var effects = Effects()
            effects.put(key, [2])
            let done = Flag()
            volume.commit(effects) { _ in done.raise() }
            done.wait()
            let after = try snapshot.get(key)
            #expect(after == [1])
        }
        #expect(try volume.read { try $0.get(key) } == [2])
    }

    @Test(arguments: Kind.allCases) func anEscapedSnapshotRefuses(_ kind: Kind) throws {
        let subject = try Self.make(kind)
        let escaped = try subject.volume.read { $0 }
        #expect(throws: StoreFailure.closed) { try escaped.get(Keys.inbox(0, 1)) }
        #expect(throws: StoreFailure.closed) {
            try escaped.scan(prefix: [], from: nil, through: nil, reverse: false) { (_, _) throws(StoreFailure) in true }
        }
    }

    @Test(arguments: Kind.allCases) func laterOperationsWinAndCompletionsKeepTheirOrder(_ kind: Kind) async throws {
        let subject = try Self.make(kind)
        let order = StateList()
        let key = Keys.inbox(3, 3)
        for number in 0..<500 as Range<UInt16> {
            var effects = Effects()
            effects.delete(key)
            effects.put(key, [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)])
            subject.volume.commit(effects) { _ in order.add(Int(number)) }
        }
        try await subject.volume.commitNow(Effects()).get()
        #expect(order.all == Array(0..<500))
        #expect(try subject.volume.read { try $0.get(key) } == [1, 243])
    }

    @Test(arguments: Kind.allCases) func theVolumeHasItsSecrets(_ kind: Kind) throws {
        let subject = try Self.make(kind)
        try subject.volume.read { snapshot in
            var all: Set<[UInt8]> = []
            for kind in SecretRecord.Kind.allCases {
                let secret = try #require(try SecretRecord.load(kind, from: snapshot))
                #expect(secret.bytes.count == 32)
                all.insert(secret.bytes)
            }
            #expect(all.count == SecretRecord.Kind.allCases.count)
            #expect(try VolumeRows.identity(in: snapshot) == KeptVolume.identity)
        }
    }
}

/// Numbers in the order in which they came.
final class StateList: @unchecked Sendable {
    // @unchecked: touched with the gate held.
    private var numbers: [Int] = []
    private let gate = Signal()
    func add(_ number: Int) { gate.change { numbers.append(number) } }
    var all: [Int] { gate.change { numbers } }
}
