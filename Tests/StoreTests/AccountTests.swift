import Store
import Testing

@Suite struct AccountTests {
    static let identity = KeptVolume.identity
    static let juliet = "juliet@capulet.example"
    static let partition = identity.partition(of: juliet)

    static func account(_ jid: String = juliet, number: UInt64 = 42) -> AccountRecord {
        AccountRecord(jid: jid, number: number, created: 1, credentials: [1, 2], rosterVersion: 3)
    }

    static func message(_ sequence: UInt64, _ flags: MessageRecord.Flags = .owed, number: UInt64 = 42, size: Int = 10) -> (Key, [UInt8]) {
        let record = MessageRecord(
            sequence: sequence, stamp: Int64(sequence) * 10, flags: flags, originSession: sequence + 1, inSeq: 5,
            originIDHash: sequence + 2,
            stanza: [UInt8](repeating: 1, count: size))
        return (Keys.message(partition, number, sequence: sequence), record.encode())
    }

    static func put(_ record: AccountRecord, in volume: any Volume) async throws {
        try await volume.put([(Keys.account(identity.partition(of: record.jid), identity.hash128(record.jid)), record.encode())])
    }

    static func load(_ volume: any Volume) throws -> AccountSnapshot? {
        try volume.read { try AccountSnapshot.load(jid: juliet, from: $0, identity: identity) }
    }

    @Test func nobodyIsNothing() throws {
        let loaded = try Self.load(MemoryVolume(identity: Self.identity))
        #expect(loaded == nil)
    }

