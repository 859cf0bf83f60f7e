@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Testing

@Suite struct InboxTests {
    @Test func whatIsOwedIsOwedUntilOneAcknowledges() {
        for seed in 1...60 as ClosedRange<UInt64> {
            var chance = Chance(seed: seed)
            var inbox = Inbox()
            var waiting: Set<UInt64> = []
            var flying: [UInt64: Int] = [:]
            var next: UInt64 = 0
            for _ in 0..<150 {
                switch chance.below(5) {
                case 0:
                    next += 1 + UInt64(chance.below(3))
                    let sessions = chance.below(3)
                    inbox.add(OwedMessage(next, bytes: Int(next), isArchived: next % 2 == 0), sessions: sessions)
                    if sessions > 0 { flying[next] = sessions } else { waiting.insert(next) }
                case 1:
                    let count = chance.below(4)
                    let expected = Array(waiting.sorted().prefix(count))
                    let got0 = inbox.take(count)
                    #expect(got0 == expected)
                    for message in expected {
                        waiting.remove(message)
                        flying[message] = 1
                    }
                case 2:
                    guard let message = flying.keys.sorted().randomElement(using: &chance) else { continue }
                    let returns = flying[message] == 1
                    let got1 = inbox.giveBack(message)
                    #expect(got1 == returns)
                    if returns {
                        flying[message] = nil
                        waiting.insert(message)
                    } else {
                        flying[message, default: 1] -= 1
                    }
                case 3:
                    guard let message = waiting.union(flying.keys).sorted().randomElement(using: &chance) else { continue }
                    let got2 = inbox.acknowledge(message)
                    #expect(got2 != nil)
                    let got3 = inbox.acknowledge(message)
                    #expect(got3 == nil)
                    let got4 = inbox.giveBack(message)
                    #expect(!got4)
                    waiting.remove(message)
                    flying[message] = nil
                default:
                    guard let message = waiting.union(flying.keys).sorted().randomElement(using: &chance) else { continue }
                    inbox.claim(message)
                    waiting.remove(message)
                    flying[message, default: 0] += 1
                }
                #expect(Array(inbox.waiting) == waiting.sorted())
                let owed = waiting.union(flying.keys).sorted()
                #expect(inbox.all == owed.map { OwedMessage($0, bytes: Int($0), isArchived: $0 % 2 == 0) })
                #expect(inbox.bytes == Int(owed.reduce(0, +)))
                #expect(inbox.highest == next)
            }
        }
    }

    /// Everything up to the highest number that is not owed is acknowledged, and stays so when nothing is owed.
    @Test func aLoadedInboxKnowsHowFarItReaches() {
        #expect(Inbox(owed: [], through: 70).highest == 70)
        #expect(Inbox(owed: [OwedMessage(3), OwedMessage(9)], through: 7).highest == 9)
        #expect(Array(Inbox(owed: [OwedMessage(3), OwedMessage(9)], through: 7).waiting) == [3, 9])
    }

    @Test func aSpentMessageGoesWhenItsSenderSettledItOrItsTimeIsOver() {
        let sender = SessionRef(shard: ShardAddress(node: 3, loop: 0), id: 8)
        func ticket(_ number: UInt32, settled: UInt32) -> Ticket { Ticket(session: sender, inSeq: number, settled: settled) }
        var spent = SpentMessages()
        for number in 1...4 as ClosedRange<UInt32> {
            spent.append(UInt64(number) * 10, origin: Origin(ticket(number, settled: 0)), after: 100 + Int64(number))
        }
        spent.append(99, origin: Origin(), after: 1_000)
        let got5 = spent.take(10, now: 0, in: 7, durable: 6)
        #expect(got5.isEmpty)
        spent.note(ticket(9, settled: 2))
        #expect(spent.hasDue(now: 0))
        let got6 = spent.take(1, now: 0, in: 7, durable: 6)
        #expect(got6 == [10])
        let got7 = spent.take(10, now: 0, in: 7, durable: 6)
        #expect(got7 == [20])
        let got8 = spent.take(10, now: 103, in: 7, durable: 6)
        #expect(got8 == [30])
        #expect(spent.messages == [40, 99])
        let got9 = spent.take(10, now: 1_000, in: 7, durable: 6)
        #expect(got9 == [40, 99])
        #expect(spent.isEmpty)
        // All of these left with one batch, which is not kept: they are to go again.
        spent.commitFailed()
        #expect(spent.messages == [10, 20, 30, 40, 99] && spent.hasDue(now: 0))
        let again = spent.take(3, now: 0, in: 8, durable: 7)
        #expect(again == [10, 20, 30])
        // Batch 8 is kept, batch 9 is not.
        let rest = spent.take(10, now: 0, in: 9, durable: 8)
        #expect(rest == [40, 99])
        spent.commitFailed()
        #expect(spent.messages == [40, 99])
    }

    /// What writes down that a message was acknowledged may fail, and again when the account was read anew: it is not delivered a second
    /// time, and its row goes in the end when nothing archives it.
    @Test(arguments: [true, false], 1...4) func acknowledgedStaysSoHoweverOftenTheStoreRefuses(isArchived: Bool, failures: Int) throws {
        let stage = try Stage { $0.hosts[0].archive = isArchived }
        let romeo = try stage.online("romeo", "orchard")
        let juliet = try stage.online("juliet", "balcony")
        stage.cluster.doChores()
        for text in ["one", "two"] {
            try romeo.post(Stage.say(text, to: "juliet@capulet.lit"))
            stage.cluster.run()
        }
        #expect(try juliet.bodies() == ["one", "two"])
        stage.cluster.volume.failNext(failures)
        for _ in 0...failures { stage.cluster.doChores() }
        juliet.end(.closedByPeer)
        stage.cluster.run()
        let again = try stage.cluster.connect("juliet", resource: "chamber", node: 0)
        try again.post("<presence/>")
        stage.cluster.run()
        #expect(try again.bodies() == [])
        #expect(try stage.account("juliet")?.inbox.isEmpty == true)
        stage.cluster.advance(seconds: 130)
        for _ in 0..<41 { stage.cluster.doChores() }
        #expect(try stage.account("juliet")?.spent.isEmpty == true)
        let owner = try #require(try stage.account("juliet")?.record)
        let identity = stage.cluster.volume.identity
        let prefix = Keys.prefix(identity.partition(of: "juliet@capulet.lit"), .message, account: owner.number)
        var left = 0
        try stage.cluster.volume.read { snapshot in
            try snapshot.scan(prefix: prefix, from: nil, through: nil, reverse: false) { (_, _) throws(StoreFailure) in
                left += 1
                return true
            }
        }
        #expect(left == (isArchived ? 2 : 0))
    }
}
