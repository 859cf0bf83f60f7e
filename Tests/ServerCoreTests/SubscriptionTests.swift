import Stanzas
import Testing

@testable import ServerCore

/// RFC 6121 Appendix A: every cell of its tables is a row here.
@Suite struct SubscriptionTests {
    /// The nine states of A.1.1.
    enum Nine: CaseIterable {
        case none, noneOut, noneIn, noneOutIn, to, toIn, from, fromOut, both

        var state: SubscriptionState {
            switch self {
            case .none: SubscriptionState()
            case .noneOut: SubscriptionState(outgoing: .requested)
            case .noneIn: SubscriptionState(incoming: .requested)
            case .noneOutIn: SubscriptionState(outgoing: .requested, incoming: .requested)
            case .to: SubscriptionState(outgoing: .subscribed)
            case .toIn: SubscriptionState(outgoing: .subscribed, incoming: .requested)
            case .from: SubscriptionState(incoming: .subscribed)
            case .fromOut: SubscriptionState(outgoing: .requested, incoming: .subscribed)
            case .both: SubscriptionState(outgoing: .subscribed, incoming: .subscribed)
            }
        }
    }

    /// What a cell says besides the state.
    struct Does: OptionSet {
        let rawValue: Int
        static let routes = Does(rawValue: 1)
        static let delivers = Does(rawValue: 2)
        static let pushes = Does(rawValue: 4)
        static let sendsPresence = Does(rawValue: 8)
        static let sendsUnavailable = Does(rawValue: 16)
        static let keepsRequest = Does(rawValue: 32)
        static let forgetsRequest = Does(rawValue: 64)
        static let sendsSubscribed = Does(rawValue: 128)
        static let sendsUnsubscribed = Does(rawValue: 256)
        static let sendsUnsubscribe = Does(rawValue: 512)

        init(rawValue: Int) { self.rawValue = rawValue }
        init(_ change: SubscriptionChange) {
            self = []
            if change.routes { insert(.routes) }
            if change.delivers { insert(.delivers) }
            if change.pushes { insert(.pushes) }
            if change.sendsPresence { insert(.sendsPresence) }
            if change.sendsUnavailable { insert(.sendsUnavailable) }
            if change.request == .keep { insert(.keepsRequest) }
            if change.request == .forget { insert(.forgetsRequest) }
            if change.sends.contains(.subscribed) { insert(.sendsSubscribed) }
            if change.sends.contains(.unsubscribed) { insert(.sendsUnsubscribed) }
            if change.sends.contains(.unsubscribe) { insert(.sendsUnsubscribe) }
        }
    }

    typealias Row = (Nine, Nine?, Does)

    /// nil in a row: no state change.
    private func check(
        _ rows: [Row], _ transition: (SubscriptionState) -> SubscriptionChange?, _ location: SourceLocation = #_sourceLocation
    ) throws {
        #expect(Set(rows.map(\.0)) == Set(Nine.allCases), sourceLocation: location)
        for (before, after, does) in rows {
            let change = try #require(transition(before.state), sourceLocation: location)
            #expect(change.state == (after ?? before).state, "\(before)", sourceLocation: location)
            #expect(change.isChanged == (after != nil), "\(before)", sourceLocation: location)
            #expect(Does(change) == does, "\(before)", sourceLocation: location)
        }
    }

    @Test func outboundSubscribe() throws {  // table 2
        try check(
            [
                (.none, .noneOut, [.routes, .pushes]), (.noneOut, nil, .routes), (.noneIn, .noneOutIn, [.routes, .pushes]),
                (.noneOutIn, nil, .routes), (.to, nil, .routes), (.toIn, nil, .routes), (.from, .fromOut, [.routes, .pushes]),
                (.fromOut, nil, .routes), (.both, nil, .routes),
            ]
        ) { $0.outbound(.subscribe) }
    }

    @Test func outboundUnsubscribe() throws {  // table 3
        try check(
            [
                (.none, nil, .routes), (.noneOut, Nine.none, [.routes, .pushes]), (.noneIn, nil, .routes),
                (.noneOutIn, .noneIn, [.routes, .pushes]), (.to, Nine.none, [.routes, .pushes]), (.toIn, .noneIn, [.routes, .pushes]),
                (.from, nil, .routes), (.fromOut, .from, [.routes, .pushes]), (.both, .from, [.routes, .pushes]),
            ]
        ) { $0.outbound(.unsubscribe) }
    }

