import Stanzas
import Testing

@testable import ServerCore

/// RFC 6121 §8.5.
@Suite struct DeliveryRulesTests {
    typealias Choice = DeliveryRules.Choice

    private static let refused = Choice.refuse(.serviceUnavailable)
    private static let types: [StanzaType] = [.normal, .chat, .groupchat, .headline, .error]

    /// Priorities of the sessions `r0`, `r1` …; nil is connected but not available.
    private func sessions(_ priorities: [Int8?]) -> [DeliveryRules.Candidate] {
        priorities.enumerated().map { .init(resource: "r\($0.offset)", priority: $0.element) }
    }

    private func choose(_ kind: StanzaKind, _ type: StanzaType, _ resource: String?, _ priorities: [Int8?]?, trusted: Bool = false)
        -> Choice?
    {
        DeliveryRules.choose(
            kind: kind, type: type, resource: resource, exists: priorities != nil, senderSeesPresence: trusted,
            sessions: sessions(priorities ?? []))
    }

    /// The table of §8.5.4, and type error, in the columns normal, chat, groupchat, headline, error.
    /// Where the table says X/Y, the row says what this server does; the permitted letters stand beside it.
    @Test(
        arguments: [
            // Account does not exist: S/E S/E E S; full S/E S/E S/E S/E
            (nil, nil, [refused, refused, refused, .drop, .drop]),
            (nil, "r0", [refused, refused, refused, .drop, .drop]),
            // No active resources: O/E O/E E S; full no match S/E O/E S/E S/E
            ([], nil, [.offline, .offline, refused, .drop, .drop]),
            ([], "gone", [refused, .offline, refused, .drop, .drop]),
            // Connected without presence: no available resource, but one that matches
            ([nil], nil, [.offline, .offline, refused, .drop, .drop]),
            ([nil], "r0", Array(repeating: .sessions([0]), count: 5)),
            ([nil], "gone", [refused, .offline, refused, .drop, .drop]),
            // Negative only: O/E O/E E S; match D D D D; no match S/E O/E S/E S/E
            ([-1], nil, [.offline, .offline, refused, .drop, .drop]),
            ([-1], "r0", Array(repeating: .sessions([0]), count: 5)),
            ([-128, -1], "gone", [refused, .offline, refused, .drop, .drop]),
            // One non-negative: D D E D; match D D D D; no match S/E D S/E S/E
            ([0], nil, [.sessions([0]), .sessions([0]), refused, .sessions([0]), .drop]),
            ([0], "r0", Array(repeating: .sessions([0]), count: 5)),
            ([0], "gone", [refused, .sessions([0]), refused, .drop, .drop]),
            ([-5, 3, nil], nil, [.sessions([1]), .sessions([1]), refused, .sessions([1]), .drop]),
            ([-5, 3, nil], "r0", Array(repeating: .sessions([0]), count: 5)),
            // More: M/A M/A* E A; match D D/A* D D; no match S/E M/A* S/E S/E
            ([0, 5, 1], nil, [.sessions([1]), .sessions([1]), refused, .sessions([0, 1, 2]), .drop]),
            ([5, 0, 5, -1], nil, [.sessions([0, 2]), .sessions([0, 2]), refused, .sessions([0, 1, 2]), .drop]),
            ([5, 0, 5, -1], "r1", Array(repeating: .sessions([1]), count: 5)),
            ([5, 0, 5, -1], "gone", [refused, .sessions([0, 2]), refused, .drop, .drop]),
        ] as [([Int8?]?, String?, [Choice])])
    func messages(priorities: [Int8?]?, resource: String?, expected: [Choice]) {
        for (type, choice) in zip(Self.types, expected) {
            #expect(choose(.message, type, resource, priorities) == choice, "\(type)")
        }
    }

    /// A chat state for nobody is not worth an error.
    @Test func nothingIsMissed() {
        for (type, resource) in [(StanzaType.normal, "gone" as String?), (.groupchat, nil), (.groupchat, "gone")] {
            #expect(DeliveryRules.choose(type: type, resource: resource, hasPayload: false, sessions: sessions([0])) == .drop)
        }
        #expect(DeliveryRules.chooseForNobody(kind: .message, type: .chat, hasPayload: false) == .drop)
        #expect(DeliveryRules.choose(type: .chat, resource: nil, hasPayload: false, sessions: sessions([0])) == .sessions([0]))
    }

    @Test func presence() {
        for type in [StanzaType.none, .unavailable, .error] {
            #expect(choose(.presence, type, nil, [0, nil, -3]) == .sessions([0, 2]))  // §8.5.2.1.2
            #expect(choose(.presence, type, nil, [nil]) == .drop)  // §8.5.2.2.2
            #expect(choose(.presence, type, "r1", [0, nil]) == .sessions([1]))  // §8.5.3.1
            #expect(choose(.presence, type, "gone", [0]) == .drop)  // §8.5.3.2.2
            #expect(choose(.presence, type, nil, nil) == .drop)  // §8.5.1
        }
        for type in [StanzaType.subscribe, .subscribed, .unsubscribe, .unsubscribed, .probe] {
            #expect(choose(.presence, type, nil, []) == nil)
            #expect(choose(.presence, type, "r0", [0]) == nil)
            #expect(choose(.presence, type, nil, nil) == (type == .probe ? nil : .drop))
        }
        for type in [StanzaType.subscribed, .unsubscribe, .unsubscribed] { #expect(choose(.presence, type, "gone", [0]) == .drop) }
        for type in [StanzaType.subscribe, .probe] { #expect(choose(.presence, type, "gone", [0]) == nil) }
    }

    @Test func queries() {
        for type in [StanzaType.get, .set] {
            #expect(choose(.iq, type, nil, [0], trusted: true) == nil)  // §8.5.2.1.3
            #expect(choose(.iq, type, nil, []) == nil)  // §8.5.2.2.3
            #expect(choose(.iq, type, "r0", [nil], trusted: true) == .sessions([0]))  // §8.5.3.1
            #expect(choose(.iq, type, "gone", [0], trusted: true) == Self.refused)  // §8.5.3.2.3
            // A stranger learns nothing: there or not, the answer is one.
            #expect(choose(.iq, type, "r0", [0]) == choose(.iq, type, "gone", [0]))
            #expect(choose(.iq, type, "r0", [0]) == choose(.iq, type, "r0", nil))
            #expect(choose(.iq, type, nil, nil) == Self.refused)  // §8.5.1
        }
        for type in [StanzaType.result, .error] {
            #expect(choose(.iq, type, "r0", [-1]) == .sessions([0]))
            #expect(choose(.iq, type, "gone", [0]) == .drop)
            #expect(choose(.iq, type, nil, nil) == .drop)
        }
    }
}
