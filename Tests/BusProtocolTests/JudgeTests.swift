import BusProtocol
import Testing

@Suite struct JudgeTests {
    let beat: UInt64 = 500_000_000

    @Test func condemnsAfterItsOwnChecksInSilence() {
        var judge = Judge(beatMilliseconds: 500, missedBeats: 6)
        var now: UInt64 = 0
        #expect(judge.check(at: now).isEmpty)
        judge.watch(1)
        judge.watch(2)
        for _ in 0..<5 {
            now += beat
            judge.heard(2)
            #expect(judge.check(at: now).isEmpty)
        }
        now += beat
        judge.heard(2)
        #expect(judge.check(at: now) == [1])
        now += beat
        judge.heard(2)
        #expect(judge.check(at: now).isEmpty, "each is condemned once")
    }

    @Test func oneBeatAbsolves() {
        var judge = Judge(beatMilliseconds: 500, missedBeats: 3)
        var now: UInt64 = 0
        _ = judge.check(at: now)
        judge.watch(1)
        for round in 1...30 {
            now += beat
            if round.isMultiple(of: 3) { judge.heard(1) }
            #expect(judge.check(at: now).isEmpty)
        }
    }

    @Test func judgeThatWasStoppedCountsAnew() {
        var judge = Judge(beatMilliseconds: 500, missedBeats: 3)
        var now: UInt64 = 0
        _ = judge.check(at: now)
        judge.watch(1)
        for _ in 0..<2 {
            now += beat
            #expect(judge.check(at: now).isEmpty)
        }
        now += 60_000_000_000
        for _ in 0..<3 {
            #expect(judge.check(at: now).isEmpty)
            now += beat
        }
        #expect(judge.check(at: now) == [1])
    }

    @Test func hurriedChecksDoNotCount() {
        var judge = Judge(beatMilliseconds: 500, missedBeats: 3)
        judge.watch(1)
        for now in stride(from: UInt64(0), to: 3 * beat - 1, by: Int(beat / 50)) {
            #expect(now / beat >= 2 || judge.check(at: now).isEmpty)
        }
        var late = Judge(beatMilliseconds: 500, missedBeats: 1)
        _ = late.check(at: 0)
        late.watch(1)
        #expect(late.check(at: beat / 2).isEmpty)
        #expect(late.check(at: beat) == [1])
    }

    @Test func forgottenAreNotCondemned() {
        var judge = Judge(beatMilliseconds: 500, missedBeats: 1)
        _ = judge.check(at: 0)
        judge.watch(1)
        judge.forget(1)
        judge.heard(1)
        #expect(judge.check(at: beat).isEmpty)
    }
}

@Suite struct MembershipTests {
    @Test func countsViewsAndRemembersTheDead() {
        var members = Membership(me: node("m", featureLevel: 5))
        #expect(members.featureLevel == 5)
        let b = node("b", incarnation: 10, featureLevel: 4)
        let taken2571 = members.up(b)
        #expect(taken2571)
        let taken2602 = members.up(b)
        #expect(!taken2602)
        let taken2634 = members.up(node("a", incarnation: 11, featureLevel: 9))
        #expect(taken2634)
        #expect(members.view == 2)
        #expect(members.members.map(\.id.name) == ["a", "b"])
        #expect(members.featureLevel == 4)
        let taken2847 = members.down(b.id)
        #expect(taken2847)
        let taken2883 = members.down(b.id)
        #expect(!taken2883)
        #expect(members.view == 3 && members.isDeparted(b.id))
        let taken2983 = members.up(b)
        #expect(!taken2983, "an incarnation comes up once")
        let taken3047 = members.up(node("b", incarnation: 12))
        #expect(taken3047)
        #expect(members.member(incarnation: 12)?.id.name == "b")
    }
}