    @Test func outboundSubscribed() throws {  // table 4
        let approval: Does = [.routes, .pushes, .sendsPresence, .forgetsRequest]
        let rows: [Row] = [
            (.noneIn, .from, approval), (.noneOutIn, .fromOut, approval), (.toIn, .both, approval), (.from, nil, []), (.fromOut, nil, []),
            (.both, nil, []),
        ]
        for (before, after, does) in rows {
            let change = try #require(before.state.outbound(.subscribed))
            #expect(change.state == (after ?? before).state)
            #expect(Does(change) == does)
        }
        // [1]: pre-approval, which is not routed.
        for before in [Nine.none, .noneOut, .to] {
            let change = try #require(before.state.outbound(.subscribed))
            #expect(change.state == SubscriptionState(outgoing: before.state.outgoing, incoming: .preApproved))
            #expect(Does(change) == .pushes && change.isChanged)
            let again = try #require(change.state.outbound(.subscribed))
            #expect(!again.isChanged && Does(again) == [])
        }
    }

    @Test func outboundUnsubscribed() throws {  // table 5
        let refusal: Does = [.routes, .forgetsRequest]
        let cancellation: Does = [.routes, .pushes, .sendsUnavailable]
        try check(
            [
                (.none, nil, []), (.noneOut, nil, []), (.noneIn, Nine.none, refusal), (.noneOutIn, .noneOut, refusal), (.to, nil, []),
                (.toIn, .to, refusal), (.from, Nine.none, cancellation), (.fromOut, .noneOut, cancellation), (.both, .to, cancellation),
            ]
        ) { $0.outbound(.unsubscribed) }
        // [1]: a pre-approval is cancelled in silence.
        for outgoing in SubscriptionState.Outgoing.allCases {
            let change = try #require(SubscriptionState(outgoing: outgoing, incoming: .preApproved).outbound(.unsubscribed))
            #expect(change.state == SubscriptionState(outgoing: outgoing) && Does(change) == .pushes)
        }
    }

    @Test func inboundSubscribe() throws {  // table 6
        let request: Does = [.delivers, .keepsRequest]
        try check(
            [
                (.none, .noneIn, request), (.noneOut, .noneOutIn, request), (.noneIn, nil, []), (.noneOutIn, nil, []),
                (.to, .toIn, request),
                (.toIn, nil, []), (.from, nil, .sendsSubscribed), (.fromOut, nil, .sendsSubscribed), (.both, nil, .sendsSubscribed),
            ]
        ) { $0.inbound(.subscribe) }
        // [1]: pre-approved.
        for (outgoing, after) in [(SubscriptionState.Outgoing.none, Nine.from), (.requested, .fromOut), (.subscribed, .both)] {
            let change = try #require(SubscriptionState(outgoing: outgoing, incoming: .preApproved).inbound(.subscribe))
            #expect(change.state == after.state)
            #expect(Does(change) == [.sendsSubscribed, .pushes, .sendsPresence])
        }
    }

    @Test func inboundUnsubscribe() throws {  // table 7
        // The table's reply is left out: it would tell that there is an account.
        let withdrawn: Does = [.delivers, .forgetsRequest]
        let cancelled: Does = [.delivers, .sendsUnsubscribed, .sendsUnavailable, .pushes]
        try check(
            [
                (.none, nil, []), (.noneOut, nil, []), (.noneIn, Nine.none, withdrawn), (.noneOutIn, .noneOut, withdrawn), (.to, nil, []),
                (.toIn, .to, withdrawn), (.from, Nine.none, cancelled), (.fromOut, .noneOut, cancelled), (.both, .to, cancelled),
            ]
        ) { $0.inbound(.unsubscribe) }
    }

    @Test func inboundSubscribed() throws {  // table 8
        try check(
            [
                (.none, nil, []), (.noneOut, .to, [.delivers, .pushes]), (.noneIn, nil, []), (.noneOutIn, .toIn, [.delivers, .pushes]),
                (.to, nil, []), (.toIn, nil, []), (.from, nil, []), (.fromOut, .both, [.delivers, .pushes]), (.both, nil, []),
            ]
        ) { $0.inbound(.subscribed) }
    }

    @Test func inboundUnsubscribed() throws {  // table 9
        let told: Does = [.delivers, .pushes]
        try check(
            [
                (.none, nil, []), (.noneOut, Nine.none, told), (.noneIn, nil, []), (.noneOutIn, .noneIn, told), (.to, Nine.none, told),
                (.toIn, .noneIn, told), (.from, nil, []), (.fromOut, .from, told), (.both, .from, told),
            ]
        ) { $0.inbound(.unsubscribed) }
    }

