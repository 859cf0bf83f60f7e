@testable import ServerCore
import Stanzas
import TestKit
import Testing

/// The numbers of what a client sent, against a model without any cleverness.
@Suite struct LedgerTests {
    private struct Naive {
        var done: [UInt32: (own: Bool, expects: Bool, theirs: Bool)] = [:]
        var order: [UInt32] = []
        var handled: Int {
            order.firstIndex { number in
                guard let state = done[number] else { return true }
                return !(state.own && (!state.expects || state.theirs))
            } ?? order.count
        }
    }

    @Test(arguments: [UInt32(1), UInt32.max - 20, 0x7FFF_FFF0])
    func agreesWithTheModel(_ start: UInt32) {
        for seed in 1...40 as ClosedRange<UInt64> {
            var chance = Chance(seed: seed)
            var ledger = InboundLedger(nextSeq: start)
            var model = Naive()
            let stanza = Stanza(kind: .message, type: .chat, payload: .empty)
            for _ in 0..<60 {
                if chance.one(in: 2) {
                    let entry = ledger.add(stanza, size: 10)
                    model.order.append(entry.seq)
                    model.done[entry.seq] = (false, false, false)
                } else if !model.order.isEmpty {
                    let number = model.order[chance.below(model.order.count)]
                    switch chance.below(3) {
                    case 0:
                        model.done[number]?.own = true
                        model.done[number]?.expects = false
                        _ = ledger.complete(number, .whole)
                    case 1:
                        // A home says so once at most before the whole is done.
                        guard model.done[number]?.own == false else { continue }
                        model.done[number]?.own = true
                        model.done[number]?.expects = true
                        _ = ledger.complete(number, .own)
                    default:
                        model.done[number]?.theirs = true
                        _ = ledger.complete(number, .theirs)
                    }
                }
                #expect(ledger.count == model.order.count - model.handled)
                #expect(ledger.handledThrough == start &+ UInt32(model.handled) &- 1)
                #expect(ledger.bytes == ledger.count * 10)
            }
        }
    }

    @Test func numbersThatAreNotThereChangeNothing() {
        var ledger = InboundLedger()
        _ = ledger.add(Stanza(kind: .message, type: .chat, payload: .empty), size: 5)
        for number in [0, 2, 3, UInt32.max] as [UInt32] {
            let got0 = ledger.complete(number, .whole)
            #expect(got0 == (0, 0))
            #expect(ledger.entry(number) == nil)
        }
        let got1 = ledger.complete(1, .whole)
        #expect(got1 == (1, 5))
        let got2 = ledger.complete(1, .whole)
        #expect(got2 == (0, 0))
    }
}