    @Test func anEmptyAccountLoads() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await Self.put(Self.account(), in: volume)
        let loaded = try #require(try Self.load(volume))
        #expect(loaded.account == Self.account())
        #expect(loaded.roster.isEmpty && loaded.pendingIn.isEmpty && loaded.owed.isEmpty && loaded.spent.isEmpty && loaded.recent.isEmpty)
        #expect(loaded.lastMessage == 0 && loaded.sessions.isEmpty && loaded.damaged.isEmpty)
    }

    @Test(arguments: ContractTests.Kind.allCases) func everythingOfOneAccountLoadsAndNothingOfAnother(_ kind: ContractTests.Kind)
        async throws
    {
        let subject = try ContractTests.make(kind)
        let volume = subject.volume
        try await Self.put(Self.account(), in: volume)
        let item = RosterItemRecord(
            jid: "romeo@montague.example", name: "R", groups: ["G"], state: 2, version: 3, isRemoved: false, isListed: true)
        let pending = PendingInRecord(jid: "paris@verona.example", stamp: 9, stanza: [3])
        let row = SessionRow(account: Self.juliet, session: 6, node: 7, resource: "balcony", directed: ["x@y"])
        var rows: [(Key, [UInt8])] = [
            (Keys.rosterItem(Self.partition, 42, Self.identity.hash128(item.jid)), item.encode()),
            (Keys.pendingIn(Self.partition, 42, Self.identity.hash128(pending.jid)), pending.encode()),
            (Keys.sessionRow(Self.partition, 42, session: 6), row.encode()),
            (
                Keys.inbox(Self.partition, 42),
                InboxRecord(ackedThrough: 5, owed: [OwedMessage(2, bytes: 70, isArchived: true)], spent: [3]).encode()
            ),
        ]
        for sequence in [1, 2, 3, 4, 5] as [UInt64] { rows.append(Self.message(sequence)) }
        rows += [Self.message(6), Self.message(7, .archived), Self.message(8, [.owed, .archived])]
        for other in [41, 43] as [UInt64] {
            rows += [Self.message(99, number: other)]
            rows.append((Keys.rosterItem(Self.partition, other, (1, 1)), item.encode()))
            rows.append((Keys.sessionRow(Self.partition, other, session: 1), row.encode()))
        }
        try await volume.put(rows)
        let loaded = try #require(try Self.load(volume))
        #expect(loaded.roster == [item])
        #expect(loaded.pendingIn == [pending])
        #expect(loaded.sessions == [row])
        // Acknowledged through 5 but for 2; above it the flag decides.
        #expect(loaded.owed.map(\.sequence) == [2, 6, 8])
        #expect(loaded.owed.map(\.isArchived) == [true, false, true])
        #expect(loaded.owed.map(\.bytes) == [70, Self.message(6).1.count, Self.message(8).1.count])
        #expect(loaded.spent == [3])
        #expect(loaded.lastMessage == 8)
        #expect(loaded.recent.map(\.originHash) == Array(3...10))
        #expect(loaded.recent.first == .init(originHash: 3, session: 2, inSeq: 5, stamp: 10))
    }

    @Test func theLastSequenceSurvivesItsMessage() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        var record = Self.account()
        record.sequenceFloor = 100
        try await Self.put(record, in: volume)
        #expect(try Self.load(volume)?.lastMessage == 100)
        try await volume.put([(Keys.inbox(Self.partition, 42), InboxRecord(ackedThrough: 200).encode())])
        #expect(try Self.load(volume)?.lastMessage == 200)
        try await volume.put([(Keys.inbox(Self.partition, 42), InboxRecord(ackedThrough: .max).encode())])
        #expect(try Self.load(volume)?.lastMessage == .max)
    }

    @Test func onlyTheLastMessagesAreRemembered() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await Self.put(Self.account(), in: volume)
        try await volume.put((1...300).map { Self.message($0) })
        let recent = try #require(try Self.load(volume)).recent
        #expect(recent.count == AccountSnapshot.recentMessages)
        #expect(recent.last?.originHash == 302)
        #expect(recent.map(\.stamp) == recent.map(\.stamp).sorted())
    }

    @Test func aDamagedMessageIsNamedAndTheRestLoads() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await Self.put(Self.account(), in: volume)
        try await volume.put([Self.message(1), Self.message(2), Self.message(3)])
        var (key, value) = Self.message(2)
        value[20] ^= 1
        volume.tamper(key, value)
        let loaded = try #require(try Self.load(volume))
        #expect(loaded.owed.map(\.sequence) == [1, 3])
        #expect(loaded.damaged == [.damaged(key: key.hex, reason: "checksum mismatch")])
    }

    @Test func aMisplacedMessageIsDamage() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await Self.put(Self.account(), in: volume)
        volume.tamper(Keys.message(Self.partition, 42, sequence: 7), Self.message(6).1)
        let loaded = try #require(try Self.load(volume))
        #expect(loaded.owed.isEmpty && loaded.damaged.count == 1)
    }

    @Test func aDamagedRosterItemFailsTheLoad() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await Self.put(Self.account(), in: volume)
        volume.tamper(Keys.rosterItem(Self.partition, 42, (1, 1)), [1, 2, 3])
        #expect(throws: StoreFailure.self) { try Self.load(volume) }
    }

    @Test func theRecordOfAnotherJIDIsNeverServed() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        volume.tamper(Keys.account(Self.partition, Self.identity.hash128(Self.juliet)), Self.account("romeo@montague.example").encode())
        #expect(throws: StoreFailure.self) { try Self.load(volume) }
    }

    @Test func pagesOfAccountsListEachOnce() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        var expected: Set<String> = []
        for number in 0..<150 as Range<UInt64> {
            let host = number % 3 == 0 ? "b.example" : "a.example"
            if host == "a.example" { expected.insert("u\(number)@a.example") }
            try await Self.put(Self.account("u\(number)@\(host)", number: number), in: volume)
        }
        let broken = Keys.account(20, (0, 0))
        volume.tamper(broken, [0])
        var seen: [String] = []
        var damaged: [StoreFailure] = []
        var after: Key?
        repeat {
            let page = try volume.read {
                try AccountRecord.page(ofHost: "a.example", after: after, limit: 7, rows: 20, in: $0, identity: Self.identity)
            }
            #expect(page.accounts.count <= 7)
            seen += page.accounts.map(\.jid)
            damaged += page.damaged
            after = page.next
        } while after != nil
        #expect(seen.count == expected.count && Set(seen) == expected)
        #expect(damaged.count == 1)
        let beyond = try volume.read {
            try AccountRecord.page(ofHost: nil, after: Keys.secret(.fast), limit: 7, in: $0, identity: Self.identity)
        }
        #expect(beyond.accounts.isEmpty && beyond.next == nil)
    }

    @Test func pagesOfMessagesAreBoundedByCountAndBytes() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await volume.put((1...20).map { Self.message($0, $0 % 2 == 0 ? .archived : .owed, size: 100) })
        func page(
            _ range: ClosedRange<UInt64>, _ flags: MessageRecord.Flags = [], limit: Int = 100, bytes: Int = 1 << 20, reverse: Bool = false
        ) throws
            -> ([UInt64], Bool)
        {
            let page = try volume.read {
                try MessageRecord.page(Self.partition, 42, in: range, with: flags, limit: limit, bytes: bytes, reverse: reverse, from: $0)
            }
            return (page.messages.map(\.sequence), page.hasMore)
        }
        #expect(try page(0...UInt64.max) == (Array(1...20), false))
        #expect(try page(5...8) == ([5, 6, 7, 8], false))
        #expect(try page(5...9, .archived) == ([6, 8], false))
        #expect(try page(0...UInt64.max, limit: 3, reverse: true) == ([20, 19, 18], true))
        #expect(try page(0...UInt64.max, .archived, limit: 10) == (Array(stride(from: 2, through: 20, by: 2)), false))
        #expect(try page(0...UInt64.max, bytes: 250) == ([1, 2, 3], true))
        #expect(try page(3...3, limit: 1) == ([3], false))
        func owed(after: UInt64, limit: Int) throws -> ([UInt64], Bool) {
            let inbox = InboxRecord(ackedThrough: 10, owed: [3, 7, 8].map { OwedMessage($0) }, spent: [])
            let page = try volume.read { try MessageRecord.owed(Self.partition, 42, inbox: inbox, after: after, limit: limit, from: $0) }
            return (page.messages.map(\.sequence), page.hasMore)
        }
        #expect(try owed(after: 0, limit: 100) == ([3, 7, 8, 11, 13, 15, 17, 19], false))
        #expect(try owed(after: 0, limit: 2) == ([3, 7], true))
        #expect(try owed(after: 7, limit: 2) == ([8, 11], true))
        #expect(try owed(after: 15, limit: 2) == ([17, 19], false))
        #expect(try owed(after: .max, limit: 2) == ([], false))
    }

    @Test func sessionRowsOfAPartitionAreListed() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        let row = SessionRow(account: Self.juliet, session: 6, node: 7, resource: "balcony", directed: [])
        try await volume.put([(Keys.sessionRow(4, 1, session: 6), row.encode()), (Keys.sessionRow(5, 1, session: 6), row.encode())])
        volume.tamper(Keys.sessionRow(4, 2, session: 9), [1])
        #expect(try volume.read { try SessionRow.all(ofPartition: 4, in: $0) } == [row])
        #expect(try volume.read { try SessionRow.all(ofPartition: 6, in: $0) } == [])
    }

    @Test func aDeletedAccountIsPurgedInSteps() async throws {
        let volume = MemoryVolume(identity: Self.identity)
        try await volume.put((1...25).map { Self.message($0) } + (1...3).map { Self.message($0, number: 43) })
        try await volume.put([
            (Keys.inbox(Self.partition, 42), InboxRecord(ackedThrough: 1).encode()),
            (Keys.tombstone(Self.partition, 42), TombstoneRecord(jid: Self.juliet, number: 42, deleted: 1).encode()),
        ])
        var steps = 0
        while true {
            let step = try volume.read { try Purge.step(partition: Self.partition, limit: 10, in: $0) }
            if step.isEmpty { break }
            #expect(step.operations.count <= 10)
            try await volume.commitNow(step).get()
            steps += 1
        }
        #expect(steps == 3)
        #expect(try volume.rows().map(\.0) == (1...3).map { Self.message($0, number: 43).0 })
    }
}

