@testable import ServerCore
import Stanzas
import Testing
import XMLStream

/// What a trace is made of, without a cluster.
@Suite struct TracePartsTests {
    private func blanked(_ payload: String, kind: StanzaKind = .iq, bodies: Bool = true) throws -> String {
        let stanza = Stanza(kind: kind, type: kind == .iq ? .set : .chat, id: "i", payload: try Payload(Array(payload.utf8)))
        return TraceBlanking.text(of: stanza, showsBodies: bodies)
    }

    @Test(arguments: [
        "<query xmlns='jabber:iq:register'><username>romeo</username><password>s3cret</password></query>",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='s3cret@x' name='s3cret'>s3cret</conference></storage></query>",
        "<vCard xmlns='vcard-temp'><TEL><NUMBER>s3cret</NUMBER></TEL></vCard>",
        "<query xmlns='jabber:iq:auth'><digest>s3cret</digest></query>",
        "<command xmlns='http://jabber.org/protocol/commands' node='add-user'><x xmlns='jabber:x:data'><field var='password'><value>s3cret</value></field></x></command>",
        "<x xmlns='jabber:x:data'><field type='text-private' var='anything'><value>s3cret</value></field></x>",
        "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite'><x xmlns='jabber:x:data'><field var='uri'><value>s3cret</value></field></x></command>",
        "<note xmlns='urn:example'>xmpp:romeo@x?register;preauth=s3cret</note>",
        "<thing xmlns='urn:example' token='s3cret' myPassword='s3cret'/>",
        "<slot xmlns='urn:xmpp:http:upload:0'><put url='https://x/?s3cret'><header name='Authorization'>s3cret</header></put></slot>",
        "<preauth xmlns='urn:xmpp:pars:0' token='s3cret'/>",
    ])
    func secretsAreNeverShown(payload: String) throws {
        for bodies in [false, true] { #expect(!(try blanked(payload, bodies: bodies)).contains("s3cret")) }
    }

    @Test func textsAreShownOnlyWhenAskedFor() throws {
        let payload = "<body>Good &lt;night&gt;</body><show>away</show><x xmlns='urn:example' color='red' type='t'>text<y/></x>"
        let hidden = try blanked(payload, kind: .message, bodies: false)
        #expect(
            hidden
                == "<message id=\"i\" type=\"chat\"><body>…</body><show>away</show><x xmlns=\"urn:example\" color=\"…\" type=\"t\">…<y/></x></message>"
        )
        let shown = try blanked(payload, kind: .message)
        #expect(shown.contains("<body>Good &lt;night></body>") && shown.contains("color=\"red\""))
    }

    @Test func whatIsLongIsCut() throws {
        let shown = try blanked("<body>" + String(repeating: "x", count: 100_000) + "</body>", kind: .message)
        #expect(shown.utf8.count < 2_200)
        #expect(shown.hasSuffix("(100013 bytes inside)"))
        let deep = String(repeating: "<a>", count: 60) + String(repeating: "</a>", count: 60)
        #expect(try blanked("<q xmlns='urn:example'>\(deep)</q>").contains("…"))
    }

