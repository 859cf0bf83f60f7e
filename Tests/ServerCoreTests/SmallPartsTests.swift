@testable import ServerCore
import Settings
import Stanzas
import Store
import TestKit
import Telemetry
import Testing
import XMLStream

@Suite struct GateTests {
    private func number(_ output: Gate.Output?) -> UInt64? {
        if case .letter(.serves(_, let epoch), _)? = output { epoch } else { nil }
    }

    @Test func nothingOvertakesAndNothingLeavesEarly() {
        let address = ShardAddress(node: 1, loop: 0)
        var gate = Gate()
        for (number, batch) in [(1, 5), (2, 5), (3, 7)] as [(UInt64, UInt64)] {
            gate.hold(.letter(.serves(owner: 0, epoch: number), to: address), until: batch)
        }
        #expect(gate.front == 5)
        let got0 = gate.next(durable: 4)
        #expect(number(got0) == nil)
        let got1 = gate.next(durable: 6)
        #expect(number(got1) == 1)
        let got2 = gate.next(durable: 6)
        #expect(number(got2) == 2)
        let got3 = gate.next(durable: 6)
        #expect(number(got3) == nil)
        #expect(!gate.isEmpty)
        let got4 = gate.takeAll()
        #expect(got4.compactMap { number($0) } == [3])
        #expect(gate.isEmpty)
    }
}

@Suite struct OutQueueTests {
    @Test func countsWhatTheKernelHasNotTaken() {
        var queue = OutQueue()
        queue.add(.owed(4))
        queue.add(nil)
        #expect(queue.count == 2)
        let first = queue.flushed(100)
        queue.add(.owed(5))
        let second = queue.flushed(50)
        #expect((queue.bytes, queue.stanzas) == (150, 3))
        var got: [UInt64] = []
        queue.written(through: first, &got)
        #expect(got == [4])
        // Not empty in between: the count still follows what is there.
        #expect((queue.bytes, queue.stanzas) == (50, 1))
        queue.add(.unkept(Stanza(kind: .iq, type: .get, id: "1", payload: .empty)))
        #expect(queue.owed == [5])
        let got6 = queue.takeUnkept()
        #expect(got6.map(\.id) == ["1"])
        queue.written(through: second, &got)
        #expect(got == [4, 5])
        #expect((queue.bytes, queue.count) == (0, 1))
    }
}

@Suite struct PaceTests {
    @Test func aSecondMayBeSavedUpAndNoMore() {
        var pace = Pace()
        let start = MonotonicTime(nanoseconds: 5_000_000_000)
        for _ in 0..<10 {
            let got8 = pace.note(at: start, perSecond: 10)
            #expect(got8 == nil)
        }
        let got9 = pace.note(at: start, perSecond: 10)
        #expect(got9 == .milliseconds(600))
        let got10 = pace.note(at: start + .seconds(60), perSecond: 10)
        #expect(got10 == nil)
        let got11 = pace.note(at: start, perSecond: 0)
        #expect(got11 == nil)
    }
}

@Suite struct DispatchTests {
    private final class Claims: Module {
        static let name = "claims"
        static let implements: [XEP] = []
        init(_ context: ModuleContext) {}
        func register(in registration: inout Registration) {
            registration.iq(.get, Names.rosterQuery, to: .server) { _, _ in .done }
        }
    }

    private func table(_ count: Int) throws -> DispatchTable {
        let context = ModuleContext(
            settings: Settings(), clock: WallClock(standingAt: 0), software: Software(version: "", system: ""), started: 0,
            catalogue: Catalogue(), metrics: try CoreMetrics(Registry()))
        return try DispatchTable(
            (0..<count).map { _ in Claims(context) }, core: RosterRequests.register, catalogue: Catalogue(), hosts: [:])
    }

    @Test func aSecondClaimStopsTheStart() throws {
        let one = try table(1)
        #expect(one.handler(isSet: false, Names.rosterQuery, .server) != nil)
        #expect(one.handler(isSet: true, Names.rosterQuery, .server) == nil)
        #expect(one.handler(isSet: true, Names.rosterQuery, .ownAccount) != nil)
        #expect(one.handler(isSet: false, .unknown, .server) == nil)
        #expect(throws: ClaimConflict.self) { try table(2) }
    }
}

@Suite struct RosterBookTests {
    @Test func versionsNameWhatChangedSince() throws {
        var book = RosterBook()
        let names = try ["a@x.lit", "b@x.lit", "c@x.lit"].map { try JID($0) }
        for jid in names {
            var contact = Contact(jid: jid, isListed: true)
            contact.version = book.nextVersion()
            book.set(contact)
        }
        #expect(book.version == 3)
        #expect(book.changes(after: 1).map(\.jid) == [names[1], names[2]])
        var removed = try #require(book[names[0]])
        removed.isListed = false
        removed.isRemoved = true
        removed.version = book.nextVersion()
        book.set(removed)
        #expect(book.count == 2)
        #expect(book.items.map(\.jid) == [names[1], names[2]])
        #expect(book.changes(after: 3).map(\.jid) == [names[0]])
        // A request alone is no contact that a client sees.
        book.set(Contact(jid: try JID("d@x.lit"), state: SubscriptionState(incoming: .requested), version: 9))
        #expect(book.count == 2)
        #expect(book.changes(after: 4).isEmpty)
    }
}

/// Thousands of worlds are made in one process (`MARTLET_SEEDS`, fuzzing): none may stay behind.
@Suite struct DismantledTests {
    @Test func aClusterGoesWholly() throws {
        weak var cluster: MemoryCluster?
        weak var core: Core?
        weak var account: Account?
        weak var session: Session?
        do {
            let stage = try Stage(nodes: 2)
            let romeo = try stage.online("romeo", "orchard", node: 0)
            let juliet = try stage.online("juliet", "balcony", node: 1)
            try romeo.post("<message to='\(juliet.jid)' type='chat' id='1'><body>Neither, fair saint.</body></message>")
            try juliet.post("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>")
            stage.cluster.run()
            #expect(juliet.takeReceived().count >= 2)
            (cluster, session) = (stage.cluster, romeo.session)
            core = stage.cluster.nodes[0].shards[0].core
            account = stage.cluster.nodes[0].shards[0].accounts.values.first
            #expect(session != nil && account != nil)
            stage.cluster.dismantle()
        }
        #expect(cluster == nil)
        #expect(core == nil)
        #expect(account == nil)
        #expect(session == nil)
    }
}