@Suite struct MemoryVolumeTests {
    static func one(_ number: UInt64) -> Effects {
        var effects = Effects()
        effects.put(Keys.inbox(0, number), [1])
        return effects
    }

    @Test func injectedFailuresChangeNothing() async throws {
        let volume = MemoryVolume()
        volume.failNext(2, with: .mapFull)
        #expect(throws: StoreFailure.mapFull) { try volume.result(Self.one(1)).get() }
        #expect(throws: StoreFailure.mapFull) { try volume.result(Self.one(2)).get() }
        try volume.result(Self.one(3)).get()
        #expect(try volume.rows().map(\.0) == [Keys.inbox(0, 3)])
    }

    @Test func heldCommitsWaitInOrder() throws {
        let volume = MemoryVolume()
        volume.holdsCommits = true
        let order = StateList()
        for number in 1...3 as ClosedRange<UInt64> { volume.commit(Self.one(number)) { _ in order.add(Int(number)) } }
        #expect(order.all.isEmpty)
        #expect(try volume.rows().isEmpty)
        #expect(volume.statistics.waiting == 3)
        volume.releaseCommits(2)
        #expect(order.all == [1, 2])
        volume.holdsCommits = false
        volume.releaseCommits()
        #expect(order.all == [1, 2, 3])
    }

    @Test func aLaneStaysShutUntilItsOwnerTookNote() throws {
        let volume = MemoryVolume()
        let lane = CommitLane(volume)
        let other = CommitLane(volume)
        volume.holdsCommits = true
        let answers = StateList()
        let note: @Sendable (Result<Void, StoreFailure>) -> Void = { result in
            if case .success = result { answers.add(1) } else { answers.add(0) }
        }
        lane.commit(Self.one(1), completion: note)
        volume.failNext(1)
        volume.releaseCommits()
        // Submitted before the owner heard of the failure: refused although the volume would take it.
        lane.commit(Self.one(2), completion: note)
        #expect(answers.all == [0, 0])
        other.commit(Self.one(3), completion: note)
        volume.releaseCommits()
        #expect(answers.all == [0, 0, 1])
        lane.resume()
        lane.commit(Self.one(4), completion: note)
        volume.releaseCommits()
        #expect(answers.all == [0, 0, 1, 1])
        #expect(try volume.rows().map(\.0) == [Keys.inbox(0, 3), Keys.inbox(0, 4)])
    }
}

extension MemoryVolume {
    /// The answer of a commit that is not held.
    func result(_ effects: Effects) -> Result<Void, StoreFailure> {
        let answer = StateList()
        nonisolated(unsafe) var result: Result<Void, StoreFailure> = .failure(.closed)
        commit(effects) {
            result = $0
            answer.add(1)
        }
        return answer.all == [1] ? result : .failure(.closed)
    }
}