    /// §2.5.2.
    @Test func removal() throws {
        let rows: [(Nine, [StanzaType], Bool)] = [
            (.none, [], false), (.noneOut, [.unsubscribe], false), (.noneIn, [.unsubscribed], false),
            (.noneOutIn, [.unsubscribe, .unsubscribed], false), (.to, [.unsubscribe], false),
            (.toIn, [.unsubscribe, .unsubscribed], false),
            (.from, [.unsubscribed], true), (.fromOut, [.unsubscribe, .unsubscribed], true), (.both, [.unsubscribe, .unsubscribed], true),
        ]
        for (before, sends, unavailable) in rows {
            let change = before.state.removed()
            #expect(change.state == SubscriptionState() && change.pushes)
            #expect(change.sends == sends && change.sendsUnavailable == unavailable, "\(before)")
            #expect((change.request == .forget) == before.state.pendingIn)
        }
        #expect(SubscriptionState(incoming: .preApproved).removed().sends == [])
    }

    /// A pre-approval survives what comes from the contact, but for the request it is for (§4.3.2 no. 1).
    @Test func preApprovalIsTheUsers() throws {
        let state = SubscriptionState(outgoing: .subscribed, incoming: .preApproved)
        #expect(state.inbound(.unsubscribed)?.state == SubscriptionState(incoming: .preApproved))
        #expect(state.inbound(.unsubscribe)?.state == state)
        #expect(state.inbound(.unsubscribe).map(Does.init) == [])
        #expect(state.outbound(.unsubscribe)?.state.preApproved == true)
    }

    @Test func attributes() {
        let rows: [(Nine, SubscriptionState.Subscription, Bool, Bool)] = [
            (.none, .none, false, false), (.noneOut, .none, true, true), (.noneIn, .none, false, false), (.noneOutIn, .none, true, true),
            (.to, .to, false, true), (.toIn, .to, false, true), (.from, .from, false, true), (.fromOut, .from, true, true),
            (.both, .both, false, true),
        ]
        for (state, subscription, ask, needsItem) in rows {
            #expect(
                state.state.subscription == subscription && state.state.pendingOut == ask && state.state.needsItem == needsItem, "\(state)")
        }
        #expect(SubscriptionState(incoming: .preApproved).needsItem)
    }

    @Test func codes() {
        var codes: Set<UInt8> = []
        for outgoing in SubscriptionState.Outgoing.allCases {
            for incoming in SubscriptionState.Incoming.allCases {
                let state = SubscriptionState(outgoing: outgoing, incoming: incoming)
                #expect(SubscriptionState(code: state.code) == state)
                codes.insert(state.code)
            }
        }
        #expect(codes.count == 12)
        for code in UInt8.min...UInt8.max where !codes.contains(code) {
            #expect(SubscriptionState(code: code) == SubscriptionState())
        }
    }

    @Test func otherTypesAreNone() {
        for type in [StanzaType.none, .unavailable, .probe, .error, .chat] {
            #expect(SubscriptionState().inbound(type) == nil && SubscriptionState().outbound(type) == nil)
        }
    }

    /// Two accounts that tell each other everything never disagree for long: from any course of events, once no stanza is under way,
    /// each has `to` exactly when the other has `from`, and asks exactly when the other was asked.
    @Test func bothSidesAgree() throws {
        var random = Dice(state: 6121)
        for _ in 0..<300 {
            var sides = [SubscriptionState(), SubscriptionState()]
            for _ in 0..<12 {
                let side = Int(random.next() % 2)
                var wire: [(to: Int, StanzaType)] = []
                func apply(_ change: SubscriptionChange, at side: Int, type: StanzaType?) {
                    sides[side] = change.state
                    if change.routes, let type { wire.append((1 - side, type)) }
                    for type in change.sends { wire.append((1 - side, type)) }
                }
                let types: [StanzaType] = [.subscribe, .subscribed, .unsubscribe, .unsubscribed, .none]
                let type = types[Int(random.next() % 5)]
                apply(try type == .none ? sides[side].removed() : #require(sides[side].outbound(type)), at: side, type: type)
                var steps = 0
                while !wire.isEmpty {
                    let (receiver, type) = wire.removeFirst()
                    apply(try #require(sides[receiver].inbound(type)), at: receiver, type: nil)
                    steps += 1
                    try #require(steps < 20, "the two answer each other for ever")
                }
                for side in 0...1 {
                    #expect(sides[side].hasTo == sides[1 - side].hasFrom)
                    #expect(sides[side].pendingOut == sides[1 - side].pendingIn)
                }
            }
        }
    }

    private struct Dice {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
    }
}