    @Test(arguments: [
        ("message", true), ("presence", true), ("iq", true), ("error", true), ("message:chat", true), ("message:normal", true),
        ("presence:available", true), ("presence:subscribe", true), ("iq:set", true), ("message:set", false), ("iq:chat", false),
        ("error:x", false), ("", false), ("stanza", false), ("iq:", false),
    ])
    func kindsAreNamed(text: String, isKind: Bool) { #expect((TraceFilter.Kind(text) != nil) == isKind) }

    @Test func ordersAndReportsTravel() throws {
        var filter = TraceFilter()
        filter.jids = [try JID("romeo@capulet.lit"), try JID("juliet@capulet.lit/balcony")]
        filter.domain = "capulet.lit"
        filter.node = 17
        filter.kinds = try ["error", "iq:set", "presence:available"].map { try #require(TraceFilter.Kind($0)) }
        let order = TraceOrder(id: 9, place: 3, filter: filter, showsBodies: true, seconds: 60, nodeNames: [17: "a", 18: "b"])
        #expect(TraceOrder(order.question) == order)
        for end in 0..<order.question.count { #expect(TraceOrder(Array(order.question.prefix(end))) == nil) }
        #expect(TraceOrder.ended(by: TraceOrder.ending(9)) == 9)
        let event = TraceEvent(
            stamp: -5, story: 77, station: .kept, kind: .message, type: .chat, id: "m", from: "a@b/c", to: nil, detail: "d", content: "<x/>"
        )
        let report = TraceReport(state: .ended, node: 17, nodeName: "a", loop: 2, through: 8, lost: 1, skipped: 2, events: [event, event])
        #expect(try TraceReport(report.bytes) == report)
        for end in 0..<report.bytes.count { #expect(throws: CodecError.self) { try TraceReport(Array(report.bytes.prefix(end))) } }
    }

    @Test func marksTravelBetweenNodesAndStayOutOfRecords() throws {
        var stanza = Stanza(kind: .message, type: .chat, id: "m", payload: try Payload(Array("<body>x</body>".utf8)))
        var plain: [UInt8] = []
        stanza.encode(into: &plain)
        stanza.trace = 0x1234_5671
        var record: [UInt8] = []
        stanza.encode(into: &record)
        #expect(record == plain)
        var letter = ByteWriter()
        letter.stanza(stanza)
        var reader = ByteReader(letter.bytes)
        #expect(try reader.stanza().trace == 0x1234_5671)
        var copy = stanza
        copy.to = try JID("juliet@capulet.lit")
        #expect(copy.trace == stanza.trace)
    }

    private func report(_ node: UInt64, through: Int64, _ stamps: [(Int64, TraceStation)]) -> TraceReport {
        TraceReport(
            state: .running, node: node, nodeName: "n\(node)", loop: 0, through: through,
            events: stamps.map { TraceEvent(stamp: $0, story: 1, station: $1, kind: .message, type: .chat) })
    }

    @Test func stationsWaitUntilNothingEarlierCanCome() {
        var merge = TraceMerge(patience: 1_000)
        merge.add(report(1, through: 100, [(10, .received), (50, .completed)]))
        merge.add(report(2, through: 20, [(20, .admitted)]))
        #expect(merge.takeReady().map(\.event.station) == [.received, .admitted])
        merge.add(report(2, through: 60, [(30, .kept), (50, .released)]))
        // The moment is the same: the order of stations decides.
        #expect(merge.takeReady().map(\.event.station) == [.kept, .released, .completed])
        // One that says nothing is not waited for for ever.
        merge.add(report(1, through: 2_000, [(900, .received)]))
        #expect(merge.takeReady().map(\.event.station) == [.received])
        merge.add(report(1, through: 2_000, [(1_990, .sent)]))
        #expect(merge.takeAll().map(\.event.station) == [.sent])
        #expect(merge.shards.count == 2)
    }

    @Test func ratesFollowTheLastMinute() {
        func at(_ seconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: seconds * 1_000_000_000 + 1) }
        var rate = SessionRate(at: at(0))
        for step in 1...6 { rate.sample(at(UInt64(step) * 10), stanzasIn: UInt64(step) * 100, stanzasOut: 0) }
        #expect(abs(rate.values(at(60), stanzasIn: 600, stanzasOut: 0).0 - 10) < 0.01)
        // Silence: after a minute about a third is left, after ten nothing.
        for step in 7...12 { rate.sample(at(UInt64(step) * 10), stanzasIn: 600, stanzasOut: 0) }
        let later = rate.values(at(120), stanzasIn: 600, stanzasOut: 0).0
        #expect(later > 2.5 && later < 5)
        #expect(rate.values(at(720), stanzasIn: 600, stanzasOut: 0).0 < 0.1)
        // Young: what it did, by the time it had.
        #expect(abs(SessionRate(at: at(0)).values(at(4), stanzasIn: 8, stanzasOut: 4).0 - 2) < 0.01)
    }
}
